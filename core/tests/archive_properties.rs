//! Properties of archives that hold for every tree, every mutation of its manifest, and every division into pieces.
//!
//! Whether a tree is legal is decided by a model with sets and sorted maps, which shares no code with the crate.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use waft_core::archive::{
    ArchiveError, Content, ContentHasher, ContentReader, ENTRY_PREFIX, Entry, Kind, ManifestReader, ManifestWriter,
    Modified, Summary,
};
use waft_core::digest::Digest;
use waft_core::limits::{ARCHIVE_MAX, ENTRY_MAX};
use waft_core::path::RelPath;

/// An entry that owns its path.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    path: String,
    size: Option<u64>,
    mode: u16,
    modified: Modified,
}

impl Owned {
    fn of(entry: &Entry<'_>) -> Self {
        let path = entry.path.as_str().to_string();
        Self { path, size: entry.size(), mode: entry.mode, modified: entry.modified }
    }

    fn entry(&self) -> Entry<'_> {
        let kind = self.size.map_or(Kind::Directory, |size| Kind::File { size });
        Entry { kind, path: RelPath::new(&self.path).unwrap(), mode: self.mode, modified: self.modified }
    }
}

/// The content of a file with this path and size in these tests.
fn content(path: &str, size: u64) -> Vec<u8> {
    path.bytes().cycle().take(size as usize).collect()
}

/// Trees of few names, which are chosen so that they collide, nest, and sort differently by bytes and by components.
fn tree() -> impl Strategy<Value = Vec<Owned>> {
    let name = prop::sample::select(vec!["a", "a-", "a.b", "ab", "B", "é", "...", "z\u{1f600}", "C:\\x"]);
    let path = vec(name, 1..5);
    let leaf = (path, prop::option::of(0u64..2000), 0u16..0o1000, any::<i64>(), 0u32..1_000_000_000);
    vec(leaf, 1..20).prop_map(|leaves| {
        let mut sorted: BTreeMap<Vec<&str>, Owned> = BTreeMap::new();
        for (names, size, mode, seconds, nanos) in leaves {
            let modified = Modified { seconds, nanos };
            for depth in 1..names.len() {
                let path = names[..depth].join("/");
                let parent = Owned { path, size: None, mode, modified };
                sorted.entry(names[..depth].to_vec()).or_insert(parent).size = None;
            }
            let path = names.join("/");
            sorted.entry(names).or_insert(Owned { path, size, mode, modified });
        }
        sorted.into_values().collect()
    })
}

fn write(tree: &[Owned]) -> Result<(Vec<u8>, Summary), ArchiveError> {
    let mut writer = ManifestWriter::new();
    let (mut bytes, mut out) = (Vec::new(), [0; ENTRY_PREFIX + ENTRY_MAX]);
    for entry in tree {
        let length = writer.push(&entry.entry(), &mut out)?;
        bytes.extend_from_slice(&out[..length]);
    }
    Ok((bytes, writer.finish()))
}

/// Cuts `bytes` into pieces of `sizes`, which are repeated as often as needed.
fn pieces<'b>(bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let (mut rest, mut all) = (bytes, vec![]);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all
}

/// Reads a manifest in pieces. Returns the entries, and the summary or the error.
fn read(bytes: &[u8], sizes: &[usize]) -> (Vec<Owned>, Result<Summary, ArchiveError>) {
    let mut reader = ManifestReader::new(bytes.len() as u32);
    let mut entries = Vec::new();
    for mut input in pieces(bytes, sizes) {
        loop {
            match reader.next(&mut input) {
                Ok(Some(entry)) => entries.push(Owned::of(&entry)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.finish(), Err(error));
                    assert!(!reader.is_complete());
                    return (entries, Err(error));
                }
            }
        }
    }
    (entries, reader.finish())
}

/// The rules of PROTOCOL.md, section 8, implemented in another way.
fn is_legal(tree: &[Owned]) -> bool {
    let mut directories = BTreeSet::from([vec![]]);
    let mut last: Vec<&str> = vec![];
    for entry in tree {
        let names: Vec<&str> = entry.path.split('/').collect();
        let (name, parent) = names.split_last().unwrap();
        let illegal =
            |name: &&str| matches!(*name, "" | "." | "..") || name.len() > 255 || name.chars().any(char::is_control);
        if names.iter().any(illegal) || !directories.contains(parent) || names <= last || name.is_empty() {
            return false;
        }
        if entry.path.len() > 1024 || names.len() > 64 || entry.mode > 0o777 || entry.modified.nanos > 999_999_999 {
            return false;
        }
        if entry.size.is_none() {
            directories.insert(names.clone());
        }
        last = names;
    }
    tree.iter().map(|entry| u128::from(entry.size.unwrap_or(0))).sum::<u128>() <= ARCHIVE_MAX.into()
}

/// A legal manifest with a few bytes changed, removed, inserted or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (0..5, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    (tree(), vec(change, 1..4)).prop_map(|(tree, changes)| {
        let (mut bytes, _) = write(&tree).unwrap();
        for (kind, at, to, byte) in changes {
            let length = bytes.len();
            let (at, to) = (at.index(length + 1), to.index(length + 1));
            let (from, to) = (at.min(to), at.max(to));
            match kind {
                0 if at < length => bytes[at] = byte,
                1 if at < length => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                3 => drop(bytes.drain(from..to)),
                4 => bytes.extend_from_within(from..to),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_tree_is_read_as_it_was_written(tree in tree(), sizes in vec(1usize..40, 1..8)) {
        prop_assert!(is_legal(&tree));
        let (bytes, summary) = write(&tree).unwrap();
        prop_assert_eq!(summary.digest, Digest::of(&bytes));
        prop_assert_eq!(summary.shape.manifest as usize, bytes.len());
        prop_assert_eq!(summary.shape.files as usize, tree.iter().filter(|entry| entry.size.is_some()).count());
        prop_assert_eq!(read(&bytes, &sizes), (tree, Ok(summary)));
    }

    #[test]
    fn a_tree_in_another_order_is_refused(tree in tree(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        prop_assume!(tree.len() > 1);
        let (a, b) = (a.index(tree.len()), b.index(tree.len()));
        prop_assume!(a != b);
        let mut swapped = tree;
        swapped.swap(a, b);
        prop_assert!(write(&swapped).is_err());
    }

    #[test]
    fn a_tree_without_a_directory_is_refused(tree in tree(), index in any::<prop::sample::Index>()) {
        let mut smaller = tree;
        smaller.remove(index.index(smaller.len()));
        prop_assert_eq!(write(&smaller).is_ok(), is_legal(&smaller));
    }

    #[test]
    fn a_mutated_manifest_is_refused_or_another_legal_tree(bytes in mutated()) {
        let (entries, end) = read(&bytes, &[usize::MAX]);
        prop_assert!(is_legal(&entries));
        if let Ok(summary) = end {
            // The tree has no other manifest.
            prop_assert_eq!(write(&entries).unwrap(), (bytes, summary));
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_pieces(bytes in mutated(), sizes in vec(1usize..40, 1..8)) {
        prop_assert_eq!(read(&bytes, &sizes), read(&bytes, &[usize::MAX]));
    }

    #[test]
    fn random_bytes_are_read_without_panic(bytes in vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200), size in 1usize..9) {
        prop_assert!(is_legal(&read(&bytes, &[size]).0));
        let _ = Entry::decode(&bytes);
    }

    #[test]
    fn any_text_is_a_safe_path_or_refused(text in "[a./\\\\\u{1}\u{7f}é-]{0,12}") {
        if let Ok(path) = RelPath::new(&text) {
            let legal = Owned { path: path.name().into(), size: None, mode: 0, modified: Modified::default() };
            prop_assert!(is_legal(&[legal]));
            prop_assert!(path.components().all(|name| !matches!(name, "" | "." | "..")));
            prop_assert_eq!(path.components().collect::<Vec<_>>().join("/"), text.as_str());
        }
    }

    #[test]
    fn paths_are_ordered_by_components(a in "[a/.-]{1,8}", b in "[a/.-]{1,8}") {
        if let (Ok(one), Ok(other)) = (RelPath::new(&a), RelPath::new(&b)) {
            let (names, others): (Vec<&str>, Vec<&str>) = (a.split('/').collect(), b.split('/').collect());
            prop_assert_eq!(one.cmp(&other), names.cmp(&others));
            prop_assert_eq!(one.is_below(other), names.len() > others.len() && names.starts_with(&others));
        }
    }

    #[test]
    fn contents_are_read_as_written_and_every_change_is_detected(tree in tree(), sizes in vec(1usize..300, 1..8), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (_, summary) = write(&tree).unwrap();
        let mut bytes = contents(&tree, &summary);
        prop_assert_eq!(bytes.len() as u64 + u64::from(summary.shape.manifest), summary.shape.total);
        let files: Vec<Vec<u8>> = tree.iter().filter_map(|e| Some(content(&e.path, e.size?))).collect();
        prop_assert_eq!(read_contents(&bytes, &tree, &summary, &sizes), Ok((files, true)));
        let at = at.index(bytes.len());
        prop_assert!(!matches!(read_contents(&bytes[..at], &tree, &summary, &sizes), Ok((_, true))));
        bytes[at] ^= 1u8 << bit;
        prop_assert!(read_contents(&bytes, &tree, &summary, &sizes).is_err());
    }
}

/// The bytes that follow the manifest of `tree`.
fn contents(tree: &[Owned], summary: &Summary) -> Vec<u8> {
    let mut hasher = ContentHasher::new(&summary.digest);
    let mut bytes = Vec::new();
    for entry in tree {
        let Some(size) = entry.size else { continue };
        let content = content(&entry.path, size);
        hasher.update(&content);
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(&hasher.end_file().0);
    }
    bytes.extend_from_slice(&hasher.root().0);
    bytes
}

/// The files that matched their digests, and whether the archive is complete.
fn read_contents(
    bytes: &[u8],
    tree: &[Owned],
    summary: &Summary,
    sizes: &[usize],
) -> Result<(Vec<Vec<u8>>, bool), ArchiveError> {
    let mut reader = ContentReader::new(summary);
    let mut file_sizes = tree.iter().filter_map(|entry| entry.size);
    let (mut files, mut file) = (Vec::new(), Vec::new());
    for mut input in pieces(bytes, sizes) {
        while let Some(event) = reader.next(&mut input)? {
            match event {
                Content::NeedFile => reader.begin_file(file_sizes.next().unwrap())?,
                Content::Data(data) => file.extend_from_slice(data),
                Content::FileEnd { .. } => files.push(std::mem::take(&mut file)),
                Content::End { .. } => {}
            }
        }
    }
    Ok((files, reader.is_complete()))
}
