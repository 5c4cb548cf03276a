//! Recognises what the target already holds: the folder that was received last, when its sender offers it again, or a
//! folder that is compared with a sealed file.
//!
//! A record in waft's home says which folder was put into a target last, and which sender it came from. A committed folder
//! is offered to that sender, so that sending it again moves no data. It is not offered to other senders, because the offer
//! contains the digest of the whole content. The manifest is kept as it was received, because the target's file system may
//! show modes and times less exactly. PROTOCOL.md, section 6, step 6.
//!
//! ```text
//! received/<BLAKE3 of the target's path, 32 hexadecimal digits>
//!   = "waft received 2\n" | sender (32) | root (32) | manifest digest (32) | manifest length (u32 big-endian)
//!     | length of the path (u32 big-endian) | path | manifest | BLAKE3 of each file (32 each)
//! received/<the same>.next
//!   = the same, of a folder that replaces the one in the target (see `replace`)
//! ```
//!
//! A record is written before the folder is put in place, and it is never trusted: the target is compared with it byte
//! by byte.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::digest::{Digest, Hasher};
use waft_core::limits::ENTRIES_MAX;
use waft_core::session::Offered;

use crate::home::{Home, HomeError};
use crate::platform;
use crate::store::base::Base;
use crate::store::blocking::BlockingStore;
use crate::store::capabilities::Capabilities;
use crate::store::compare::{Others, Rules, Whole, compare, manifest_digest, resembles};
use crate::store::error;
use crate::store::place::{Found, staging_name};
use crate::store::staging::Staging;
use crate::store::tree::Digests;

impl BlockingStore {
    /// Returns the manifest's digest and the archive's digests if the target holds the offered folder and this sender
    /// sent it.
    pub(super) fn committed(
        &mut self,
        target: Dir,
        offered: &Offered,
        is_it: &dyn Fn(&Digest) -> bool,
    ) -> Option<(Digest, Whole)> {
        let record = self.record(offered).filter(|record| is_it(&record.manifest_digest))?;
        // Capabilities cannot be measured if nothing can be written; then the values are compared exactly.
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        let (file, start) = (record.file, record.manifest_start);
        let whole = compare(target, file, start, &offered.shape, self.rules(capabilities, self.others()))?;
        // The digests are returned only for content that this sender sent. They must reveal nothing about local
        // changes.
        (whole.root == record.root).then_some((record.manifest_digest, whole))
    }

    /// Whether the last folder of this sender still seems to be in the target, and has the offered shape. Reads no
    /// content and writes nothing.
    pub(super) fn may_be_committed(&self, target: Dir, offered: &Offered) -> bool {
        let Some(Record { file, manifest_start, .. }) = self.record(offered) else { return false };
        let capabilities = self.capabilities.unwrap_or(Capabilities::NONE);
        resembles(target, file, manifest_start, &offered.shape, self.rules(capabilities, self.others()))
    }

    /// Compares the target with `manifest` (see [`compare`]). The target must hold no other files.
    pub(super) fn holds(&mut self, manifest: impl Read + Seek, shape: &Shape) -> Option<Whole> {
        let Ok(Found::Filled(target)) = self.place.inspect() else { return None };
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        compare(target, manifest, 0, shape, self.rules(capabilities, Others::Nothing))
    }

    /// What a target may hold besides a folder that is there already.
    fn others(&self) -> Others {
        match self.overwrite {
            true => Others::Anything,
            false if self.may_replace() => Others::FileManagers,
            false => Others::Nothing,
        }
    }

    pub(super) fn rules(&self, capabilities: Capabilities, others: Others) -> Rules<'_> {
        Rules { capabilities, others, place: &self.place }
    }

    /// Returns the record of the target if it names this sender and a manifest of the offered length.
    fn record(&self, offered: &Offered) -> Option<Record> {
        let record = self.received.as_ref()?.load(&self.place.target_path())?;
        let is_it = record.sender == offered.sender && record.manifest_length == offered.shape.manifest;
        is_it.then_some(record)
    }

    /// The folder in the target, if the sender of this offer sent it.
    pub(super) fn find_base(&self, offered: &Offered) -> error::Result<Option<Base>> {
        let Some(received) = &self.received else { return Ok(None) };
        let record = received.load(&self.place.target_path()).filter(|record| record.sender == offered.sender);
        match (record, self.place.inspect()?) {
            (Some(record), Found::Filled(target)) => Ok(Some(Base::new(target, record))),
            _ => Ok(None),
        }
    }

    /// Measures the capabilities of the file system in a staging area that is removed again if it is empty.
    pub(super) fn measure_now(&mut self) -> error::Result<Capabilities> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let staging = Staging::open(&self.place)?;
        let measured = self.measure(&staging);
        if !staging.is_used() {
            let _ = staging.remove(&self.place);
        }
        measured
    }

    /// Measures the capabilities of the file system, once.
    pub(super) fn measure(&mut self, staging: &Staging) -> error::Result<Capabilities> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let measured = Capabilities::measure(&staging.dir).map_err(|error| self.place.at_staging("", error))?;
        Ok(*self.capabilities.insert(measured))
    }
}

const FOLDER: &str = "received";
const MAGIC: &[u8; 16] = b"waft received 2\n";
const FIXED: usize = MAGIC.len() + 3 * 32 + 2 * 4;
/// An upper bound: no system has longer paths.
const PATH_MAX: u64 = 64 << 10;

/// The records, one per target.
#[derive(Clone, Debug)]
pub(super) struct Received {
    home: Home,
}

/// A record as it was read: a folder that was put into a target.
pub(super) struct Record {
    pub(super) sender: CertificateHash,
    pub(super) root: Digest,
    pub(super) manifest_digest: Digest,
    pub(super) manifest_length: u32,
    /// The digests of the files.
    pub(super) digests: Vec<Digest>,
    /// The file of the record, and the offset at which the manifest begins in it.
    pub(super) file: File,
    pub(super) manifest_start: u64,
}

/// The fields of a record to write.
pub(super) struct Folder<'a> {
    pub(super) sender: &'a CertificateHash,
    pub(super) digests: &'a Digests,
    pub(super) manifest_length: u32,
}

impl Received {
    pub(super) fn new(home: Home) -> Self {
        Self { home }
    }

    /// Returns the record of `target`. `None` if there is none, or if it is damaged.
    pub(super) fn load(&self, target: &Path) -> Option<Record> {
        self.load_named(target, &name(target))
    }

    /// Returns the record that a process had stored for the target before it replaced its folder, and which did not
    /// become the record.
    pub(super) fn load_next(&self, target: &Path) -> Option<Record> {
        self.load_named(target, &next_name(target))
    }

    fn load_named(&self, target: &Path, name: &str) -> Option<Record> {
        let mut file = File::open(self.home.path().join(FOLDER).join(name)).ok()?;
        let (record, path) = Record::read_head(&mut file).ok()??;
        if path != target.as_os_str().as_encoded_bytes() {
            return None;
        }
        let manifest_start = file.stream_position().ok()?;
        let digest = manifest_digest(&mut file, record.manifest_length).ok()??;
        if digest != record.manifest_digest {
            return None;
        }
        let digests = read_digests(&mut file, &record)?;
        Some(Record { digests, file, manifest_start, ..record })
    }

    /// Records that `folder` is put into `target`; `manifest` is the file with its manifest. Removes the records of
    /// targets that no longer exist and have no staging area.
    pub(super) fn store(&self, target: &Path, folder: &Folder<'_>, manifest: &mut File) -> Result<(), HomeError> {
        self.store_named(target, &name(target), folder, manifest)
    }

    /// Records that `folder` is about to replace the one in `target`, beside the record of that one.
    pub(super) fn store_next(&self, target: &Path, folder: &Folder<'_>, manifest: &mut File) -> Result<(), HomeError> {
        self.store_named(target, &next_name(target), folder, manifest)
    }

    /// The folder in the target was replaced by the one that [`store_next`](Self::store_next) recorded. If that cannot be
    /// stored, the next transfer tries again.
    pub(super) fn promote_next(&self, target: &Path) {
        let records = self.home.path().join(FOLDER);
        let _ = std::fs::rename(records.join(next_name(target)), records.join(name(target)));
        let _ = platform::sync_directory(&records);
    }

    /// The folder that [`store_next`](Self::store_next) recorded does not replace the one in the target.
    pub(super) fn remove_next(&self, target: &Path) {
        // A record that cannot be removed does no harm: the target is compared with it.
        let _ = std::fs::remove_file(self.home.path().join(FOLDER).join(next_name(target)));
    }

    fn store_named(
        &self,
        target: &Path,
        name: &str,
        folder: &Folder<'_>,
        manifest: &mut File,
    ) -> Result<(), HomeError> {
        let records = Home::at(self.home.path().join(FOLDER))?;
        self.remove_stale(target);
        records.write_with(name, |file| {
            let path = target.as_os_str().as_encoded_bytes();
            file.write_all(MAGIC)?;
            file.write_all(&folder.sender.0)?;
            file.write_all(&folder.digests.root.0)?;
            file.write_all(&folder.digests.manifest.0)?;
            file.write_all(&folder.manifest_length.to_be_bytes())?;
            file.write_all(&(path.len() as u32).to_be_bytes())?;
            file.write_all(path)?;
            manifest.rewind()?;
            io::copy(&mut manifest.take(folder.manifest_length.into()), file)?;
            file.write_all(folder.digests.files.iter().flat_map(|digest| digest.0).collect::<Vec<_>>().as_slice())
        })
    }

    /// Removes the records of other targets that no longer exist, and have no staging area.
    fn remove_stale(&self, target: &Path) {
        let Ok(entries) = std::fs::read_dir(self.home.path().join(FOLDER)) else { return };
        for entry in entries.flatten() {
            let path = File::open(entry.path()).and_then(|mut file| Record::read_head(&mut file));
            let Ok(Some((_, path))) = path else { continue };
            let other = decode_path(path);
            // While a folder is being replaced, it may be in its staging area.
            let staging = other.file_name().map(|name| other.with_file_name(staging_name(name)));
            let is_gone = |path: &Path| matches!(path.try_exists(), Ok(false));
            if other != target && is_gone(&other) && staging.is_none_or(|staging| is_gone(&staging)) {
                // A record that cannot be removed now is removed when the next one is written.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Record {
    /// Reads a record without its manifest, and the bytes of its path. `None` if the file is not a record.
    fn read_head(file: &mut File) -> io::Result<Option<(Self, Vec<u8>)>> {
        let mut head = [0; FIXED];
        file.read_exact(&mut head)?;
        let digest = |at: usize| -> [u8; 32] { head[at..at + 32].try_into().expect("the range has 32 bytes") };
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("the range has 4 bytes"));
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
            digests: Vec::new(),
            file: file.try_clone()?,
            manifest_start: 0,
        };
        Ok(Some((record, path)))
    }
}

/// The digests of the record's files, which follow the manifest. `None` if they do not give the record's root.
fn read_digests(file: &mut File, record: &Record) -> Option<Vec<Digest>> {
    let mut bytes = Vec::new();
    file.take(u64::from(ENTRIES_MAX) * 32).read_to_end(&mut bytes).ok()?;
    let (digests, rest) = bytes.as_chunks();
    let mut root = Hasher::new();
    root.update(&record.manifest_digest.0);
    root.update(&bytes);
    (rest.is_empty() && root.digest() == record.root).then(|| digests.iter().map(|digest| Digest(*digest)).collect())
}

/// Name of the record of a folder that is about to replace the one in the target.
fn next_name(target: &Path) -> String {
    name(target) + ".next"
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
