//! Reads the committed folder under a lease, for applications: its entries, its files, and whether they are undamaged.

use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{ContentHasher, DIGEST, Entry, Kind};
use waft_core::digest::{Digest, Hasher};
use waft_core::path::RelPath;

use super::Slots;
use super::area::Slot;
use super::check::{self, Cursor, Pieces, WalkError};
use super::record::Committed;
use super::transfer::Transfer;
use crate::flash::Fault;

/// The length of the pieces that `verify` reads.
const PIECE: usize = 256;

/// A committed folder. While this value exists it holds a lease: the folder does not change, and a transfer that needs
/// its slot waits for [`LEASE_MS`](waft_core::limits::LEASE_MS) and is then refused. A clone holds a lease of its own.
pub struct Folder<'s, M: RawMutex, F> {
    lease: Lease<'s, M, F>,
    committed: Committed,
}

/// A file of a [`Folder`]. It holds a lease of its own, so that it can be kept without the folder: in a struct, in a
/// `static`, or by another task.
pub struct File<'s, M: RawMutex, F> {
    lease: Lease<'s, M, F>,
    /// The offset of its content in the slot.
    at: u32,
    size: u32,
}

/// A lease on a slot: nothing is written to the slot until it is dropped.
struct Lease<'s, M: RawMutex, F> {
    slots: &'s Slots<'s, M, F>,
    slot: Slot,
}

impl<M: RawMutex, F> Clone for Lease<'_, M, F> {
    fn clone(&self) -> Self {
        let Self { slots, slot } = *self;
        slots.shared(|shared| shared.lease(slot));
        Self { slots, slot }
    }
}

impl<M: RawMutex, F> Drop for Lease<'_, M, F> {
    fn drop(&mut self) {
        self.slots.shared(|shared| shared.release(self.slot));
    }
}

/// An entry of a [`Folder`].
pub struct Listed<'e, 's, M: RawMutex, F> {
    /// The path, kind, mode and time.
    pub entry: Entry<'e>,
    /// The file, unless the entry is a directory.
    pub file: Option<File<'s, M, F>>,
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadError {
    /// The folder does not contain the path.
    NotFound,
    /// The path is a directory.
    IsDirectory,
    /// The flash failed.
    Flash,
    /// The flash no longer holds what was committed.
    Damaged,
}

/// The result of verifying a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// Every byte is as it was committed.
    Sound,
    /// Some files are damaged.
    Damaged {
        /// The number of damaged files.
        files: u32,
    },
    /// The manifest is damaged, so none of its names can be trusted.
    Manifest,
}

impl<M: RawMutex, F> Clone for Folder<'_, M, F> {
    fn clone(&self) -> Self {
        Self { lease: self.lease.clone(), committed: self.committed }
    }
}

impl<M: RawMutex, F> Clone for File<'_, M, F> {
    fn clone(&self) -> Self {
        Self { lease: self.lease.clone(), ..*self }
    }
}

impl<'s, M: RawMutex, F: NorFlash> Folder<'s, M, F> {
    /// Wraps a folder whose lease was already counted.
    pub(super) fn new(slots: &'s Slots<'s, M, F>, committed: Committed) -> Self {
        Self { lease: Lease { slots, slot: committed.slot }, committed }
    }

    /// The root digest of its archive, as in the receipt.
    pub fn digest(&self) -> Digest {
        self.committed.root
    }

    /// The generation of the folder, which counts the commits on this flash.
    pub fn generation(&self) -> u64 {
        self.committed.generation
    }

    /// The length of its archive, in bytes.
    pub fn bytes(&self) -> u32 {
        self.committed.sizes.total
    }

    /// The number of its files.
    pub fn files(&self) -> u32 {
        self.committed.sizes.files
    }

    /// Opens the file at `path`, with components joined by `/`. Searches the manifest on the flash.
    pub async fn open(&self, path: &str) -> Result<File<'s, M, F>, ReadError> {
        let wanted = RelPath::new(path).map_err(|_| ReadError::NotFound)?;
        let mut entries = self.entries();
        while let Some(Listed { entry, file }) = entries.next().await? {
            if entry.path == wanted {
                return file.ok_or(ReadError::IsDirectory);
            }
            if entry.path > wanted {
                break;
            }
        }
        Err(ReadError::NotFound)
    }

    /// All entries, in ascending order of their paths.
    pub fn entries(&self) -> Entries<'_, 's, M, F> {
        Entries { folder: self, cursor: self.cursor() }
    }

    /// Starts to read everything back. Checks the manifest now, and an entry with each call of [`Verification::next`].
    /// `memory` is for the digests.
    pub async fn verify<'r>(&'r self, memory: &'r mut Transfer) -> Verification<'r, 's, M, F> {
        let Committed { slot, sizes, manifest, .. } = self.committed;
        let mut buffer = [0; PIECE];
        let found = check::digest(&self.lease.slots.area, slot, sizes.manifest, memory, &mut buffer).await;
        Verification {
            entries: (found == Ok(manifest)).then(|| self.entries()),
            hasher: ContentHasher::borrowing(memory.hashers(), &manifest),
            damaged: 0,
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.committed.slot, self.committed.sizes.manifest)
    }
}

/// An iterator over the entries of a [`Folder`]. Takes about 1 KiB.
pub struct Entries<'r, 's, M: RawMutex, F> {
    folder: &'r Folder<'s, M, F>,
    cursor: Cursor,
}

impl<'s, M: RawMutex, F: NorFlash> Entries<'_, 's, M, F> {
    /// The next entry, or `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Listed<'_, 's, M, F>>, ReadError> {
        let folder = self.folder;
        let Some((entry, at)) = self.cursor.next(&folder.lease.slots.area).await? else { return Ok(None) };
        let file = match entry.kind {
            Kind::Directory => None,
            Kind::File { size } => Some(File::new(folder, at, size)?),
        };
        Ok(Some(Listed { entry, file }))
    }
}

/// An iterator that reads each entry of a [`Folder`] back. Takes about 1 KiB.
pub struct Verification<'r, 's, M: RawMutex, F> {
    /// `None` if the manifest is damaged.
    entries: Option<Entries<'r, 's, M, F>>,
    hasher: ContentHasher<&'r mut Hasher>,
    damaged: u32,
}

impl<M: RawMutex, F: NorFlash> Verification<'_, '_, M, F> {
    /// The next entry and whether it is undamaged, or `None` after the last one or if the manifest is damaged.
    pub async fn next(&mut self) -> Result<Option<(RelPath<'_>, bool)>, ReadError> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        let Some(Listed { entry, file }) = entries.next().await? else { return Ok(None) };
        let mut buffer = [0; PIECE];
        let sound = match file {
            None => true,
            Some(file) => file.is_sound(&mut self.hasher, &mut buffer).await,
        };
        self.damaged += u32::from(!sound);
        Ok(Some((entry.path, sound)))
    }

    /// The result, once `next` returned all entries.
    pub fn verdict(self) -> Verdict {
        let root = self.entries.map(|entries| entries.folder.committed.root);
        match self.damaged {
            0 if root == Some(self.hasher.root()) => Verdict::Sound,
            0 => Verdict::Manifest,
            files => Verdict::Damaged { files },
        }
    }
}

impl<'s, M: RawMutex, F: NorFlash> File<'s, M, F> {
    fn new(folder: &Folder<'s, M, F>, at: u64, size: u64) -> Result<Self, ReadError> {
        let end = at.checked_add(size).filter(|end| *end <= folder.bytes().into()).ok_or(ReadError::Damaged)?;
        // `at <= end`, and `end` fits in 32 bits.
        Ok(Self { lease: folder.lease.clone(), at: at as u32, size: (end - at) as u32 })
    }

    /// The length of its content, in bytes.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Reads from `offset` into `bytes`, and returns the number of bytes read, which is smaller at the end of the file.
    pub async fn read_at(&self, offset: u32, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let length = bytes.len().min(self.size.saturating_sub(offset) as usize);
        if length > 0 {
            let at = self.range().start + offset;
            self.lease.slots.area.read(at, &mut bytes[..length]).await?;
        }
        Ok(length)
    }

    /// The BLAKE3 digest of its content, as the sender stated it and the receiver verified it before the commit.
    pub async fn digest(&self) -> Result<Digest, ReadError> {
        let mut digest = [0; DIGEST];
        self.lease.slots.area.read(self.range().end, &mut digest).await?;
        Ok(Digest(digest))
    }

    /// Where its content is in the flash, as offsets from the flash's first byte.
    ///
    /// On a chip that maps its flash into memory, the board's crate can make a slice of it, which borrows this file.
    /// That takes `unsafe`, and is sound because the lease lasts as long as the file: until then nothing writes to
    /// these bytes or erases them. The slice must not outlive the file, and must not cover other bytes.
    pub fn range(&self) -> Range<u32> {
        let start = self.lease.slots.area.layout().byte(self.lease.slot, self.at);
        start..start + self.size
    }

    async fn is_sound(&self, hasher: &mut ContentHasher<&mut Hasher>, buffer: &mut [u8]) -> bool {
        let read = self.hash(hasher, buffer).await;
        // Called even after an error, because the hasher must be ready for the next file.
        let found = hasher.end_file();
        read.is_ok() && self.digest().await == Ok(found)
    }

    async fn hash(&self, hasher: &mut ContentHasher<&mut Hasher>, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut pieces = Pieces::new(self.lease.slot, self.at, self.at + self.size, buffer);
        while let Some(piece) = pieces.next(&self.lease.slots.area).await? {
            hasher.update(piece);
        }
        Ok(())
    }
}

impl From<Fault> for ReadError {
    fn from(_: Fault) -> Self {
        Self::Flash
    }
}

impl From<WalkError> for ReadError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Flash => Self::Flash,
            WalkError::Damaged => Self::Damaged,
        }
    }
}
