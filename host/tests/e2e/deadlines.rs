//! Tests that have to wait for real deadlines of the program. All of them wait at the same time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::scope;

use socket2::{Domain, Socket, Type};

use super::harness::check_error;
use super::needs::skip;
use super::proxy::{Behaviour, Proxy};
use super::storage::hold;
use super::world::World;

#[test]
fn deadlines_end_each_wait() {
    scope(|tests| {
        let tests = [
            no_answer,
            silence,
            closed_at_once,
            never_secured,
            broken_for_good,
            busy_for_too_long,
            held_for_too_long,
            held_before_the_key,
        ]
        .map(|test| tests.spawn(test));
        tests.into_iter().for_each(|test| test.join().expect("no test panics"));
    });
}

/// A full accept queue takes no more connections, which is the closest to a machine that is off.
fn no_answer() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let limit = std::time::Duration::from_millis(300);
    let filled: Vec<_> = (0..8).map_while(|_| TcpStream::connect_timeout(&address, limit).ok()).collect();
    if filled.len() == 8 {
        return skip("this system takes any number of connections");
    }
    let world = World::new();
    world.small();
    let says = [&address.to_string(), "does not answer: the connection timed out", "a firewall"];
    world.sending(&address.to_string()).run().failed(10, "unreachable", &says);
}

fn silence() {
    let world = World::new();
    world.small();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let says = [address.as_str(), "accepts connections, but does not respond"];
    world.sending(&address).run().failed(10, "unreachable", &says);
}

/// A receiver with too many connections closes new ones in this way, and may answer later.
fn closed_at_once() {
    let world = World::new();
    world.small();
    let there = Proxy::before("127.0.0.1:1", &[Behaviour::Answer(b""); 250]);
    let says = ["The connection to", &there.address, "was closed without an answer", "waft receive"];
    world.sending(&there.address).run().failed(16, "broken", &says);
}

fn never_secured() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Cut(500); 100]);
    let says =
        ["The connection with kitchen at", "broke before it was secured", "look at the messages of the other side"];
    world.sending(&proxy.address).run().failed(16, "broken", &says);
    check_error(&receiver.await_event("rejected"), "broken", &["127.0.0.1", "broke before it was secured"]);
}

fn broken_for_good() {
    let world = World::new();
    // More bytes than fit into the buffers between two processes.
    world.large(12 << 20);
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(300_000)]);
    let sender = world.send(&proxy.address);
    proxy.await_trigger();
    receiver.kill();
    proxy.cut();
    // From now on the receiver is gone, and the proxy closes new connections.
    let ended = sender.end();
    let says =
        ["The connection to kitchen broke in the middle. Since then: ", "Send again: it continues where it stopped"];
    let ended = ended.failed(16, "broken", &says);
    assert!(ended.all("retry").count() > 3);
    world.nothing_arrived();
}

fn busy_for_too_long() {
    let world = World::new();
    world.small();
    let attic = world.attic();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let _first = world.send(&address);
    receiver.await_event("asked");
    let second = attic.call(&["send", "folder", &address]).run();
    second.failed(15, "refused", &["is busy with another transfer", "when that one is over"]);
}

/// Another process receives into the same folder, which is found before a key is asked for.
fn held_before_the_key() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code"]);
    let (address, _) = receiver.ready();
    let _held = hold(&world);
    world.sending(&address).run().failed(15, "refused", &["kitchen still reads", "or receives another one there"]);
    let ended = receiver.end().failed(15, "refused", &["another waft is receiving there"]);
    assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
}

/// Another process receives into the same folder.
fn held_for_too_long() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let _held = hold(&world);
    world.sending(&address).run().failed(15, "refused", &["kitchen still reads", "or receives another one there"]);
    receiver.end().failed(15, "refused", &["folder of laptop was refused", "another waft is receiving there"]);
    world.nothing_arrived();
}
