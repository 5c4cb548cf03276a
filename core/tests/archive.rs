//! Known answers for archives: the reader reads every file of `vectors/archive/`, whole and in pieces; the writer
//! writes the legal ones.
//!
//! A vector's header states the expected result: `expect: ok` with the entries (kind, mode, seconds.nanos, path), their
//! sums, the manifest's digest and, if `content:` follows, the root; or `expect:` with the error's name. Digests and
//! bytes were not made by this crate. If a test fails, do not change the vector.

use std::fs;
use std::path::Path;

use waft_core::archive::{
    ArchiveError, Content, ContentReader, ENTRY_PREFIX, Entry, Kind, ManifestReader, ManifestWriter, Modified, Shape,
    Summary,
};
use waft_core::limits::ENTRY_MAX;
use waft_core::path::RelPath;

/// One file of `vectors/archive/`.
#[derive(Default)]
struct Vector {
    name: String,
    /// The lines `key: value`, in order.
    header: Vec<(String, String)>,
    manifest: Vec<u8>,
    content: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut vector = Self { name, ..Self::default() };
        let mut section = "";
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(": ") {
                Some((key, value)) => vector.header.push((key.into(), value.into())),
                None if line.ends_with(':') => section = line,
                None if section == "content:" => vector.content.extend(hex(line)),
                None => vector.manifest.extend(hex(line)),
            }
        }
        vector
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.header.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
    }

    fn one(&self, key: &str) -> Option<&str> {
        self.all(key).first().copied()
    }

    /// The announced length of the manifest.
    fn length(&self) -> u32 {
        self.one("length").map_or(self.manifest.len() as u32, |length| length.parse().unwrap())
    }
}

fn hex(line: &str) -> impl Iterator<Item = u8> + '_ {
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap())
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/archive");
    let vectors: Vec<_> = fs::read_dir(folder).unwrap().map(|file| Vector::read(&file.unwrap().path())).collect();
    assert_eq!(vectors.len(), 60);
    vectors
}

/// Reads the manifest in pieces. Returns its entries in the notation of the vectors.
fn read(vector: &Vector, piece: usize) -> Result<(Vec<String>, Summary), ArchiveError> {
    let mut reader = ManifestReader::new(vector.length());
    let mut entries = Vec::new();
    // The reader is called at least once, even if the manifest is empty.
    for mut input in vector.manifest.chunks(piece).chain([&[][..]]) {
        while let Some(entry) = reader.next(&mut input)? {
            entries.push(notation(&entry));
        }
        assert!(input.is_empty());
    }
    Ok((entries, reader.finish()?))
}

/// An entry in the notation of the vectors.
fn notation(entry: &Entry<'_>) -> String {
    let kind = match entry.kind {
        Kind::Directory => "directory".to_string(),
        Kind::File { size } => format!("file:{size}"),
    };
    let Modified { seconds, nanos } = entry.modified;
    format!("{kind} {:o} {seconds}.{nanos} {}", entry.mode, entry.path.as_str())
}

/// Parses the notation of an entry.
fn parse(line: &str) -> Entry<'_> {
    let [kind, mode, time, path] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
    let (seconds, nanos) = time.split_once('.').unwrap();
    Entry {
        kind: kind.strip_prefix("file:").map_or(Kind::Directory, |size| Kind::File { size: size.parse().unwrap() }),
        path: RelPath::new(path).unwrap(),
        mode: u16::from_str_radix(mode, 8).unwrap(),
        modified: Modified { seconds: seconds.parse().unwrap(), nanos: nanos.parse().unwrap() },
    }
}

#[test]
fn every_manifest_has_the_expected_result() {
    for vector in vectors() {
        for piece in [1, 2, 3, 64, usize::MAX] {
            let name = &vector.name;
            match (read(&vector, piece), vector.one("expect").unwrap()) {
                (Ok((entries, summary)), "ok") => {
                    assert_eq!(entries, vector.all("entry"), "{name}");
                    check_sums(&vector, &summary);
                }
                (Ok(_), expected) => panic!("{name} in {piece}: ok, but expected {expected}"),
                (Err(error), expected) => assert_eq!(format!("{error:?}"), expected, "{name} in {piece}"),
            }
        }
    }
}

fn check_sums(vector: &Vector, summary: &Summary) {
    let Summary { digest, shape: Shape { total, files, entries, manifest }, content } = *summary;
    for (key, value) in
        [("entries", u64::from(entries)), ("files", u64::from(files)), ("sizes", content), ("total", total)]
    {
        assert_eq!(vector.one(key), Some(value.to_string().as_str()), "{}: {key}", vector.name);
    }
    assert_eq!(manifest, vector.length());
    assert_eq!(vector.one("digest"), Some(digest.to_string().as_str()), "{}", vector.name);
}

#[test]
fn every_legal_manifest_is_written_with_the_same_bytes() {
    for vector in vectors().iter().filter(|vector| vector.one("expect") == Some("ok")) {
        let mut writer = ManifestWriter::new();
        let (mut manifest, mut out) = (Vec::new(), [0; ENTRY_PREFIX + ENTRY_MAX]);
        for line in vector.all("entry") {
            let length = writer.push(&parse(line), &mut out).unwrap();
            manifest.extend_from_slice(&out[..length]);
        }
        assert_eq!(manifest, vector.manifest, "{}", vector.name);
        check_sums(vector, &writer.finish());
    }
}

#[test]
fn every_content_has_the_expected_root() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| !vector.content.is_empty()) {
        let summary = read(vector, usize::MAX).unwrap().1;
        let sizes: Vec<u64> = vector.all("entry").into_iter().filter_map(|line| parse(line).size()).collect();
        for piece in [1, 33, usize::MAX] {
            assert_eq!(root(&summary, &sizes, vector.content.chunks(piece)), vector.one("root").map(String::from));
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn root<'p>(summary: &Summary, sizes: &[u64], pieces: impl Iterator<Item = &'p [u8]>) -> Option<String> {
    let mut reader = ContentReader::new(summary);
    let (mut sizes, mut root) = (sizes.iter(), None);
    for mut input in pieces {
        while let Some(event) = reader.next(&mut input).unwrap() {
            match event {
                Content::NeedFile => reader.begin_file(*sizes.next().unwrap()).unwrap(),
                Content::End { root: end } => root = Some(end.to_string()),
                Content::Data(_) | Content::FileEnd { .. } => {}
            }
        }
    }
    assert!(reader.is_complete());
    root
}
