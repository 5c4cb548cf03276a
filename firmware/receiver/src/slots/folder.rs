//! What an application reads: the committed folder under a lease, its entries, its files, and whether they are sound.

use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{ContentHasher, DIGEST, Entry, Kind};
use waft_core::digest::Digest;
use waft_core::path::RelPath;

use super::Slots;
use super::area::Fault;
use super::check::{self, Cursor, Pieces, WalkError};
use super::record::Committed;

/// `verify` reads in pieces of this length.
const PIECE: usize = 256;

/// A committed folder. While it lives it holds a lease: nothing of it changes, and a transfer that needs its slot waits
/// [`LEASE_MS`](waft_core::limits::LEASE_MS), and is then refused.
pub struct Folder<'s, M: RawMutex, F> {
    slots: &'s Slots<'s, M, F>,
    committed: Committed,
}

/// A file of a [`Folder`].
pub struct File<'r, M: RawMutex, F> {
    folder: &'r Folder<'r, M, F>,
    /// Where in the slot its content begins.
    at: u32,
    size: u32,
}

/// One entry of a [`Folder`].
pub struct Listed<'e, 'r, M: RawMutex, F> {
    /// Path, kind, mode and time.
    pub entry: Entry<'e>,
    /// The file, if it is one.
    pub file: Option<File<'r, M, F>>,
}

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReadError {
    /// The folder has no such path.
    NotFound,
    /// The path is that of a directory.
    IsDirectory,
    /// The flash failed.
    Flash,
    /// The flash does not hold any more what was committed.
    Damaged,
}

/// What became of a folder on its flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// Every byte is what was committed.
    Sound,
    /// Some files are not.
    Damaged {
        /// How many.
        files: u32,
    },
    /// The manifest is damaged: no name in it can be believed.
    Manifest,
}

impl<'s, M: RawMutex, F: NorFlash> Folder<'s, M, F> {
    /// The folder whose lease was counted already.
    pub(super) fn new(slots: &'s Slots<'s, M, F>, committed: Committed) -> Self {
        Self { slots, committed }
    }

    /// The root of its archive, as in the receipt.
    pub fn digest(&self) -> Digest {
        self.committed.root
    }

    /// Counts the folders that were committed on this flash.
    pub fn generation(&self) -> u64 {
        self.committed.generation
    }

    /// Length of its archive, in bytes.
    pub fn bytes(&self) -> u32 {
        self.committed.sizes.total
    }

    /// Files in it.
    pub fn files(&self) -> u32 {
        self.committed.sizes.files
    }

    /// The file of that path, components joined by `/`. Walks the manifest on the flash.
    pub async fn open(&self, path: &str) -> Result<File<'_, M, F>, ReadError> {
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

    /// All entries, in ascending order.
    pub fn entries(&self) -> Entries<'_, M, F> {
        Entries { folder: self, cursor: self.cursor() }
    }

    /// Reads everything back, entry by entry, beginning with the manifest.
    pub async fn verify(&self) -> Verification<'_, M, F> {
        let Committed { slot, sizes, manifest, .. } = self.committed;
        let mut buffer = [0; PIECE];
        let found = check::digest(&self.slots.area, slot, sizes.manifest, &mut buffer).await;
        Verification {
            entries: (found == Ok(manifest)).then(|| self.entries()),
            hasher: ContentHasher::new(&manifest),
            damaged: 0,
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.committed.slot, self.committed.sizes.manifest)
    }
}

impl<M: RawMutex, F> Drop for Folder<'_, M, F> {
    fn drop(&mut self) {
        self.slots.release(self.committed.slot);
    }
}

/// The entries of a [`Folder`], one after the other. About 1 KiB.
pub struct Entries<'r, M: RawMutex, F> {
    folder: &'r Folder<'r, M, F>,
    cursor: Cursor,
}

impl<'r, M: RawMutex, F: NorFlash> Entries<'r, M, F> {
    /// The next one; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Listed<'_, 'r, M, F>>, ReadError> {
        let folder = self.folder;
        let Some((entry, at)) = self.cursor.next(&folder.slots.area).await? else { return Ok(None) };
        let file = match entry.kind {
            Kind::Directory => None,
            Kind::File { size } => Some(File::new(folder, at, size)?),
        };
        Ok(Some(Listed { entry, file }))
    }
}

/// The entries of a [`Folder`], each read back. About 3 KiB.
pub struct Verification<'r, M: RawMutex, F> {
    /// None where the manifest is damaged.
    entries: Option<Entries<'r, M, F>>,
    hasher: ContentHasher,
    damaged: u32,
}

impl<'r, M: RawMutex, F: NorFlash> Verification<'r, M, F> {
    /// The next entry, and whether it is sound; `None` behind the last, or where the manifest is damaged.
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

    /// What became of the folder, once `next` gave all entries.
    pub fn verdict(self) -> Verdict {
        let root = self.entries.map(|entries| entries.folder.committed.root);
        match self.damaged {
            0 if root == Some(self.hasher.root()) => Verdict::Sound,
            0 => Verdict::Manifest,
            files => Verdict::Damaged { files },
        }
    }
}

impl<'r, M: RawMutex, F: NorFlash> File<'r, M, F> {
    fn new(folder: &'r Folder<'r, M, F>, at: u64, size: u64) -> Result<Self, ReadError> {
        let end = at.checked_add(size).filter(|end| *end <= folder.bytes().into()).ok_or(ReadError::Damaged)?;
        // `at <= end`, and `end` is within 32 bits.
        Ok(Self { folder, at: at as u32, size: (end - at) as u32 })
    }

    /// Length of its content, in bytes.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Reads from that offset on, to fill `bytes`; gives how many there were.
    pub async fn read_at(&self, offset: u32, bytes: &mut [u8]) -> Result<usize, ReadError> {
        let length = bytes.len().min(self.size.saturating_sub(offset) as usize);
        if length > 0 {
            let at = self.range().start + offset;
            self.folder.slots.area.read(at, &mut bytes[..length]).await?;
        }
        Ok(length)
    }

    /// BLAKE3 of its content, as the sender stated it and the receiver proved it before the folder was committed.
    pub async fn digest(&self) -> Result<Digest, ReadError> {
        let mut digest = [0; DIGEST];
        self.folder.slots.area.read(self.range().end, &mut digest).await?;
        Ok(Digest(digest))
    }

    /// Where on the flash its content lies.
    pub fn range(&self) -> Range<u32> {
        let start = self.folder.slots.area.layout().byte(self.folder.committed.slot, self.at);
        start..start + self.size
    }

    /// Its content in the memory-mapped flash, which begins with the flash's address 0. The slice borrows the lease.
    pub fn mapped(&self, flash: &'r [u8]) -> Option<&'r [u8]> {
        let Range { start, end } = self.range();
        flash.get(start as usize..end as usize)
    }

    async fn is_sound(&self, hasher: &mut ContentHasher, buffer: &mut [u8]) -> bool {
        let read = self.hash(hasher, buffer).await;
        // Always: the next file begins behind it.
        let found = hasher.end_file();
        read.is_ok() && self.digest().await == Ok(found)
    }

    async fn hash(&self, hasher: &mut ContentHasher, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut pieces = Pieces::new(self.folder.committed.slot, self.at, self.at + self.size, buffer);
        while let Some(piece) = pieces.next(&self.folder.slots.area).await? {
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
