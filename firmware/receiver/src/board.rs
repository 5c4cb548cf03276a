//! The interface between a board and the receiver.
//!
//! The firmware of a board implements [`Board`], which names the types of the board's devices, and creates a
//! [`Receiver`](crate::Receiver) that works with these types. `embassy::EmbassyBoard` is a ready implementation of
//! [`Board`], with the sockets and the clock of Embassy and with ciphers in software.
//!
//! Firmware that reads its identity from an identity image, and its random numbers from a seed in flash, calls
//! [`Startup::prepare`] when it starts. The other types of this module report the state of the board to the operator:
//! [`Load`], [`Stack`], [`StartReason`] and [`StartupError`].

use core::fmt::Display;
use core::net::IpAddr;
use core::pin::Pin;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::CryptoRngCore;

pub use waft_core::sealed::{Aead, AeadKey, ChaChaCipher, Cipher, Forged, SoftCipher};
pub use waft_core::session::Clock;
pub use waft_core::session::peers::LockoutSnapshot;

use crate::entropy::{Random, Sources, Trng, gather};
use crate::identity::{Identity, IdentityError};
use crate::seed::Ratchet;
use crate::settings::SettingsError;
use crate::slots::MountError;
use crate::tls::guard::Tcp;
use crate::tls::suite::Suite;

/// The TCP port on which receivers listen.
pub const PORT: u16 = 12346;

/// A kind of board: the types of the devices that its receiver uses. Implement this for an empty type; no value of that
/// type is needed.
pub trait Board {
    /// The mutex around the state that the receiver shares with the tasks of the application. If all of them run on one
    /// executor, use `NoopRawMutex`. On several, a reader of the flash waits while the receiver stores a chunk or its
    /// settings, which includes erasures.
    type Mutex: RawMutex;
    /// The flash that contains the [`slots`](crate::slots).
    type Flash: NorFlash;
    /// The random number generator.
    type Rng: CryptoRngCore;
    /// The clock: milliseconds since the board started.
    type Clock: Clock;
    /// A TCP socket of the receiver's port.
    type Socket: Socket;
    /// The cipher suite of TLS that is fastest on this chip.
    type Suite: Suite;
    /// The ciphers for the chunks of a transfer. The board offers them to senders in the order of `Cipher::AEADS`.
    type Cipher: Cipher;

    /// Drops the value in `slot`, and wipes the memory that the value used: the slot itself, and the unused part of the
    /// stack. A session leaves copies of keys in both. The default only drops the value, so that such copies stay in
    /// memory until something else overwrites them.
    fn wipe<T>(mut slot: Pin<&mut Option<T>>) {
        slot.set(None);
    }

    /// The stack usage since the board started. `None` if the board cannot measure it.
    fn stack() -> Option<Stack> {
        None
    }

    /// The processor time since the board started. `None` if the board cannot measure it.
    fn load() -> Option<Load> {
        None
    }
}

/// The processor time that all tasks used since the board started, in milliseconds. The executor measures each poll of
/// the tasks that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The duration of the longest poll.
    pub longest: u32,
    /// The number of polls that took longer than [`LONG_MS`](Self::LONG_MS).
    pub long: u32,
    /// The total duration of all polls.
    pub all: u64,
}

impl Load {
    /// The duration above which a poll counts as long. Only an operation on the elliptic curve or the erasure of a
    /// flash block may take longer.
    pub const LONG_MS: u32 = 40;
}

/// The stack usage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The largest number of bytes in use at once.
    pub peak: usize,
    /// The size of the stack.
    pub size: usize,
}

/// A TCP socket that serves one connection after another on the receiver's port.
pub trait Socket: Tcp {
    /// The address at which senders reach the board. Code that formats an IPv6 address takes 2 KiB of flash, so a board
    /// without IPv6 uses [`Endpoint`](crate::embassy::Endpoint).
    type Address: Copy + PartialEq + Display;

    /// Listens until a peer starts to connect, or until the board's address differs from the one that is watched. Cancel-safe:
    /// if the future is dropped, the socket keeps listening, and the next call continues.
    async fn listen(&mut self, watch: Watch<Self::Address>) -> ListenEvent<Self::Address>;

    /// Waits until the TCP handshake of the connection is complete. Returns `false` if the connection failed instead.
    /// Cancel-safe.
    async fn establish(&mut self) -> bool;

    /// The IP address of the peer. `None` if no peer has started to connect.
    fn source(&self) -> Option<IpAddr>;

    /// Sends all data that was written, closes the sending direction, and ends the connection, at the latest after
    /// [`LINGER_MS`](waft_core::limits::LINGER_MS). Does nothing without a connection. Cancel-safe.
    async fn close(&mut self);

    /// Resets the connection.
    fn abort(&mut self);
}

/// What a socket watches while it listens. Of several sockets one watches the address, because each look costs time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch<A> {
    /// Only whether a peer connects.
    Peers,
    /// Also whether the address is still this one, which the caller knows.
    Address(Option<A>),
}

/// What ended a call of [`Socket::listen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenEvent<A> {
    /// A peer started to connect. The socket no longer listens.
    Connecting,
    /// The board's address changed to this one. `None` if the board has no address or no network link.
    AddressChanged(Option<A>),
}

/// The identity and the random numbers of a board that can receive.
#[derive(Debug)]
pub struct Startup<'a> {
    /// The identity of the board.
    pub identity: &'a Identity,
    /// The random number generator of this boot.
    pub random: Random,
    /// The entropy sources of the generator, and which of them failed.
    pub sources: Sources,
}

impl<'a> Startup<'a> {
    /// Seeds the random number generator of a board with this identity, from `trng` and from the `seed` in flash.
    ///
    /// Without an identity, this fails and does not change the seed in flash. A board that was never provisioned can make
    /// one: [`Settings::own_identity`](crate::settings::Settings::own_identity). A new seed is derived from the secret in
    /// [`Identity::seed`] and the output of `trng`. A seed without that secret may be predictable, and yet every later
    /// boot would rely on it.
    pub async fn prepare(
        identity: Result<&'a Identity, StartupError>,
        trng: &mut impl Trng,
        seed: &mut Ratchet<'_, impl NorFlash>,
    ) -> Result<Self, StartupError> {
        let identity = identity?;
        let (random, sources) = gather(trng, seed, &identity.seed).await.map_err(StartupError::Entropy)?;
        Ok(Self { identity, random, sources })
    }
}

/// Why a board cannot receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartupError {
    /// The board has no valid identity.
    Identity(IdentityError),
    /// All entropy sources of the board failed, for these reasons.
    Entropy(Sources),
    /// The settings, which contain the secret of the board's own identity, cannot be read or written.
    Settings(SettingsError),
    /// The slots in the board's flash cannot be mounted. Reported by `Receiver::run`.
    Flash(MountError),
}

impl From<IdentityError> for StartupError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// Why the board started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartReason {
    /// Power was turned on.
    PowerOn,
    /// A reset was requested by the reset button, a debugger or a command.
    Requested,
    /// The firmware hung, so that the watchdog reset the board.
    Watchdog,
    /// The firmware detected a failure of its own, such as a panic, and reset the board.
    Failure,
    /// The chip does not report the reason.
    Unknown,
}
