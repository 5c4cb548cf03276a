//! Addresses that cannot be reached, peers that are not waft, and addresses that cannot be listened on.

use std::net::TcpListener;
use std::process::Command;

use super::harness::Call;
use super::needs::skip;
use super::proxy::{Behaviour, Proxy};
use super::world::{Machine, World};

/// Runs a sender against a server that answers every connection with these bytes.
fn against(world: &World, answer: &'static [u8], exit: i32, class: &str, says: &[&str]) {
    let there = Proxy::before("127.0.0.1:1", &[Behaviour::Answer(answer); 8]);
    world.sending(&there.address).run().failed(exit, class, &[says, &[there.address.as_str()]].concat());
}

fn world() -> World {
    let world = World::new();
    world.small();
    world
}

#[test]
fn nobody_listens() {
    let world = world();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let says = ["Nothing listens at", free.as_str(), "Start `waft receive` there"];
    world.sending(&free).run().failed(10, "unreachable", &says);
}

#[test]
fn a_name_that_nobody_knows() {
    let world = world();
    let ended = world.sending("no-such-board.invalid").run();
    // A resolver may take its time to answer.
    match ended.last("error")["message"].as_str() {
        Some(message) if message.contains("timed out") => ended.failed(10, "unreachable", &["no-such-board.invalid"]),
        _ => ended.failed(10, "unreachable", &["No address is known for the name no-such-board.invalid"]),
    };
}

#[test]
fn something_else_listens() {
    let world = world();
    let says = ["is not waft", "Another program listens there"];
    against(&world, b"HTTP/1.1 400 Bad Request\r\n\r\n", 17, "protocol", &says);
    against(&world, b"SSH-2.0-OpenSSH_9.6\r\n", 17, "protocol", &says);
    against(&world, b"WAFTx", 17, "protocol", &says);
    against(&world, b"W\x1b[31m\x1b]0;title\x07", 17, "protocol", &says);
}

#[test]
fn something_that_begins_like_tls_is_not_believed() {
    let world = world();
    against(&world, b"\x16\x03\x01\x00\x05hello", 17, "protocol", &["does not speak waft's protocol"]);
}

#[test]
fn another_version_listens() {
    let world = world();
    let says =
        ["does not know this kind of connection", "another release of waft", "the same release of waft on both sides"];
    for answer in [b"WAFT\x07\x01\0\0", b"WAFT\0\x01\0\0", b"WAFT\x01\x01\0\0"] {
        against(&world, answer, 17, "protocol", &says);
    }
    against(&world, b"WAFT\x07\x63\0\0", 17, "protocol", &["a reason of a later version (99)"]);
}

#[test]
fn a_board_without_identity_listens() {
    let world = world();
    against(&world, b"WAFT\x01\x03\0\0", 11, "identity", &["has no identity yet", "waft provision"]);
}

#[test]
fn the_port_is_taken() {
    let world = World::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = other.local_addr().unwrap();
    let says = [&format!("Port {} is taken", at.port()), "--listen ADDR:PORT"];
    let listen = |at: &str| world.kitchen.call(&["receive", "--listen", at]).run();
    listen(&at.to_string()).failed(10, "unreachable", &says);
    listen("192.0.2.7:0").failed(10, "unreachable", &["192.0.2.7 is not an address of this machine"]);
    assert!(!world.kitchen.work.join("received_folder").exists());
}

/// Runs the command without privileges in a network namespace of its own, which has only a loopback interface that is
/// down. `None` if namespaces are not permitted.
fn without_a_network(call: Call) -> Option<Call> {
    let unshare = ["--user", "--net"];
    let may = Command::new("unshare").args(unshare).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        skip("no network namespace can be made here");
        return None;
    }
    Some(call.within("unshare", &unshare))
}

#[test]
fn no_network_leads_there() {
    let world = world();
    let Some(call) = without_a_network(world.sending("192.0.2.7")) else { return };
    let says = ["There is no route to 192.0.2.7:12346", "on the receiver's network"];
    call.run().failed(10, "unreachable", &says);
}

#[test]
fn a_port_that_is_not_for_everyone() {
    let world = World::new();
    let Some(call) = without_a_network(world.kitchen.call(&["receive", "--listen", "7"])) else { return };
    call.run().failed(10, "unreachable", &["This user may not listen on port 7", "Take a port above 1023"]);
}

#[test]
fn another_waft_has_the_port() {
    let world = World::new();
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let other = Machine::new(world.root.path(), "attic");
    other.call(&["receive", "--listen", &address]).run().failed(
        10,
        "unreachable",
        &["is taken", "another `waft receive`"],
    );
}

#[test]
fn addresses_that_are_none() {
    let world = world();
    for to in ["kitchen@", "kitchen@a b", "kitchen@:1", "kitchen@host:0", "kitchen@host:99999", "kitchen@\u{1b}[31m"] {
        world.laptop.call(&["send", "folder", to]).run().failed(2, "usage", &["is not an address"]);
    }
    for listen in ["nonsense", "localhost:1", "1.2.3.4:70000"] {
        world.kitchen.call(&["receive", "--listen", listen]).run().failed(2, "usage", &["is not ADDR:PORT"]);
    }
}
