//! The chosen board: its clocks, its pins, and what hangs on them.
//!
//! Each board is one file with the same content: a function `devices`, and the types of what it gives.

#[cfg(feature = "nucleo-h563zi")]
mod nucleo_h563zi;

#[cfg(feature = "nucleo-h563zi")]
pub(crate) use nucleo_h563zi::{Console, Devices, Ethernet, devices};
