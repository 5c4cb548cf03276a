//! Other connections at a receiver: silent or noisy strangers, and second senders.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::{Ended, text};
use super::world::{Machine, World, write};

/// The bytes that strangers send.
const PAYLOADS: [&[u8]; 6] = [
    b"",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"WAFT",
    b"WAFT\x01\0\0\0",
    b"WAFT\x01\0\0\0\x16\x03\x03\x40\x00",
    b"WAFT\x01\0\0\0HTTP/1.1 200 OK\r\n\x1b[31m\xff\xff\xff\xff",
];

/// Opens so many connections that send such bytes and stay open.
fn flood(address: &str, count: usize) -> Vec<TcpStream> {
    let connect = |said: &[u8]| {
        let mut stream = TcpStream::connect(address).ok()?;
        // The connection may be closed already.
        let _ = stream.write_all(said);
        Some(stream)
    };
    (0..count).filter_map(|at| connect(PAYLOADS[at % PAYLOADS.len()])).collect()
}

#[test]
fn silent_strangers_do_not_keep_a_sender_out() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let strangers = flood(&address, 5);
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
    drop(strangers);
}

#[test]
fn a_flood_of_strangers_delays_a_sender_at_most() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let strangers = flood(&address, 60);
    // The sender may be refused as busy, and retries.
    let sent = world.sending(&address).run().succeeded();
    let received = receiver.end().succeeded();
    super::hostile_senders::assert_printable(&sent);
    super::hostile_senders::assert_printable(&received);
    world.arrived();
    drop(strangers);
}

#[test]
fn strangers_during_a_transfer_change_nothing() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    sender.answer("code", &code.unwrap());
    receiver.await_event("asked");
    let strangers = flood(&address, 60);
    receiver.write_line(&key);
    sender.end().succeeded();
    let received = receiver.end().succeeded();
    assert_eq!((received.all("rejected").count(), received.all("error").count()), (0, 0));
    world.arrived();
    drop(strangers);
}

#[test]
fn strangers_trigger_no_lock_and_use_up_no_code() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let attic = Machine::new(world.root.path(), "attic");
    attic.trust(&world.kitchen, &["--send-only"]);
    write(&attic.work, "folder/a", b"a");
    let code = code.unwrap();
    for _ in 0..5 {
        let ended = attic.call(&["send", "folder", &address]).env("WAFT_AUTH_CODE", "0000").run();
        ended.failed(11, "identity", &["does not trust this machine"]);
    }
    world.deliver(&mut receiver, &address, &code).succeeded();
    let received = receiver.end().succeeded();
    let codes = received.all("code").count();
    assert_eq!(codes, 1, "only the one that was used is replaced");
}

#[test]
fn who_is_no_sender_gets_no_answer() {
    let world = World::new();
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"WAFT\x01\0\0\x01", b"SSH-2.0-x\r\n"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(said).unwrap();
        let mut answer = Vec::new();
        // The connection is closed or reset without a byte.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{said:?}");
    }
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"WAFT\0\0\0\0").unwrap();
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"WAFT\x01\x01\0\0", "an older sender gets our version");
}

/// A second sender arrives while the first one waits for its key: it is refused as busy, and accepted later.
#[test]
fn a_second_sender_waits_for_its_turn() {
    let world = World::new();
    world.small();
    let attic = world.attic();
    let mut receiver = world.receive(&["--no-code", "--merge"]);
    let (address, _) = receiver.ready();
    let mut first = world.send(&address);
    let key = first.key();
    receiver.await_event("asked");
    let mut second = attic.call(&["send", "folder", &address]).start();
    assert!(text(&second.await_event("retry"), "message").contains("is busy with another transfer"));
    receiver.write_line(&key);
    first.end().succeeded();
    receiver.await_event("committed");
    let its_key = second.key();
    receiver.answer("key", &its_key);
    let second: Ended = second.end().succeeded();
    assert_eq!(second.last("committed")["files"], 1);
    assert_eq!(std::fs::read(world.target().join("theirs")).unwrap(), b"theirs");
}
