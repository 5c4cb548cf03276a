//! What a board brings along: the few things in which one differs from the other.
//!
//! A board implements [`Board`] once, as a list of types, and hands their values to [`run`](crate::run::run).

use core::net::SocketAddr;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::sealed::cipher::Cipher;
use waft_core::session::Clock;

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
    /// Waits until the board has an address, and tells where senders reach it. Cancel-safe.
    async fn address(&mut self) -> SocketAddr;

    /// Waits for somebody to connect. Cancel-safe: called again, it goes on where it was.
    async fn accept(&mut self);

    /// Lets what was written get out, says that no more comes, and ends the connection; within
    /// [`LINGER_MS`](waft_core::limits::LINGER_MS) whatever the peer does. Cancel-safe; without a connection it does
    /// nothing.
    async fn close(&mut self);

    /// Ends the connection at once.
    fn abort(&mut self);
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
