//! A hand-made archive to send, legal or not. The tests of other crates use it as well.

use waft_core::archive::Shape;
use waft_core::digest::{Digest, Hasher};
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};

/// An archive in memory.
#[derive(Clone)]
pub(crate) struct HandMade {
    pub(crate) archive: Vec<u8>,
    pub(crate) info: ArchiveInfo,
    pub(crate) root: Digest,
    at: usize,
    /// Reading beyond this offset fails with this error.
    pub(crate) fails_at: Option<(usize, SourceError)>,
}

impl HandMade {
    /// An archive with this manifest, which claims this number of entries, and these contents. All digests are right.
    pub(crate) fn of(manifest: &[u8], entries: u32, contents: &[&[u8]]) -> Self {
        let manifest_digest = Digest::of(manifest);
        let (mut archive, mut root) = (manifest.to_vec(), Hasher::new());
        root.update(&manifest_digest.0);
        for content in contents {
            let digest = Digest::of(content);
            archive.extend([*content, &digest.0].concat());
            root.update(&digest.0);
        }
        let root = root.digest();
        archive.extend(root.0);
        let (files, manifest) = (contents.len() as u32, manifest.len() as u32);
        let shape = Shape { total: archive.len() as u64, files, entries, manifest };
        let info = ArchiveInfo { shape, manifest_digest, longest_path: 0 };
        Self { archive, info, root, at: 0, fails_at: None }
    }
}

impl Source for HandMade {
    fn info(&self) -> ArchiveInfo {
        self.info
    }

    async fn rewind(&mut self) -> Result<(), SourceError> {
        self.at = 0;
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        if let Some((at, error)) = self.fails_at
            && self.at + buffer.len() > at
        {
            return Err(error);
        }
        let count = buffer.len().min(self.archive.len() - self.at);
        buffer[..count].copy_from_slice(&self.archive[self.at..][..count]);
        self.at += count;
        Ok(count)
    }

    fn root(&self) -> Option<Digest> {
        Some(self.root)
    }
}
