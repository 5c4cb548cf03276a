//! The tests of a laptop and a board.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::harness::{Waft, text};
use super::proxy::{Behaviour, Proxy};
use super::site::{Board, Kind, Site, certificate, noise, write};
use super::world::{Machine, set_time};
use super::{announced, cost, load, memory, unchanged, web};

pub(crate) type Scenario = (&'static str, fn(&Kind));

/// The stories, for every kind of board.
pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a_folder_crosses_with_code_and_key", a_folder_crosses_with_code_and_key),
    ("a_sealed_key_needs_nobody", a_sealed_key_needs_nobody),
    ("wrong_codes_lock_the_sender_out", wrong_codes_lock_the_sender_out),
    ("folders_follow_each_other_through_resets", folders_follow_each_other_through_resets),
    ("large_folders_fit_to_the_byte", large_folders_fit_to_the_byte),
    ("a_held_folder_stays", a_held_folder_stays),
    ("only_what_changed_crosses", only_what_changed_crosses),
    ("another_computer_pairs_with_the_board", another_computer_pairs_with_the_board),
    ("a_factory_reset_leaves_what_was_provisioned", a_factory_reset_leaves_what_was_provisioned),
];

/// Tests for boards that make their own identity.
pub(crate) const OWN_IDENTITY: &[Scenario] =
    &[("a_board_that_was_never_provisioned_is_paired", a_board_that_was_never_provisioned_is_paired)];

/// Tests that do not depend on the machine: for the process, and for one emulated board.
pub(crate) const DETAILS: &[Scenario] = &[
    ("a_static_address_is_reached", a_static_address_is_reached),
    ("wrong_keys_leave_the_old_folder", wrong_keys_leave_the_old_folder),
    ("an_unknown_sender_is_refused", an_unknown_sender_is_refused),
    ("another_board_is_not_taken_for_this_one", another_board_is_not_taken_for_this_one),
    ("every_start_goes_on_with_the_seed_that_was_flashed", every_start_goes_on_with_the_seed_that_was_flashed),
    ("many_small_files_cross", many_small_files_cross),
    ("a_board_without_a_good_identity_receives_nothing", a_board_without_a_good_identity_receives_nothing),
    ("a_vanished_sender_comes_back", a_vanished_sender_comes_back),
    ("strangers_do_not_disturb_a_transfer", strangers_do_not_disturb_a_transfer),
    ("a_flood_of_typing_is_taken", a_flood_of_typing_is_taken),
    ("the_demonstration_ends_well", the_demonstration_ends_well),
];

/// Tests for every emulated board: a process has neither a measured stack nor resets.
pub(crate) const EMULATED: &[Scenario] = &[
    ("a_transfer_resumes_after_a_power_cut", a_transfer_resumes_after_a_power_cut),
    ("no_power_cut_loses_the_folder", no_power_cut_loses_the_folder),
    ("the_stack_has_room", the_stack_has_room),
    ("no_key_stays_in_memory", memory::no_key_stays_in_memory),
];

/// Tests for the emulated boards that have a program that fails on command.
pub(crate) const FAILURES: &[Scenario] = &[("failures_end_in_a_reset", failures_end_in_a_reset)];

/// Tests for the emulated boards that have a web server.
pub(crate) const WEB: &[Scenario] =
    &[("a_site_is_served_and_replaced_whole", web::a_site_is_served_and_replaced_whole)];

/// Tests for the boards that announce themselves.
pub(crate) const ANNOUNCED: &[Scenario] =
    &[("a_board_is_found_on_its_network", announced::a_board_is_found_on_its_network)];

/// Tests for one emulated board that do not depend on the machine.
pub(crate) const EMULATED_DETAILS: &[Scenario] = &[
    ("the_processor_is_never_kept_for_long", load::the_processor_is_never_kept_for_long),
    ("no_key_of_a_broken_session_stays_in_memory", memory::no_key_of_a_broken_session_stays_in_memory),
    ("strangers_take_half_of_the_processor_at_most", load::strangers_take_half_of_the_processor_at_most),
];

/// Those that run only if they are asked for, alone: they count, and other tests would disturb them.
pub(crate) const COUNTED: &[Scenario] = &[("what_a_byte_costs", cost::what_a_byte_costs)];
/// The same, and one with a limit for each byte that does not cross. The flash of virt takes most of it for its driver.
pub(crate) const COUNTED_UNCHANGED: &[Scenario] = &[
    ("what_a_byte_costs", cost::what_a_byte_costs),
    ("what_a_byte_costs_that_did_not_change", unchanged::what_a_byte_costs_that_did_not_change),
];

fn a_folder_crosses_with_code_and_key(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    write(&site, "motd.txt", b"Hello, board!\nAnd more.\n");
    write(&site, "deep/er/numbers", &noise(50_000, 0));
    write(&site, "none", b"");
    let mut board = site.listening();
    let code = board.code();
    let ended = site.carry(&mut board, &code).succeeded();
    let digest = text(ended.last("committed"), "digest");
    board.sees("The folder is in place: 3 files");
    assert!(board.sees("Digest:").contains(&digest));
    board.asked("verify", "Verified");
    board.asked("list", "    50000  deep/er/numbers");
    board.asked("show motd.txt", "Hello, board!");
    assert_ne!(board.code(), code, "a code is used once");
}

fn a_sealed_key_needs_nobody(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"A");
    let mut board = site.listening();
    let ended = site.deliver().succeeded();
    assert_eq!(ended.last("committed")["files"], 1);
    assert_eq!(ended.last("committed")["generation"], 1);
    board.sees("generation 1.");
}

fn only_what_changed_crosses(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a/long", &noise(40_000, 1));
    write(&site, "b", b"old");
    write(&site, "z/long", &noise(40_000, 2));
    let mut board = site.listening();
    let sent = site.deliver().succeeded();
    assert_eq!(sent.last("committed")["sent"], sent.last("committed")["bytes"]);
    board.sees("generation 1.");
    // The board remembers whose folder it has.
    board.unplug();
    let mut board = site.listening();
    write(&site, "b", b"new");
    let sent = site.deliver().succeeded();
    assert!(sent.last("committed")["sent"].as_u64().is_some_and(|sent| sent < 1_000), "{sent:#?}");
    board.sees("generation 2.");
    board.asked("verify", "Verified");
    board.asked("show b", "new");
}

/// A wrong code, the next one, a power cut, and the end of the trust.
fn another_computer_pairs_with_the_board(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"A");
    let anna = Machine::new(site.root.path(), "anna");
    let pair =
        |code: &str| anna.call(&["pair", &format!("kitchen@{}", site.address)]).env("WAFT_PAIRING_CODE", code).run();
    let mut board = site.listening();
    pair("123456").failed(15, "refused", &["does not take attempts to pair at present"]);
    let shown = |line: String| line.rsplit_once("pairing code: ").expect("it has one").1.replace(' ', "");
    let first = shown(board.asked("pair", "pairing code: "));
    let wrong = if first.starts_with('0') { first.replacen('0', "1", 1) } else { format!("0{}", &first[1..]) };
    pair(&wrong).failed(12, "code", &["code was wrong"]);
    board.sees("Not paired: the code was wrong.");
    let code = shown(board.sees("pairing code: "));
    let paired = pair(&code).succeeded();
    let trusted = paired.last("trusted");
    assert_eq!((&trusted["sends"], &trusted["receives"]), (&false.into(), &true.into()), "{paired:#?}");
    assert_eq!(paired.all("warning").count(), 0, "{paired:#?}");
    let fingerprint = anna.identity().certificate().fingerprint().to_string();
    let line = board.sees("Paired: ");
    assert!(line.contains(&fingerprint), "{line}");
    let (_, name) = line.split_once("Paired: ").expect("it was seen");
    let name = name.split(' ').next().expect("it has a name").to_owned();
    site.sending(&anna).run().succeeded();
    board.sees("generation 1.");
    board.unplug();
    let mut board = site.listening();
    board.asked("trusted", &fingerprint);
    write(&site, "a", b"B");
    site.sending(&anna).run().succeeded();
    board.sees("generation 2.");
    board.asked(&format!("untrust {name}"), "no longer trusted");
    board.unplug();
    let mut board = site.listening();
    site.sending(&anna).run().failed(11, "identity", &["does not trust"]);
    board.sees("A connection was refused: it is not trusted here.");
    let hash = anna.identity().certificate().hash().0;
    let [first, _] = kind.board().storage.settings;
    assert!(!site.flash()[first as usize..].windows(hash.len()).any(|window| window == hash));
    site.deliver().succeeded();
    board.sees("generation");
}

fn a_factory_reset_leaves_what_was_provisioned(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"remember me, if you can");
    let mut board = site.listening();
    site.deliver().succeeded();
    board.sees("generation 1.");
    board.asked("policy key typed", "Keys: typed here");
    board.asked("factory-reset", "If you are sure");
    board.asked("factory-reset yes", "Wiped: settings");
    // The board restarts itself.
    board.sees("The factory reset is complete.");
    board.sees("Listening at");
    assert!(!site.flash().windows(11).any(|window| window == b"remember me"));
    board.asked("status", "Keys: sealed to this board");
    board.sees("Folder: none");
    site.deliver().succeeded();
    board.sees("generation 1.");
    board.unplug();
    let mut board = site.listening();
    board.asked("show a", "remember me");
}

/// Its first start, pairing, a restart, a factory reset.
fn a_board_that_was_never_provisioned_is_paired(kind: &Kind) {
    let site = Site::new(kind);
    write(&site, "a", b"A");
    let mut board = site.unprovisioned();
    let first = board.sees("fingerprint ");
    board.sees("It trusts nobody");
    board.sees("Listening at");
    let line = board.asked("pair", "pairing code: ");
    let code = line.rsplit_once("pairing code: ").expect("it has one").1.replace(' ', "");
    let to = format!("kitchen@{}", site.address);
    let paired = site.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", code).run().succeeded();
    let fingerprint = text(paired.last("trusted"), "fingerprint");
    assert!(first.ends_with(&fingerprint), "{first}");
    board.sees("Paired: ");
    let code = board.code();
    site.carry(&mut board, &code).succeeded();
    board.sees("generation 1.");
    board.unplug();

    let mut board = site.unprovisioned();
    assert_eq!(board.sees("fingerprint "), first);
    board.sees("Listening at");
    board.asked("policy code off", "code: not asked for");
    board.asked("policy key sealed", "Keys: sealed to this board");
    write(&site, "a", b"B");
    site.deliver().succeeded();
    board.sees("generation 2.");
    board.asked("factory-reset yes", "Wiped: identity");
    // The board restarts itself.
    let second = board.sees("fingerprint ");
    assert!(second != first && !second.contains(&fingerprint), "{second}");
    board.sees("The factory reset is complete.");
    board.sees("Listening at");
    site.deliver().failed(11, "identity", &["does not trust"]);
    board.asked("list", "There is no folder.");
    let hash = site.laptop.identity().certificate().hash().0;
    assert!(!site.flash().windows(hash.len()).any(|window| window == hash));
    board.unplug();
    let mut board = site.unprovisioned();
    assert_eq!(board.sees("fingerprint "), second);
}

fn a_static_address_is_reached(kind: &Kind) {
    let options = ["--no-code", "--sealed-key", "--address", "192.0.2.2/24", "--gateway", "192.0.2.1"];
    let site = Site::provisioned(kind, &options);
    write(&site, "a", b"A");
    let mut board = site.boot();
    let line = board.sees("Listening at");
    assert!(matches!(kind, Kind::Hosted(_)) || line.contains("192.0.2.2:12346"), "{line}");
    site.deliver().succeeded();
    board.sees("generation 1.");
}

fn wrong_codes_lock_the_sender_out(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    write(&site, "a", b"A");
    let mut board = site.listening();
    let code = board.code();
    let wrong = if code == "0000" { "1111" } else { "0000" };
    let mut sender = site.send();
    for says in ["sent a wrong code. 2 tries left.", "sent a wrong code. 1 try left.", "locked out"] {
        sender.answer("code", wrong);
        board.sees(says);
    }
    sender.end().failed(12, "code", &["30"]);
    board.asked("list", "There is no folder.");
}

fn wrong_keys_leave_the_old_folder(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    write(&site, "a", b"old");
    let mut board = site.listening();
    let code = board.code();
    site.carry(&mut board, &code).succeeded();
    board.sees("generation 1.");
    write(&site, "a", b"new");
    let code = board.code();
    let mut sender = site.send();
    let key = sender.key();
    sender.answer("code", &code);
    let wrong = if key.starts_with('0') { key.replacen('0', "1", 1) } else { format!("0{}", &key[1..]) };
    for question in ["Type the key that", "2 tries left", "1 try left"] {
        board.sees(question);
        board.types(&wrong);
    }
    sender.end().failed(13, "key", &[]);
    board.sees("the key was wrong");
    board.asked("show a", "old");
}

fn an_unknown_sender_is_refused(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"A");
    let stranger = Machine::new(site.root.path(), "stranger");
    stranger.call(&["trust", "add", "kitchen", "--send-only"]).arg(certificate(&site)).run().succeeded();
    let mut board = site.listening();
    site.sending(&stranger).run().failed(11, "identity", &["does not trust"]);
    board.sees("A connection was refused: it is not trusted here.");
    board.asked("list", "There is no folder.");
}

fn another_board_is_not_taken_for_this_one(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"A");
    let other = Site::unattended(kind);
    let known = certificate(&other);
    site.laptop.call(&["trust", "remove", "kitchen"]).run().succeeded();
    site.laptop.call(&["trust", "add", "kitchen", "--send-only"]).arg(known).run().succeeded();
    let mut board = site.listening();
    site.deliver().failed(11, "identity", &["not trusted here"]);
    board.sees("A connection was refused: it does not trust this board.");
}

fn every_start_goes_on_with_the_seed_that_was_flashed(kind: &Kind) {
    let site = Site::unattended(kind);
    // The flash begins with a base of 64 bytes and two marks of 32. Each start writes one mark more.
    for marks in [3, 4] {
        site.listening().unplug();
        let flash = site.flash();
        assert_eq!(flash[..8], *b"WAFTSEED");
        assert_eq!(flash[16..20], [0; 4], "the number of a base that no start wrote");
        let (written, blank) = flash[64..1024].split_at(32 * marks);
        assert!(written.iter().all(|byte| *byte == 0) && blank.iter().all(|byte| *byte == 0xFF), "{marks} marks");
    }
}

fn folders_follow_each_other_through_resets(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"first");
    let mut board = site.listening();
    site.deliver().succeeded();
    board.sees("generation 1.");
    // Sending the same folder again transfers nothing, and creates no new generation.
    let again = site.deliver().succeeded();
    assert_eq!(again.last("committed")["sent"], 0);
    board.sees("The whole folder is here already.");
    board.sees("generation 1.");
    board.unplug();
    let mut board = site.listening();
    board.asked("status", "generation 1");
    board.asked("show a", "first");
    write(&site, "a", b"second");
    site.deliver().succeeded();
    board.sees("generation 2.");
    board.unplug();
    let mut board = site.listening();
    board.asked("show a", "second");
    board.asked("verify", "Verified");
    board.asked("forget yes", "The folder is forgotten.");
    board.unplug();
    let mut board = site.listening();
    board.asked("status", "Folder: none");
    site.deliver().succeeded();
    board.sees("generation 3.");
}

fn large_folders_fit_to_the_byte(kind: &Kind) {
    let (site, slot) = (Site::unattended(kind), kind.slot());
    let mut board = site.listening();
    // The manifest contains the file's time with a variable length, so the time is fixed.
    let write = |bytes: &[u8]| {
        write(&site, "a", bytes);
        set_time(&site.folder().join("a"), 1_700_000_000, 1);
    };
    write(&noise(1 << 20, 1));
    let bytes = site.deliver().succeeded().last("committed")["bytes"].as_u64().expect("a number") as usize;
    board.sees("generation 1.");
    // The rest of the archive for a file of that size: its manifest, digest and root.
    let most = slot - (bytes - (1 << 20));
    write(&noise(most + 1, 2));
    let says = [&format!("{} B, and at most {} B are taken there", slot + 1, slot)[..], "Send less at once"];
    site.deliver().failed(15, "refused", &says);
    board.asked("status", "generation 1");
    write(&noise(most, 3));
    let ended = site.deliver().succeeded();
    assert_eq!(ended.last("committed")["bytes"], slot);
    board.sees("generation 2.");
    board.asked("verify", "Verified");
}

fn many_small_files_cross(kind: &Kind) {
    let site = Site::unattended(kind);
    for index in 0..200 {
        write(&site, format!("d{}/file {index}", index % 7), format!("number {index}\n").as_bytes());
    }
    let mut board = site.listening();
    assert_eq!(site.deliver().succeeded().last("committed")["files"], 200);
    board.sees("200 files");
    board.asked("show d3/file 199", "number 199");
    board.asked("verify", "Verified");
}

fn a_held_folder_stays(kind: &Kind) {
    let site = Site::unattended(kind);
    let mut board = site.listening();
    write(&site, "a", b"first");
    site.deliver().succeeded();
    board.asked("hold", "Generation 1 is held.");
    write(&site, "a", b"second");
    site.deliver().succeeded();
    board.asked("show a", "second");
    write(&site, "a", b"third");
    let waits_for_a_reader = |event: &Value| event["what"] == "reader";
    let refused = site.deliver().failed(15, "refused", &[]);
    assert!(refused.all("waiting").any(waits_for_a_reader));
    board.sees("the slot is still read");
    board.asked("show a", "second");
    let mut sender = site.send();
    sender.await_that("waiting", waits_for_a_reader);
    board.sees("Waiting until the slot");
    board.asked("release", "no longer held");
    sender.end().succeeded();
    board.asked("show a", "third");
}

fn a_board_without_a_good_identity_receives_nothing(kind: &Kind) {
    let site = Site::unattended(kind);
    write(&site, "a", b"A");
    let good = fs::read(site.image()).expect("it was written");
    let refused = |identity: &[u8], says: &str| {
        let mut board = site.boot_with(identity);
        board.sees(says);
        // The board prints this before it listens.
        board.asked("status", "Room:");
        site.deliver().failed(11, "identity", &["no identity", "waft provision"]);
    };
    if !kind.makes_identity() {
        refused(&[0xFF; 4096], "it has no identity");
    }
    let mut damaged = good;
    damaged[20] ^= 1;
    refused(&damaged, "its identity is damaged");
}

fn a_vanished_sender_comes_back(kind: &Kind) {
    let site = Site::unattended(kind);
    let mut board = site.listening();
    let (sender, proxy) = send_half(&site, kind, &mut board);
    sender.kill();
    proxy.cut();
    board.sees("No new folder from laptop: the connection broke");
    resumes(&site, &mut board);
}

fn a_transfer_resumes_after_a_power_cut(kind: &Kind) {
    let site = Site::unattended(kind);
    let mut board = site.listening();
    let (sender, _proxy) = send_half(&site, kind, &mut board);
    board.unplug();
    // The sender tries again by itself, but perhaps not long enough for a slow start of the board.
    sender.kill();
    let mut board = site.listening();
    board.asked("list", "There is no folder.");
    resumes(&site, &mut board);
}

/// The power is cut in the middle of twenty transfers, each at another place.
fn no_power_cut_loses_the_folder(kind: &Kind) {
    const CUTS: usize = 20;
    const SIZE: usize = 200_000;
    let site = Site::unattended(kind);
    write(&site, "name", b"first");
    write(&site, "a", &noise(SIZE, 0));
    let mut board = site.listening();
    site.deliver().succeeded();
    board.sees("generation 1.");
    for cut in 0..CUTS {
        write(&site, "name", format!("number {cut}").as_bytes());
        write(&site, "a", &noise(SIZE, 1 + cut));
        // The handshake takes about 2 KB.
        let bytes = 2_000 + (SIZE / CUTS * cut) as u64;
        let proxy = Proxy::before(&site.address, &[Behaviour::Stall(bytes)]);
        let to = format!("kitchen@{}", proxy.address);
        let sender = site.laptop.call(&["send"]).arg(site.folder()).arg(to).start();
        proxy.await_trigger();
        board.unplug();
        sender.kill();
        board = site.listening();
        board.asked("show name", "first");
        board.asked("verify", "Verified");
    }
    site.deliver().succeeded();
    board.sees("The folder is in place");
    board.asked("verify", "Verified");
    board.asked("show name", &format!("number {}", CUTS - 1));
}

/// Sends a folder that fills the slot, and waits until the board has stored a part of it. Only half of it reaches the
/// board, however much the sender sends ahead.
fn send_half(site: &Site, kind: &Kind, board: &mut Board) -> (Waft, Proxy) {
    write(site, "a", &noise(kind.slot() - 4096, 4));
    let proxy = Proxy::before(&site.address, &[Behaviour::Stall(kind.slot() as u64 / 2)]);
    let to = format!("kitchen@{}", proxy.address);
    let sender = site.laptop.call(&["send"]).arg(site.folder()).arg(to).start();
    board.sees("40 %");
    (sender, proxy)
}

/// Sends the folder again, and checks that only a part of it crosses.
fn resumes(site: &Site, board: &mut Board) {
    let ended = site.deliver().succeeded();
    let committed = ended.last("committed");
    assert!(committed["sent"].as_u64() < committed["bytes"].as_u64(), "{committed}");
    board.sees("Resuming at");
    board.asked("verify", "Verified");
}

fn strangers_do_not_disturb_a_transfer(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    write(&site, "a", &noise(100_000, 5));
    let mut board: Board = site.listening();
    let code = board.code();
    let mut sender = site.send();
    let key = sender.key();
    sender.answer("code", &code);
    board.sees("Type the key that");
    let strangers: Vec<TcpStream> = (0..50)
        .filter_map(|number| {
            let mut stranger = TcpStream::connect(&site.address).ok()?;
            let said: &[u8] = [&b"GET / HTTP/1.1\r\n\r\n"[..], b"WAFT\x01\0\0\0", b""][number % 3];
            let _ = stranger.write_all(said);
            Some(stranger)
        })
        .collect();
    assert!(!strangers.is_empty());
    board.types(&key);
    sender.end().succeeded();
    board.asked("verify", "Verified");
}

/// Much more input than a console takes at once, as from a paste: no byte is lost and nothing fails, whatever the board
/// does meanwhile.
fn a_flood_of_typing_is_taken(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    write(&site, "a", &noise(300_000, 7));
    let mut board = site.listening();
    let flood = |board: &mut Board| {
        board.types(&"junk".repeat(2_500));
        board.sees("too long");
        board.types(&"release\n".repeat(300));
        (0..300).for_each(|_| drop(board.sees("Nothing is held.")));
    };
    flood(&mut board);
    let code = board.code();
    let mut sender = site.send();
    let key = sender.key();
    sender.answer("code", &code);
    board.sees("Type the key that");
    flood(&mut board);
    // The key and the flood together: the key is stretched while the flood arrives.
    board.types(&format!("{key}\n{}", "release\n".repeat(300)));
    (0..300).for_each(|_| drop(board.sees("Nothing is held.")));
    sender.end().succeeded();
    board.asked("verify", "Verified");
}

/// On a terminal of the usual width; nothing is left behind.
fn the_demonstration_ends_well(kind: &Kind) {
    let place = TempDir::new().expect("there is a temporary folder");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_waft"));
    demo.arg("demo").env("TMPDIR", place.path()).env("WAFT_HOME", place.path().join("home")).stdin(Stdio::null());
    let board = match kind {
        Kind::Hosted(_) => {
            demo.env("PATH", place.path());
            "hosted by this machine"
        }
        Kind::Emulated(..) => "a Cortex-M4 that QEMU emulates",
    };
    let ended = demo.output().expect("it starts");
    let (output, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{output}{errors}");
    assert_eq!(output.matches(board).count(), 2, "{output}");
    assert!(output.ends_with("The folder is still there.\n"), "{output}");
    output.lines().for_each(|line| assert!(line.chars().count() <= 80, "{line}"));
    assert_eq!(fs::read_dir(place.path()).expect("it is ours").count(), 0);
}

/// Measures the stack along a session's deepest path, with either key mode. The result is stored for the table of
/// sizes.
fn the_stack_has_room(kind: &Kind) {
    let peak = |options: &[&str]| {
        let site = Site::provisioned(kind, options);
        write(&site, "a/b/c", &noise(30_000, 6));
        let mut board = site.listening();
        match options {
            [] => {
                let code = board.code();
                site.carry(&mut board, &code).succeeded()
            }
            _ => site.deliver().succeeded(),
        };
        board.asked("verify", "Verified");
        let line = board.asked("status", "Stack: at most");
        let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers[0] + 1024 <= numbers[1], "{line}");
        numbers[0]
    };
    let peak = peak(&[]).max(peak(&["--no-code", "--sealed-key"]));
    let file = format!("stack-peak-{}", kind.name());
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(file), peak.to_string()).expect("it is cargo's");
}

/// A firmware that fails on command: the board restarts after each failure, and reports its cause.
fn failures_end_in_a_reset(kind: &Kind) {
    let site = Site::unattended(&kind.program("trials"));
    let mut board = site.boot();
    board.sees("ready");
    let hexadecimal = |word: &str| word.strip_prefix("0x").and_then(|word| u32::from_str_radix(word, 16).ok());
    let function = board.asked("panic", "The function that panics begins at");
    let function = function.split(' ').find_map(hexadecimal).expect("the line has an address");
    let line = board.sees("Before this start the firmware failed (panic)");
    let mut calls = line.split(' ').filter_map(hexadecimal);
    assert!(calls.any(|call| (function..function + 64).contains(&call)), "{line}");
    board.sees("ready");
    // It would panic at a byte that is copied wrongly.
    assert_eq!(board.asked("copies", "copies"), "copies");
    for (failure, reported) in [("fault", "fault"), ("overflow", "stack overflow"), ("hang", "hang")] {
        board.types(failure);
        let line = board.sees("Before this start the firmware failed");
        assert!(line.contains(reported), "{failure}: {line}");
        board.sees("ready");
    }
}
