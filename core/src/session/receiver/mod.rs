//! The receiver's side of a session. Boards and hosts run the same code.
//!
//! An authenticated [`Link`](crate::session::Link) carries the sender's frames; the received archive goes to a
//! [`Store`](crate::session::Store):
//!
//! TLS -> **frame -> open (decrypt) -> decompress** -> store.
//!
//! The files, in the order in which a session uses them: `environment` and `operator` are what the caller provides,
//! `store` is where the folder goes, and [`peers`] is what is kept between connections. `run` is the order of the
//! steps: `hello`, `code`, `offer`, `key`, `begin`, `transfer` with `base`, `commit`. PROTOCOL.md, section 6.

mod base;
mod begin;
mod code;
mod commit;
mod environment;
mod hello;
mod key;
mod offer;
mod operator;
pub mod peers;
mod run;
mod state;
pub(super) mod store;
mod transfer;
mod wait;

pub use environment::{Buffers, Environment, KeySource, Policy, Receiver, buffer_len};
pub use operator::{Event, KeyAnswer, Operator};
