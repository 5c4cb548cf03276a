//! What a board brings along: the few things in which one differs from the other.
//!
//! A board implements [`Board`] once, as a list of types, finds out whether it is [`Fit`], and hands all of it to
//! [`run`](crate::run::run).

use core::fmt::Display;
use core::net::IpAddr;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::sealed::cipher::Cipher;
use waft_core::session::Clock;

use crate::entropy::{Random, Sources, Trng, gather};
use crate::identity::{Identity, IdentityError};
use crate::seed::Ratchet;
use crate::slots::MountError;
use crate::tls::guard::Tcp;
use crate::tls::suite::Suite;

/// The TCP port on which receivers listen.
pub const PORT: u16 = 12346;

/// A kind of board.
pub trait Board {
    /// Guards what the receiver shares with the application. `NoopRawMutex` where both run on one executor.
    type Mutex: RawMutex;
    /// The flash with the slots.
    type Flash: NorFlash;
    /// The cipher suite that this chip is best at.
    type Suite: Suite;
    /// The ciphers of the sealed stream that this chip has, best first.
    type Cipher: Cipher;
    /// A TCP socket.
    type Socket: Socket;
    /// The console. Reads are cancel-safe: what was not given yet is not lost.
    type Console: Read + Write;
    /// Milliseconds since the board started.
    type Clock: Clock;

    /// Most PBKDF2 iterations for a typed key. They keep the executor busy: about half a second of this chip's time.
    const ITERATIONS_MAX: u32;

    /// How deep the stack was so far, where the board can tell.
    fn stack() -> Option<Stack> {
        None
    }

    /// What the tasks asked of the processor so far, where the board can tell.
    fn load() -> Option<Load> {
        None
    }
}

/// What the tasks asked of the processor since the start, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// For the longest time without a pause.
    pub longest: u32,
    /// How often they had it for more than [`LONG_MS`](Self::LONG_MS) without a pause.
    pub long: u32,
    /// In all.
    pub all: u64,
}

impl Load {
    /// Only a computation with the elliptic curve or the erasure of a block may take longer than this.
    pub const LONG_MS: u32 = 40;
}

/// A stack, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// In use at once, at most.
    pub peak: usize,
    /// In all.
    pub size: usize,
}

/// A TCP socket that serves one connection after the other on the receiver's port.
pub trait Socket: Tcp {
    /// Where senders reach the board. What writes an IPv6 address takes 2 KiB of flash, so a board without IPv6 has
    /// `SocketAddrV4` here.
    type Address: Copy + PartialEq + Display;

    /// Listens, until a peer begins to connect or the board's address is another than `known`. Cancel-safe: called
    /// again, it goes on where it was.
    async fn listen(&mut self, known: Option<Self::Address>) -> Listened<Self::Address>;

    /// Waits until the connection that a peer began is established; `false`: the peer gave it up. Cancel-safe.
    async fn establish(&mut self) -> bool;

    /// Where the connection comes from, once a peer began it.
    fn source(&self) -> Option<IpAddr>;

    /// Lets what was written get out, says that no more comes, and ends the connection; within
    /// [`LINGER_MS`](waft_core::limits::LINGER_MS) whatever the peer does. Cancel-safe; without a connection it does
    /// nothing.
    async fn close(&mut self);

    /// Ends the connection at once.
    fn abort(&mut self);
}

/// What a listening socket waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listened<A> {
    /// A peer begins to connect: the socket listens no longer.
    Taken,
    /// The board is reached at this address now; `None`: it has none, or no link.
    Moved(Option<A>),
}

/// A board that can receive: it knows who it is, and has random numbers.
#[derive(Debug)]
pub struct Fit<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// This boot's random numbers.
    pub random: Random,
    /// Where they come from.
    pub sources: Sources,
}

impl<'a> Fit<'a> {
    /// Gathers random numbers for the board that `identity` tells of. Without one none are needed, and the seed stays
    /// as it is: what would be made of nothing would count as secret ever after.
    pub async fn find(
        identity: Result<&'a Identity, IdentityError>,
        trng: &mut impl Trng,
        seed: &mut Ratchet<impl NorFlash>,
    ) -> Result<Self, Unfit> {
        let identity = identity.map_err(Unfit::Identity)?;
        let (random, sources) = gather(trng, seed, &identity.seed).await.map_err(Unfit::Entropy)?;
        Ok(Self { identity, random, sources })
    }
}

/// Why a board receives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Unfit {
    /// It does not know who it is.
    Identity(IdentityError),
    /// It has no random numbers.
    Entropy(Sources),
    /// Its flash fails.
    Flash(MountError),
}

/// Why the board started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Start {
    /// Power came.
    Power,
    /// Somebody asked for it: the reset button, a debugger, a command.
    Asked,
    /// The firmware hung, and the watchdog reset it.
    Watchdog,
    /// The firmware failed, and reset itself.
    Failure,
    /// The chip does not say.
    Unknown,
}
