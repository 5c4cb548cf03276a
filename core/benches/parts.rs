//! Benchmarks of the parts of a transfer: the archive, sealing, opening, compression. `cargo bench -p waft-core`.
//!
//! Throughput is in bytes of archive. Compare the lines of one run with each other, not with those of another run.

use divan::Bencher;
use divan::counter::BytesCount;
use rand_core::{OsRng, RngCore};
use waft_core::archive::{
    Content, ContentHasher, ContentReader, ENTRY_PREFIX, Entry, Kind, ManifestReader, ManifestWriter, Modified,
};
use waft_core::code::TransferKey;
use waft_core::limits::{CHUNK_MAX, ENTRY_MAX};
use waft_core::path::RelPath;
use waft_core::sealed::{
    Aead, ChunkSize, Codec, Compressor, Opener, Schedule, Sealer, Secret, SoftCipher, Span, StreamKeys, Suite,
    Transcript, seal_buffer,
};

fn main() {
    divan::main();
}

/// Number of bytes that one iteration seals or opens.
const LENGTH: usize = 16 << 20;

const CASES: [(Aead, Material); 4] = [
    (Aead::Aes256Gcm, Material::Noise),
    (Aead::Aes256Gcm, Material::Source),
    (Aead::ChaCha20Poly1305, Material::Noise),
    (Aead::ChaCha20Poly1305, Material::Source),
];

/// The bytes to seal: noise does not shrink, source text does.
#[derive(Clone, Copy, Debug)]
enum Material {
    Noise,
    Source,
}

impl Material {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        match self {
            Self::Noise => OsRng.fill_bytes(&mut bytes),
            Self::Source => {
                bytes.iter_mut().zip(include_bytes!("parts.rs").iter().cycle()).for_each(|(to, b)| *to = *b)
            }
        }
        bytes
    }
}

/// The same keys each time: a benchmark may seal twice with them, since the chunks are discarded.
fn keys() -> StreamKeys {
    let key = TransferKey::parse("0123-4567-89AB-CDEF").expect("well-formed");
    Schedule::new(&Secret::typed(&key, &[0; 32], 1), &Transcript::file(&[])).into_stream().0
}

fn span() -> Span {
    Span::new(0, LENGTH as u64).expect("within the limits")
}

fn suite(aead: Aead) -> Suite {
    Suite { aead, codec: Codec::Lz4, chunk: ChunkSize::MAX }
}

fn seal(aead: Aead, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut compressor = Box::new(Compressor::new());
    let mut sealer = Sealer::<SoftCipher>::new(keys(), &suite(aead), span()).expect("SoftCipher supports both AEADs");
    let mut out = vec![0; seal_buffer(ChunkSize::MAX)];
    bytes
        .chunks(CHUNK_MAX as usize)
        .map(|piece| {
            let length = sealer.seal(piece, Some(&mut compressor), &mut out).expect("pieces fit");
            out[..length].to_vec()
        })
        .collect()
}

#[divan::bench(args = CASES)]
fn sealing(bencher: Bencher<'_, '_>, (aead, material): (Aead, Material)) {
    let bytes = material.bytes();
    bencher.counter(BytesCount::new(LENGTH)).bench(|| seal(aead, &bytes));
}

#[divan::bench(args = CASES)]
fn opening(bencher: Bencher<'_, '_>, (aead, material): (Aead, Material)) {
    let bytes = material.bytes();
    let chunks = seal(aead, &bytes);
    let mut plain = vec![0; CHUNK_MAX as usize];
    bencher.counter(BytesCount::new(LENGTH)).with_inputs(|| chunks.clone()).bench_local_values(|chunks| {
        let opener = Opener::<SoftCipher>::new(keys(), &suite(aead), span());
        let mut opener = opener.expect("SoftCipher supports both AEADs");
        chunks.into_iter().for_each(|mut chunk| {
            opener.open(&mut chunk, &mut plain).expect("an authentic chunk");
        });
    });
}

fn entry(path: &str) -> Entry<'_> {
    Entry {
        kind: Kind::File { size: 1 },
        path: RelPath::new(path).expect("legal"),
        mode: 0o644,
        modified: Modified { seconds: 1_700_000_000, nanos: 123_456_789 },
    }
}

fn manifest() -> Vec<u8> {
    let mut writer = ManifestWriter::new();
    let mut manifest = Vec::new();
    for at in 0..10_000 {
        let path = format!("a-file-with-a-name-of-usual-length-{at:05}.txt");
        let mut out = [0; ENTRY_PREFIX + ENTRY_MAX];
        let length = writer.push(&entry(&path), &mut out).expect("ascending");
        manifest.extend(&out[..length]);
    }
    manifest
}

#[divan::bench]
fn manifest_of_10_000_files_written() -> Vec<u8> {
    manifest()
}

#[divan::bench]
fn manifest_of_10_000_files_read(bencher: Bencher<'_, '_>) {
    let manifest = manifest();
    bencher.counter(BytesCount::new(manifest.len())).bench(|| {
        let mut reader = ManifestReader::new(manifest.len() as u32);
        let mut input = &manifest[..];
        while reader.next(&mut input).expect("legal").is_some() {}
        reader.finish().expect("whole")
    });
}

#[divan::bench]
fn content_read_and_hashed(bencher: Bencher<'_, '_>) {
    let mut writer = ManifestWriter::new();
    let file = Entry { kind: Kind::File { size: LENGTH as u64 }, ..entry("file") };
    writer.push(&file, &mut [0; ENTRY_PREFIX + ENTRY_MAX]).expect("legal");
    let summary = writer.finish();
    let mut archive = Material::Noise.bytes();
    let mut hasher = ContentHasher::new(&summary.digest);
    hasher.update(&archive);
    archive.extend(hasher.end_file().0);
    archive.extend(hasher.root().0);
    bencher.counter(BytesCount::new(LENGTH)).bench(|| {
        let mut reader = ContentReader::new(&summary);
        for mut piece in archive.chunks(CHUNK_MAX as usize) {
            while let Some(content) = reader.next(&mut piece).expect("legal") {
                if content == Content::NeedFile {
                    reader.begin_file(LENGTH as u64).expect("the only file");
                }
            }
        }
        assert!(reader.is_complete());
    });
}
