//! Code and key appear in no command line, no file name, and only in the texts that are meant to show them.

use std::fs;
use std::path::Path;

use super::world::World;

/// Everything that other users of the machine can see of a process, and the names of all files around it.
fn outside(pid: u32, work: &Path) -> String {
    let mut seen = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap()).into_owned();
    let mut folders = vec![work.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            seen.push_str(&format!("\n{}", entry.path().display()));
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    seen
}

#[cfg(target_os = "linux")]
#[test]
fn no_secret_is_seen_from_outside() {
    use super::proxy::{Fate, Proxy};
    let world = World::new();
    world.large(1 << 20);
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    let proxy = Proxy::before(&address, &[Fate::Stall(300_000)]);
    let mut sender = world.send(&proxy.address);
    let key = sender.key();
    sender.answer("code", &code);
    receiver.answer("key", &key);
    proxy.await_fate();
    // The name of the temporary folder is random and may contain any four digits.
    let seen = (outside(sender.pid(), &world.laptop.work) + &outside(receiver.pid(), &world.kitchen.work))
        .replace(&world.root.path().display().to_string(), "")
        .replace(&proxy.address, "");
    for secret in [&code, &key, &key.replace('-', "")] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    proxy.go_on();
    sender.end().well();
    receiver.end().well().never_says(&key);
}

#[test]
fn keys_are_made_anew_for_every_run() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let key = || world.send(&address).key();
    let keys = [key(), key(), key()];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn private_files_are_their_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    for machine in [&world.laptop, &world.kitchen] {
        assert_eq!(mode(&machine.home.join("key.pem")), 0o600);
        assert_eq!(mode(&machine.home.join("trust.json")), 0o600);
        assert_eq!(mode(&machine.home), 0o700);
    }
}

#[test]
fn what_is_staged_is_its_owners_alone() {
    use super::proxy::{Fate, Proxy};
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    world.large(1 << 20);
    let mut receiver = world.receive(&["--once", "--no-code", "--no-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Fate::Stall(300_000)]);
    let sender = world.send(&proxy.address);
    proxy.await_fate();
    assert_eq!(world.staging().metadata().unwrap().mode() & 0o777, 0o700);
    world.nothing_arrived();
    proxy.go_on();
    sender.end().well();
    receiver.end().well();
    world.arrived();
}
