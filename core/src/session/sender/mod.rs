//! The sender's side of a session.
//!
//! A [`Source`] provides the archive; an authenticated link carries the frames to the receiver:
//!
//! Walk -> archive -> **compress -> seal -> frame** -> TLS.
//!
//! The files, in the order in which a session uses them: `environment`, `source` and `operator` are what the caller
//! provides. `run` is the order of the steps: `hello`, `code`, `offer`, `transfer` with `base`. `dialogue` is how every step talks
//! to the receiver and the user at once; `error` is how a session may end without a receipt. PROTOCOL.md, section 6.

mod base;
mod code;
mod dialogue;
mod environment;
mod error;
mod hello;
mod offer;
mod operator;
mod run;
mod source;
mod state;
mod transfer;

pub use environment::{Buffers, Environment, KeyRule, Peer, Run, Sender, buffer_len};
pub use error::SendError;
pub use operator::{Event, Operator};
pub use source::{ArchiveInfo, Source, SourceError};
