//! The storage of a receiver: the trait [`Store`], and the values that a session exchanges with it.
//!
//! PROTOCOL.md, section 6, steps 4 and 6 to 9.

use core::fmt;

use crate::archive::{ArchiveError, Shape};
use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::path::FolderName;
use crate::session::outcome::{Misbehaviour, Receipt, SessionError};
use crate::wire::message::{BaseFiles, Cancel, Kibibytes, Limit, Refusal};

/// The storage for received folders. It gets the archive's bytes in order, and is atomic: readers see the old folder
/// until `commit` returns `Ok`, and the new one from then on.
///
/// The session calls `check`, `folder_name` if the store takes names, `begin`, at most once `restart`, then `write`
/// repeatedly, then `commit`. If the store has a
/// base and the sender wants to use it, the session calls `base_files` once the manifest is complete, and then `take` in
/// place of `write` for the bytes that do not cross. At any point the session may call `suspend` or `discard` instead
/// and end; without a preceding `begin` these have nothing to do.
///
/// A store whose work takes long returns `Pending` now and then, so that the session can send keep-alives. When the
/// connection ends or the user interrupts, the session drops the futures of all methods before `commit` at any await, and then calls `suspend` or `discard`. If the user interrupts, the session drops the future of `discard`,
/// too. It never drops the future of `commit`.
pub trait Store {
    /// Whether the store takes the names of folders. If not, the session does not open them.
    const TAKES_NAME: bool = false;

    /// The bounds of this store.
    fn capacity(&mut self) -> Capacity;

    /// The error that every offer of `sender` would meet now, if that is known already. The session then refuses before
    /// the sender's user is asked for the code.
    fn refuses(&mut self, _sender: &CertificateHash) -> Option<StoreError> {
        None
    }

    /// Returns the error with which [`begin`](Self::begin) would fail, as far as it can be known before the keys are
    /// proven: the session asks its user for the key only after this succeeds. Writes nothing. Reports
    /// [`StoreError::InUse`] only if the storage will probably still be in use once the key is typed. If the offered
    /// folder may be the committed one, reports no error that would not matter then, such as too little space.
    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError>;

    /// The name of the folder that the next call of [`begin`](Self::begin) is for. Its sender has proven the key. The
    /// store may choose by it where the archive goes; what it cannot store under this name, `begin` refuses.
    fn folder_name(&mut self, _name: FolderName<'_>) {}

    /// Begins to receive the offered archive, and returns the prefix of this archive that the store already holds. A
    /// held prefix belongs to this archive if the same sender sent it and `matches` returns true for its manifest digest.
    /// A committed folder counts as a prefix of full length. While a reader has a lease on the needed storage, this
    /// fails at once with [`StoreError::InUse`], and the session calls it again.
    async fn begin(&mut self, offered: &Offered, matches: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError>;

    /// Drops the held prefix, and begins to receive the archive from its first byte. Fails with [`StoreError::InUse`]
    /// as [`begin`](Self::begin) does.
    async fn restart(&mut self) -> Result<(), StoreError>;

    /// Stores the next bytes of the archive. Bytes after the manifest need not be written yet when this returns: if
    /// writing them fails, a later call of `write` or [`commit`](Self::commit) reports the error.
    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError>;

    /// Whether the store has a base for the archive that it begins to receive: a committed folder of **the same sender**,
    /// whose files it can use. The session asks after `begin`, before it may call `restart`. The default is no.
    fn has_base(&self) -> bool {
        false
    }

    /// Lists the files of the new manifest that the base has with the same path and length, in the manifest's order,
    /// without those that end before the bytes that were received. Adds the next of them to `files`, which is empty,
    /// and none at the end. The session calls this repeatedly. The digests are those that the sender sent with the base:
    /// **they say nothing about local changes**.
    async fn base_files(&mut self, _files: &mut BaseFiles) -> Result<(), StoreError> {
        Ok(())
    }

    /// Stores the next `length` bytes of the archive, which are files that `base_files` listed: their content and
    /// digests come from the base. Fails with [`StoreError::NotListed`] if they are anything else, and with
    /// [`StoreError::BaseLost`] if the base no longer has them. As with [`write`](Self::write), a later call may report
    /// the error.
    async fn take(&mut self, _length: u64) -> Result<(), StoreError> {
        Err(StoreError::NotListed)
    }

    /// The manifest digest of the archive that is being received, once its manifest is complete.
    fn manifest(&self) -> Option<Digest>;

    /// Number of bytes of the archive that are stored durably: they are not lost if the receiver is reset.
    fn durable(&self) -> u64;

    /// Verifies the whole archive and makes it visible to readers. If the store held the whole folder already, returns
    /// its receipt again. If bytes that were taken from the base turn out to be damaged, fails with
    /// [`StoreError::BaseLost`].
    async fn commit(&mut self) -> Result<Receipt, StoreError>;

    /// Ends the transfer, and keeps what was received, so that a later session can resume.
    async fn suspend(&mut self);

    /// Ends the transfer, and keeps nothing of it, because the archive or its sender cannot be trusted. If this future
    /// is dropped, a part may be left. A later transfer removes it, or resumes it and is refused for the same reason.
    async fn discard(&mut self);
}

/// Why a store refuses an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError {
    /// There is not enough free space.
    NoSpace {
        /// How much more space the archive needs.
        missing: Kibibytes,
    },
    /// The target holds another folder, which must not be overwritten.
    NotEmpty,
    /// The target cannot be written.
    NotWritable,
    /// A reader or another transfer is using the storage that the archive needs.
    InUse,
    /// The offer was created before the one that this sender sent last.
    Older,
    /// The archive exceeds a bound of [`Capacity`].
    Limit(Limit),
    /// An entry has a name that this platform cannot hold safely.
    Name {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// An entry has a name that means, on this platform, the same file as another entry's name.
    Collision {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// The sender's archive is malformed, or does not match its digests.
    Archive(ArchiveError),
    /// The base no longer has the files that it had, or they are damaged.
    BaseLost,
    /// The sender left out something else than the files that were listed.
    NotListed,
    /// Reading or writing the storage failed.
    Io,
    /// The stored archive does not read back as it was written.
    Verify,
    /// The receiver's application rejects the folder.
    Rejected {
        /// The application's own number for its reason; 0 if it did not decide in time.
        code: u16,
    },
    /// The store cannot hold a folder of this name.
    FolderName,
    /// The folder that this one would replace was changed since it was committed.
    Edited,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => error.fmt(f),
            Self::BaseLost => Cancel::BaseLost.fmt(f),
            Self::NotListed => Misbehaviour::LeftOut.fmt(f),
            other => other.refusal().fmt(f),
        }
    }
}

impl core::error::Error for StoreError {}

impl StoreError {
    /// The refusal that the sender gets. After [`BaseLost`](Self::BaseLost) it gets `Cancel` instead.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::NoSpace { missing } => Refusal::NoSpace { missing },
            Self::NotEmpty => Refusal::NotEmpty,
            Self::NotWritable => Refusal::NotWritable,
            Self::InUse => Refusal::InUse,
            Self::Older => Refusal::Older,
            Self::Limit(limit) => Refusal::Limit { limit },
            Self::Name { entry } => Refusal::Name { entry },
            Self::Collision { entry } => Refusal::Collision { entry },
            Self::Archive(_) => Refusal::Archive,
            Self::Io | Self::BaseLost => Refusal::Storage,
            Self::NotListed => Refusal::Protocol,
            Self::Verify => Refusal::Verify,
            Self::Rejected { code } => Refusal::Rejected { code },
            Self::FolderName => Refusal::FolderName,
            Self::Edited => Refusal::Edited,
        }
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BaseLost => Self::Cancelled(Cancel::BaseLost),
            StoreError::NotListed => Self::PeerMisbehaved(Misbehaviour::LeftOut),
            error => Self::Refused(error.refusal()),
        }
    }
}

// Each `?` through which an error leaves a receiver's session copies it. Two registers of a Cortex-M4 hold 8 bytes; with
// errors of 24 bytes the image of such a board was 6 KiB larger.
const _: () = assert!(size_of::<StoreError>() <= 8 && size_of::<SessionError>() <= 8);

/// The folder that a sender offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The sender's certificate.
    pub sender: CertificateHash,
    /// When the sender began its run, in seconds since 1970.
    pub created: u64,
    /// The archive's lengths and counts.
    pub shape: Shape,
}

/// A prefix of the offered archive that a store holds, and has read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Length of the prefix, in bytes of archive.
    pub offset: u64,
    /// BLAKE3 of the prefix.
    pub digest: Digest,
}

/// The bounds of a store, which the `Greeting` states to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Longest archive, in bytes.
    pub total: u64,
    /// Most entries.
    pub entries: u32,
    /// Longest manifest, in bytes.
    pub manifest: u32,
    /// Longest path, in bytes.
    pub path: u16,
    /// The longest archive for which there is space now, in bytes. Space taken by a held prefix counts as free, since a
    /// sender whose archive exceeds this bound does not even ask its user for the code.
    pub free: u64,
}
