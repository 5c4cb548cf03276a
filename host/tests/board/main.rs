//! Whole boards, driven as people drive them: the built command on one side, the console on the other.
//!
//! Every story is told twice, but for a few that only the emulated board can tell: by the board that is a process here,
//! and by the emulated one. Without QEMU the emulated
//! board's are shown as ignored; with `WAFT_TEST_QEMU=required` they fail.

#[cfg(unix)]
#[path = "../e2e/harness.rs"]
#[allow(dead_code)]
mod harness;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod site;
#[cfg(unix)]
mod stories;
#[cfg(unix)]
mod told;
#[cfg(unix)]
mod web;
#[cfg(unix)]
#[path = "../e2e/world.rs"]
#[allow(dead_code)]
mod world;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    told::all()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("The stories are told on Unix: they end processes by its signals.");
}
