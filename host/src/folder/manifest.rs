//! The bytes of a manifest that the walk wrote, for any number of readers: several senders of one folder share them.
//!
//! A manifest of up to [`IN_MEMORY`] bytes stays in memory; a longer one is in a temporary file without a name.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::sync::Arc;

use tempfile::{SpooledData, SpooledTempFile};

use crate::platform;

/// Manifests up to this length stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// Writes a manifest.
pub(super) struct ManifestSpool(BufWriter<SpooledTempFile>);

impl ManifestSpool {
    pub(super) fn new() -> Self {
        Self(BufWriter::with_capacity(64 << 10, tempfile::spooled_tempfile(IN_MEMORY)))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(super) fn finish(self) -> io::Result<ManifestBytes> {
        let mut spool = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        spool.rewind()?;
        Ok(ManifestBytes(Arc::new(match spool.into_inner() {
            SpooledData::InMemory(bytes) => Bytes::Memory(bytes.into_inner()),
            SpooledData::OnDisk(file) => Bytes::Disk(file),
        })))
    }
}

/// The bytes of a manifest. A clone shares them.
#[derive(Clone)]
pub(super) struct ManifestBytes(Arc<Bytes>);

enum Bytes {
    Memory(Vec<u8>),
    Disk(File),
}

impl ManifestBytes {
    /// A reader that begins at the first byte.
    pub(super) fn reader(&self) -> ManifestBytesReader {
        ManifestBytesReader { bytes: self.clone(), position: 0 }
    }
}

/// Reads the bytes of a manifest. Other readers of the same bytes do not disturb it.
pub(super) struct ManifestBytesReader {
    bytes: ManifestBytes,
    position: u64,
}

impl ManifestBytesReader {
    /// Goes back to the first byte.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
    }
}

impl Read for ManifestBytesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &*self.bytes.0 {
            Bytes::Memory(bytes) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(bytes.len());
                (&bytes[start..]).read(buffer)?
            }
            Bytes::Disk(file) => platform::read_at(file, buffer, self.position)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_the_same_bytes_do_not_disturb_each_other() {
        for length in [100, IN_MEMORY + 100] {
            let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut spool = ManifestSpool::new();
            spool.write(&content).unwrap();
            let bytes = spool.finish().unwrap();
            let (mut one, mut other) = (bytes.reader(), bytes.reader());
            let (mut start, mut whole) = ([0; 50], Vec::new());
            one.read_exact(&mut start).unwrap();
            other.read_to_end(&mut whole).unwrap();
            assert!(start == content[..50] && whole == content);
            one.read_exact(&mut start).unwrap();
            assert_eq!(start, content[50..100]);
            one.rewind();
            one.read_exact(&mut start).unwrap();
            assert_eq!(start, content[..50]);
        }
    }
}
