//! What a receiver refuses and what makes a sender give up: trust, code, key, target.

use super::ahead::Clock;
use super::harness::{Waft, check_error, text};
use super::world::{Machine, World, write};

/// A code that differs from this one.
pub(crate) fn other_than(code: &str) -> String {
    format!("{:04}", (code.parse::<u32>().expect("a code is a number") + 1) % 10_000)
}

/// A key that differs from this one.
pub(crate) fn other_key(key: &str) -> String {
    let first = if key.starts_with('7') { "8" } else { "7" };
    format!("{first}{}", &key[1..])
}

fn world() -> World {
    let world = World::new();
    world.small();
    world
}

fn turned_away(receiver: &mut Waft, says: &[&str]) {
    check_error(&receiver.await_event("rejected"), "identity", says);
}

#[test]
fn the_receiver_does_not_trust_this_sender() {
    let world = world();
    let attic = Machine::new(world.root.path(), "attic");
    attic.trust(&world.kitchen, &["--send-only"]);
    write(&attic.work, "folder/a", b"a");
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let says = ["does not trust this machine", "waft id cert", "waft trust add"];
    attic.call(&["send", "folder", &address]).run().failed(11, "identity", &says);
    let fingerprint = text(attic.call(&["id"]).run().succeeded().last("identity"), "fingerprint");
    turned_away(&mut receiver, &["127.0.0.1 is not trusted here", &fingerprint]);
    // It is accepted as soon as it is trusted, without any restart.
    world.kitchen.trust(&attic, &["--receive-only"]);
    let mut sender = attic.call(&["send", "folder", &address]).start();
    sender.await_event("connected");
    world.nothing_arrived();
}

#[test]
fn the_sender_does_not_trust_this_receiver() {
    let world = world();
    world.kitchen.call(&["id", "--renew", "--yes"]).run().succeeded();
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let fingerprint = text(world.kitchen.call(&["id"]).run().succeeded().last("identity"), "fingerprint");
    let says = ["kitchen at", "is not trusted here", fingerprint.as_str(), "waft trust add"];
    world.sending(&address).run().failed(11, "identity", &says);
    turned_away(&mut receiver, &["127.0.0.1 does not trust this machine"]);
}

#[test]
fn another_receiver_answers_than_was_meant() {
    let world = world();
    let attic = Machine::new(world.root.path(), "attic");
    world.laptop.trust(&attic, &["--send-only"]);
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let sender = world.laptop.call(&["send", "folder", &format!("attic@{address}")]).run();
    sender.failed(11, "identity", &["attic at", "is a different receiver: kitchen"]);
}

#[test]
fn trusted_at_the_receiver_but_not_to_send() {
    let world = World::strangers();
    world.small();
    world.laptop.trust(&world.kitchen, &[]);
    world.kitchen.trust(&world.laptop, &["--send-only"]);
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    world.sending(&address).run().failed(11, "identity", &["trusts this machine, but not in this direction"]);
    turned_away(&mut receiver, &["laptop is trusted here, but not in this direction"]);
    world.nothing_arrived();
}

#[test]
fn trusted_at_the_sender_but_not_to_receive() {
    let world = World::strangers();
    world.small();
    world.laptop.trust(&world.kitchen, &["--receive-only"]);
    world.kitchen.trust(&world.laptop, &[]);
    let says = ["kitchen is trusted here, but not to receive", "waft trust remove kitchen"];
    world.sending("127.0.0.1:1").run().failed(11, "identity", &says);
    // Nor does it count as the only receiver.
    let to = |to: &str| world.laptop.call(&["send", "folder", to]).run();
    to("127.0.0.1:1").failed(11, "identity", &["waft trust add NAME CERT.pem"]);
    to("cellar").failed(2, "usage", &["cellar"]);
}

#[test]
fn a_wrong_code() {
    let world = world();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let wrong = other_than(&code.unwrap());
    let ended = world.sending(&address).env("WAFT_AUTH_CODE", &wrong).run();
    ended.failed(12, "code", &["The code is wrong", "Look at the receiver"]).never_contains(&wrong);
    world.nothing_arrived();
}

#[test]
fn a_wrong_code_can_be_mended() {
    let world = world();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    let mut sender = world.send(&address);
    sender.answer("code", "12");
    sender.answer("code", &other_than(&code));
    sender.answer("code", &code);
    let sent = sender.end().succeeded();
    assert!(sent.errors.contains("four digits") && sent.errors.contains("tries left: 2"), "{}", sent.errors);
    world.arrived();
}

#[test]
fn a_malformed_code() {
    let world = world();
    for code in ["", "123", "12345", "12a4", "\u{661}234", "\u{1b}[31m"] {
        let ended = world.sending("127.0.0.1:1").env("WAFT_AUTH_CODE", code).run();
        ended.failed(12, "code", &["That is not a code", "four digits"]);
    }
}

#[test]
fn out_of_tries_and_locked() {
    let world = world();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    let wrong = other_than(&code);
    let mut sender = world.send(&address);
    (0..3).for_each(|_| sender.answer("code", &wrong));
    let says = ["accepts no code from this machine for 30 s", "too many wrong ones", "new code"];
    sender.end().failed(12, "code", &says).never_contains(&wrong);
    let reported = receiver.await_event("error");
    check_error(&reported, "code", &["laptop gave too many wrong codes", "has to wait 30 s", "waft trust remove"]);
    // The sender is locked out now, whatever the code and the connection. No code is asked for.
    let again = world.sending(&address).env("WAFT_AUTH_CODE", &code).run();
    let again = again.failed(12, "code", &["accepts no code from this machine for"]);
    assert_eq!(again.all("asked").count(), 0);
    world.nothing_arrived();
}

#[test]
fn a_lockout_applies_only_to_the_sender_that_caused_it() {
    let world = world();
    let attic = world.attic();
    let mut receiver = world.receive(&["--once", "--sealed-key"]);
    let (address, code) = receiver.ready();
    let wrong = other_than(&code.unwrap());
    let mut sender = world.send(&address);
    (0..3).for_each(|_| sender.answer("code", &wrong));
    sender.end().failed(12, "code", &["too many wrong ones"]);
    let code = text(&receiver.await_event("code"), "code");
    attic.call(&["send", "folder", &address]).env("WAFT_AUTH_CODE", code).run().succeeded();
    receiver.end().succeeded();
}

#[test]
fn a_wrong_key() {
    let world = world();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    sender.answer("code", &code.unwrap());
    (0..3).for_each(|_| receiver.answer("key", &other_key(&key)));
    let says = ["The key that kitchen got was wrong, three times", "a new key"];
    sender.end().failed(13, "key", &says);
    let says = ["The key was wrong, three times", "folder of laptop was refused"];
    receiver.end().failed(13, "key", &says).never_contains(&key).never_contains(&other_key(&key));
    world.nothing_arrived();
    assert!(!world.staging().exists(), "nothing is written before the key is right");
}

#[test]
fn a_wrong_key_can_be_mended() {
    let world = world();
    let mut receiver = world.receive(&["--once", "--no-code"]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    receiver.answer("key", "0123");
    receiver.answer("key", &other_key(&key));
    sender.await_that("waiting", |event| event["what"] == "key");
    receiver.answer("key", &key);
    let received = receiver.end().succeeded();
    assert!(received.errors.contains("a key has 16 characters, but 4 were typed"), "{}", received.errors);
    assert!(sender.end().succeeded().errors.contains("A wrong key was typed there"));
    world.arrived();
}

#[test]
fn a_malformed_key() {
    let world = World::new();
    for (key, why) in
        [("", "but 0 were typed"), ("0123-4567", "but 8 were typed"), ("0123-4567-89AB-CDEU", "character")]
    {
        let ended = world.receiving(&[]).env("WAFT_KEY", key).run();
        ended.failed(13, "key", &["That is not a key", why]);
    }
}

#[test]
fn nobody_types_the_code_in_time() {
    let world = world();
    let Some(clock) = Clock::new(&world) else { return };
    let mut receiver = clock.on(world.receiving(&[])).start();
    let (address, _) = receiver.ready();
    let mut sender = clock.on(world.sending(&address)).start();
    sender.await_event("asked");
    let reported = clock.hurry(&[receiver.pid(), sender.pid()], || receiver.await_event("error"));
    check_error(&reported, "code", &["laptop gave no code in time", "Tell the user there the code"]);
    sender.end().failed(12, "code", &["kitchen got no code in time", "as soon as they are asked for"]);
    world.nothing_arrived();
}

#[test]
fn nobody_types_the_key_in_time() {
    let world = world();
    let Some(clock) = Clock::new(&world) else { return };
    let mut receiver = clock.on(world.receiving(&["--once", "--no-code"])).start();
    let (address, _) = receiver.ready();
    let sender = clock.on(world.sending(&address)).start();
    receiver.await_event("asked");
    let received = clock.hurry(&[receiver.pid(), sender.pid()], || receiver.end());
    received.failed(13, "key", &["Nobody typed the key in time", "Have the folder sent again"]);
    sender.end().failed(13, "key", &["Nobody typed the key at kitchen", "--sealed-key"]);
    world.nothing_arrived();
}

#[test]
fn nobody_is_there_to_type() {
    let world = world();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    world.sending(&address).run().failed(12, "code", &["No answer was given for the code", "WAFT_AUTH_CODE"]);
    receiver.close_input();
    let sender = world.sending(&address).env("WAFT_AUTH_CODE", code.unwrap()).run();
    sender.failed(13, "key", &["Nobody typed the key at kitchen"]);
    receiver.end().failed(13, "key", &["No answer was given for the key", "WAFT_KEY"]);
}

#[test]
fn a_target_that_is_not_empty() {
    let world = world();
    let mut receiver = world.receive(&["--once"]);
    let (address, _) = receiver.ready();
    write(&world.target(), "mine", b"mine");
    // Found before a code is asked for.
    let sent = world.sending(&address).run();
    sent.failed(15, "refused", &["The target folder of kitchen is not empty", "--merge"]);
    receiver.end().failed(15, "refused", &["The target folder is not empty", "--merge"]);
    assert_eq!(std::fs::read_dir(world.target()).unwrap().count(), 1);
}
