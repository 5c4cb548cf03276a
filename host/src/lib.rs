//! Sends a folder to a receiver on a microcontroller board or on another computer, and receives folders.
//!
//! The connection is mutual TLS 1.3 between self-signed certificates that both sides trust beforehand. Inside it the
//! folder is encrypted once more, end to end. After a transfer the receiver has either the whole new folder or the whole
//! old one, whatever happened in between.
//!
//! - [`Sender`] sends a [`folder`] to a [`Destination`](send::Destination), and tries again when a connection breaks.
//! - [`Receiver`] accepts authenticated senders on a TCP listener, and receives into a [`store`].
//! - [`pair`] gives two devices each other's certificate by a short code, before the first transfer.
//! - Each asks its user, or the program that embeds it, through an operator: [`send::Operator`], [`receive::Operator`].
//!
//! Both need an [`identity`], which peers know by its certificate, and a [`trust`], which says what each peer may do. A
//! [`home`] folder keeps them, shared with the `waft` command if it is the same folder; or a program makes and keeps them
//! itself.
//!
//! # Example
//!
//! A sender and a receiver in one process. The receiver asks for no code, and the sender seals the key to its
//! certificate, so that no user is needed. `examples/send.rs` and `examples/receive.rs` are whole programs.
//!
//! ```
//! use tokio::net::TcpListener;
//! use waft::folder::{Folder, Options as FolderOptions};
//! use waft::identity::Identity;
//! use waft::receive::{self, KeyAnswer, Keys, Offer};
//! use waft::send::{self, Destination};
//! use waft::store::{DirectoryStore, Options};
//! use waft::trust::{Peer, Trust};
//! use waft::{AuthCode, Receiver, Sender, TransferKey};
//!
//! /// There is no user on either side.
//! struct NoUser;
//!
//! impl send::Operator for NoUser {
//!     async fn code(&mut self, _: &waft::name::Name, _: Option<u8>) -> Option<AuthCode> {
//!         None
//!     }
//! }
//!
//! impl receive::Operator for NoUser {
//!     fn accepts(&mut self, offer: &Offer<'_>) -> bool {
//!         offer.total < 1 << 30
//!     }
//!
//!     async fn key(&mut self, _: &Offer<'_>, _: Option<u8>, _: &mut TransferKey) -> KeyAnswer {
//!         KeyAnswer::Unavailable
//!     }
//! }
//!
//! fn trusting(name: &str, peer: &Identity, own: &Identity) -> Result<Trust, Box<dyn std::error::Error>> {
//!     let certificate = peer.certificate().clone();
//!     let peer = Peer { name: name.parse()?, certificate, sends: true, receives: true, at: None, last: None };
//!     let mut trust = Trust::default();
//!     trust.add(peer, own.certificate())?;
//!     Ok(trust)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let temp = tempfile::tempdir()?;
//! let (from, to) = (temp.path().join("from"), temp.path().join("to"));
//! std::fs::create_dir(&from)?;
//! std::fs::write(from.join("page.html"), "hello")?;
//!
//! let (anna, bert) = (Identity::generate(), Identity::generate());
//! let anna_trusts = trusting("bert", &bert, &anna)?;
//! let bert_trusts = trusting("anna", &anna, &bert)?;
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let destination = Destination::parse(&format!("bert@{}", listener.local_addr()?), &anna_trusts)?;
//! let store = DirectoryStore::prepare(&to, Options::default()).await?.store;
//! let mut receiver =
//!     Receiver::new(listener, bert, bert_trusts, store).require_code(false).keys(Keys::Sealed);
//! let folder = Folder::walk(&from, &FolderOptions::default()).await?;
//! let mut sender = Sender::new(anna, anna_trusts, destination, folder);
//!
//! let receive = async {
//!     let connection = receiver.accept(&mut NoUser).await?;
//!     receiver.receive(connection, &mut NoUser).await
//! };
//! let mut user = NoUser;
//! let (sent, received) = tokio::join!(sender.send(&mut user), receive);
//! received?;
//! assert_eq!(sent?.receipt.files, 1);
//! assert_eq!(std::fs::read_to_string(to.join("page.html"))?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # What it needs, and what it does not do
//!
//! The futures need a Tokio runtime with I/O and time, of either flavour; work on files and names runs on threads of its
//! own. The futures of [`Sender`] and [`Receiver`] are not `Send`, because a session of the protocol is written for boards
//! with one thread. Await them in `main`, in [`Runtime::block_on`](tokio::runtime::Runtime::block_on), or in a
//! [`LocalSet`](tokio::task::LocalSet); `tokio::spawn` does not take them.
//!
//! A token ([`Sender::cancel_on`], [`Receiver::cancel_on`]) stops cleanly: the peer is notified, and a commit that has begun is
//! completed. Dropping a future stops, too: the connection just ends.
//!
//! The library writes nothing to standard output or standard error, reads nothing from standard input, installs no panic
//! hook or signal handler, never ends the process, and does not read environment variables itself (temporary files are
//! where [`std::env::temp_dir`] says).
//!
//! # Errors
//!
//! [`Error`] has a [`Class`], on which a program decides, a text that says what happened, and an advice that says what to
//! do next. The texts are those of the `waft` command, and name its options.
//!
//! # Features
//!
//! `cli`, on by default, builds the `waft` command as well. A program that embeds the library leaves it out:
//! `default-features = false`.
//!
//! `discovery`, which `cli` needs, is the module [`discovery`]: receivers announce themselves on their network, and are found
//! there.

#![forbid(unsafe_code)]
// The traits of core, whose futures need no `Send` bound.
#![allow(async_fn_in_trait)]

// Never called by name: the crate only has to be linked.
use critical_section as _;

pub mod address;
pub mod board;
pub mod certificate;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "discovery")]
pub mod discovery;
pub mod error;
mod files;
pub mod folder;
pub mod home;
pub mod identity;
pub mod image;
pub mod name;
pub mod net;
pub mod pair;
mod platform;
pub mod preface;
pub mod provision;
mod queue;
pub mod receive;
pub mod send;
pub mod session;
pub mod simulation;
pub mod store;
pub mod tls;
pub mod trust;
mod worker;

pub use error::{Class, Error};
pub use receive::Receiver;
pub use send::Sender;
pub use waft_core::code::{AuthCode, TransferKey};
pub use waft_core::session::Receipt;

#[cfg(all(test, unix))]
#[path = "../tests/e2e/needs.rs"]
mod needs;
#[cfg(test)]
mod testing;
