//! Pairing: this machine and another device exchange their certificates by a short code.
//!
//! One of them shows the code and listens: a [`Listener`]. The user of the other types it: [`dial`]. Afterwards each has
//! the other's exact certificate. Nothing is stored here: whether a [`Paired`] device is trusted, and under which name,
//! is for the caller to decide. As those of [`Sender`](crate::Sender), the futures stay on one thread. PROTOCOL.md,
//! section 13.

mod error;
mod link;
mod listener;

use rand_core::OsRng;
use waft_core::pairing::{Buffer, DeviceKind, Directions, Introduction, Outgoing};
pub use waft_core::pairing::{PairingCode, PairingCodeError, PairingError};

pub use self::error::PairError;
use self::link::TcpLink;
pub use self::listener::{Attempt, Listener};
use crate::address::Address;
use crate::certificate::Certificate;
use crate::identity::Identity;
use crate::net::{self, DIAL};
use crate::session::Clock;

/// How this machine introduces itself.
#[derive(Clone, Debug)]
pub struct Me {
    /// The name that this machine suggests for itself; empty for none. At most 64 bytes.
    pub name: String,
    /// Whether it asks to send to the other device.
    pub sends: bool,
    /// Whether it asks to receive from the other device.
    pub receives: bool,
    /// Its certificate.
    pub certificate: Certificate,
}

impl Me {
    /// This machine, with its identity.
    pub fn new(identity: &Identity, name: &str, sends: bool, receives: bool) -> Self {
        Self { name: name.to_owned(), sends, receives, certificate: identity.certificate().clone() }
    }

    /// The introduction as it crosses. A name or a certificate that is too long for it is an error of this machine.
    fn introduction(&self) -> Result<Introduction<'_>, PairError> {
        let directions = Directions { sends: self.sends, receives: self.receives };
        let introduction =
            Introduction::new(DeviceKind::Computer, directions, &self.name, self.certificate.der().as_ref());
        introduction.map_err(PairError::Own)
    }
}

/// The other device after a pairing. All but the certificate is only what it says of itself.
#[derive(Clone, Debug)]
pub struct Paired {
    /// Its certificate.
    pub certificate: Certificate,
    /// The name that it suggests for itself; may be empty. It has no control characters.
    pub name: String,
    /// Whether it is a board.
    pub is_board: bool,
    /// Whether it asks to send to this machine.
    pub sends: bool,
    /// Whether it asks to receive from this machine.
    pub receives: bool,
    /// Whether it is known to have paired as well. False only at a listener whose connection broke at the end; then
    /// pairing again repairs it.
    pub is_confirmed: bool,
}

impl Paired {
    fn of(paired: &waft_core::pairing::Paired<'_>) -> Result<Self, PairError> {
        let peer = &paired.peer;
        let Directions { sends, receives } = peer.directions();
        Ok(Self {
            certificate: Certificate::from_der(peer.certificate().to_vec()).map_err(PairError::Certificate)?,
            name: peer.name().to_owned(),
            is_board: peer.kind() == DeviceKind::Board,
            sends,
            receives,
            is_confirmed: paired.is_confirmed,
        })
    }
}

/// A fresh random code of 6 digits, for one [`attempt`](Listener::attempt).
pub fn new_code() -> PairingCode {
    PairingCode::random(&mut OsRng)
}

/// Connects to the listener at `address`, and pairs with it if it has the same code. The code is spent once the listener
/// took the attempt.
pub async fn dial(address: &Address, code: PairingCode, me: &Me) -> Result<Paired, PairError> {
    let introduction = me.introduction()?;
    let stream = net::dial(address, DIAL).await.map_err(|error| PairError::Unreachable(error.into()))?;
    let (mut link, mut buffer, clock) = (TcpLink::new(stream), Box::new(Buffer::new()), Clock::start());
    let paired = {
        let outgoing = Outgoing::connect(&mut link, &mut buffer, &mut OsRng, &clock).await?;
        Paired::of(&outgoing.pair(code, &introduction, &mut OsRng).await?)
    };
    link.close().await;
    paired
}
