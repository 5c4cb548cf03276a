//! Folders that arrive: with every way to give code and key, into every kind of target.

use std::fs;
use std::net::TcpListener;

use super::harness::text;
use super::needs::{again, own_network};
use super::world::{World, listed, set_mode, write};

#[test]
fn code_and_key_are_typed_and_both_sides_hold_the_same_receipt() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let sent = world.deliver(&mut receiver, &address, &code.unwrap()).succeeded();
    let received = receiver.end().succeeded();
    world.arrived();
    let (ours, theirs) = (sent.last("committed"), received.last("committed"));
    for field in ["digest", "files", "bytes", "sent", "generation"] {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    assert_eq!((&ours["files"], &ours["bytes"]), (&3.into(), &ours["sent"]));
    assert_eq!((&ours["peer"], &theirs["peer"]), (&"kitchen".into(), &"laptop".into()));
    assert!(sent.errors.contains("has the folder") && received.errors.contains("is in into"));
}

#[test]
fn nothing_is_typed_without_code_and_with_a_sealed_key() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, code) = receiver.ready();
    assert_eq!(code, None);
    let sent = world.sending(&address).run().succeeded();
    assert_eq!(sent.all("asked").count(), 0);
    let received = receiver.end().succeeded();
    assert_eq!(received.all("asked").count(), 0);
    world.arrived();
}

#[test]
fn a_sealed_key_still_takes_the_code() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--sealed-key"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    sender.answer("code", &code.unwrap());
    sender.end().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn without_a_code_the_key_is_typed() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code"]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    // As a user types it.
    receiver.answer("key", &key.to_lowercase().replace('-', " "));
    sender.end().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn lines_may_be_piped_before_anybody_asks() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    sender.write_line(&code.unwrap());
    sender.close_input();
    receiver.write_line(&sender.key());
    receiver.close_input();
    sender.end().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn the_key_comes_from_the_environment() {
    let world = World::new();
    world.small();
    // The sender creates the key, and shows it once a receiver asks for it. Another receiver, which is started with
    // that key, takes over.
    let mut first = world.receive(&["--no-code"]);
    let (address, _) = first.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    first.kill();
    let receiver = world.kitchen.call(&["receive", "--into", "into", "--once", "--no-code", "--listen", &address]);
    let receiver = receiver.env("WAFT_KEY", &key).start();
    let sent = sender.end().succeeded();
    assert_eq!(sent.all("key").count(), 1, "it is reported once a run");
    let received = receiver.end().succeeded();
    assert_eq!(received.all("asked").count(), 0, "the environment answers");
    world.arrived();
}

#[test]
fn a_key_that_nobody_types_is_not_shown() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    assert_eq!(world.sending(&address).run().succeeded().all("key").count(), 0);
    receiver.end().succeeded();
    // Nor is a key shown if there is no receiver at all.
    assert_eq!(world.sending(&address).run().failed(10, "unreachable", &[]).all("key").count(), 0);
}

#[test]
fn the_code_comes_from_the_environment() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--sealed-key"]);
    let (address, code) = receiver.ready();
    let sent = world.sending(&address).env("WAFT_AUTH_CODE", code.unwrap()).run().succeeded();
    assert_eq!(sent.all("asked").count(), 0);
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn an_empty_target_is_filled() {
    let world = World::new();
    world.small();
    fs::create_dir(world.target()).unwrap();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn sending_again_moves_nothing() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let first = world.sending(&address).env("WAFT_AUTH_CODE", code.unwrap()).run().succeeded();
    let code = text(&receiver.await_event("code"), "code");
    let before = listed(&world.target());
    let second = world.sending(&address).env("WAFT_AUTH_CODE", code).run().succeeded();
    assert_eq!(second.last("committed")["sent"], 0);
    assert_eq!(second.last("committed")["digest"], first.last("committed")["digest"]);
    assert_eq!(listed(&world.target()), before);
    world.arrived();
}

#[test]
fn a_code_serves_once() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    world.sending(&address).env("WAFT_AUTH_CODE", &code).run().succeeded();
    let next = text(&receiver.await_event("code"), "code");
    // One code in ten thousand equals the previous one.
    if next != code {
        world.sending(&address).env("WAFT_AUTH_CODE", &code).run().failed(12, "code", &["The code is wrong"]);
    }
}

#[test]
fn overwrite_replaces_files_of_the_same_name() {
    let world = World::new();
    world.small();
    write(&world.target(), "old/thing", b"old");
    write(&world.target(), "readme.txt", b"an older text");
    write(&world.target(), "deep/er/numbers", b"one, two, three");
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    // Other files in the target are kept.
    assert_eq!(fs::read(world.target().join("old/thing")).unwrap(), b"old");
    fs::remove_dir_all(world.target().join("old")).unwrap();
    world.arrived();
}

#[test]
fn folders_follow_each_other_while_it_listens() {
    let world = World::new();
    let mut receiver = world.receive(&["--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    for round in ["one", "two", "three"] {
        write(&world.folder(), "round", round.as_bytes());
        world.sending(&address).run().succeeded();
        receiver.await_event("committed");
        world.arrived();
    }
}

#[test]
fn a_refused_attempt_is_not_the_last() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    let wrong = super::refusals::other_than(&code);
    world.sending(&address).env("WAFT_AUTH_CODE", wrong).run().failed(12, "code", &["The code is wrong"]);
    receiver.await_event("error");
    world.deliver(&mut receiver, &address, &code).succeeded();
    receiver.await_event("committed");
    world.arrived();
}

#[test]
fn ipv6_leads_there_too() {
    if TcpListener::bind("[::1]:0").is_err() {
        return again("transfers::ipv6_leads_there_too", own_network());
    }
    let world = World::new();
    world.small();
    let listen = ["receive", "--into", "into", "--listen", "[::1]:0", "--once", "--no-code", "--sealed-key"];
    let mut receiver = world.kitchen.call(&listen).start();
    let (address, _) = receiver.ready();
    assert!(address.starts_with("[::1]:"), "{address}");
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn both_families_are_listened_on() {
    if TcpListener::bind("[::1]:0").is_err() {
        return again("transfers::both_families_are_listened_on", own_network());
    }
    let world = World::new();
    world.small();
    let listen = ["receive", "--into", "into", "--listen", ":0", "--no-code", "--sealed-key"];
    let mut receiver = world.kitchen.call(&listen).start();
    let (address, _) = receiver.ready();
    let port = address.rsplit(':').next().unwrap().to_owned();
    world.sending(&format!("127.0.0.1:{port}")).run().succeeded();
    world.arrived();
    world.sending(&format!("[::1]:{port}")).run().succeeded();
}

#[test]
fn the_usual_folder_and_the_remembered_address_serve_unless_told_otherwise() {
    let world = World::new();
    let usual = world.laptop.work.join("SEND_FOLDER");
    let says = ["The address of kitchen is not known", "kitchen@ADDRESS"];
    world.laptop.call(&["send"]).run().failed(10, "unreachable", &says);
    assert!(!usual.exists(), "nothing is made for a receiver without an address");
    let empty = world.laptop.call(&["send", "SEND_FOLDER", "127.0.0.1:1"]).run();
    empty.failed(14, "storage", &["SEND_FOLDER", "no such file or folder"]);
    write(&usual, "a", b"a");
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    world.laptop.call(&["send", "SEND_FOLDER", &address]).run().succeeded();
    world.laptop.call(&["send"]).run().succeeded();
    world.laptop.call(&["send", "SEND_FOLDER", "kitchen"]).run().succeeded();
    assert_eq!(listed(&world.target()), listed(&usual));
    fs::remove_dir_all(&usual).unwrap();
    let empty = world.laptop.call(&["send"]).run().failed(14, "storage", &["SEND_FOLDER", "nothing in it"]);
    assert!(empty.errors.contains("Created ./SEND_FOLDER") && usual.is_dir());
}

#[test]
fn modes_of_the_folder_itself_do_not_matter() {
    let world = World::new();
    world.small();
    set_mode(&world.folder(), 0o700);
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
}
