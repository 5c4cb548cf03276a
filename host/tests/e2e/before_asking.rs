//! Errors that are found before a code is read out or a key is typed. No test here answers a question.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use super::harness::{Ended, text};
use super::pty::{Terminal, waft};
use super::storage::{as_nobody, hold};
use super::world::{World, listed, set_mode, write};

fn world() -> World {
    let world = World::new();
    world.small();
    world
}

/// Sends to a receiver that asks for code and key.
fn sent(world: &World, receiver: &[&str], sender: &[&str]) -> Ended {
    let mut receiver = world.receive(receiver);
    let (address, _) = receiver.ready();
    world.sending(&address).with(|call| call.args(sender)).run()
}

fn nobody_was_asked(ended: &Ended) {
    assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
}

#[test]
fn a_filled_target_is_found_at_start() {
    let world = world();
    write(&world.target(), "theirs", b"theirs");
    let before = listed(&world.target());
    let ended = world.receiving(&[]).run();
    assert_eq!(ended.all("ready").count(), 0, "{ended:#?}");
    ended.failed(15, "refused", &["The target is not empty", "--merge"]);
    assert_eq!(listed(&world.target()), before);
}

#[test]
fn a_target_that_another_sender_has_filled_is_found_before_the_code_is_asked_for() {
    let world = world();
    let attic = world.attic();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let sender = world.sending(&address).env("WAFT_AUTH_CODE", code.unwrap());
    sender.run().succeeded();
    receiver.await_event("committed");
    let other = attic.call(&["send", "folder"]).arg(format!("kitchen@{address}")).run();
    nobody_was_asked(&other);
    other.failed(15, "refused", &["The target folder of kitchen is not empty"]);
    // The sender of the present folder can send it again.
    let next = text(&receiver.await_event("error"), "class");
    assert_eq!(next, "refused");
    let code = receiver.seen.iter().rev().find_map(|event| event["code"].as_str()).unwrap().to_owned();
    let again = world.sending(&address).env("WAFT_AUTH_CODE", code).run().succeeded();
    assert_eq!(again.last("committed")["sent"], 0);
}

#[test]
fn a_target_that_holds_an_older_folder_is_found_before_the_key_is_asked_for() {
    let world = world();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    receiver.answer("key", &key);
    sender.end().succeeded();
    write(&world.folder(), "readme.txt", b"Hello again, kitchen!\n");
    world.sending(&address).run().failed(15, "refused", &["The target folder of kitchen is not empty"]);
    receiver.interrupt();
    let ended = receiver.end();
    assert_eq!(ended.all("asked").count(), 1, "for the first folder: {ended:#?}");
}

/// Opens a sealed file where that is not possible, and asserts that no key was asked for.
fn not_opened(world: &World, exit: i32, class: &str, says: &[&str]) {
    let ended = world.kitchen.call(&["open"]).arg(sealed(world)).with(|call| call.args(["--into", "into"])).run();
    nobody_was_asked(&ended);
    ended.failed(exit, class, says);
}

fn sealed(world: &World) -> PathBuf {
    let file = world.laptop.work.join("folder.waft");
    if !file.exists() {
        world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
    }
    file
}

#[test]
fn what_keeps_a_sealed_file_from_being_opened_is_found_before_its_key_is_asked_for() {
    let world = world();
    let held = hold(&world);
    not_opened(&world, 15, "refused", &["another waft is receiving there"]);
    drop(held);
    fs::remove_dir_all(world.staging()).unwrap();
    write(&world.target(), "theirs", b"theirs");
    not_opened(&world, 15, "refused", &["The target is not empty", "--merge"]);
    fs::remove_dir_all(world.target()).unwrap();
    // A target that may already be the folder has to be compared with it, which needs the key.
    fs::rename(world.folder(), world.target()).unwrap();
    let asked = world.kitchen.call(&["open"]).arg(sealed(&world)).with(|call| call.args(["--into", "into"])).run();
    asked.failed(13, "key", &["No answer was given for the key"]);
}

#[test]
fn a_target_that_became_unwritable_is_found_before_the_key_is_asked_for() {
    let world = world();
    let Some(call) = as_nobody(&world, world.receiving(&["--no-code"])) else { return };
    let mut receiver = call.start();
    let (address, _) = receiver.ready();
    set_mode(&world.kitchen.work, 0o555);
    let Some(sender) = as_nobody(&world, world.sending(&address)) else { return };
    sender.run().failed(14, "storage", &["kitchen cannot write to its target folder"]);
    receiver.await_event("error");
    receiver.interrupt();
    let receiver = receiver.end();
    set_mode(&world.kitchen.work, 0o755);
    nobody_was_asked(&receiver);
}

#[test]
fn a_target_that_cannot_be_written_is_found_at_start() {
    let world = world();
    let Some(call) = as_nobody(&world, world.receiving(&[])) else { return };
    set_mode(&world.kitchen.work, 0o555);
    let ended = call.run();
    set_mode(&world.kitchen.work, 0o755);
    assert_eq!(ended.code, Some(14), "{ended:#?}");
    assert_eq!(ended.all("ready").count(), 0);
}

#[test]
fn a_target_that_is_a_file_is_found_at_start() {
    let world = world();
    fs::write(world.target(), b"a file").unwrap();
    world.receiving(&[]).run().failed(14, "storage", &["it is not a folder"]);
}

#[test]
fn a_sealed_key_is_refused_before_the_code_where_it_has_to_be_typed() {
    let world = world();
    let ended = sent(&world, &["--sealed-key"], &["--typed-key"]);
    nobody_was_asked(&ended);
    ended.failed(13, "key", &["kitchen takes only keys that are sealed to it", "without --typed-key"]);
    world.nothing_arrived();
}

#[test]
fn a_key_that_has_to_be_typed_is() {
    let world = world();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let mut sender = world.sending(&address).arg("--typed-key").start();
    let key = sender.key();
    receiver.answer("key", &key);
    sender.end().succeeded();
    world.arrived();
}

#[test]
fn a_receiver_that_cannot_listen_asks_for_nothing() {
    let world = world();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let ended = world.kitchen.call(&["receive", "--listen", &at]).run();
    nobody_was_asked(&ended);
    assert_eq!(ended.code, Some(10));
}

/// Asserts that `send` has created neither the default folder nor an identity.
fn nothing_was_made(world: &World, ended: &Ended) {
    nobody_was_asked(ended);
    assert_eq!(listed(&world.laptop.work), [""; 0], "{ended:#?}");
    assert!(!world.laptop.home.join("key.pem").exists(), "{ended:#?}");
}

#[test]
fn a_receiver_that_cannot_be_sent_to_is_found_before_anything_is_made() {
    let world = World::strangers();
    let send = |args: &[&str]| world.laptop.call(&["send"]).with(|call| call.args(args)).run();
    let wrong = send(&["folder", "kitchen@a b"]);
    nothing_was_made(&world, &wrong);
    assert!(!world.laptop.home.exists(), "an address is checked first");
    wrong.failed(2, "usage", &["is not an address"]);
    let nobody = send(&[]);
    nothing_was_made(&world, &nobody);
    nobody.failed(11, "identity", &["No receiver is trusted yet"]);
    world.laptop.trust(&world.kitchen, &["--send-only"]);
    let (before, made) = (listed(&world.laptop.work), listed(&world.laptop.home));
    send(&[]).failed(10, "unreachable", &["The address of kitchen is not known"]);
    send(&["folder", "cellar@127.0.0.1"]).failed(2, "usage", &["No peer is trusted as"]);
    world.laptop.trust(&world.attic(), &["--send-only"]);
    send(&[]).failed(2, "usage", &["More than one receiver is trusted"]);
    assert_eq!(listed(&world.laptop.work), before);
    assert_eq!(listed(&world.laptop.home).len(), made.len());
}

#[test]
fn a_user_without_a_receiver_is_not_asked_for_a_folder() {
    let world = World::strangers();
    let mut terminal = Terminal::start(waft(&world.laptop, &["send"]));
    terminal.assert_exit(11);
    assert!(!terminal.screen().contains("Folder"), "{}", terminal.screen());
    assert_eq!(listed(&world.laptop.work), [""; 0]);
}

#[test]
fn a_user_who_names_no_receiver_gets_no_folder() {
    let world = World::new();
    world.laptop.trust(&world.attic(), &["--send-only"]);
    let mut terminal = Terminal::start(waft(&world.laptop, &["send"]));
    terminal.sees("Folder [./SEND_FOLDER]:");
    terminal.types("\n");
    terminal.sees("To (kitchen, attic; NAME@HOST):");
    terminal.types("\x04");
    terminal.assert_exit(2);
    assert_eq!(listed(&world.laptop.work), [""; 0]);
}
