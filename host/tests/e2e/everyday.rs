//! Everyday use of `waft send`: files and several paths, what is left out, receivers that are not there yet, both key
//! modes, and folders that are watched.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::harness::text;
use super::world::{World, listed, write};

/// The paths of the events of this kind.
fn paths(ended: &super::harness::Ended, kind: &str) -> Vec<String> {
    ended.all(kind).map(|event| text(event, "path")).collect()
}

#[test]
fn files_and_folders_arrive_under_their_names() {
    let world = World::new();
    let work = &world.laptop.work;
    write(work, "notes.txt", b"notes");
    write(work, "photos/one.jpg", b"one");
    // The name of the receiver is a folder here, too.
    write(work, "kitchen/other", b"other");
    let mut receiver = world.receive(&["--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    let send = |arguments: &[&str]| world.laptop.call(&["send"]).with(|call| call.args(arguments)).run();
    let to = format!("kitchen@{address}");
    send(&["notes.txt", &to]).succeeded();
    assert_eq!(fs::read(world.target().join("notes.txt")).unwrap(), b"notes");
    send(&["notes.txt", "photos/", "kitchen"]).succeeded();
    write(work, "both/notes.txt", b"notes");
    assert_eq!(fs::read(world.target().join("photos/one.jpg")).unwrap(), b"one");
    assert_eq!(fs::read_dir(world.target()).unwrap().count(), 2);
    // Of a single argument it is the other way round: it is sent, to the only trusted receiver.
    send(&["kitchen"]).succeeded();
    assert_eq!(fs::read(world.target().join("other")).unwrap(), b"other");
    // A path in the place of the receiver.
    let says = ["No peer is trusted as \"photos\"", "The last argument is the receiver", "send photos as well"];
    send(&["notes.txt", "photos"]).failed(10, "unreachable", &["photos", "The last argument is the receiver"]);
    let only = World::strangers();
    only.laptop.trust(&world.kitchen, &[]);
    only.laptop.trust(&world.laptop, &[]);
    write(&only.laptop.work, "notes.txt", b"notes");
    write(&only.laptop.work, "photos/one.jpg", b"one");
    only.laptop.call(&["send", "notes.txt", "photos"]).run().failed(2, "usage", &says);
}

#[test]
fn a_dry_run_lists_everything_and_connects_to_nothing() {
    let world = World::new();
    let folder = world.folder();
    for name in [".git/config", ".gitignore", "a.log", "keep/b.txt", "out/c"] {
        write(&folder, name, b"out/\n");
    }
    symlink("a.log", folder.join("link")).unwrap();
    let dry = |options: &[&str]| {
        let call = world.laptop.call(&["send", "--dry-run", "folder", "kitchen@127.0.0.1:1"]);
        call.with(|call| call.args(options)).run().succeeded()
    };
    let ended = dry(&["--exclude", "*.log", "--gitignore"]);
    assert_eq!(paths(&ended, "listed"), [".gitignore", "keep", "keep/b.txt"]);
    assert_eq!(paths(&ended, "left-out"), [".git", "a.log", "out", "link"]);
    assert_eq!(ended.last("listed"), &json!({"event": "listed", "path": "keep/b.txt", "bytes": 5}));
    assert_eq!(ended.last("left-out")["why"], "a symbolic link");
    assert!(ended.errors.contains("Nothing was sent") && ended.all("connected").count() == 0);
    let ended = dry(&["--follow-links"]);
    assert!(paths(&ended, "listed").contains(&"link".to_owned()), "{ended:#?}");
    // Neither a receiver nor an identity is needed.
    let nobody = World::strangers();
    write(&nobody.laptop.work, "folder/file", b"x");
    assert_eq!(paths(&nobody.laptop.call(&["send", "--dry-run", "folder"]).run().succeeded(), "listed"), ["file"]);
    assert!(!nobody.laptop.home.exists());
    let pattern = nobody.laptop.call(&["send", "--dry-run", "folder", "--exclude", "a{"]).run();
    pattern.failed(2, "usage", &["The pattern \"a{\" is malformed", ".gitignore"]);
}

#[test]
fn what_is_left_out_does_not_arrive_and_links_are_followed() {
    let world = World::new();
    world.small();
    write(&world.laptop.work, "outside", b"linked");
    symlink("../outside", world.folder().join("link")).unwrap();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let sending = world.sending(&address).with(|call| call.args(["--exclude", "deep/er", "--follow-links"]));
    sending.run().succeeded();
    receiver.end().succeeded();
    assert_eq!(fs::read(world.target().join("link")).unwrap(), b"linked");
    assert!(!world.target().join("deep/er").exists() && world.target().join("deep/none").exists());
    let ended =
        world.laptop.call(&["seal", "folder", "outside", "-o", "x.waft", "--exclude", "none"]).run().succeeded();
    assert_eq!(ended.last("sealed")["files"], 3);
}

#[test]
fn a_receiver_that_is_not_there_yet_is_waited_for() {
    let world = World::new();
    world.small();
    let address = {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        port.local_addr().unwrap().to_string()
    };
    let mut sender = world.sending(&address).arg("--wait").start();
    let retry = sender.await_event("retry");
    assert_eq!((retry.get("left"), &retry["peer"]), (None, &"kitchen".into()), "{retry:#}");
    let call = world.kitchen.call(&["receive", "--into", "into", "--once", "--no-code", "--sealed-key"]);
    let receiver = call.arg("--listen").arg(&address).start();
    let sent = sender.end().succeeded();
    assert!(sent.errors.contains("Waiting until it is there"), "{}", sent.errors);
    receiver.end().succeeded();
    world.arrived();
    // Ctrl-C ends the wait.
    let mut sender = world.sending(&address).arg("--wait").start();
    sender.await_event("retry");
    sender.interrupt();
    sender.end().failed(130, "interrupted", &[]);
}

#[test]
fn the_sender_decides_whether_the_key_is_typed_where_both_modes_are_offered() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code", "--either-key"]);
    let (address, _) = receiver.ready();
    let sent = world.sending(&address).arg("--sealed").run().succeeded();
    assert_eq!(sent.all("key").count(), 0);
    receiver.await_event("committed");
    world.arrived();
    write(&world.folder(), "more", b"more");
    fs::remove_dir_all(world.target()).unwrap();
    for option in ["--verbose", "--typed-key"] {
        let mut sender = world.sending(&address).arg(option).start();
        let key = sender.key();
        receiver.answer("key", &key);
        sender.end().succeeded();
        receiver.await_event("committed");
    }
    world.arrived();
    receiver.interrupt();
    receiver.end();
}

#[test]
fn a_sealed_key_is_sent_only_where_it_is_taken() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let says = ["kitchen takes only keys that are typed there", "--either-key"];
    world.sending(&address).arg("--sealed").run().failed(13, "key", &says);
    world.nothing_arrived();
}

#[test]
fn a_watched_folder_is_sent_after_each_change() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    let mut sender = world.sending(&address).args(&["--watch", "--sealed", "--exclude", "*.tmp"]).start();
    sender.await_event("committed");
    // What is left out is no change.
    write(&world.folder(), "build.tmp", b"x");
    for round in 0..3 {
        write(&world.folder(), format!("new {round}"), b"new");
        sender.await_event("committed");
        assert_eq!(fs::read(world.target().join(format!("new {round}"))).unwrap(), b"new");
    }
    // An error does not end it: here everything is gone for a time.
    fs::rename(world.folder(), world.laptop.work.join("aside")).unwrap();
    assert_eq!(text(&sender.await_event("error"), "class"), "storage");
    fs::rename(world.laptop.work.join("aside"), world.folder()).unwrap();
    write(&world.folder(), "back", b"again");
    sender.await_event("committed");
    assert!(!listed(&world.target()).is_empty() && !world.target().join("build.tmp").exists());
    let committed = sender.seen.iter().filter(|event| event["event"] == "committed").count();
    sender.interrupt();
    let ended = sender.end().failed(130, "interrupted", &[]);
    let lines = ended.errors.lines().filter(|line| line.contains("has the folder")).count();
    assert_eq!(lines, committed);
    assert!(!ended.errors.contains("connected"), "one line for each transfer: {}", ended.errors);
}
