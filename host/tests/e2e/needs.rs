//! Requirements of tests on the system: root privileges, user namespaces, IPv6, a C compiler.
//!
//! If one is missing, a test prints that and is skipped. With `WAFT_TEST_SYSTEM=required`, as in `.ci/test`, it fails.

use std::process::Command;

/// Set in a process that runs a test again.
const AGAIN: &str = "WAFT_TEST_AGAIN";

/// A user that owns no files.
pub(crate) const NOBODY: u32 = 65534;

/// Reports that a test is skipped for this reason. Panics if tests must not be skipped.
#[track_caller]
pub(crate) fn skip(because: &str) {
    let required = std::env::var_os("WAFT_TEST_SYSTEM").is_some_and(|value| value == "required");
    assert!(!required, "this test must not be skipped: {because}");
    eprintln!("skipped: {because}");
}

/// Whether this process runs a test again, with its requirements met.
pub(crate) fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs a test of this program again in a process that `within` starts: a program with arguments, to which a command is
/// appended. Skips the test if that cannot be started.
#[track_caller]
pub(crate) fn again(test: &str, mut within: Command) {
    assert!(!is_again(), "{test} was not given what it needs");
    let program = std::env::current_exe().expect("a test is a program");
    let started =
        within.args(["env", &format!("{AGAIN}=1")]).arg(program).args(["--exact", test, "--nocapture"]).output();
    let Ok(ended) = started else { return skip(&format!("{within:?} cannot be started")) };
    let (output, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if !output.contains("running 1 test") {
        return skip(&format!("{within:?} runs no test: {output}{errors}"));
    }
    assert!(ended.status.success() && output.contains("1 passed"), "{output}{errors}");
}

/// A command that runs another one as root: if this user is not root, as root of a user namespace. Each run has the
/// namespaces of these `unshare` options to itself.
pub(crate) fn unshare(options: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(options);
    unshare
}

/// A command that runs another one in a network namespace of its own, which has only a loopback interface, with IPv4
/// and IPv6.
pub(crate) fn own_network() -> Command {
    let mut within = unshare(&["--net"]);
    within.args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    within
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
