//! Discovery: a receiver announces its address on its network, and a sender finds it there. DNS-SD by multicast DNS,
//! PROTOCOL.md, section 14.
//!
//! An [`Announcer`] announces a listener, and a [`Browser`] yields what others announce as [`Found`]. **An announcement is a
//! hint and proves nothing.** Anybody on the network can announce any [`DeviceId`] at any address; whether a receiver is the
//! right one is known only once it has authenticated by its certificate, as at every other address. What is announced is an
//! id that only those who have the receiver's certificate can assign to it, the port, and the version of the protocol; a
//! name only while pairing is open.
//!
//! ```no_run
//! # async fn find(trust: &waft::trust::Trust) -> Result<(), waft::Error> {
//! use waft::discovery::{Browser, DeviceId};
//!
//! let mut browser = Browser::start()?;
//! loop {
//!     let found = browser.next().await;
//!     let is_it = |peer: &&waft::trust::Peer| DeviceId::of(&peer.certificate.hash()) == found.id;
//!     if let Some(peer) = trust.peers().iter().find(is_it) {
//!         println!("{} says that it is at {:?}", peer.name, found.addresses);
//!     }
//! }
//! # }
//! ```
//!
//! The module `daemon` is the only module that knows the crate that speaks multicast DNS.

mod announce;
mod browse;
mod daemon;
mod found;
mod links;
mod search;

pub use waft_core::discovery::DeviceId;

pub use self::announce::{Announced, Announcer};
pub use self::browse::Browser;
pub use self::found::Found;
pub(crate) use self::search::Search;

use crate::error::{Class, Error};

/// Most usable addresses of an instance that are kept, of each kind about as many. Which ones of a kind is left to chance, so
/// that no announcement can choose.
pub const ADDRESSES_MAX: usize = 8;

/// Multicast DNS is not available on this machine.
#[derive(Debug, thiserror::Error)]
#[error("multicast DNS is not available: {0}")]
pub struct Unavailable(String);

impl From<Unavailable> for Error {
    fn from(error: Unavailable) -> Self {
        Self::new(
            Class::Unreachable,
            format!("Multicast DNS is not available on this machine: {}.", error.0),
            "Give addresses as the receivers show them: NAME@ADDRESS. If another program holds UDP port 5353 alone, end it.",
        )
        .caused_by(error)
    }
}
