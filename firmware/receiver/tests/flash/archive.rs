//! Builds archives for the tests, and reads committed folders.

use std::ops::Range;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{ContentHasher, ENTRY_PREFIX, Entry, Kind, ManifestWriter, Modified};
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::limits::ENTRY_MAX;
use waft_core::path::RelPath;
use waft_core::session::Offered;
use waft_receiver::slots::{Folder, Transfer, Verdict};

/// Paths in ascending order, each with the content of the file, or `None` for a directory.
pub(crate) type Tree = Vec<(String, Option<Vec<u8>>)>;

pub(crate) struct Archive {
    pub(crate) tree: Tree,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offered: Offered,
    pub(crate) manifest: Digest,
    pub(crate) root: Digest,
}

impl Archive {
    /// Where the contents of its files are.
    pub(crate) fn files(&self) -> Vec<Range<usize>> {
        let mut at = self.offered.shape.manifest as usize;
        let sizes = self.tree.iter().filter_map(|(_, content)| content.as_ref().map(Vec::len));
        sizes.map(|size| (at..at + size, at += size + 32).0).collect()
    }
}

/// Files of these sizes. Their content depends on `seed`.
pub(crate) fn tree(seed: u8, sizes: &[usize]) -> Tree {
    let content = |index: usize, size: usize| (0..size).map(|at| (at * (index + 3)) as u8 ^ seed).collect();
    let files = sizes.iter().enumerate().map(|(index, size)| (format!("d/{index:03}"), Some(content(index, *size))));
    [("d".into(), None)].into_iter().chain(files).collect()
}

pub(crate) fn archive(tree: Tree, created: u64) -> Archive {
    archive_at(1, tree, created)
}

/// The same, of files that were modified at that time, in seconds since 1970.
pub(crate) fn archive_at(seconds: i64, tree: Tree, created: u64) -> Archive {
    let mut writer = ManifestWriter::new();
    let mut bytes = Vec::new();
    for (path, content) in &tree {
        let kind = content.as_ref().map_or(Kind::Directory, |content| Kind::File { size: content.len() as u64 });
        let path = RelPath::new(path).unwrap();
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        let entry = Entry { kind, path, mode, modified: Modified { seconds, nanos: 0 } };
        let mut out = [0; ENTRY_PREFIX + ENTRY_MAX];
        let length = writer.push(&entry, &mut out).unwrap();
        bytes.extend(&out[..length]);
    }
    let summary = writer.finish();
    let mut hasher = ContentHasher::new(&summary.digest);
    for content in tree.iter().filter_map(|(_, content)| content.as_ref()) {
        hasher.update(content);
        bytes.extend(content);
        bytes.extend(hasher.end_file().0);
    }
    let root = hasher.root();
    bytes.extend(root.0);
    let offered = Offered { sender: CertificateHash([1; 32]), created, shape: summary.shape };
    Archive { tree, bytes, offered, manifest: summary.digest, root }
}

/// Reads the whole folder through the reader's interface, and checks that it is undamaged.
pub(crate) async fn seen<F: NorFlash>(folder: &Folder<'_, NoopRawMutex, F>) -> Tree {
    read(folder).await.expect("the folder is sound")
}

/// Reads the whole folder, or returns `None` if any of it is unreadable or damaged.
pub(crate) async fn read<F: NorFlash>(folder: &Folder<'_, NoopRawMutex, F>) -> Option<Tree> {
    let mut tree = Vec::new();
    let mut entries = folder.entries();
    while let Some(listed) = entries.next().await.ok()? {
        let content = match &listed.file {
            None => None,
            Some(file) => {
                let mut content = vec![0; file.size() as usize];
                file.read_at(0, &mut content).await.ok().filter(|length| *length == content.len())?;
                Some(content)
            }
        };
        tree.push((listed.entry.path.as_str().to_owned(), content));
    }
    let mut transfer = Transfer::new();
    let mut verification = folder.verify(&mut transfer).await;
    while verification.next().await.ok()?.is_some() {}
    (verification.verdict() == Verdict::Sound).then_some(tree)
}
