//! Tests with whole boards, operated as users operate them: the built command on one side, the console on the other.
//!
//! The stories run with a board that is a process here, and with each emulated one. Most of the other tests run with the
//! process and with one emulated board; some need an emulated board. Without QEMU the tests of emulated boards are reported
//! as ignored; with `WAFT_TEST_QEMU=required` they fail.

#[cfg(unix)]
mod announced;
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
#[path = "../e2e/needs.rs"]
#[allow(dead_code)]
mod needs;
#[cfg(unix)]
#[path = "../e2e/proxy.rs"]
#[allow(dead_code)]
mod proxy;
#[cfg(unix)]
mod scenarios;
#[cfg(unix)]
mod sender;
#[cfg(unix)]
mod site;
#[cfg(unix)]
mod trials;
#[cfg(unix)]
mod unchanged;
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
