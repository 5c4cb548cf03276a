//! What differs between operating systems, as functions of the same names: `unix` and `windows`.

mod names;
mod private;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

pub(crate) use private::{TooOpen, check_private, create_private, create_private_directory, sync_directory};
