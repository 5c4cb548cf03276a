//! The waft protocol and its sealed stream, for boards and hosts alike: `no_std`, no allocation, no `unsafe`.
//!
//! The layers, in the order in which a byte passes through them on its way from the sender's folder to the receiver's
//! store:
//!
//! 1. [`path`] and [`archive`] turn a folder into one stream of bytes and back, and check every entry.
//! 2. [`sealed`] turns that stream into compressed, authenticated chunks. The keys come from the transfer key (see
//!    [`code`]), which the user types at the receiver, or from the receiver's own HPKE key.
//! 3. [`wire`] defines the preface, the frames and the messages that cross the network.
//! 4. [`session`] holds the asynchronous sender and receiver, which exchange those messages. They reach the outside
//!    world through traits: [`session::Link`], [`session::Clock`] and an `Operator` on both sides, a
//!    [`session::sender::Source`] at the sender, a [`session::Store`] at the receiver, and `rand_core`'s
//!    `CryptoRngCore` for random bytes.
//!
//! Every layer uses [`digest`]. Each end is identified by the hash of its [`certificate`]. Every bound is in
//! [`limits`]. The caller lends all buffers. `core/PROTOCOL.md` is the normative text.

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are created, on executors that do not require `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod archive;
mod base32;
pub mod certificate;
pub mod code;
pub mod digest;
pub mod limits;
pub mod path;
pub mod sealed;
pub mod session;
pub mod wire;
