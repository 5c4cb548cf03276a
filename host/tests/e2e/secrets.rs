//! Other users of a machine learn no secrets: no command line and no file name contains the code or the key, every run
//! has a new key, and only the owner can access the private files and the staging area.

use std::fs;
use std::path::Path;

use super::world::World;

/// The command line of a process, which every user of the machine can read, and the paths of everything below its
/// working folder.
fn visible_to_others(pid: u32, work: &Path) -> String {
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
fn command_lines_and_file_names_contain_no_secret() {
    use super::proxy::{Behaviour, Proxy};
    let world = World::new();
    world.large(1 << 20);
    let mut receiver = world.receive(&["--once"]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    // The connection stalls in the middle of the transfer, so that both processes are still running.
    let proxy = Proxy::before(&address, &[Behaviour::Stall(300_000)]);
    let mut sender = world.send(&proxy.address);
    let key = sender.key();
    sender.answer("code", &code);
    receiver.answer("key", &key);
    proxy.await_trigger();
    // The name of the temporary folder is random, and the port of the proxy is, too: by chance one of them may contain
    // the four digits of the code.
    let seen = (visible_to_others(sender.pid(), &world.laptop.work)
        + &visible_to_others(receiver.pid(), &world.kitchen.work))
        .replace(&world.root.path().display().to_string(), "")
        .replace(&proxy.address, "");
    for secret in [&code, &key, &key.replace('-', "")] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    proxy.go_on();
    sender.end().succeeded();
    // The sender shows the key to its user, and the receiver must not repeat it.
    receiver.end().succeeded().never_contains(&key);
}

#[test]
fn every_run_has_a_new_key() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let key = || world.send(&address).key();
    let keys = [key(), key(), key()];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn only_the_owner_can_access_a_home_and_its_private_files() {
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
fn only_the_owner_can_access_the_staging_area() {
    use super::proxy::{Behaviour, Proxy};
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    world.large(1 << 20);
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    // The connection stalls in the middle of the transfer, so that the staging area exists.
    let proxy = Proxy::before(&address, &[Behaviour::Stall(300_000)]);
    let sender = world.send(&proxy.address);
    proxy.await_trigger();
    assert_eq!(world.staging().metadata().unwrap().mode() & 0o777, 0o700);
    world.nothing_arrived();
    proxy.go_on();
    sender.end().succeeded();
    receiver.end().succeeded();
    world.arrived();
}
