//! Sessions: the asynchronous sender and receiver, and the traits through which they reach the outside world.
//!
//! One session runs on one authenticated connection. [`sender::Sender`] and [`receiver::Receiver`] drive it from
//! `Hello` to `Committed`. In the order in which the parts are needed:
//!
//! 1. [`Link`] is the connection, and [`Clock`] measures the deadlines. Both sides need them.
//! 2. A sender reads a [`sender::Source`] and asks its [`sender::Operator`] for the code.
//! 3. A receiver writes to a [`Store`] and asks its [`receiver::Operator`] for the key.
//! 4. [`peers::PeerState`] is what a receiver keeps between connections: its code, the lockouts, and the runs that it
//!    remembers.
//! 5. A session ends with a [`Receipt`] or a [`SessionError`].
//!
//! Each side names the types with which it works in one trait: [`sender::Environment`] and [`receiver::Environment`].
//! PROTOCOL.md, section 6.

mod channel;
mod link;
mod outcome;
pub mod own_frame;
pub mod receiver;
pub mod sender;

pub use link::{Clock, DuplexLink, Link, Written};
pub use outcome::{Misbehaviour, Receipt, SessionError};
pub use receiver::peers;
pub use receiver::store::{Capacity, Held, Offered, Store, StoreError};
