//! The waft protocol and its sealed stream, for boards and hosts alike: `no_std`, no allocation, no `unsafe`.
//!
//! waft sends a folder from a sender to a receiver. This crate is both ends of that, and everything between a walked
//! folder and a store; sockets, TLS, clocks, randomness and storage enter through traits. To send or receive, begin
//! with the example in [`session`]; to read or write sealed files, with the one in [`sealed`].
//!
//! # The layers
//!
//! In the order in which a byte passes through them on its way from the sender's folder to the receiver's store:
//!
//! 1. [`path`]: relative paths that cannot lead outside a folder.
//! 2. [`archive`]: a folder as one stream of bytes and back, with every entry checked.
//! 3. [`code`]: the transfer key and the 4-digit code, which users read and type.
//! 4. [`sealed`]: that stream as compressed, authenticated chunks. The keys come from the transfer key, which the user
//!    types at the receiver, or from the receiver's own HPKE key. [`Cipher`](sealed::Cipher) is open to other
//!    implementations of the AEADs.
//! 5. [`wire`]: the preface, the frames and the messages that cross the network.
//! 6. [`session`]: the asynchronous sender and receiver, which exchange those messages. They reach the outside world
//!    through [`session::Link`], [`session::Clock`] and an `Operator` on both sides, a [`session::sender::Source`] at
//!    the sender, a [`session::Store`] at the receiver, and `rand_core`'s `CryptoRngCore` for random bytes.
//!
//! Before the first session, [`pairing`] gives two devices that do not know each other the certificates by which they
//! recognize each other, by a short code that one shows and the other's user types. [`discovery`] says what a receiver
//! announces on its network, so that senders find its address.
//!
//! All layers use [`digest`] and [`limits`], which holds every bound and deadline. Each end is identified by the hash
//! of its [`certificate`]. A module uses only those that come before it here. The caller lends all buffers.
//!
//! # Errors
//!
//! Each layer has one small error enum, whose variants name the side at fault. Most of them are `#[non_exhaustive]`.
//! Unexpected input is an error, and never a panic.
//!
//! # Features
//!
//! - `defmt`: `defmt::Format` on errors and events, for the log of a board.
//!
//! # What is stable
//!
//! Version 1 of the protocol, which `PROTOCOL.md` beside this crate's `README.md` specifies, is not released yet: until
//! then the bytes and this interface may change, and both sides have to be built from the same source.

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are created, on executors that do not require `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod archive;
mod base32;
mod bytes;
pub mod certificate;
pub mod code;
pub mod digest;
pub mod discovery;
pub mod limits;
pub mod pairing;
pub mod path;
pub mod sealed;
pub mod session;
pub mod wire;
