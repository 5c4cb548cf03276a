//! Functions of the command that differ between operating systems: the terminal, and child processes.
//!
//! Each function has the same meaning on every platform as far as the platform allows; the docs of an implementation
//! state where it does not. Signals are in [`interrupt`](crate::cli::interrupt).

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
