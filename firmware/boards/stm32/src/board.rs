//! The chosen board: its clocks, pins and devices.
//!
//! Each board is one file that defines the same items: the function `devices`, and the types of its result.

#[cfg(feature = "nucleo-h563zi")]
mod nucleo_h563zi;

#[cfg(feature = "nucleo-h563zi")]
pub(crate) use nucleo_h563zi::{Devices, Ethernet, devices};
