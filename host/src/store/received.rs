//! Remembers which folder was put into a target last, and who sent it, in waft's own home.
//!
//! A committed folder is offered to the sender that it came from, so that sending it again moves nothing; to nobody
//! else, since the digest of all its content is part of the offer. The manifest is kept as it came: what the target's
//! file system shows of modes and times may be less. PROTOCOL.md, section 6, step 6.
//!
//! ```text
//! received/<BLAKE3 of the target's path, 32 hexadecimal digits>
//!   = "waft received 1\n" | sender (32) | root (32) | manifest digest (32) | manifest length (u32 big-endian)
//!     | length of the path (u32 big-endian) | path | manifest
//! ```
//!
//! A record is written before the folder is put in place. Nothing is believed of it: whatever it says of the target is
//! compared with the target, byte by byte.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use waft_core::certificate::CertificateHash;
use waft_core::digest::{Digest, Hasher};

use super::compare::manifest_digest;
use crate::home::{Home, HomeError};

const FOLDER: &str = "received";
const MAGIC: &[u8; 16] = b"waft received 1\n";
const FIXED: usize = MAGIC.len() + 3 * 32 + 2 * 4;
/// Longer paths are on no system.
const PATH_MAX: u64 = 64 << 10;

/// The records, one for each target.
#[derive(Clone, Debug)]
pub(super) struct Received {
    home: Home,
}

/// A folder that was put into a target.
pub(super) struct Record {
    pub(super) sender: CertificateHash,
    pub(super) root: Digest,
    pub(super) manifest_digest: Digest,
    pub(super) manifest_length: u32,
    /// The record's file, and where in it the manifest begins.
    pub(super) file: File,
    pub(super) manifest_start: u64,
}

/// What is written of a folder.
pub(super) struct Folder<'a> {
    pub(super) sender: &'a CertificateHash,
    pub(super) root: &'a Digest,
    pub(super) manifest_digest: &'a Digest,
    pub(super) manifest_length: u32,
}

impl Received {
    pub(super) fn new(home: Home) -> Self {
        Self { home }
    }

    /// What was put into `target` last. `None` if that is not known.
    pub(super) fn load(&self, target: &Path) -> Option<Record> {
        let mut file = File::open(self.home.path().join(FOLDER).join(name(target))).ok()?;
        let (record, path) = Record::read_head(&mut file).ok()??;
        if path != target.as_os_str().as_encoded_bytes() {
            return None;
        }
        let manifest_start = file.stream_position().ok()?;
        let digest = manifest_digest(&mut file, record.manifest_length).ok()??;
        (digest == record.manifest_digest).then_some(Record { file, manifest_start, ..record })
    }

    /// Remembers that `folder` is put into `target`; `manifest`: its bytes. Records of targets that are gone are removed.
    pub(super) fn store(&self, target: &Path, folder: &Folder<'_>, manifest: &mut File) -> Result<(), HomeError> {
        let records = Home::at(self.home.path().join(FOLDER))?;
        self.remove_stale(target);
        records.write_with(&name(target), |file| {
            let path = target.as_os_str().as_encoded_bytes();
            file.write_all(MAGIC)?;
            file.write_all(&folder.sender.0)?;
            file.write_all(&folder.root.0)?;
            file.write_all(&folder.manifest_digest.0)?;
            file.write_all(&folder.manifest_length.to_be_bytes())?;
            file.write_all(&(path.len() as u32).to_be_bytes())?;
            file.write_all(path)?;
            manifest.rewind()?;
            io::copy(&mut manifest.take(folder.manifest_length.into()), file).map(drop)
        })
    }

    /// Removes the records of other targets that are gone.
    fn remove_stale(&self, target: &Path) {
        let Ok(entries) = std::fs::read_dir(self.home.path().join(FOLDER)) else { return };
        for entry in entries.flatten() {
            let path = File::open(entry.path()).and_then(|mut file| Record::read_head(&mut file));
            let Ok(Some((_, path))) = path else { continue };
            let other = decode_path(path);
            if other != target && matches!(other.try_exists(), Ok(false)) {
                // What cannot be removed now is removed with the next record.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Record {
    /// The record without its manifest, and the bytes of its path. `None` if it is none.
    fn read_head(file: &mut File) -> io::Result<Option<(Self, Vec<u8>)>> {
        let mut head = [0; FIXED];
        file.read_exact(&mut head)?;
        let digest = |at: usize| -> [u8; 32] { head[at..at + 32].try_into().expect("32 bytes were cut") };
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("4 bytes were cut"));
        let length = u64::from(number(FIXED - 4));
        if !head.starts_with(MAGIC) || length > PATH_MAX {
            return Ok(None);
        }
        let mut path = Vec::new();
        Read::by_ref(file).take(length).read_to_end(&mut path)?;
        let record = Self {
            sender: CertificateHash(digest(16)),
            root: Digest(digest(48)),
            manifest_digest: Digest(digest(80)),
            manifest_length: number(112),
            file: file.try_clone()?,
            manifest_start: 0,
        };
        Ok(Some((record, path)))
    }
}

fn name(target: &Path) -> String {
    let mut hasher = Hasher::new();
    hasher.update(target.as_os_str().as_encoded_bytes());
    hasher.digest().0[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn decode_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(not(unix))]
fn decode_path(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
