//! `waft id --renew` replaces the machine's identity only if the user confirms this, by an answer at a terminal or with
//! `--yes`. Otherwise, or if the new keys could not be kept private, the home stays unchanged.

use std::fs;

use super::harness::text;
use super::needs::{is_root, skip, unshare};
use super::preload::library;
use super::pty::{Terminal, shell, waft};
use super::world::{Machine, World, listed};

const QUESTION: &str = "Make a new identity (yes or no)?";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// Starts `waft id --renew` at a terminal of the laptop, and waits for the question.
fn renewal_question(world: &World) -> Terminal {
    let mut terminal = Terminal::start(waft(&world.laptop, &["id", "--renew"]));
    terminal.sees(QUESTION);
    terminal
}

fn fingerprint(machine: &Machine) -> String {
    text(machine.call(&["id"]).run().succeeded().last("identity"), "fingerprint")
}

#[test]
fn a_user_is_told_the_consequences_and_can_decline() {
    let world = World::new();
    let before = listed(&world.laptop.home);
    // Exit code 130: the user interrupted the command. 2: the input ended without an answer.
    for (answer, exit) in [("no\n", 130), ("N\n", 130), ("\n", 130), (CTRL_C, 130), (CTRL_D, 2)] {
        let mut terminal = renewal_question(&world);
        let screen = terminal.screen();
        for phrase in ["every board that lets this machine send has to be provisioned", "Known here: kitchen."] {
            assert!(screen.replace('\n', " ").contains(phrase), "{screen}");
        }
        assert!(!terminal.has_broken_lines(), "{screen}");
        terminal.types(answer);
        terminal.assert_exit(exit);
        assert_eq!(listed(&world.laptop.home), before, "{answer:?}");
    }
}

#[test]
fn a_user_who_answers_yes_gets_a_new_identity() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let mut terminal = renewal_question(&world);
    terminal.types("perhaps\n");
    terminal.sees("type yes or no");
    terminal.sees("yes or no: ");
    terminal.types("yes\n");
    terminal.sees("The old identity is kept: its keys are in");
    terminal.assert_exit(0);
    let renewed = fingerprint(&world.laptop);
    assert!(renewed != before && terminal.screen().contains(&renewed), "{}", terminal.screen());
}

#[test]
fn without_a_terminal_the_identity_is_only_renewed_with_the_option_yes() {
    let world = World::new();
    let before = listed(&world.laptop.home);
    for line in ["no", "yes"] {
        // Piped input does not answer the question. A shell pipes it in, because the test itself could not write to a
        // command that has already ended.
        let piped = format!("echo {line} | \"$0\" \"$@\"");
        let ended = world.laptop.call(&["id", "--renew"]).within("sh", &["-c", &piped]).run();
        assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
        ended.failed(2, "usage", &["The identity is as it was", "waft id --renew --yes"]);
        assert_eq!(listed(&world.laptop.home), before, "{line}");
    }
    let fingerprint_before = fingerprint(&world.laptop);
    let ended = world.laptop.call(&["id", "--renew", "--yes"]).run().succeeded();
    assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
    assert_ne!(fingerprint(&world.laptop), fingerprint_before);
}

#[test]
fn with_the_option_yes_no_question_is_asked_at_a_terminal() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let mut terminal = Terminal::start(waft(&world.laptop, &["id", "--renew", "--yes"]));
    terminal.assert_exit(0);
    assert!(!terminal.screen().contains(QUESTION), "{}", terminal.screen());
    assert_ne!(fingerprint(&world.laptop), before);
    // The option is only valid together with `--renew`.
    world.laptop.call(&["id", "--yes"]).run().failed(2, "usage", &["--renew"]);
}

/// Standard input is a terminal, but the question cannot be shown: standard error is a file, and the command cannot
/// open the terminal by its path, because another file system is mounted over `/dev/pts`.
#[test]
fn if_the_question_cannot_be_shown_the_identity_is_not_renewed() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let script = "mount -t tmpfs none /dev/pts && exec $WAFT id --renew 2>log";
    let within = format!("unshare --mount sh -c '{script}'");
    if !is_root() || !unshare(&["--mount"]).arg("true").status().is_ok_and(|status| status.success()) {
        return skip("only root can mount a file system over /dev/pts");
    }
    let mut terminal = Terminal::start(shell(&world.laptop, Some(&within)));
    assert_eq!(terminal.end().code(), Some(2));
    let log = fs::read_to_string(world.laptop.work.join("log")).unwrap();
    assert!(log.contains("No answer was given for the renewal"), "{log}");
    assert_eq!(fingerprint(&world.laptop), before);
}

/// On a file system without permission bits every user could read the private keys.
#[test]
fn no_identity_is_created_in_a_home_that_cannot_be_private() {
    let world = World::strangers();
    // With this library, every file seems to have the mode 755.
    let Some(library) = library(&world, "modeless") else { return };
    let call = |args: &[&str]| world.laptop.call(args).env("LD_PRELOAD", &library);
    let expected = ["its file system keeps no permission bits", "on another file system in WAFT_HOME"];
    for args in [&["id"][..], &["id", "--renew", "--yes"], &["receive", "--listen", "127.0.0.1:0"]] {
        call(args).run().failed(11, "identity", &expected);
        // Only the lock file was created.
        let left: Vec<_> = fs::read_dir(&world.laptop.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "{args:?}");
    }
    // An identity that was created while the permissions were right is not used, and not renewed.
    world.laptop.call(&["id"]).run().succeeded();
    let before = listed(&world.laptop.home);
    call(&["id"]).run().failed(11, "identity", &["key.pem is open to other users (mode 755)"]);
    call(&["id", "--renew", "--yes"]).run().failed(11, "identity", &expected);
    assert_eq!(listed(&world.laptop.home), before);
}
