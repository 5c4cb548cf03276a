//! A hand-made archive to send, legal or not. The tests of other crates use it as well.

use std::ops::Range;

use waft_core::archive::{Kind, ManifestReader, Shape};
use waft_core::digest::{Digest, Hasher};
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};

/// An archive in memory.
#[derive(Clone)]
pub(crate) struct HandMade {
    pub(crate) archive: Vec<u8>,
    pub(crate) info: ArchiveInfo,
    pub(crate) root: Digest,
    at: usize,
    /// Whether the sender leaves out what the receiver has.
    pub(crate) uses_base: bool,
    /// The files that the receiver has, by their indexes.
    pub(crate) noted: Vec<(u32, Digest)>,
    /// The ranges that are left out. If they are set, they are not computed: the sender lies.
    pub(crate) left_out: Vec<Range<u64>>,
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
        let (noted, left_out) = (Vec::new(), Vec::new());
        Self { archive, info, root, at: 0, uses_base: true, noted, left_out, fails_at: None }
    }
}

impl Source for HandMade {
    fn info(&self) -> ArchiveInfo {
        self.info
    }

    async fn rewind(&mut self) -> Result<(), SourceError> {
        self.at = 0;
        self.noted.clear();
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        if let Some((at, error)) = self.fails_at
            && self.at + buffer.len() > at
        {
            return Err(error);
        }
        if let Some(range) = self.left_out.iter().find(|range| range.start == self.at as u64) {
            self.at = range.end as usize;
        }
        let count = buffer.len().min(self.archive.len() - self.at);
        buffer[..count].copy_from_slice(&self.archive[self.at..][..count]);
        self.at += count;
        Ok(count)
    }

    fn uses_base(&self) -> bool {
        self.uses_base
    }

    fn note_base_file(&mut self, file: u32, digest: &Digest) {
        self.noted.push((file, *digest));
    }

    async fn compare_base(&mut self, from: u64) -> Result<(), SourceError> {
        self.at = from as usize;
        if self.left_out.is_empty() {
            let files = files_of(&self.archive, self.info.shape.manifest);
            let mut left_out: Vec<Range<u64>> = Vec::new();
            for (file, digest) in &self.noted {
                let content = files[*file as usize].1.clone();
                if Digest::of(&self.archive[content.clone()]) == *digest {
                    let (start, end) = ((content.start as u64).max(from), content.end as u64 + 32);
                    match left_out.last_mut().filter(|last| last.end == start) {
                        Some(last) => last.end = end,
                        None => left_out.push(start..end),
                    }
                }
            }
            self.left_out = left_out;
        }
        Ok(())
    }

    fn left_out(&mut self, from: u64) -> Range<u64> {
        let end = self.info.shape.total;
        self.left_out.iter().find(|range| range.start >= from).cloned().unwrap_or(end..end)
    }

    fn root(&self) -> Option<Digest> {
        Some(self.root)
    }
}

/// The files of a legal archive: their paths, and where their contents are.
pub(crate) fn files_of(archive: &[u8], manifest: u32) -> Vec<(String, Range<usize>)> {
    let (mut reader, mut input) = (ManifestReader::new(manifest), &archive[..manifest as usize]);
    let (mut files, mut at) = (Vec::new(), manifest as usize);
    while let Some(entry) = reader.next(&mut input).expect("legal") {
        if let Kind::File { size } = entry.kind {
            files.push((entry.path.as_str().to_owned(), at..at + size as usize));
            at += size as usize + 32;
        }
    }
    files
}
