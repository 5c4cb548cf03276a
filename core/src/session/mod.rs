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
//! 5. A receiver's session ends with a [`Receipt`] or a [`SessionError`], a sender's with a [`Receipt`] or a
//!    [`sender::SendError`].
//!
//! Each side names the types with which it works in one trait: [`sender::Environment`] and [`receiver::Environment`].
//!
//! # A whole session
//!
//! A sender and a receiver exchange a folder of one file in memory. The key is sealed to the receiver, so that no user
//! is asked; the code is not needed.
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
//! use rand_core::{OsRng, RngCore};
//! use waft_core::archive::{ContentHasher, Entry, Kind, ManifestWriter, Modified};
//! use waft_core::certificate::CertificateHash;
//! use waft_core::code::{AuthCode, TransferKey};
//! use waft_core::digest::Digest;
//! use waft_core::path::{FolderName, RelPath};
//! use waft_core::sealed::{ChunkSize, HpkeSecret, SoftCipher};
//! use waft_core::session::peers::PeerState;
//! use waft_core::session::receiver::{self, KeyAnswer, KeySource, Policy, Receiver};
//! use waft_core::session::sender::{self, ArchiveInfo, KeyRule, Peer, Run, Sender, SourceError};
//! use waft_core::session::{Capacity, Clock, DuplexLink, Held, Link, Offered, Receipt, Store, StoreError, Written};
//!
//! /// One end of a connection. Where TLS has authenticated both peers, this is a TLS stream.
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
//! impl DuplexLink for Pipe {
//!     async fn write_or_readable(&mut self, bytes: &[u8]) -> Result<Written, Infallible> {
//!         self.write(bytes).await.map(Written::Bytes)
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
//! /// An archive to send.
//! struct Archive {
//!     bytes: Vec<u8>,
//!     position: usize,
//!     info: ArchiveInfo,
//!     root: Digest,
//! }
//!
//! impl Archive {
//!     fn of_file(path: &str, content: &[u8]) -> Self {
//!         let kind = Kind::File { size: content.len() as u64 };
//!         let entry = Entry { kind, path: RelPath::new(path).unwrap(), mode: 0o644, modified: Modified::default() };
//!         let (mut writer, mut buffer) = (ManifestWriter::new(), [0; 200]);
//!         let length = writer.push(&entry, &mut buffer).unwrap();
//!         let summary = writer.finish();
//!         let mut hasher = ContentHasher::new(&summary.digest);
//!         hasher.update(content);
//!         let (digest, root) = (hasher.end_file(), hasher.root());
//!         let bytes = [&buffer[..length], content, &digest.0, &root.0].concat();
//!         let longest_path = path.len() as u16;
//!         let info = ArchiveInfo { shape: summary.shape, manifest_digest: summary.digest, longest_path };
//!         Self { bytes, position: 0, info, root }
//!     }
//! }
//!
//! impl sender::Source for Archive {
//!     fn info(&self) -> ArchiveInfo {
//!         self.info
//!     }
//!     async fn rewind(&mut self) -> Result<(), SourceError> {
//!         self.position = 0;
//!         Ok(())
//!     }
//!     async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
//!         let count = buffer.len().min(self.bytes.len() - self.position);
//!         buffer[..count].copy_from_slice(&self.bytes[self.position..][..count]);
//!         self.position += count;
//!         Ok(count)
//!     }
//!     fn root(&self) -> Option<Digest> {
//!         Some(self.root)
//!     }
//! }
//!
//! /// A store in memory that resumes nothing. A real one verifies the archive with a `ManifestReader` and a
//! /// `ContentReader` before it commits.
//! #[derive(Default)]
//! struct Memory {
//!     name: String,
//!     archive: Vec<u8>,
//!     offered: Option<Offered>,
//! }
//!
//! impl Store for Memory {
//!     const TAKES_NAME: bool = true;
//!
//!     fn capacity(&mut self) -> Capacity {
//!         Capacity { total: 1 << 20, entries: 100, manifest: 1 << 16, path: 255, free: 1 << 20 }
//!     }
//!     async fn check(&mut self, _: &Offered) -> Result<(), StoreError> {
//!         Ok(())
//!     }
//!     fn folder_name(&mut self, name: FolderName<'_>) {
//!         self.name = name.as_str().into();
//!     }
//!     async fn begin(&mut self, offered: &Offered, _: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
//!         self.offered = Some(*offered);
//!         Ok(Held { offset: 0, digest: Digest::of(b"") })
//!     }
//!     async fn restart(&mut self) -> Result<(), StoreError> {
//!         self.archive.clear();
//!         Ok(())
//!     }
//!     async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError> {
//!         self.archive.extend(archive);
//!         Ok(())
//!     }
//!     fn manifest(&self) -> Option<Digest> {
//!         self.archive.get(..self.offered?.shape.manifest as usize).map(Digest::of)
//!     }
//!     fn durable(&self) -> u64 {
//!         self.archive.len() as u64
//!     }
//!     async fn commit(&mut self) -> Result<Receipt, StoreError> {
//!         let root = self.archive.last_chunk().ok_or(StoreError::Verify)?;
//!         let files = self.offered.ok_or(StoreError::Verify)?.shape.files;
//!         Ok(Receipt { digest: Digest(*root), files, bytes: self.archive.len() as u64, generation: 1 })
//!     }
//!     async fn suspend(&mut self) {}
//!     async fn discard(&mut self) {}
//! }
//!
//! /// Both users, who are not asked anything here.
//! struct NoUser;
//!
//! impl sender::Operator for NoUser {
//!     async fn code(&mut self, _: Option<u8>) -> Option<AuthCode> {
//!         None
//!     }
//!     fn event(&mut self, _: sender::Event) {}
//! }
//!
//! impl receiver::Operator for NoUser {
//!     fn code(&mut self, _: &AuthCode) {}
//!     async fn key(&mut self, _: &Offered, _: Option<u8>, _: &mut TransferKey) -> KeyAnswer {
//!         KeyAnswer::Unavailable
//!     }
//!     fn event(&mut self, _: receiver::Event) {}
//! }
//!
//! struct InMemory;
//!
//! impl sender::Environment for InMemory {
//!     type Link = Pipe;
//!     type Source = Archive;
//!     type Operator = NoUser;
//!     type Clock = SystemClock;
//!     type Rng = OsRng;
//!     type Cipher = SoftCipher;
//! }
//!
//! impl receiver::Environment for InMemory {
//!     type Link = Pipe;
//!     type Store = Memory;
//!     type Operator = NoUser;
//!     type Clock = SystemClock;
//!     type Rng = OsRng;
//!     type Cipher = SoftCipher;
//! }
//!
//! let [certificate, receiver_certificate] = [CertificateHash([1; 32]), CertificateHash([2; 32])];
//! let (clock, hpke) = (SystemClock(Instant::now()), HpkeSecret::random(&mut OsRng));
//! let chunk = ChunkSize::MIN;
//! let (one, other): (Rc<RefCell<_>>, Rc<RefCell<_>>) = Default::default();
//! let mut sender_link = Pipe { incoming: one.clone(), outgoing: other.clone() };
//! let mut receiver_link = Pipe { incoming: other, outgoing: one };
//!
//! let mut salt = [0; 32];
//! OsRng.fill_bytes(&mut salt);
//! let key = TransferKey::random(&mut OsRng);
//! let name = FolderName::new("greetings").unwrap();
//! let run = Run { key: &key, salt, name, created: 1, iterations: 1_000, chunk, certificate, keys: KeyRule::Any };
//! let (mut plain, mut frame) = (vec![0; sender::buffer_len(chunk)], vec![0; sender::buffer_len(chunk)]);
//! let mut archive = Archive::of_file("hello.txt", b"Hello, board!");
//! let sending = async {
//!     let mut sender = Sender::<InMemory> {
//!         run: &run,
//!         source: &mut archive,
//!         operator: &mut NoUser,
//!         clock: &clock,
//!         rng: &mut OsRng,
//!         buffers: sender::Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
//!     };
//!     let peer = Peer { certificate: receiver_certificate, hpke: Some(&hpke.public()) };
//!     let receipt = sender.send(&mut sender_link, &peer).await;
//!     drop(sender_link);
//!     receipt
//! };
//!
//! let policy = Policy {
//!     code_needed: false,
//!     key: KeySource::Sealed(&hpke),
//!     max_iterations: 1_000,
//!     max_chunk: chunk,
//!     key_seconds: 300,
//!     certificate: receiver_certificate,
//! };
//! let (mut frame, mut plain) = (vec![0; receiver::buffer_len(chunk)], vec![0; chunk.bytes() as usize]);
//! let mut store = Memory::default();
//! let receiving = async {
//!     let mut receiver = Receiver::<InMemory> {
//!         policy: &policy,
//!         peers: &mut PeerState::new(&mut OsRng),
//!         store: &mut store,
//!         operator: &mut NoUser,
//!         clock: &clock,
//!         rng: &mut OsRng,
//!         buffers: receiver::Buffers { frame: &mut frame, plain: &mut plain },
//!     };
//!     receiver.receive(&mut receiver_link, certificate).await
//! };
//!
//! let (sent, received) = block_on(join(sending, receiving));
//! let receipt = sent.unwrap();
//! assert_eq!((receipt.files, received), (1, Ok(receipt)));
//! assert_eq!((store.name.as_str(), store.archive), ("greetings", archive.bytes));
//! ```
//!
//! PROTOCOL.md, section 6.

pub(crate) mod channel;
mod link;
mod outcome;
pub mod own_frame;
pub mod receiver;
pub mod sender;

pub use link::{Clock, DuplexLink, Link, Written};
pub use outcome::{Misbehaviour, Receipt, SessionError};
pub use receiver::peers;
pub use receiver::store::{Capacity, Held, Offered, Store, StoreError};
