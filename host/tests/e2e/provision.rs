//! `waft provision` creates an image and trust, or neither.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use waft_receiver::identity::{Address, Identity, KeyPolicy, Policy};
use waft_receiver::seed::provisioned;

use super::harness::{Call, text};
use super::storage::{as_nobody, take_back};
use super::world::{World, set_mode};

/// `waft provision` of the board "attic" by the laptop.
fn provisioning(world: &World, options: &[&str]) -> Call {
    provisioning_kind(world, "mps2").with(|call| call.args(options))
}

fn provisioning_kind(world: &World, board: &str) -> Call {
    world.laptop.call(&["provision", "--board", board, "--name", "attic", "--output", "identity.bin"])
}

fn image(world: &World) -> Identity {
    let bytes = fs::read(world.laptop.work.join("identity.bin")).expect("the image is there");
    Identity::parse(&bytes).expect("the image is good")
}

/// Asserts that there is neither an image nor trust.
fn nothing_happened(world: &World) {
    let left: Vec<_> = fs::read_dir(&world.laptop.work).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(world.laptop.known().by_name("attic").is_none());
}

#[test]
fn a_board_that_is_provisioned_is_trusted_to_receive_only() {
    let world = World::strangers();
    let ended = provisioning(&world, &[]).run().succeeded();
    let path = world.laptop.work.join("identity.bin");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let (board, reported, known) = (image(&world), ended.last("provisioned"), world.laptop.known());
    let peer = known.by_name("attic").unwrap();
    assert!(peer.receives && !peer.sends);
    assert_eq!(peer.certificate.hash(), board.certificate_hash());
    assert_eq!(text(reported, "fingerprint"), peer.certificate.fingerprint().to_string());
    assert_eq!(
        (text(reported, "name"), text(reported, "board"), text(reported, "path")),
        ("attic".into(), "mps2".into(), "identity.bin".into())
    );
    let run = format!("waft simulate --qemu --identity {}", path.canonicalize().unwrap().display());
    assert!(reported["commands"].as_array().unwrap().contains(&run.as_str().into()), "{reported}");
    assert!(ended.errors.contains("only copy of its private key"), "{ended:#?}");
    assert_eq!(board.policy, Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true });
    assert_eq!(board.network.address, Address::Dhcp);
    assert_eq!(board.senders.len(), 1, "just this machine: {:?}", board.senders);
    let sender = board.senders.get(0).unwrap();
    assert_eq!((sender.name.as_str(), sender.hash), ("laptop", world.laptop.identity().certificate().hash()));
}

/// The board for which a seed is flashed gets another one each time, and it is one that a board starts with.
#[test]
fn a_board_gets_a_seed_of_its_own() {
    let world = World::strangers();
    let seed = |name: &str| {
        let image = format!("{name}.bin");
        let call = world.laptop.call(&["provision", "--board", "nucleo-h563zi", "--name", name, "--output", &image]);
        let ended = call.run().succeeded();
        let reported = ended.last("provisioned");
        let path = world.laptop.work.join(text(reported, "seed"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let flash = format!("--base-address 0x8100000 {}", path.canonicalize().unwrap().display());
        let commands = reported["commands"].as_array().unwrap();
        assert!(commands.iter().any(|command| command.as_str().unwrap().ends_with(&flash)), "{reported}");
        assert!(ended.errors.contains("flash it once"), "{ended:#?}");
        fs::read(path).unwrap()
    };
    let (attic, cellar) = (seed("attic"), seed("cellar"));
    assert_ne!(attic, cellar);
    for seed in [attic, cellar] {
        let secret: [u8; 32] = seed[20..52].try_into().unwrap();
        assert_eq!(seed, *provisioned(&secret.into()), "as the firmware reads it");
    }
}

#[test]
fn what_was_asked_for_stands_in_the_image() {
    let world = World::new();
    let certificate = world.kitchen.certificate();
    world.laptop.call(&["id", "--name", "desk"]).run().succeeded();
    let own = world.laptop.certificate();
    let network = ["--hostname", "attic-1", "--address", "192.0.2.9/24", "--gateway", "192.0.2.1", "--dns", "9.9.9.9"];
    let senders = ["--sender", certificate.to_str().unwrap(), "--sender", own.to_str().unwrap()];
    let call = provisioning(&world, &["--no-code", "--sealed-key", "--allow-older", "--no-announce"]);
    call.with(|call| call.args(network).args(senders)).run().succeeded();
    let board = image(&world);
    assert_eq!(board.policy, Policy { code: false, key: KeyPolicy::Sealed, allow_older: true, announce: false });
    assert_eq!(board.network.hostname, "attic-1");
    let (gateway, dns) = (Some([192, 0, 2, 1]), Some([9, 9, 9, 9]));
    assert_eq!(board.network.address, Address::Static { address: [192, 0, 2, 9], prefix: 24, gateway, dns });
    let senders: Vec<_> = (0..).map_while(|index| board.senders.get(index)).collect();
    let names: Vec<&str> = senders.iter().map(|sender| sender.name.as_str()).collect();
    assert_eq!(names, ["kitchen", "desk"], "as they are called here");
    assert_eq!(world.laptop.known().by_name("attic").unwrap().address().unwrap().to_string(), "192.0.2.9:12346");
}

#[test]
fn a_board_without_wifi_is_asked_for_no_passphrase() {
    let world = World::strangers();
    let refused = provisioning(&world, &["--wifi", "home"]).run().failed(2, "usage", &["mps2 has no Wi-Fi"]);
    assert_eq!(refused.all("asked").count(), 0);
    nothing_happened(&world);
}

#[test]
fn a_taken_name_and_a_taken_file_change_nothing() {
    let world = World::strangers();
    provisioning(&world, &[]).run().succeeded();
    let before = fs::read(world.laptop.work.join("identity.bin")).unwrap();
    provisioning(&world, &[]).run().failed(2, "usage", &["trusted as attic already"]);
    world.laptop.call(&["trust", "remove", "attic"]).run().succeeded();
    provisioning(&world, &[]).run().failed(14, "storage", &["identity.bin already exists"]);
    assert_eq!(fs::read(world.laptop.work.join("identity.bin")).unwrap(), before);
    assert!(world.laptop.known().by_name("attic").is_none());
}

#[test]
fn nothing_is_written_through_a_symlink() {
    let world = World::strangers();
    let (target, link) = (world.root.path().join("target"), world.laptop.work.join("identity.bin"));
    symlink(&target, &link).unwrap();
    provisioning(&world, &[]).run().failed(14, "storage", &["identity.bin already exists"]);
    assert!(!target.exists());
    fs::remove_file(&link).unwrap();
    nothing_happened(&world);
}

#[test]
fn images_without_trust_are_taken_back() {
    let world = World::strangers();
    world.laptop.call(&["id"]).run().succeeded();
    fs::write(world.laptop.home.join("lock"), b"").unwrap();
    // A board that gets a seed as well.
    let Some(call) = as_nobody(&world, provisioning_kind(&world, "nucleo-h563zi")) else { return };
    // No file can be created in the home, so trust is neither created nor replaced.
    set_mode(&world.laptop.home, 0o555);
    call.run().failed(11, "identity", &["cannot write", "trust.json"]);
    take_back(&world);
    nothing_happened(&world);
    set_mode(&world.laptop.home, 0o755);
}

#[test]
fn an_image_that_cannot_be_written_is_not_trusted() {
    let world = World::strangers();
    world.laptop.call(&["id"]).run().succeeded();
    let Some(call) = as_nobody(&world, provisioning(&world, &[])) else { return };
    set_mode(&world.laptop.work, 0o555);
    call.run().failed(14, "storage", &["identity.bin cannot be used"]);
    take_back(&world);
    nothing_happened(&world);
}
