//! `waft pair`: two machines that do not know each other, strangers, and wrong codes.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::text;
use super::world::{ANY, Machine, World};

/// Starts the machine that shows the code. Returns it with its address and code.
fn listen(machine: &Machine, name: &str) -> (super::harness::Waft, String, String) {
    let mut listener = machine.call(&["pair", name, "--listen", ANY]).start();
    let (address, code) = listener.ready();
    (listener, address, code.expect("it shows a code"))
}

/// A code that differs from `code` in its last digit.
fn wrong(code: &str) -> String {
    let (rest, last) = code.split_at(code.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[test]
fn two_machines_that_paired_send_to_each_other() {
    let world = World::strangers();
    let (listener, address, code) = listen(&world.kitchen, "laptop");
    let dialer =
        world.laptop.call(&["pair", &format!("kitchen@{address}"), "--send-only"]).env("WAFT_PAIRING_CODE", code);
    let dialed = dialer.run().succeeded();
    let listened = listener.end().succeeded();
    let (there, here) = (dialed.last("trusted"), listened.last("trusted"));
    let fingerprint = |machine: &Machine| machine.identity().certificate().fingerprint().to_string();
    assert_eq!((&*text(there, "name"), text(there, "fingerprint")), ("kitchen", fingerprint(&world.kitchen)));
    assert_eq!((&*text(here, "name"), text(here, "fingerprint")), ("laptop", fingerprint(&world.laptop)));
    assert_eq!((&there["sends"], &there["receives"]), (&false.into(), &true.into()));
    assert_eq!((&here["sends"], &here["receives"]), (&true.into(), &true.into()));
    assert_eq!(text(there, "address"), address);
    let warned: Vec<_> = listened.all("warning").map(|event| text(event, "message")).collect();
    assert_eq!(
        warned,
        ["laptop may receive from this machine, but does not ask for it: pair again if that is a mistake"]
    );
    assert_eq!(dialed.all("warning").count(), 1);

    // They know each other now.
    let mut receiver = world.kitchen.call(&["receive", "--listen", ANY, "--once", "--no-code", "--sealed-key"]).start();
    let (address, _) = receiver.ready();
    let folder = world.laptop.work.join("folder");
    std::fs::create_dir(&folder).and_then(|()| std::fs::write(folder.join("hello"), "hello")).expect("it is ours");
    world.laptop.call(&["send", "folder", &format!("kitchen@{address}")]).run().succeeded();
    receiver.end().succeeded();
}

#[test]
fn both_sides_notice_a_wrong_code_and_a_new_one_pairs() {
    let world = World::strangers();
    let (mut listener, address, code) = listen(&world.kitchen, "laptop");
    let to = format!("kitchen@{address}");
    let mut dialer = world.laptop.call(&["pair", &to]).start();
    dialer.answer("pairing-code", &wrong(&code));
    dialer.end().failed(12, "code", &["code was wrong"]);
    assert_eq!(listener.await_event("error")["class"], "code");
    let next = text(&listener.await_event("code"), "code");
    // The old code is spent.
    let dialed = world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", &code).run();
    if next != code {
        dialed.failed(12, "code", &["code was wrong"]);
    }
    let next = text(&listener.await_event("code"), "code");
    world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", next).run().succeeded();
    listener.end().succeeded();
    assert!(world.laptop.known().by_name("kitchen").is_some() && world.kitchen.known().by_name("laptop").is_some());
}

#[test]
fn three_wrong_codes_make_the_listener_pause() {
    let world = World::strangers();
    let (mut listener, address, mut code) = listen(&world.kitchen, "laptop");
    let to = format!("kitchen@{address}");
    for _ in 0..3 {
        let dialed = world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", wrong(&code)).run();
        dialed.failed(12, "code", &["code was wrong"]);
        code = text(&listener.await_event("code"), "code");
    }
    let dialed = world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", code).run();
    dialed.failed(12, "code", &["takes the next attempt in"]);
    listener.interrupt();
    assert!(world.kitchen.known().peers().is_empty() && world.laptop.known().peers().is_empty());
}

#[test]
fn strangers_and_senders_do_not_spend_the_code() {
    let world = World::strangers();
    let (listener, address, code) = listen(&world.kitchen, "laptop");
    let mut held = Vec::new();
    for said in
        [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"WAFT\x01\0\0\0", b"WAFT\x02\0\0\0", b"WAFT\x02\0\0\0\x01\0\0\x01\x09"]
    {
        let mut stranger = TcpStream::connect(&address).expect("it listens");
        stranger.write_all(said).expect("it reads");
        held.push(stranger);
    }
    // A sender hears that the machine is busy.
    let mut answer = [0; 8];
    held[2].read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"WAFT\x01\x02\0\0");
    let to = format!("kitchen@{address}");
    world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", code).run().succeeded();
    listener.end().succeeded();
}

#[test]
fn pairing_again_keeps_the_name_and_changes_the_directions() {
    let world = World::strangers();
    for (how, sends) in [("--send-only", false), ("--receive-only", true)] {
        let (listener, address, code) = listen(&world.kitchen, "laptop");
        let to = format!("kitchen@{address}");
        world.laptop.call(&["pair", &to, how]).env("WAFT_PAIRING_CODE", code).run().succeeded();
        listener.end().succeeded();
        let known = world.laptop.known();
        let [kitchen] = known.peers() else { panic!("{known:?}") };
        assert_eq!((kitchen.sends, kitchen.receives), (sends, !sends));
    }
}

#[test]
fn a_machine_does_not_pair_with_itself_or_with_what_does_not_pair() {
    let world = World::strangers();
    let (mut listener, address, code) = listen(&world.kitchen, "laptop");
    let itself = world.kitchen.call(&["pair", &format!("me@{address}")]).env("WAFT_PAIRING_CODE", code).run();
    itself.failed(11, "identity", &["The other device says", "same one, or a copy"]);
    assert_eq!(listener.await_event("error")["class"], "identity");
    listener.interrupt();

    let receiving = World::new();
    let mut receiver = receiving.kitchen.call(&["receive", "--listen", ANY, "--no-code", "--sealed-key"]).start();
    let (address, _) = receiver.ready();
    let to = format!("kitchen@{address}");
    let dialed = world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", "123456").run();
    dialed.failed(15, "refused", &["does not pair"]);
    let malformed = world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", "1234").run();
    malformed.failed(12, "code", &["not a pairing code"]);
    receiver.interrupt();
}
