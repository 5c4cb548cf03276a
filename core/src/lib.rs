//! The waft protocol and its sealed stream, for boards and hosts alike: `no_std`, no allocation, no `unsafe`.
//!
//! The layers, in the order in which a byte passes them on its way from the sender's folder to the
//! receiver's store:
//!
//! 1. [`path`] and [`archive`]: a folder as one stream of bytes, and back, checked entry by entry.
//! 2. [`sealed`]: that stream as compressed, authenticated chunks, under keys that [`code`]'s transfer key
//!    or the receiver's own HPKE key gives.
//! 3. [`wire`]: the preface, frames and messages that carry chunks and everything said around them.
//! 4. [`session`]: who says what when; the asynchronous sender and receiver. They reach the world through traits:
//!    [`session::Link`], [`session::Clock`] and an `Operator` on both sides, a [`session::sender::Source`] on one,
//!    a [`session::Store`] on the other, and `rand_core`'s `CryptoRngCore` for entropy.
//!
//! All layers share [`digest`]. Both ends go by the hashes of their certificates: [`certificate`]. Every bound stands
//! in [`limits`]. Buffers are lent by the caller. `core/PROTOCOL.md` is the normative text.

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are made, on executors that need no `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod archive;
pub mod certificate;
pub mod code;
pub mod digest;
pub mod limits;
pub mod path;
pub mod sealed;
pub mod session;
pub mod wire;
