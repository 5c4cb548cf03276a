//! A waft receiver for boards: `no_std`, no allocation, no `unsafe`.
//!
//! [`slots`] keeps received folders on NOR flash: the [`Store`](waft_core::session::Store) of a session, and what an application
//! reads from.

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are made, on executors that need no `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod slots;
