//! Broken connections and users who interrupt: what is kept, what is sent again, and what each side reports.

use std::fs;
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

use super::ahead::Clock;
use super::harness::{Waft, check_error, text};
use super::proxy::{Behaviour, Proxy};
use super::world::{World, listed, noise, write};

/// Number of bytes from the sender after which only chunks follow.
const IN_THE_MIDDLE: u64 = 300_000;
/// More bytes than fit into the buffers between two processes.
const LARGE: usize = 12 << 20;

fn world(bytes: usize) -> World {
    let world = World::new();
    world.large(bytes);
    world
}

fn sent(receipt: &serde_json::Value) -> (u64, u64) {
    (receipt["sent"].as_u64().unwrap(), receipt["bytes"].as_u64().unwrap())
}

#[test]
fn a_broken_connection_is_resumed_in_the_same_run() {
    let world = world(2 << 20);
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    // In the preface, in the handshake, and twice in the middle. No question is asked twice.
    let behaviours =
        [Behaviour::Cut(5), Behaviour::Cut(500), Behaviour::Cut(IN_THE_MIDDLE), Behaviour::Cut(IN_THE_MIDDLE)];
    let proxy = Proxy::before(&address, &behaviours);
    let sender = world.deliver(&mut receiver, &proxy.address, &code.unwrap()).succeeded();
    let receipt = receiver.await_event("committed");
    world.arrived();
    assert_eq!(sender.all("retry").count(), behaviours.len());
    assert_eq!(sender.all("asked").count(), 1);
    let (sent, bytes) = sent(&receipt);
    assert!(sent < bytes - IN_THE_MIDDLE, "{sent} of {bytes}");
}

#[test]
fn once_outlives_a_broken_connection() {
    let world = world(1 << 20);
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Cut(IN_THE_MIDDLE)]);
    world.send(&proxy.address).end().succeeded();
    let received = receiver.end().succeeded();
    check_error(received.last("error"), "broken", &["The connection from laptop broke in the middle", "is kept"]);
    world.arrived();
}

/// Kills a run in the middle, then does `between` and sends again.
fn resumed_later(between: impl Fn(&World), least_held: u64) {
    let world = world(2 << 20);
    let mut first = world.receive(&[]);
    let (address, code) = first.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(1 << 20)]);
    let mut sender = world.send(&proxy.address);
    let key = sender.key();
    sender.answer("code", &code.unwrap());
    first.answer("key", &key);
    proxy.await_trigger();
    // Bytes that have reached the receiver's machine may still be in a buffer, and a cut can lose those.
    let stored = || fs::metadata(world.staging().join("tree/a-large")).map_or(0, |file| file.len());
    while stored() < least_held {
        sleep(Duration::from_millis(10));
    }
    sender.kill();
    proxy.cut();
    check_error(&first.await_event("error"), "broken", &["laptop", "broke in the middle", "it continues from there"]);
    world.nothing_arrived();
    first.kill();
    between(&world);

    let mut second = world.receive(&["--once"]);
    let (address, code) = second.ready();
    let receipt = world.deliver(&mut second, &address, &code.unwrap()).succeeded();
    second.end().succeeded();
    world.arrived();
    let (sent, bytes) = sent(receipt.last("committed"));
    assert!(bytes - sent >= least_held, "{sent} of {bytes} crossed again");
}

#[test]
fn a_later_run_goes_on() {
    resumed_later(|_| {}, 500_000);
}

#[test]
fn a_held_prefix_that_was_tampered_with_is_not_trusted() {
    let tamper = |world: &World| {
        let path = world.staging().join("tree/a-large");
        let mut bytes = fs::read(&path).unwrap();
        bytes[1000] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    resumed_later(tamper, 0);
}

#[test]
fn a_folder_that_changed_since_is_sent_from_its_start() {
    resumed_later(|world| write(&world.folder(), "a-large", &noise(1 << 20)[7..]), 0);
}

#[test]
fn another_folder_takes_the_place_of_a_held_one() {
    let another = |world: &World| {
        fs::remove_dir_all(world.folder()).unwrap();
        world.small();
    };
    resumed_later(another, 0);
}

#[test]
fn a_lost_receipt_is_asked_for_again() {
    let world = world(1 << 20);
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Mute(IN_THE_MIDDLE)]);
    let mut sender = world.send(&proxy.address);
    let key = sender.key();
    sender.answer("code", &code.unwrap());
    receiver.answer("key", &key);
    let receipt = receiver.await_event("committed");
    let before = listed(&world.target());
    proxy.cut();
    let sender = sender.end().succeeded();
    assert_eq!(sender.all("retry").count(), 1);
    let (sent, bytes) = sent(sender.last("committed"));
    assert_eq!(sent, bytes, "nothing crossed twice");
    assert_eq!(sender.last("committed")["digest"], receipt["digest"]);
    assert_eq!(listed(&world.target()), before);
}

#[test]
fn the_outcome_is_unknown() {
    let world = world(1 << 20);
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    // The receipt gets lost, and then something else answers at that address.
    let proxy = Proxy::before(&address, &[Behaviour::Mute(IN_THE_MIDDLE), Behaviour::Answer(b"HTTP/1.1 400\r\n")]);
    let sender = world.send(&proxy.address);
    receiver.await_event("committed");
    proxy.cut();
    let says = ["Everything was sent", "before its receipt came", "is not waft", "Check there", "send again"];
    sender.end().failed(18, "unknown", &says);
    world.arrived();
}

#[test]
fn once_outlives_a_lost_receipt_and_takes_nothing_more() {
    let world = world(1 << 20);
    let attic = world.attic();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Mute(IN_THE_MIDDLE), Behaviour::Stall(4)]);
    let sender = world.send(&proxy.address);
    receiver.await_event("committed");
    let before = listed(&world.target());
    proxy.cut();
    let other = attic.call(&["send", "folder"]).arg(format!("kitchen@{address}")).run();
    other.failed(15, "refused", &["kitchen declined the folder"]);
    // The behaviours of the first and the second connection.
    proxy.await_trigger();
    proxy.await_trigger();
    proxy.go_on();
    sender.end().succeeded();
    let receiver = receiver.end().succeeded();
    assert_eq!(receiver.all("committed").count(), 1, "the folder was reported once");
    assert_eq!(listed(&world.target()), before);
}

/// A sender and a receiver in the middle of a large folder.
fn in_the_middle(world: &World) -> (Waft, Proxy, Waft) {
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let sender = world.send(&proxy.address);
    proxy.await_trigger();
    // Waits until the receiver has stored a part; bytes that have reached its machine may still be in a buffer.
    let taken = || fs::metadata(world.staging().join("manifest")).is_ok_and(|manifest| manifest.len() > 0);
    while !taken() {
        sleep(Duration::from_millis(10));
    }
    (receiver, proxy, sender)
}

#[test]
fn the_sender_is_interrupted_in_the_middle() {
    let world = world(LARGE);
    let (mut receiver, proxy, sender) = in_the_middle(&world);
    sender.interrupt();
    proxy.go_on();
    let says = ["Interrupted", "What kitchen has by now stays there", "sending again continues"];
    sender.end().failed(130, "interrupted", &says);
    check_error(&receiver.await_event("error"), "broken", &["laptop cancelled the transfer", "is kept"]);
    world.nothing_arrived();
    // The received part is used by the next run.
    receiver.kill();
    let mut another = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = another.ready();
    let (sent, bytes) = sent(world.sending(&address).run().succeeded().last("committed"));
    assert!(sent < bytes);
    world.arrived();
}

#[test]
fn the_receiver_is_interrupted_in_the_middle() {
    let world = world(LARGE);
    let (receiver, proxy, sender) = in_the_middle(&world);
    receiver.interrupt();
    proxy.go_on();
    sender.end().failed(16, "broken", &["kitchen cancelled the transfer", "continues where it stopped"]);
    receiver.end().failed(130, "interrupted", &["Interrupted"]);
    world.nothing_arrived();
}

#[test]
fn a_receiver_that_is_interrupted_does_not_wait_for_a_stalled_sender() {
    let world = world(LARGE);
    let (receiver, proxy, sender) = in_the_middle(&world);
    receiver.interrupt();
    let kept = format!("is kept in {}", world.staging().canonicalize().unwrap().display());
    let ended = receiver.end().failed(130, "interrupted", &["Interrupted", &kept]);
    assert_eq!(ended.all("error").count(), 1, "it did not give up first: {ended:#?}");
    sender.kill();
    proxy.cut();
    world.nothing_arrived();
}

#[test]
fn a_sender_that_falls_silent_is_given_up() {
    let world = world(LARGE);
    let Some(clock) = Clock::new(&world) else { return };
    let mut receiver = clock.on(world.receiving(&["--no-code", "--sealed-key"])).start();
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let mut sender = world.send(&proxy.address);
    proxy.await_trigger();
    let reported = clock.hurry(&[receiver.pid()], || receiver.await_event("error"));
    check_error(&reported, "broken", &["laptop has sent nothing for too long", "is kept"]);
    proxy.cut();
    let reported = sender.await_event("retry");
    assert_eq!(text(&reported, "message"), "kitchen waited too long for this machine, and gave up.");
    sender.end().succeeded();
    world.arrived();
}

#[test]
fn a_receiver_that_falls_silent_is_given_up() {
    let world = world(LARGE);
    let Some(clock) = Clock::new(&world) else { return };
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let mut sender = clock.on(world.sending(&proxy.address)).start();
    proxy.await_trigger();
    receiver.kill();
    let reported = clock.hurry(&[sender.pid()], || sender.await_event("retry"));
    assert_eq!(text(&reported, "message"), "kitchen has not answered for too long.");
    // The receiver is gone, and the sender does not wait that long again.
    let says = ["kitchen has not answered for too long. Since then: ", "See whether it still runs"];
    clock.hurry(&[sender.pid()], || sender.end()).failed(16, "broken", &says);
    proxy.cut();
}

#[test]
fn a_receiver_is_interrupted_while_it_listens() {
    let world = World::new();
    let mut receiver = world.receive(&[]);
    receiver.ready();
    receiver.interrupt();
    receiver.end().failed(130, "interrupted", &["Interrupted"]);
    assert!(!world.target().exists() && !world.staging().exists());
}

#[test]
fn a_sender_is_interrupted_while_it_asks_for_the_code() {
    let world = world(1000);
    let mut receiver = world.receive(&[]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    sender.await_event("asked");
    sender.interrupt();
    sender.end().failed(130, "interrupted", &["Interrupted"]);
    check_error(&receiver.await_event("error"), "broken", &["laptop cancelled the transfer"]);
}

#[test]
fn a_sender_is_interrupted_while_the_key_is_typed() {
    let world = world(1000);
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    sender.await_event("waiting");
    receiver.await_event("asked");
    sender.interrupt();
    sender.end().failed(130, "interrupted", &["Interrupted"]);
    check_error(&receiver.await_event("error"), "broken", &["laptop cancelled the transfer"]);
    // The question ended with its sender, so the next line answers the next question.
    let mut again = world.send(&address);
    let key = again.key();
    receiver.answer("key", &key);
    again.end().succeeded();
}

#[test]
fn a_receiver_is_interrupted_while_the_key_is_typed() {
    let world = world(1000);
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let sender = world.send(&address);
    receiver.await_event("asked");
    receiver.interrupt();
    sender.end().failed(16, "broken", &["kitchen cancelled the transfer"]);
    receiver.end().failed(130, "interrupted", &["Interrupted"]);
    world.nothing_arrived();
}

#[test]
fn a_sender_is_interrupted_while_nobody_answers() {
    let world = world(1000);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sender = world.send(&silent.local_addr().unwrap().to_string());
    let _connection = silent.accept().unwrap();
    sender.interrupt();
    sender.end().failed(130, "interrupted", &["Interrupted"]);
}

#[test]
fn a_killed_receiver_leaves_the_old_folder() {
    let world = world(LARGE);
    write(&world.target(), "old", b"old");
    let before = listed(&world.target());
    let mut receiver = world.receive(&["--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let mut sender = world.send(&proxy.address);
    proxy.await_trigger();
    receiver.kill();
    proxy.cut();
    assert!(text(&sender.await_event("retry"), "message").contains("broke in the middle"));
    sender.kill();
    assert_eq!(listed(&world.target()), before);
}
