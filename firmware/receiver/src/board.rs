//! The interface between a board and the receiver.
//!
//! A board implements [`Board`], which names the types of its devices. With Embassy's sockets and clock and ciphers in
//! software, `EmbassyBoard` in `embassy` is such a type. Boards with an identity image and a seed prepare a [`Startup`].

use core::fmt::Display;
use core::net::IpAddr;
use core::pin::Pin;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::CryptoRngCore;
use waft_core::sealed::Cipher;
use waft_core::session::Clock;

use crate::entropy::{Random, Sources, Trng, gather};
use crate::identity::{Identity, IdentityError};
use crate::seed::Ratchet;
use crate::slots::MountError;
use crate::tls::guard::Tcp;
use crate::tls::suite::Suite;

/// The TCP port on which receivers listen.
pub const PORT: u16 = 12346;

/// A kind of board: the types with which its receiver works. Implement it for a type that has no values.
pub trait Board {
    /// Guards the state that the receiver shares with the application. `NoopRawMutex` if both run on one executor.
    type Mutex: RawMutex;
    /// The flash with the slots.
    type Flash: NorFlash;
    /// The random number generator.
    type Rng: CryptoRngCore;
    /// The clock: milliseconds since the board started.
    type Clock: Clock;
    /// A TCP socket.
    type Socket: Socket;
    /// The cipher suite of TLS that is fastest on this chip.
    type Suite: Suite;
    /// The ciphers of the sealed stream that this board offers, in order of preference.
    type Cipher: Cipher;

    /// Drops the value in `slot`, and wipes the memory that it used: the slot itself, and the unused part of the stack.
    /// A session leaves keys in both. A board without this keeps them until something else overwrites them.
    fn wipe<T>(mut slot: Pin<&mut Option<T>>) {
        slot.set(None);
    }

    /// The stack usage so far, if the board can measure it.
    fn stack() -> Option<Stack> {
        None
    }

    /// The processor time of tasks so far, if the board can measure it.
    fn load() -> Option<Load> {
        None
    }
}

/// The processor time that tasks used since the start, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The longest time without a pause.
    pub longest: u32,
    /// The number of times that tasks ran for more than [`LONG_MS`](Self::LONG_MS) without a pause.
    pub long: u32,
    /// The total time.
    pub all: u64,
}

impl Load {
    /// Only an operation on the elliptic curve or the erase of a block may take longer than this.
    pub const LONG_MS: u32 = 40;
}

/// The usage of the stack, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The most bytes in use at once.
    pub peak: usize,
    /// The size of the stack.
    pub size: usize,
}

/// A TCP socket that serves one connection after another on the receiver's port.
pub trait Socket: Tcp {
    /// The address at which senders reach the board. Code that formats an IPv6 address takes 2 KiB of flash, so a board
    /// without IPv6 uses `SocketAddrV4`.
    type Address: Copy + PartialEq + Display;

    /// Listens until a peer starts to connect, or until the board's address differs from `known`. Cancel-safe: a call
    /// after a cancelled one continues to listen.
    async fn listen(&mut self, known: Option<Self::Address>) -> ListenEvent<Self::Address>;

    /// Waits until the connection is established. Returns `false` if the peer gave it up. Cancel-safe.
    async fn establish(&mut self) -> bool;

    /// The IP address of the peer, once it has started to connect.
    fn source(&self) -> Option<IpAddr>;

    /// Sends what was written, closes our side, and ends the connection, at the latest after
    /// [`LINGER_MS`](waft_core::limits::LINGER_MS). Cancel-safe. Does nothing without a connection.
    async fn close(&mut self);

    /// Resets the connection.
    fn abort(&mut self);
}

/// What happened at a socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenEvent<A> {
    /// A peer started to connect. The socket no longer listens.
    Connecting,
    /// The board has this new address, or `None` if it has no address or no link.
    AddressChanged(Option<A>),
}

/// The identity and the random numbers of a board that can receive.
#[derive(Debug)]
pub struct Startup<'a> {
    /// The identity of the board.
    pub identity: &'a Identity,
    /// The random number generator of this boot.
    pub random: Random,
    /// The entropy sources that seeded it.
    pub sources: Sources,
}

impl<'a> Startup<'a> {
    /// Gathers random numbers for a board with this identity. Without an identity the seed is left unchanged, because a
    /// seed made without the identity's secret would be treated as secret at every later boot.
    pub async fn prepare(
        identity: Result<&'a Identity, IdentityError>,
        trng: &mut impl Trng,
        seed: &mut Ratchet<impl NorFlash>,
    ) -> Result<Self, StartupError> {
        let identity = identity.map_err(StartupError::Identity)?;
        let (random, sources) = gather(trng, seed, &identity.seed).await.map_err(StartupError::Entropy)?;
        Ok(Self { identity, random, sources })
    }
}

/// Why a board cannot receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartupError {
    /// It has no valid identity.
    Identity(IdentityError),
    /// It has no entropy source.
    Entropy(Sources),
    /// Its flash cannot be mounted.
    Flash(MountError),
}

/// The reason for a start of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartReason {
    /// Power was turned on.
    PowerOn,
    /// A reset was requested by the reset button, a debugger or a command.
    Requested,
    /// The firmware hung, and the watchdog reset the board.
    Watchdog,
    /// The firmware failed, and reset the board.
    Failure,
    /// The chip does not report the reason.
    Unknown,
}
