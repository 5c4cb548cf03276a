//! One folder for several receivers at once: codes and keys, receivers that fail, and fifty boards.

use std::fs;

use serde_json::json;

use super::harness::{Call, Waft, text};
use super::world::{ANY, Machine, World, listed, noise, write};

/// A machine that receives from the laptop.
fn receiver(world: &World, name: &'static str) -> Machine {
    let machine = Machine::new(world.root.path(), name);
    world.laptop.trust(&machine, &["--send-only"]);
    machine.trust(&world.laptop, &["--receive-only"]);
    machine
}

fn receive(machine: &Machine, options: &[&str]) -> (Waft, String, Option<String>) {
    let mut process = machine.call(&["receive", "--into", "into", "--once", "--listen", ANY]).args(options).start();
    let (address, code) = process.ready();
    (process, format!("{}@{address}", machine.name), code)
}

fn sending(world: &World, to: &[&str]) -> Call {
    let to = to.iter().flat_map(|to| ["--to", to]).collect::<Vec<_>>();
    world.laptop.call(&["send", "folder"]).args(&to)
}

#[test]
fn every_receiver_has_a_key_of_its_own_and_codes_are_asked_for_one_after_another() {
    let world = World::strangers();
    world.small();
    let machines = ["kitchen", "hall", "attic"].map(|name| receiver(&world, name));
    let mut receivers = machines.each_ref().map(|machine| receive(machine, &[]));
    let to: Vec<String> = receivers.iter().map(|(_, to, _)| to.clone()).collect();
    let mut sender = sending(&world, &to.iter().map(String::as_str).collect::<Vec<_>>()).start();
    for _ in 0..receivers.len() {
        let asked = sender.await_that("asked", |event| event["what"] == "code");
        let at = machines.iter().position(|machine| machine.name == asked["peer"]).unwrap();
        sender.write_line(receivers[at].2.as_deref().unwrap());
    }
    let keys: Vec<_> = sender.seen.iter().filter(|event| event["event"] == "key").cloned().collect();
    assert_eq!(keys.len(), 3, "{:#?}", sender.seen);
    for key in &keys {
        let at = machines.iter().position(|machine| machine.name == key["peer"]).unwrap();
        receivers[at].0.answer("key", &text(key, "key"));
        assert_eq!(keys.iter().filter(|other| other["key"] == key["key"]).count(), 1, "each has its own");
    }
    let sent = sender.end().succeeded();
    for ((process, ..), machine) in receivers.into_iter().zip(&machines) {
        process.end().succeeded();
        assert_eq!(listed(&machine.work.join("into")), listed(&world.folder()));
    }
    assert_eq!(sent.last("summary")["failed"], json!([]));
    assert_eq!(sent.all("committed").count(), 3);
    assert!(sent.errors.contains("Key for hall:") && sent.errors.contains("All 3 receivers have the folder"));
}

#[test]
fn receivers_that_fail_are_told_and_the_others_have_the_folder() {
    let world = World::strangers();
    world.small();
    let [kitchen, hall, attic] = ["kitchen", "hall", "attic"].map(|name| receiver(&world, name));
    let (in_kitchen, to_kitchen, _) = receive(&kitchen, &["--no-code", "--sealed-key"]);
    let (in_hall, to_hall, _) = receive(&hall, &["--no-code", "--sealed-key"]);
    write(&hall.work, "into/mine", b"mine");
    let (in_attic, _, _) = receive(&attic, &[]);
    // Another machine answers at the address of the attic.
    let to_attic = format!("attic@{}", to_kitchen.split_once('@').unwrap().1);
    let ended = sending(&world, &[&to_kitchen, &to_hall, &to_attic]).run();
    let says = ["2 of 3 receivers do not have the folder: hall, attic.", "--to hall --to attic"];
    let ended = ended.failed(19, "partial", &says);
    let failed = json!([
        {"peer": "hall", "class": "refused", "exit": 15},
        {"peer": "attic", "class": "identity", "exit": 11},
    ]);
    let summary = ended.last("summary");
    assert_eq!((&summary["committed"], &summary["failed"]), (&json!(["kitchen"]), &failed));
    for peer in ["hall", "attic"] {
        let of_peer = |line: &&str| line.starts_with(&format!("{peer}: "));
        assert_eq!(ended.errors.lines().filter(of_peer).count(), 1, "{}", ended.errors);
    }
    in_kitchen.end().succeeded();
    in_hall.end().failed(15, "refused", &[]);
    in_attic.kill();
    let twice = sending(&world, &[&to_kitchen, &to_kitchen]).run();
    twice.failed(2, "usage", &["The receiver kitchen is named twice"]);
}

#[cfg(target_os = "linux")]
/// The memory of the sender grows by at most 1 MiB for each receiver.
#[test]
fn fifty_boards_receive_at_once() {
    const BOARDS: usize = 50;
    let world = World::strangers();
    write(&world.folder(), "site/index.html", b"hello");
    write(&world.folder(), "noise", &noise(1 << 20));
    // A receiver that waits for its code keeps the sender from ending, so that its memory can be looked at.
    let last = receiver(&world, "last");
    let boards: Vec<_> = (0..BOARDS).map(|at| board(&world, at)).collect();
    let one = grown(&world, &last, &boards[..1]);
    // The first board has that folder.
    write(&world.folder(), "noise", &noise((1 << 20) + 8));
    let all = grown(&world, &last, &boards);
    let each = all.saturating_sub(one) / (BOARDS as u64 - 1);
    assert!(each <= 1024, "{each} KiB for each receiver: {one} KiB for one, {all} KiB for {BOARDS}");
}

/// A simulated board that asks for nothing.
struct Board {
    _process: Waft,
    to: String,
}

fn board(world: &World, at: usize) -> Board {
    let (name, image) = (format!("board-{at}"), format!("board-{at}.bin"));
    let provision = ["provision", "--board", "mps2", "--name", &name, "--output", &image, "--no-code", "--sealed-key"];
    world.laptop.call(&provision).run().succeeded();
    let simulate = ["simulate", "--name", &name, "--identity", &image, "--listen", ANY];
    let mut process = world.laptop.call(&simulate).start();
    let (address, _) = process.ready();
    Board { _process: process, to: format!("{name}@{address}") }
}

/// Sends to these boards. Returns the most memory that the sender had, in KiB.
fn grown(world: &World, last: &Machine, boards: &[Board]) -> u64 {
    let _ = fs::remove_dir_all(last.work.join("into"));
    let (receiver, to_last, code) = receive(last, &["--sealed-key"]);
    let mut to: Vec<&str> = boards.iter().map(|board| board.to.as_str()).collect();
    to.push(&to_last);
    let mut sender = sending(world, &to).start();
    for _ in boards {
        sender.await_event("committed");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", sender.pid())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most = most.trim().trim_end_matches(" kB").parse().unwrap();
    if !sender.seen.iter().any(|event| event["event"] == "asked") {
        sender.await_event("asked");
    }
    sender.write_line(&code.unwrap());
    let ended = sender.end().succeeded();
    assert_eq!(ended.last("summary")["committed"].as_array().unwrap().len(), boards.len() + 1);
    receiver.end().succeeded();
    most
}
