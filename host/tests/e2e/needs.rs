//! What tests need of the system: the rights of root, user namespaces, IPv6, a C compiler.
//!
//! Where that is missing, a test says so and is left out. With `WAFT_TEST_SYSTEM=required`, as in `.ci/test`, it fails.

use std::process::Command;

/// Set in a process that runs a test again.
const AGAIN: &str = "WAFT_TEST_AGAIN";

/// A user who owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// A test is left out because of this. Panics where it may not be.
#[track_caller]
pub(crate) fn left_out(because: &str) {
    let required = std::env::var_os("WAFT_TEST_SYSTEM").is_some_and(|value| value == "required");
    assert!(!required, "this test may not be left out: {because}");
    eprintln!("left out: {because}");
}

/// Whether this process runs a test again, within what it needs.
pub(crate) fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs a test of this program again, in a process that `within` starts: a program and its arguments, to which a command
/// is appended. Leaves the test out where that cannot be started.
#[track_caller]
pub(crate) fn again(test: &str, mut within: Command) {
    assert!(!is_again(), "{test} was not given what it needs");
    let program = std::env::current_exe().expect("a test is a program");
    let started =
        within.args(["env", &format!("{AGAIN}=1")]).arg(program).args(["--exact", test, "--nocapture"]).output();
    let Ok(ended) = started else { return left_out(&format!("{within:?} cannot be started")) };
    let (output, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if !output.contains("running 1 test") {
        return left_out(&format!("{within:?} runs no test: {output}{errors}"));
    }
    assert!(ended.status.success() && output.contains("1 passed"), "{output}{errors}");
}

/// A command that runs others as root: where this user is not, as root of a user namespace. Each has the namespaces of
/// these options of `unshare` to itself.
pub(crate) fn unshare(options: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(options);
    unshare
}

/// A command that runs others in a network of their own, which has nothing but a loopback, with IPv4 and IPv6.
pub(crate) fn own_network() -> Command {
    let mut within = unshare(&["--net"]);
    within.args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
    within
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
