//! An inbox: the folders of all senders side by side, under the names that their senders give them.

use std::fs;

use super::harness::{Call, Ended, Waft, text};
use super::proxy::{Behaviour, Proxy};
use super::world::{ANY, Machine, World, listed, noise, write};

fn receiving(world: &World, options: &[&str]) -> Call {
    let args = ["receive", "--inbox", "inbox", "--listen", ANY, "--no-code", "--sealed-key"];
    world.kitchen.call(&args).with(|call| call.args(options))
}

/// Starts a receiver with an inbox. Returns its address as well.
fn receive(world: &World, options: &[&str]) -> (Waft, String) {
    let mut receiver = receiving(world, options).start();
    let (address, _) = receiver.ready();
    (receiver, address)
}

/// Sends `folder` of this machine.
fn send(machine: &Machine, address: &str, options: &[&str]) -> Ended {
    machine.call(&["send", "folder"]).arg(format!("kitchen@{address}")).args(options).run()
}

fn inbox(world: &World, path: &str) -> std::path::PathBuf {
    world.kitchen.work.join("inbox").join(path)
}

/// The names in the directory of a sender in the inbox.
fn names(world: &World, sender: &str) -> Vec<String> {
    let entries = fs::read_dir(inbox(world, sender)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folders_of_several_senders_are_side_by_side() {
    let world = World::new();
    world.small();
    let attic = world.attic();
    let (mut receiver, address) = receive(&world, &[]);
    let sent = send(&world.laptop, &address, &[]).succeeded();
    assert_eq!(sent.last("committed")["folder"], "folder");
    let sent = send(&world.laptop, &address, &["--as", "photos 2024"]).succeeded();
    assert_eq!(sent.last("committed")["folder"], "photos 2024");
    assert!(sent.errors.contains("Sending folder as photos 2024: "), "{sent:#?}");
    send(&attic, &address, &[]).succeeded();
    let committed = receiver.await_that("committed", |event| event["peer"] == "attic");
    let path = inbox(&world, "attic/folder").canonicalize().unwrap();
    assert_eq!((text(&committed, "folder"), text(&committed, "path")), ("folder".into(), path.display().to_string()));
    receiver.interrupt();
    let received = receiver.end();
    assert_eq!(names(&world, "laptop"), ["folder", "photos 2024"]);
    for name in names(&world, "laptop") {
        assert_eq!(listed(&inbox(&world, "laptop").join(name)), listed(&world.folder()));
    }
    assert_eq!(fs::read(inbox(&world, "attic/folder/theirs")).unwrap(), b"theirs");
    for says in ["into the inbox inbox", "Receiving photos 2024.", "The folder photos 2024 of laptop is in "] {
        assert!(received.errors.contains(says), "{says}: {received:#?}");
    }
}

#[test]
fn a_folder_that_is_sent_again_replaces_its_predecessor() {
    let world = World::new();
    world.small();
    write(&world.folder(), "a/long", &noise(1 << 20));
    let (mut receiver, address) = receive(&world, &[]);
    send(&world.laptop, &address, &[]).succeeded();
    assert_eq!(receiver.await_event("committed")["placed"], "new");
    let again = send(&world.laptop, &address, &[]).succeeded();
    assert_eq!(again.last("committed")["sent"], 0);
    assert_eq!(receiver.await_event("committed")["placed"], "unchanged");
    fs::remove_file(world.folder().join("readme.txt")).unwrap();
    write(&world.folder(), "new", b"something new");
    let changed = send(&world.laptop, &address, &[]).succeeded();
    assert!(changed.last("committed")["sent"].as_u64().unwrap() < 4_096, "{changed:#?}");
    assert_eq!(listed(&inbox(&world, "laptop/folder")), listed(&world.folder()));
    assert_eq!(names(&world, "laptop"), ["folder"]);
    assert_eq!(receiver.await_event("committed")["placed"], "replaced");
    receiver.interrupt();
    let said = receiver.end().errors;
    assert!(said.contains("It was there already.") && said.contains("It replaced the one that was there."), "{said}");
}

#[test]
fn a_folder_that_was_changed_here_is_not_replaced_without_being_told_to() {
    let world = World::new();
    world.small();
    let (receiver, address) = receive(&world, &["--once"]);
    send(&world.laptop, &address, &[]).succeeded();
    receiver.end().succeeded();
    write(&inbox(&world, "laptop/folder"), "readme.txt", b"mine, of another length");
    write(&world.folder(), "new", b"something new");
    let (receiver, address) = receive(&world, &["--once"]);
    let says = ["changed at kitchen since it was received", "--as NAME"];
    send(&world.laptop, &address, &[]).failed(15, "refused", &says);
    let says = ["changed here since it was received", "inbox/laptop/folder", "--merge"];
    receiver.end().failed(15, "refused", &says);
    assert_eq!(fs::read(inbox(&world, "laptop/folder/readme.txt")).unwrap(), b"mine, of another length");
    // Another name is another folder.
    let (receiver, address) = receive(&world, &["--once"]);
    send(&world.laptop, &address, &["--as", "other"]).succeeded();
    receiver.end().succeeded();
    // With `--merge` the new files are put among what is there.
    write(&inbox(&world, "laptop/folder"), "mine", b"mine");
    let (receiver, address) = receive(&world, &["--once", "--merge"]);
    send(&world.laptop, &address, &[]).succeeded();
    assert_eq!(receiver.end().succeeded().last("committed")["placed"], "merged");
    assert_eq!(fs::read(inbox(&world, "laptop/folder/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(inbox(&world, "laptop/folder/readme.txt")).unwrap(), b"Hello, kitchen!\n");
}

#[test]
fn a_name_that_is_taken_is_named_at_the_receiver() {
    let world = World::new();
    world.small();
    write(&inbox(&world, "laptop/folder"), "mine", b"mine");
    let (receiver, address) = receive(&world, &["--once"]);
    let says = ["The target folder of kitchen is not empty", "--as NAME"];
    send(&world.laptop, &address, &[]).failed(15, "refused", &says);
    let received = receiver.end();
    assert!(!received.errors.contains("--into"), "{received:#?}");
    received.failed(15, "refused", &["a name that is taken here", "inbox/laptop/folder", "--as NAME", "--merge"]);
}

/// On a system that cannot exchange folders, a process was stopped between the two moves of a replacement.
#[test]
fn a_folder_that_was_put_back_and_parts_are_reported() {
    let world = World::new();
    write(&inbox(&world, "laptop/.photos.waft/old"), "mine", b"mine");
    write(&inbox(&world, "laptop/.music.waft"), "manifest", b"a part");
    write(&inbox(&world, "lost+found/.x.waft/journal"), "file", b"foreign");
    let (receiver, _) = receive(&world, &[]);
    receiver.interrupt();
    let ended = receiver.end();
    for says in ["Put back the folder", "left parts in it (folders: 1)", "--abandon"] {
        assert!(ended.errors.contains(says), "{says}: {ended:#?}");
    }
    assert!(!ended.errors.contains("Finished what") && !ended.errors.contains("lost+found"), "{ended:#?}");
    assert_eq!(fs::read(inbox(&world, "laptop/photos/mine")).unwrap(), b"mine");
}

#[test]
fn an_interrupted_transfer_continues_under_its_name() {
    let world = World::new();
    world.large(3 << 20);
    let (receiver, address) = receive(&world, &["--once"]);
    let proxy = Proxy::before(&address, &[Behaviour::Cut(1 << 20)]);
    let sent = send(&world.laptop, &proxy.address, &["--as", "big"]).succeeded();
    assert_eq!(sent.all("retry").count(), 1, "{sent:#?}");
    receiver.end().succeeded();
    assert_eq!(listed(&inbox(&world, "laptop/big")), listed(&world.folder()));
    assert_eq!(names(&world, "laptop"), ["big"]);
}

#[test]
fn a_name_that_cannot_be_stored_is_refused_on_both_sides() {
    let world = World::new();
    world.small();
    write(&world.kitchen.work, "inbox/laptop/notes", b"mine");
    for name in [".folder.waft", "notes"] {
        let (receiver, address) = receive(&world, &["--once"]);
        let says = ["kitchen cannot store a folder of this name", "--as NAME"];
        send(&world.laptop, &address, &["--as", name]).failed(15, "refused", &says);
        receiver.end().failed(15, "refused", &["has a name under which it cannot be stored here", name]);
    }
    assert_eq!(fs::read(inbox(&world, "laptop/notes")).unwrap(), b"mine");
}

/// Before anything is dialed.
#[test]
fn a_name_is_checked_at_the_sender() {
    let world = World::new();
    world.small();
    for (name, why) in [
        ("a/b", "the name has a slash"),
        ("..", "`.` or `..`"),
        ("", "is empty"),
        ("a\nb", "control character"),
        (&"n".repeat(256), "255 bytes"),
    ] {
        let ended = send(&world.laptop, "127.0.0.1:1", &["--as", name]);
        ended.failed(2, "usage", &["--as", why]);
    }
    // A name may mislead, and is shown as it is.
    let (mut receiver, address) = receive(&world, &[]);
    send(&world.laptop, &address, &["--as", "x\u{202e}gpj"]).succeeded();
    receiver.await_event("committed");
    receiver.interrupt();
    let received = receiver.end();
    assert!(received.errors.contains("Receiving x\\u{202e}gpj.") && !received.errors.contains('\u{202e}'));
}

#[test]
fn an_inbox_and_a_target_exclude_each_other() {
    let world = World::new();
    let ended = receiving(&world, &["--into", "into"]).run();
    ended.failed(2, "usage", &["--inbox", "cannot be used with", "--into"]);
    assert!(!inbox(&world, "").exists());
    // Its parent folder has to exist.
    let ended = world.kitchen.call(&["receive", "--inbox", "no/inbox", "--listen", ANY]).run();
    ended.failed(14, "storage", &["no/inbox"]);
}
