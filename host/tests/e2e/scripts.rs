//! The interface for scripts: one event per line, and an exit code.

use super::harness::text;
use super::world::{World, write};

#[test]
fn wrong_usage_is_an_event() {
    let world = World::strangers();
    for (args, says) in [
        (&["frobnicate"][..], "nrecognized subcommand"),
        (&["send", "--frobnicate"], "nexpected argument"),
        (&["trust", "add", "bert"], "equired arguments"),
        (&["receive", "--merge", "--merge"], "cannot be used multiple times"),
        (&["open", "a\u{1b}[31m", "b\u{1b}[31m"], "nexpected argument"),
    ] {
        let ended = world.laptop.call(args).run();
        assert_eq!(ended.events.len(), 1, "{ended:#?}");
        ended.failed(2, "usage", &[says]);
    }
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_waft")).args(["--json", "send", "--help"]).output();
    let help = help.expect("it starts");
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Usage: waft send"), "{help:?}");
}

#[test]
fn a_completion_script_and_the_manual_are_printed_alone() {
    for args in [&["--json", "completions", "bash"][..], &["--json", "man"]] {
        let with_json = std::process::Command::new(env!("CARGO_BIN_EXE_waft")).args(args).output().expect("it starts");
        let plain =
            std::process::Command::new(env!("CARGO_BIN_EXE_waft")).args(&args[1..]).output().expect("it starts");
        assert!(with_json.status.success() && !plain.stdout.is_empty());
        assert_eq!(String::from_utf8_lossy(&with_json.stdout), String::from_utf8_lossy(&plain.stdout));
    }
}

#[test]
fn an_error_has_an_exit_code_where_the_command_ends_with_it() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    write(&world.target(), "mine", b"mine");
    world.sending(&address).run().failed(15, "refused", &["not empty"]);
    let reported = receiver.await_event("error");
    assert_eq!((&reported["class"], reported.get("exit")), (&"refused".into(), None), "{reported:#}");
    assert!(!text(&reported, "advice").is_empty());
    receiver.interrupt();
    receiver.end().failed(130, "interrupted", &[]);
}
