//! Identity and trust files that are missing, unreadable, damaged or do not match.

use std::fs;
use std::net::TcpListener;

use super::harness::{Ended, text};
use super::storage::as_nobody;
use super::world::{Machine, World, set_mode, write};

const RENEW: &str = "waft id --renew";
const MADE: &str = "Made a new identity for this machine in ";

/// Changes a file in the laptop's home: `send`, `receive` and `id` report it in the same way, and a renewal repairs it.
fn refused(change: impl Fn(&Machine), says: &[&str]) {
    let world = World::new();
    world.small();
    change(&world.laptop);
    let calls: [&[&str]; 3] =
        [&["send", "folder", "kitchen@127.0.0.1:1"], &["receive", "--listen", "127.0.0.1:0"], &["id"]];
    for call in calls {
        world.laptop.call(call).run().failed(11, "identity", &[says, &[RENEW]].concat());
    }
    world.laptop.call(&["id", "--renew", "--yes"]).run().succeeded();
    world.laptop.call(&["id"]).run().succeeded();
}

fn edit(machine: &Machine, file: &str, change: impl Fn(String) -> String) {
    let path = machine.home.join(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(text)).unwrap();
}

#[test]
fn half_an_identity() {
    for file in ["key.pem", "certificate.pem"] {
        refused(
            |machine| fs::remove_file(machine.home.join(file)).unwrap(),
            &["this machine's identity is incomplete", "there is no", file],
        );
    }
}

#[test]
fn a_damaged_identity() {
    refused(|machine| edit(machine, "key.pem", |text| text[..text.len() / 2].into()), &["key.pem is damaged"]);
    refused(|machine| edit(machine, "key.pem", |_| String::new()), &["key.pem is damaged"]);
    refused(|machine| edit(machine, "certificate.pem", |_| "garbage".into()), &["certificate.pem cannot be used"]);
    let damaged = ["its certificate is damaged"];
    refused(|machine| edit(machine, "certificate.pem", |text| text.replacen("MI", "IM", 1)), &damaged);
}

#[test]
fn the_keys_of_another_certificate() {
    let other = World::new();
    let keys = fs::read(other.laptop.home.join("key.pem")).unwrap();
    let says = ["the TLS key does not belong to this machine's certificate"];
    refused(|machine| fs::write(machine.home.join("key.pem"), &keys).unwrap(), &says);
}

#[test]
fn keys_that_others_can_read() {
    let says = ["key.pem is open to other users", "Close it"];
    refused(|machine| set_mode(&machine.home.join("key.pem"), 0o644), &says);
}

#[test]
fn a_home_that_others_can_change() {
    let world = World::new();
    set_mode(&world.laptop.home.join("trust.json"), 0o664);
    let says = ["trust.json is open to other users (mode 664)", "chmod 600"];
    world.laptop.call(&["trust", "list"]).run().failed(11, "identity", &says);
    set_mode(&world.laptop.home.join("trust.json"), 0o644);
    world.laptop.call(&["trust", "list"]).run().succeeded();
    set_mode(&world.laptop.home, 0o770);
    let says = ["home is open to other users (mode 770)", "chmod 700"];
    world.laptop.call(&["id"]).run().failed(11, "identity", &says);
    set_mode(&world.laptop.home, 0o755);
    world.laptop.call(&["id"]).run().succeeded();
}

#[test]
fn a_renewed_identity_is_kept() {
    let world = World::new();
    let before = ["key.pem", "certificate.pem"].map(|name| fs::read(world.laptop.home.join(name)).unwrap());
    let renewed = world.laptop.call(&["id", "--renew", "--yes"]).run().succeeded();
    assert!(renewed.errors.contains("The old identity is kept: its keys are in"), "{}", renewed.errors);
    assert!(text(renewed.last("warning"), "message").contains("every board"), "{renewed:#?}");
    let kept = ["key.pem.1", "certificate.pem.1"].map(|name| fs::read(world.laptop.home.join(name)).unwrap());
    assert_eq!(kept, before);
}

#[test]
fn an_unreadable_identity() {
    let world = World::new();
    let says = ["cannot read", "certificate.pem", "owner and permissions"];
    edit(&world.laptop, "certificate.pem", |_| "x".repeat(1 << 20));
    world.laptop.call(&["id"]).run().failed(11, "identity", &says);
    let world = World::new();
    fs::remove_file(world.laptop.home.join("key.pem")).unwrap();
    fs::create_dir(world.laptop.home.join("key.pem")).unwrap();
    world.laptop.call(&["id"]).run().failed(11, "identity", &["cannot read", "key.pem", "owner and permissions"]);
    let world = World::new();
    set_mode(&world.laptop.home.join("key.pem"), 0o000);
    if let Some(call) = as_nobody(&world, world.laptop.call(&["id"])) {
        call.run().failed(11, "identity", &["cannot read", "key.pem", "WAFT_HOME"]);
    }
}

#[test]
fn a_home_that_is_none() {
    let world = World::strangers();
    fs::write(&world.laptop.home, b"a file").unwrap();
    world.laptop.call(&["id"]).run().failed(11, "identity", &["cannot make the configuration folder", "WAFT_HOME"]);
    let (home, work) = (std::path::Path::new("/proc/no-such"), &world.laptop.work);
    super::harness::Call::new(home, work, &["id"]).run().failed(11, "identity", &["/proc/no-such", "WAFT_HOME"]);
}

#[test]
fn a_damaged_trust_file() {
    for damage in ["", "{", "{\"peers\":[{\"name\":\"\u{1b}[31m\"}]}", "[]", "{\"peers\":7}"] {
        let world = World::new();
        world.small();
        fs::write(world.laptop.home.join("trust.json"), damage).unwrap();
        for call in
            [&["send", "folder", "127.0.0.1:1"][..], &["receive", "--listen", "127.0.0.1:0"], &["trust", "list"]]
        {
            let ended =
                world.laptop.call(call).run().failed(11, "identity", &["trust.json is damaged", "waft pair NAME"]);
            super::hostile_senders::assert_printable(&ended);
        }
        assert_eq!(fs::read_to_string(world.laptop.home.join("trust.json")).unwrap(), damage, "it is left alone");
    }
}

#[test]
fn certificates_that_cannot_be_trusted() {
    let world = World::new();
    let add = |text: &str| {
        write(&world.laptop.work, "their.pem", text.as_bytes());
        world.laptop.call(&["trust", "add", "other", "their.pem"]).run()
    };
    let key = fs::read_to_string(world.kitchen.home.join("key.pem")).unwrap();
    add(&key)
        .failed(11, "identity", &["their.pem cannot be trusted", "waft id cert"])
        .never_contains(key.lines().nth(1).unwrap());
    let good = fs::read_to_string(world.kitchen.certificate()).unwrap();
    for text in ["", "hello", &good[..good.len() / 2], &good.replace("MII", "MIX"), &format!("{good}{good}")] {
        add(text).failed(11, "identity", &["their.pem cannot be trusted"]);
    }
    add(&good).failed(2, "usage", &["kitchen"]);
    let own = fs::read_to_string(world.laptop.certificate()).unwrap();
    add(&own).failed(2, "usage", &["waft id cert"]);
    for name in ["", "a b", "-x", "\u{202e}", "\u{1b}[31m", &"n".repeat(33)] {
        let ended = world.laptop.call(&["trust", "add", "--", name, "their.pem"]);
        assert_eq!(ended.run().code, Some(2), "{name:?}");
    }
    assert_eq!(world.laptop.call(&["trust", "list"]).run().succeeded().all("trusted").count(), 1);
}

#[test]
fn one_of_several_receivers_has_to_be_named() {
    let world = World::new();
    world.small();
    world.laptop.trust(&world.attic(), &["--send-only"]);
    for to in [&["send", "folder"][..], &["send", "folder", "127.0.0.1:1"]] {
        let says = ["More than one receiver is trusted", "waft send FOLDER NAME"];
        world.laptop.call(to).run().failed(2, "usage", &says);
    }
}

#[test]
fn an_identity_is_shown_as_it_is_trusted() {
    let world = World::new();
    let own = text(world.kitchen.call(&["id"]).run().succeeded().last("identity"), "fingerprint");
    let trusted = world.laptop.call(&["trust", "list"]).run().succeeded();
    assert_eq!(text(trusted.last("trusted"), "fingerprint"), own);
    assert_eq!(
        (&trusted.last("trusted")["sends"], &trusted.last("trusted")["receives"]),
        (&false.into(), &true.into())
    );
    world.laptop.call(&["trust", "remove", "kitchen"]).run().succeeded();
    world.laptop.call(&["trust", "remove", "kitchen"]).run().failed(2, "usage", &["kitchen"]);
    world.laptop.call(&["send", "x", "127.0.0.1:1"]).run().failed(11, "identity", &["waft trust add"]);
}

#[test]
fn a_command_that_makes_an_identity_says_so() {
    let other = World::strangers();
    let theirs = other.kitchen.certificate().into_os_string().into_string().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let calls: [&[&str]; 5] = [
        &["id"],
        &["id", "cert"],
        &["receive", "--listen", &taken],
        &["trust", "add", "kitchen", &theirs],
        &["provision", "--board", "mps2", "--name", "attic", "-o", "identity.bin"],
    ];
    for call in calls {
        let world = World::strangers();
        let new = made(&world.laptop.call(call).run());
        let again = world.laptop.call(&["id"]).run().succeeded();
        assert_eq!((text(again.last("identity"), "fingerprint"), &again.last("identity")["new"]), (new, &false.into()));
        assert!(!again.errors.contains(MADE), "{again:#?}");
    }
}

/// The fingerprint of the identity that a command reported, once, as new.
pub(crate) fn made(ended: &Ended) -> String {
    assert_eq!(ended.errors.matches(MADE).count(), 1, "{ended:#?}");
    let [identity] = ended.all("identity").collect::<Vec<_>>()[..] else { panic!("not reported once: {ended:#?}") };
    assert_eq!(identity["new"], true);
    text(identity, "fingerprint")
}
