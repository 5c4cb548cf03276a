//! A staged file while its content arrives.
//!
//! Blocks of zeros are not written where the file system keeps files with holes: such a file takes less room on the disk,
//! and a hole reads as zeros. A hole at the end becomes part of the file only when the file is complete, or when the
//! transfer is suspended: to lengthen a file can reach the drive long before the content in front of the hole does, and
//! after a power cut nothing could resume from what reads as zeros.
//!
//! A file may share its content with one in the target (see `base`). Then its content is already there, and what arrives was
//! read from it to be verified.
//!
//! The system begins to write a large file to the drive while the rest of it arrives, where it can be told to. So the
//! commit, which waits until everything is on the drive, has less to wait for.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};
use waft_core::archive::Kind;

use crate::folder::entries::{Item, system_time};
use crate::platform;
use crate::store::capabilities::{Capabilities, Kept};

/// Size of the blocks that become holes, in bytes. Most file systems allocate no less at once.
const BLOCK: usize = 4096;

/// After so many bytes of a file, the system begins to write them to the drive.
const WRITE_BACK: u64 = 8 << 20;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The permissions that the owner of a staged file has until it is complete: a transfer that is interrupted reads the
/// file back, and continues to write it.
const OWNER: u16 = 0o600;

/// A staged file whose content is being written.
pub(super) struct StagedFile {
    file: File,
    item: Item,
    /// Length of the content so far.
    length: u64,
    /// Where the hole begins in which the content so far ends, which is also the position of `file`. `None` if it ends in
    /// no hole.
    hole: Option<u64>,
    /// Length of the content that the system has begun to write to the drive.
    handed: u64,
    /// Whether the file has all its content already. `length` counts what of it is verified.
    is_shared: bool,
}

impl StagedFile {
    /// Creates the file of an entry. If the file system keeps modes, the file gets its final mode now, as far as the
    /// process's mask allows.
    pub(super) fn create(dir: &Dir, name: &str, item: Item, capabilities: Capabilities) -> io::Result<Self> {
        let mode = if capabilities.files.modes { item.mode | OWNER } else { OWNER };
        let file = dir.open_with(name, platform::mode_at_creation(&mut new_file(), mode))?.into_std();
        Ok(Self { file, item, length: 0, hole: None, handed: 0, is_shared: false })
    }

    /// Lets the empty file share the content of `source`. Returns the file to read the content from. `None` if that cannot
    /// be done: then the file is still empty.
    pub(super) fn share(&mut self, source: &File) -> io::Result<Option<File>> {
        let file = self.file.try_clone()?;
        if !platform::share_content(source, &self.file) {
            // A part may be shared already.
            return file.set_len(0).map(|()| None);
        }
        // The other file may have changed since its length was known. This one cannot.
        let is_whole = file.metadata().is_ok_and(|found| self.item.kind == Kind::File { size: found.len() });
        if !is_whole {
            return file.set_len(0).map(|()| None);
        }
        self.is_shared = true;
        Ok(Some(file))
    }

    /// Opens the file of an entry of which `length` bytes are staged. `None` if its length is another.
    pub(super) fn append(dir: &Dir, name: &str, item: Item, length: u64) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.write(true).follow(FollowSymlinks::No);
        let mut file = dir.open_with(name, &options).ok()?.into_std();
        let end = file.seek(SeekFrom::End(0)).ok()?;
        (end == length).then_some(Self { file, item, length, hole: None, handed: length, is_shared: false })
    }

    /// Appends content.
    pub(super) fn write(&mut self, content: &[u8], capabilities: Capabilities) -> io::Result<()> {
        if self.is_shared {
            self.length += content.len() as u64;
            return Ok(());
        }
        if capabilities.holes {
            self.write_with_holes(content)?;
        } else {
            self.file.write_all(content)?;
            self.length += content.len() as u64;
        }
        let begun = self.length - self.handed;
        if begun >= WRITE_BACK {
            platform::begin_write_back(&self.file, self.handed, begun);
            self.handed = self.length;
        }
        Ok(())
    }

    fn write_with_holes(&mut self, mut content: &[u8]) -> io::Result<()> {
        while !content.is_empty() {
            let zeros = self.blocks(content, true);
            if zeros > 0 {
                self.hole.get_or_insert(self.length);
                self.length += zeros as u64;
                content = &content[zeros..];
                continue;
            }
            let hole = self.hole.take();
            if hole.is_some() {
                self.file.seek(SeekFrom::Start(self.length))?;
            }
            let data = self.blocks(content, false);
            self.file.write_all(&content[..data])?;
            self.free_hole(hole);
            self.length += data as u64;
            content = &content[data..];
        }
        Ok(())
    }

    /// Frees what was allocated ahead in a hole from `hole` to the end of the content so far.
    fn free_hole(&self, hole: Option<u64>) {
        if let Some(start) = hole {
            platform::free_allocated_ahead(&self.file, start, self.length - start);
        }
    }

    /// Makes a hole at the end of the content part of the file. Removes what it shares and is not verified.
    fn end(&mut self) -> io::Result<()> {
        let hole = self.hole.take();
        if std::mem::take(&mut self.is_shared) || hole.is_some() {
            self.file.set_len(self.length)?;
        }
        self.free_hole(hole);
        Ok(())
    }

    /// Completes the file: gives it its mode and time, and makes it durable with the tree.
    pub(super) fn finish(mut self, capabilities: Capabilities) -> io::Result<()> {
        self.end()?;
        finish(&self.file, &self.item, capabilities.files)
    }

    /// Number of bytes at the front of `content`, which comes next in the file, in blocks of zeros or in other blocks.
    /// The first and the last block may be incomplete.
    fn blocks(&self, content: &[u8], are_zeros: bool) -> usize {
        let first = BLOCK - (self.length % BLOCK as u64) as usize;
        let (mut count, mut block) = (0, first);
        while count < content.len() {
            let next = &content[count..][..block.min(content.len() - count)];
            if (*next == ZEROS[..next.len()]) != are_zeros {
                break;
            }
            count += next.len();
            block = BLOCK;
        }
        count
    }
}

impl Drop for StagedFile {
    /// The file stays for the next transfer. If that cannot be, it resumes at an earlier byte.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Gives a complete file its time, and its mode if it was created with another one.
pub(super) fn finish(file: &File, item: &Item, Kept { modes, times }: Kept) -> io::Result<()> {
    // Asking for the mode costs much less than setting it.
    if modes && platform::file_mode(&file.metadata()?) != item.mode {
        platform::set_file_mode(file, item.mode)?;
    }
    if let Some(time) = system_time(item.modified).filter(|_| times.can_be_set()) {
        platform::set_file_time(file, time)?;
    }
    platform::sync_file(file)
}

/// Options for a file that must not exist yet, with access only for its owner.
pub(super) fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A file that shares its content is read as well.
    platform::private(options.read(true).write(true).create_new(true).follow(FollowSymlinks::No));
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;
    use waft_core::archive::Modified;

    use super::*;

    /// XFS allocates room behind what is written, and keeps it once the file is longer.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_allocated_ahead_is_freed_where_a_hole_is() {
        use rustix::fs::{FallocateFlags, fallocate};

        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let modified = Modified { seconds: 1, nanos: 0 };
        let item = Item { kind: Kind::File { size: 4 << 20 }, mode: 0o644, modified, depth: 1, index: 0 };
        let mut content = vec![0; 4 << 20];
        content[..5000].fill(7);
        content[2 << 20] = 7;
        for piece in [content.len(), 60_000, 999] {
            let mut file = StagedFile::create(&dir, "file", item, Capabilities::ALL).unwrap();
            fallocate(&file.file, FallocateFlags::KEEP_SIZE, 0, 4 << 20).unwrap();
            content.chunks(piece).for_each(|piece| file.write(piece, Capabilities::ALL).unwrap());
            file.finish(Capabilities::ALL).unwrap();
            assert_eq!(fs::read(temp.path().join("file")).unwrap(), content);
            let room = platform::allocated(&fs::metadata(temp.path().join("file")).unwrap()).unwrap();
            assert!(room <= 32 << 10, "{room}");
            fs::remove_file(temp.path().join("file")).unwrap();
        }
    }

    #[test]
    fn only_what_is_verified_of_a_shared_file_is_left_by_an_interruption() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let modified = Modified { seconds: 1, nanos: 0 };
        let item = Item { kind: Kind::File { size: 9 }, mode: 0o644, modified, depth: 1, index: 0 };
        for (verified, left) in [("", ""), ("some", "some"), ("something", "something")] {
            let mut file = StagedFile::create(&dir, "file", item, Capabilities::ALL).unwrap();
            // As where the file system lets it share its content.
            fs::write(temp.path().join("file"), "something").unwrap();
            file.is_shared = true;
            file.write(verified.as_bytes(), Capabilities::ALL).unwrap();
            drop(file);
            assert_eq!(fs::read_to_string(temp.path().join("file")).unwrap(), left);
            fs::remove_file(temp.path().join("file")).unwrap();
        }
    }
}
