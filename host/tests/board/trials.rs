//! Registers each test for the board that runs as a process here and for the emulated one.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial, run};

use super::scenarios::{ALONE, EMULATED, SCENARIOS};
use super::site::Kind;

pub(crate) fn all() -> ExitCode {
    let arguments = Arguments::from_args();
    let (there, required) = (has_qemu(), std::env::var_os("WAFT_TEST_QEMU").is_some_and(|value| value == "required"));
    if !there && !required {
        eprintln!("There is no qemu-system-arm: the tests of the emulated board are skipped.");
    }
    let asked = !arguments.list && arguments.filter.as_ref().is_none_or(|filter| !filter.starts_with("hosted"));
    // Built once, before the tests, which run in parallel.
    let firmware = if there && asked { build() } else { PathBuf::new() };
    let of = |kind: &Kind| {
        let kind = kind.clone();
        let emulated = matches!(kind, Kind::Emulated(_));
        let (own, alone) = if emulated { (EMULATED, ALONE) } else { (&[][..], &[][..]) };
        let scenarios = SCENARIOS.iter().chain(own).map(|scenario| (scenario, false));
        scenarios.chain(alone.iter().map(|scenario| (scenario, true))).map(move |((name, scenario), is_alone)| {
            let kind = kind.clone();
            let trial = Trial::test(format!("{}::{name}", kind.name()), move || {
                scenario(&kind);
                Ok(())
            });
            trial.with_ignored_flag(is_alone || emulated && !there && !required)
        })
    };
    let trials = [Kind::Hosted, Kind::Emulated(firmware)].iter().flat_map(of).collect();
    run(&arguments, trials).exit_code()
}

fn has_qemu() -> bool {
    let asked = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Builds the emulated board's firmware and its web server from this checkout. Returns the path of the firmware.
fn build() -> PathBuf {
    for program in ["mps2", "mps2-web"] {
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.args([program, "--quiet"]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|status| status.success()), "{program} does not build");
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    target.join("thumbv7em-none-eabihf/firmware/waft-mps2")
}
