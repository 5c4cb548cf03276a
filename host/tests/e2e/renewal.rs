//! `waft id --renew`: it asks at a terminal, needs `--yes` without one, and does not renew what it must keep.

use std::fs;

use super::harness::text;
use super::needs::{is_root, left_out, unshare};
use super::preload::library;
use super::pty::{Terminal, shell, waft};
use super::world::{Machine, World, listed};

const QUESTION: &str = "Make a new identity (yes or no)?";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A terminal at which the user is asked whether to renew the laptop's identity.
fn asked(world: &World) -> Terminal {
    let mut terminal = Terminal::start(waft(&world.laptop, &["id", "--renew"]));
    terminal.sees(QUESTION);
    terminal
}

fn fingerprint(machine: &Machine) -> String {
    text(machine.call(&["id"]).run().well().last("identity"), "fingerprint")
}

#[test]
fn a_user_is_told_what_it_costs_and_may_say_no() {
    let world = World::new();
    let before = listed(&world.laptop.home);
    for (answer, code) in [("no\n", 130), ("N\n", 130), ("\n", 130), (CTRL_C, 130), (CTRL_D, 2)] {
        let mut terminal = asked(&world);
        let screen = terminal.screen();
        for told in ["every board that lets this machine send has to be provisioned", "Known here: kitchen."] {
            assert!(screen.replace('\n', " ").contains(told), "{screen}");
        }
        assert!(!terminal.has_broken_lines(), "{screen}");
        terminal.types(answer);
        terminal.ends_in_order(code);
        assert_eq!(listed(&world.laptop.home), before, "{answer:?}");
    }
}

#[test]
fn a_user_who_says_yes_gets_a_new_identity() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let mut terminal = asked(&world);
    terminal.types("perhaps\n");
    terminal.sees("type yes or no");
    terminal.sees("yes or no: ");
    terminal.types("yes\n");
    terminal.sees("The old identity is kept: its keys are in");
    terminal.ends_in_order(0);
    let renewed = fingerprint(&world.laptop);
    assert!(renewed != before && terminal.screen().contains(&renewed), "{}", terminal.screen());
}

#[test]
fn without_a_terminal_nothing_is_renewed_unless_the_command_line_says_yes() {
    let world = World::new();
    let before = listed(&world.laptop.home);
    for line in ["no", "yes"] {
        // Input from a script is not an answer. A shell writes it, because the command may end before it is written.
        let piped = format!("echo {line} | \"$0\" \"$@\"");
        let ended = world.laptop.call(&["id", "--renew"]).within("sh", &["-c", &piped]).run();
        assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
        ended.failed(2, "usage", &["The identity is as it was", "waft id --renew --yes"]);
        assert_eq!(listed(&world.laptop.home), before, "{line}");
    }
    let fingerprint_before = fingerprint(&world.laptop);
    let ended = world.laptop.call(&["id", "--renew", "--yes"]).run().well();
    assert_eq!(ended.all("asked").count(), 0, "{ended:#?}");
    assert_ne!(fingerprint(&world.laptop), fingerprint_before);
}

#[test]
fn a_user_at_a_terminal_can_say_yes_in_advance() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let mut terminal = Terminal::start(waft(&world.laptop, &["id", "--renew", "--yes"]));
    terminal.ends_in_order(0);
    assert!(!terminal.screen().contains(QUESTION), "{}", terminal.screen());
    assert_ne!(fingerprint(&world.laptop), before);
    // The option answers one question only.
    world.laptop.call(&["id", "--yes"]).run().failed(2, "usage", &["--renew"]);
}

/// Standard input is a terminal, standard error a file, and the terminal cannot be opened for writing the question.
#[test]
fn where_the_question_cannot_be_shown_nothing_is_renewed() {
    let world = World::new();
    let before = fingerprint(&world.laptop);
    let script = "mount -t tmpfs none /dev/pts && exec $WAFT id --renew 2>log";
    let within = format!("unshare --mount sh -c '{script}'");
    if !is_root() || !unshare(&["--mount"]).arg("true").status().is_ok_and(|status| status.success()) {
        return left_out("only root can hide the terminals");
    }
    let mut terminal = Terminal::start(shell(&world.laptop, Some(&within)));
    assert_eq!(terminal.end().code(), Some(2));
    let log = fs::read_to_string(world.laptop.work.join("log")).unwrap();
    assert!(log.contains("No answer came for the renewal"), "{log}");
    assert_eq!(fingerprint(&world.laptop), before);
}

#[test]
fn a_home_that_cannot_be_private_gets_no_identity() {
    let world = World::strangers();
    let Some(library) = library(&world, "modeless") else { return };
    let call = |args: &[&str]| world.laptop.call(args).env("LD_PRELOAD", &library);
    let says = ["its file system keeps no permission bits", "on another file system in WAFT_HOME"];
    for args in [&["id"][..], &["id", "--renew", "--yes"], &["receive", "--listen", "127.0.0.1:0"]] {
        call(args).run().failed(11, "identity", &says);
        let left: Vec<_> = fs::read_dir(&world.laptop.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "{args:?}");
    }
    // An existing identity is not used either.
    world.laptop.call(&["id"]).run().well();
    let before = listed(&world.laptop.home);
    call(&["id"]).run().failed(11, "identity", &["key.pem is open to other users (mode 755)"]);
    call(&["id", "--renew", "--yes"]).run().failed(11, "identity", &says);
    assert_eq!(listed(&world.laptop.home), before);
}
