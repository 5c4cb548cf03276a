//! Pairing: two devices that do not know each other exchange their certificates by a short code.
//!
//! The **listener** shows a [`PairingCode`] and accepts the connection; the user of the **dialer** types the code.
//! CPace turns the code into keys that cannot be computed without it, both sides confirm them, and then each sends its
//! [`Introduction`], sealed:
//!
//! ```text
//! code -CPace-> session key -HKDF-> tags, keys -> sealed introductions
//! ```
//!
//! Both sides work in two steps. The first costs no code: [`Outgoing::connect`] until the listener is ready,
//! [`Incoming::accept`] until a dialer's share has arrived. The second, [`Outgoing::pair`] and [`Incoming::pair`], takes
//! the code by value: one attempt, however it ends. A listener keeps one [`Limiter`] over all its attempts.
//!
//! Under which name and for which directions a device trusts the other is decided afterwards, by its user; nothing here
//! stores anything.
//!
//! # On a board
//!
//! There is no allocation. A [`Buffer`] (1.7 KiB) and the future (less than 1.4 KiB) are the caller's; the two computations
//! need about 4 KiB of stack on a Cortex-M, and block the executor for some 6 million instructions each.
//!
//! # A whole pairing
//!
//! ```
//! use std::cell::RefCell;
//! use std::collections::VecDeque;
//! use std::convert::Infallible;
//! use std::future::poll_fn;
//! use std::rc::Rc;
//! use std::task::Poll;
//! use std::time::Instant;
//!
//! use embassy_futures::{block_on, join::join};
//! use embedded_io_async::{ErrorType, Read, Write};
//! use rand_core::OsRng;
//! use waft_core::pairing::{
//!     Buffer, DeviceKind, Directions, Incoming, Introduction, Limiter, Outgoing, PairingCode, PairingError,
//! };
//! use waft_core::session::{Clock, Link};
//! use waft_core::wire::preface::{LEN, Purpose};
//!
//! /// One end of a connection: a TCP stream, without TLS.
//! struct Pipe {
//!     incoming: Rc<RefCell<VecDeque<u8>>>,
//!     outgoing: Rc<RefCell<VecDeque<u8>>>,
//! }
//!
//! impl ErrorType for Pipe {
//!     type Error = Infallible;
//! }
//!
//! impl Read for Pipe {
//!     async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
//!         self.readable().await?;
//!         let mut incoming = self.incoming.borrow_mut();
//!         let count = buffer.len().min(incoming.len());
//!         buffer.iter_mut().zip(incoming.drain(..count)).for_each(|(to, byte)| *to = byte);
//!         Ok(count)
//!     }
//! }
//!
//! impl Write for Pipe {
//!     async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
//!         self.outgoing.borrow_mut().extend(bytes);
//!         Ok(bytes.len())
//!     }
//!     async fn flush(&mut self) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//! }
//!
//! impl Link for Pipe {
//!     async fn readable(&mut self) -> Result<(), Infallible> {
//!         // `block_on` polls without end, so that no waker is needed. The other end is closed once it is dropped.
//!         let is_ready = || !self.incoming.borrow().is_empty() || Rc::strong_count(&self.incoming) == 1;
//!         poll_fn(|_| if is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }).await
//!     }
//! }
//!
//! struct SystemClock(Instant);
//!
//! impl Clock for SystemClock {
//!     fn now(&self) -> u64 {
//!         self.0.elapsed().as_millis() as u64
//!     }
//!     async fn sleep_until(&self, at: u64) {
//!         poll_fn(|_| if self.now() >= at { Poll::Ready(()) } else { Poll::Pending }).await
//!     }
//! }
//!
//! let clock = SystemClock(Instant::now());
//! let (one, other): (Rc<RefCell<_>>, Rc<RefCell<_>>) = Default::default();
//! let mut dialer_link = Pipe { incoming: one.clone(), outgoing: other.clone() };
//! let mut listener_link = Pipe { incoming: other, outgoing: one };
//!
//! // The listener shows its code; the dialer's user types it.
//! let shown = PairingCode::random(&mut OsRng);
//! let typed = PairingCode::parse(&shown.display().to_string()).unwrap();
//!
//! let dialing = async {
//!     let me = Introduction::new(
//!         DeviceKind::Computer,
//!         Directions { sends: true, receives: false },
//!         "anna",
//!         b"the dialer's certificate",
//!     )
//!     .unwrap();
//!     let mut buffer = Buffer::new();
//!     let outgoing = Outgoing::connect(&mut dialer_link, &mut buffer, &mut OsRng, &clock).await?;
//!     let paired = outgoing.pair(typed, &me, &mut OsRng).await?;
//!     drop(dialer_link);
//!     Ok::<_, PairingError>(paired.peer.certificate().to_vec())
//! };
//!
//! let listening = async {
//!     let me = Introduction::new(
//!         DeviceKind::Board,
//!         Directions { sends: false, receives: true },
//!         "desk",
//!         b"the listener's certificate",
//!     )
//!     .unwrap();
//!     let (mut buffer, mut limiter) = (Buffer::new(), Limiter::new());
//!     // The code that accepts connections reads the preface, and knows from it what the connection is for.
//!     let mut preface = [0; LEN];
//!     listener_link.read_exact(&mut preface).await.expect("the dialer sends a preface");
//!     assert_eq!(Purpose::of_preface(&preface), Ok(Purpose::Pairing));
//!     let incoming = Incoming::accept(&mut listener_link, &mut buffer, &mut OsRng, &clock, &limiter).await?;
//!     let paired = incoming.pair(Some(shown), &me, &mut OsRng, &mut limiter).await?;
//!     drop(listener_link);
//!     assert!(paired.is_confirmed);
//!     assert_eq!(paired.peer.name(), "anna");
//!     Ok::<_, PairingError>(paired.peer.certificate().to_vec())
//! };
//!
//! let (dialed, listened) = block_on(join(dialing, listening));
//! assert_eq!(dialed.unwrap(), b"the listener's certificate");
//! assert_eq!(listened.unwrap(), b"the dialer's certificate");
//! ```
//!
//! PROTOCOL.md, section 13.

mod code;
mod conversation;
mod cpace;
mod dialer;
mod error;
mod introduction;
mod keys;
mod limiter;
mod listener;
pub mod message;

pub use code::{PairingCode, PairingCodeError};
pub use conversation::Buffer;
pub use dialer::Outgoing;
pub use error::PairingError;
pub use introduction::{DeviceKind, Directions, Introduction, IntroductionError};
pub use limiter::Limiter;
pub use listener::Incoming;
pub use message::Failure;

/// The result of a pairing: the peer's certificate, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paired<'b> {
    /// How the peer introduced itself.
    pub peer: Introduction<'b>,
    /// Whether the peer is known to have paired as well. Always true at the dialer. At a listener the dialer's last
    /// message may have got lost: then this side has paired, and the dialer perhaps not; pairing again repairs that.
    pub is_confirmed: bool,
}
