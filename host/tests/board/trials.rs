//! Registers each test for the board that runs as a process here and for the emulated ones.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial, run};
use waft::board::Board;

use super::scenarios::{
    ANNOUNCED, COUNTED, COUNTED_UNCHANGED, DETAILS, EMULATED, EMULATED_DETAILS, FAILURES, OWN_IDENTITY, SCENARIOS,
    Scenario, WEB,
};
use super::site::Kind;

/// The emulated boards. The first one is the one whose flash a board that runs as a process has.
const MACHINES: [&str; 4] = ["mps2", "mps2-an505", "lm3s6965evb", "virt"];
/// The package that has a web server beside the receiver.
const WEB_PACKAGE: &str = "waft-mps2";
/// The board with the smallest RAM, whose package has no other program.
const SMALLEST: &str = "lm3s6965evb";

pub(crate) fn all() -> ExitCode {
    let arguments = Arguments::from_args();
    let required = std::env::var_os("WAFT_TEST_QEMU").is_some_and(|value| value == "required");
    let machines = MACHINES.map(|name| Board::named(name).expect("it is in waft's source"));
    // Built once, before the tests, which run in parallel.
    let emulated = machines.map(|board| {
        let there = has_emulator(board);
        if !there && !required {
            eprintln!("There is no {}: the tests of {} are skipped.", board.emulator(), board.name);
        }
        let is_asked = there && !arguments.list && may_match(&arguments, &board.name);
        (Kind::Emulated(board, if is_asked { build(board) } else { PathBuf::new() }), !there && !required)
    });
    let kinds = std::iter::once((Kind::Hosted(machines[0]), false)).chain(emulated);
    let trials = kinds.flat_map(|(kind, is_ignored)| {
        scenarios(&kind).map(move |((name, scenario), is_alone)| {
            let kind = kind.clone();
            let trial = Trial::test(format!("{}::{name}", kind.name()), move || {
                scenario(&kind);
                Ok(())
            });
            trial.with_ignored_flag(is_alone || is_ignored)
        })
    });
    run(&arguments, trials.collect()).exit_code()
}

/// The tests of a kind of board, and whether each runs only if it is asked for.
fn scenarios(kind: &Kind) -> impl Iterator<Item = (&'static Scenario, bool)> + use<> {
    let (lists, alone): (&[&[Scenario]], &[Scenario]) = match kind {
        Kind::Hosted(_) => (&[SCENARIOS, DETAILS, OWN_IDENTITY], &[]),
        Kind::Emulated(board, _) if board.name == MACHINES[0] => {
            (&[SCENARIOS, DETAILS, EMULATED, FAILURES, WEB, EMULATED_DETAILS], COUNTED_UNCHANGED)
        }
        Kind::Emulated(board, _) if board.name == SMALLEST => (&[SCENARIOS, EMULATED], &[]),
        Kind::Emulated(board, _) if board.package == WEB_PACKAGE => {
            (&[SCENARIOS, EMULATED, FAILURES, WEB, OWN_IDENTITY], COUNTED_UNCHANGED)
        }
        Kind::Emulated(..) => (&[SCENARIOS, EMULATED, FAILURES, OWN_IDENTITY, ANNOUNCED], COUNTED),
    };
    let always = lists.iter().flat_map(|list| list.iter().map(|scenario| (scenario, false)));
    always.chain(alone.iter().map(|scenario| (scenario, true)))
}

/// Whether a test of this kind of board may be asked for. A filter may begin with the name of another kind.
fn may_match(arguments: &Arguments, kind: &str) -> bool {
    let named = arguments.filter.as_ref().and_then(|filter| filter.split_once("::"));
    named.is_none_or(|(begin, _)| kind.ends_with(begin))
}

fn has_emulator(board: &Board) -> bool {
    let asked = Command::new(board.emulator()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Builds an emulated board's firmware from this checkout, and its web server if it has one. Returns the path of the
/// firmware.
fn build(board: &Board) -> PathBuf {
    let features = board.features.join(",");
    let with_web = format!("{features},web");
    let programs = [&["--features", &features][..], &["--features", &with_web, "--bin", "waft-mps2-web"]];
    let count = if board.package == WEB_PACKAGE { 2 } else { 1 };
    for options in &programs[..count] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--profile", &board.profile, "--package", &board.package]);
        cargo.args(["--target", &board.target]).args(*options).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().is_ok_and(|status| status.success()), "{} does not build: {options:?}", board.name);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    target.join(&board.target).join(&board.profile).join(&board.package)
}
