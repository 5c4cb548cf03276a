//! Only what changed crosses, when a receiver has a folder of the same sender.

use std::fs::{self, File};
use std::time::SystemTime;

use super::harness::Ended;
use super::proxy::{Behaviour, Proxy};
use super::world::{World, listed, noise, write};

const UNATTENDED: [&str; 3] = ["--no-code", "--no-key", "--overwrite"];
const LONG: usize = 3 << 20;

/// Two machines, of which the second has the folder of the first: two long files and small ones.
fn updated() -> World {
    let world = World::new();
    world.small();
    write(&world.folder(), "a/long", &noise(LONG));
    write(&world.folder(), "z/long", &noise(LONG));
    let sent = send(&world);
    assert_eq!(sent.last("committed")["sent"], sent.last("committed")["bytes"]);
    world
}

/// Sends the folder to a receiver that was just started.
fn send(world: &World) -> Ended {
    let mut receiver = world.receive(&[&UNATTENDED[..], &["--once"]].concat());
    let (address, _) = receiver.ready();
    let sent = world.sending(&address).run().succeeded();
    let received = receiver.end().succeeded();
    assert_eq!(sent.last("committed")["digest"], received.last("committed")["digest"]);
    world.arrived();
    sent
}

/// The number of bytes that crossed.
fn crossed(sent: &Ended) -> u64 {
    sent.last("committed")["sent"].as_u64().expect("a number")
}

#[test]
fn only_a_changed_file_crosses() {
    let world = updated();
    write(&world.folder(), "a/changed", b"something new");
    write(&world.folder(), "readme.txt", b"another text");
    // The receiver was restarted meanwhile.
    let sent = send(&world);
    assert!(crossed(&sent) < 4_096, "{sent:#?}");
    // A file that was removed stays in the target, where there may be others, so the target is not compared.
    let sent = send(&world);
    assert_eq!(crossed(&sent), 0, "all of it is there");
}

#[test]
fn another_sender_has_to_send_everything() {
    let world = updated();
    let attic = world.attic();
    fs::remove_dir_all(attic.work.join("folder")).unwrap();
    write(&attic.work, "folder/a/long", &noise(LONG));
    let mut receiver = world.receive(&UNATTENDED);
    let (address, _) = receiver.ready();
    let sent = attic.call(&["send", "folder"]).arg(format!("kitchen@{address}")).run().succeeded();
    assert!(crossed(&sent) > LONG as u64, "{sent:#?}");
}

#[test]
fn a_transfer_resumes_among_what_did_not_change() {
    let world = updated();
    write(&world.folder(), "m/changed", &noise(LONG / 2));
    let mut receiver = world.receive(&[&UNATTENDED[..], &["--once"]].concat());
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Cut(LONG as u64 / 4)]);
    let sent = world.sending(&proxy.address).run().succeeded();
    assert_eq!(sent.all("retry").count(), 1, "{sent:#?}");
    assert!(crossed(&sent) < 2 * LONG as u64, "{sent:#?}");
    receiver.end().succeeded();
    world.arrived();
}

/// A file of the target was changed so that it cannot be seen without reading it.
#[test]
fn everything_is_sent_if_the_receivers_copy_is_damaged() {
    let world = updated();
    let damaged = world.target().join("z/long");
    let modified = fs::metadata(&damaged).unwrap().modified().unwrap();
    let mut content = fs::read(&damaged).unwrap();
    content[LONG / 2] ^= 1;
    fs::write(&damaged, content).unwrap();
    File::options().write(true).open(&damaged).unwrap().set_modified(modified).unwrap();
    write(&world.folder(), "readme.txt", b"another text");
    let mut receiver = world.receive(&[&UNATTENDED[..], &["--once"]].concat());
    let (address, _) = receiver.ready();
    let sent = world.sending(&address).run().succeeded();
    let retry = sent.last("retry")["message"].as_str().unwrap().to_owned();
    assert!(retry.contains("no longer has a file"), "{retry}");
    let received = receiver.end().succeeded();
    assert!(received.last("error")["message"].as_str().unwrap().contains("removed or changed here"), "{received:#?}");
    world.arrived();
}

/// A file of the target was changed visibly: only that one crosses again.
#[test]
fn a_file_that_was_changed_at_the_receiver_is_sent_again() {
    let world = updated();
    let changed = world.target().join("z/long");
    fs::write(&changed, vec![0; LONG]).unwrap();
    File::options().write(true).open(&changed).unwrap().set_modified(SystemTime::now()).unwrap();
    write(&world.folder(), "readme.txt", b"another text");
    let sent = send(&world);
    assert!((LONG as u64..LONG as u64 + 4_096).contains(&crossed(&sent)), "{sent:#?}");
    assert_eq!(listed(&world.target()), listed(&world.folder()));
}
