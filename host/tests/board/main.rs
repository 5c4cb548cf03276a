//! Tests with whole boards, operated as users operate them: the built command on one side, the console on the other.
//!
//! Every test runs twice: with the board that runs as a process here, and with the emulated board. A few tests need the
//! emulated board. Without QEMU its tests are reported as ignored; with `WAFT_TEST_QEMU=required` they fail.

#[cfg(unix)]
mod cost;
#[cfg(unix)]
#[path = "../e2e/harness.rs"]
#[allow(dead_code)]
mod harness;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod memory;
#[cfg(unix)]
mod scenarios;
#[cfg(unix)]
mod sender;
#[cfg(unix)]
mod site;
#[cfg(unix)]
mod trials;
#[cfg(unix)]
mod web;
#[cfg(unix)]
#[path = "../e2e/world.rs"]
#[allow(dead_code)]
mod world;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    trials::all()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("These tests run on Unix only: they end processes with its signals.");
}
