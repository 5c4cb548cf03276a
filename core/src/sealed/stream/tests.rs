//! Tests of sealer and opener: together, with chunks damaged on the network, and with chunks of a hostile peer.

use std::vec;
use std::vec::Vec;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use proptest::prelude::*;

use super::position::Position;
use super::*;
use crate::limits::{ARCHIVE_MAX, CHUNK_MAX, CHUNK_MIN, CHUNK_OVERHEAD};
use crate::sealed::cipher::{Cipher, SoftCipher};
use crate::sealed::keys::StreamKeys;
use crate::sealed::suite::{Aead, ChunkSize, Codec, Suite};
use crate::sealed::vectors::vectors;

const CHUNK: ChunkSize = ChunkSize::MIN;

fn keys() -> StreamKeys {
    StreamKeys::from_bytes([5; 32], [9; 7])
}

fn suite(aead: Aead, codec: Codec) -> Suite {
    Suite { aead, codec, chunk: CHUNK }
}

fn opener(aead: Aead, codec: Codec, span: Span) -> Opener<SoftCipher> {
    Opener::new(keys(), &suite(aead, codec), span).unwrap()
}

fn sealer(aead: Aead, codec: Codec, span: Span) -> Sealer<SoftCipher> {
    Sealer::new(keys(), &suite(aead, codec), span).unwrap()
}

fn position(span: Span) -> Position {
    Position::new(keys().nonce_prefix(), CHUNK, span)
}

/// Seals all of `archive` from the sealer's position on.
fn seal_all(mut sealer: Sealer<SoftCipher>, archive: &[u8]) -> Vec<Vec<u8>> {
    let (mut compressor, mut out) = (Compressor::new(), vec![0; seal_buffer(ChunkSize::MAX)]);
    let mut chunks = Vec::new();
    while sealer.next_len() > 0 {
        let at = sealer.position() as usize;
        let piece = &archive[at..at + sealer.next_len()];
        let length = sealer.seal(piece, Some(&mut compressor), &mut out).unwrap();
        chunks.push(out[..length].to_vec());
    }
    assert_eq!(archive.len() as u64, sealer.position());
    chunks
}

/// Opens chunks up to the first error. Returns the pieces and the error.
fn open_all(opener: &mut Opener<SoftCipher>, chunks: &[Vec<u8>]) -> (Vec<u8>, Option<OpenError>) {
    let mut archive = Vec::new();
    let mut plain = vec![0; CHUNK_MAX as usize];
    for chunk in chunks {
        match opener.open(&mut chunk.clone(), &mut plain) {
            Ok(piece) => archive.extend_from_slice(piece),
            Err(error) => return (archive, Some(error)),
        }
    }
    (archive, None)
}

/// Seals any plaintext, as a hostile peer that has the key could.
fn forge(span: Span, plain: &[u8]) -> Vec<u8> {
    let mut chunk = plain.to_vec();
    let cipher = SoftCipher::new(Aead::ChaCha20Poly1305, keys().chunk_key()).unwrap();
    let tag = cipher.seal(&position(span).nonce(), &mut chunk);
    chunk.extend_from_slice(&tag);
    chunk
}

/// Opens a forged chunk, which is the only one of an archive of `length` bytes.
fn open_forged(codec: Codec, length: u64, plain: &[u8]) -> Result<Vec<u8>, OpenError> {
    let span = Span::new(0, length).unwrap();
    let mut opener = opener(Aead::ChaCha20Poly1305, codec, span);
    let mut piece = vec![0; CHUNK.bytes() as usize];
    let outcome = opener.open(&mut forge(span, plain), &mut piece).map(<[u8]>::to_vec);
    if outcome.is_err() {
        assert_eq!(Err(OpenError::Poisoned), opener.open(&mut forge(span, &[0; 2]), &mut piece));
    }
    outcome
}

/// Bytes that LZ4 does not shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn raw_chunks_have_the_frozen_bytes() {
    for vector in vectors(include_str!("../../../tests/vectors/sealed/chunks.txt")) {
        let archive = pattern(vector.number("total") as usize);
        let aead = Aead::from_number(vector.number("aead") as u8).unwrap();
        let keys = || StreamKeys::from_bytes(vector.array("key"), vector.array("prefix"));
        let suite = suite(aead, Codec::None);
        let position = vector.number("position");
        let span = Span::new(position, vector.number("total")).unwrap();

        let chunks = seal_all(Sealer::new(keys(), &suite, span).unwrap(), &archive);
        let names = ["chunk_0", "chunk_1", "chunk_2"];
        let frozen = names.into_iter().filter(|name| vector.find(name).is_some()).map(|name| vector.bytes(name));
        assert_eq!(frozen.collect::<Vec<_>>(), chunks);
        let (opened, error) = open_all(&mut Opener::new(keys(), &suite, span).unwrap(), &chunks);
        assert_eq!((&archive[position as usize..], None), (&opened[..], error));
    }
}

/// The archive that the file of vectors describes.
fn pattern(length: usize) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let block = |i: u32| Sha256::new_with_prefix("archive").chain_update(i.to_be_bytes()).finalize();
    let mut bytes = (0..=length as u32 / 32).flat_map(block).collect::<Vec<_>>();
    bytes.truncate(length);
    bytes
}

#[test]
fn a_frozen_lz4_chunk_opens() {
    let vector = vectors(include_str!("../../../tests/vectors/sealed/lz4.txt")).remove(0);
    let keys = StreamKeys::from_bytes(vector.array("key"), vector.array("prefix"));
    let span = Span::new(0, 1024).unwrap();
    let mut opener = Opener::<SoftCipher>::new(keys, &suite(Aead::ChaCha20Poly1305, Codec::Lz4), span).unwrap();
    assert_eq!(b"waft".repeat(256), opener.open(&mut vector.bytes("chunk"), &mut [0; 1024]).unwrap());
    assert_eq!(0, opener.next_len());
}

#[test]
fn a_nonce_has_prefix_counter_and_last_chunk_flag() {
    let nonce = |counter, offset| Position { counter, ..position(Span::new(offset, 4096).unwrap()) }.nonce();
    assert_eq!([9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0], nonce(0, 0));
    assert_eq!([9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 0], nonce(0x0102_0304, 3071));
    assert_eq!([9, 9, 9, 9, 9, 9, 9, 255, 255, 255, 255, 1], nonce(u32::MAX, 3072));
    assert_eq!([9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 3, 1], nonce(3, 4095));
}

#[test]
fn the_longest_stream_uses_no_nonce_twice() {
    let span = Span::new(ARCHIVE_MAX - 1, ARCHIVE_MAX).unwrap();
    let mut position = Position { counter: u32::MAX, ..position(span) };
    position.advance();
    assert_eq!(0, position.next_len());
}

#[test]
fn a_span_is_within_the_limits() {
    assert!(Span::new(0, ARCHIVE_MAX).is_some());
    assert!(Span::new(5, 5).is_some());
    for (offset, total) in [(2, 1), (0, ARCHIVE_MAX + 1), (u64::MAX, u64::MAX)] {
        assert_eq!(None, Span::new(offset, total));
    }
    // The counter has 32 bits.
    assert!(ARCHIVE_MAX / u64::from(CHUNK_MIN) <= 1 << 32);
}

#[test]
fn a_refused_piece_leaves_the_sealer_unchanged() {
    let (archive, mut out) = (noise(1500), vec![0; seal_buffer(CHUNK)]);
    let mut sealer = sealer(Aead::ChaCha20Poly1305, Codec::None, Span::new(0, 1500).unwrap());
    assert_eq!(Err(SealError::Length), sealer.seal(&archive[..1023], None, &mut out));
    assert_eq!(Err(SealError::Length), sealer.seal(&archive[..1025], None, &mut out));
    assert_eq!(Err(SealError::Length), sealer.seal(&[], None, &mut out));
    let short = out.len() - 1;
    assert_eq!(Err(SealError::Buffer), sealer.seal(&archive[..1024], None, &mut out[..short]));
    assert_eq!((0, 1024), (sealer.position(), sealer.next_len()));
    assert_eq!(Ok(1024 + CHUNK_OVERHEAD), sealer.seal(&archive[..1024], None, &mut out));
    assert_eq!(Ok(476 + CHUNK_OVERHEAD), sealer.seal(&archive[1024..], None, &mut out));
    assert_eq!(Err(SealError::Length), sealer.seal(&archive[..1], None, &mut out));
    assert_eq!(Err(SealError::Length), sealer.seal(&[], None, &mut out));
}

#[test]
fn every_flipped_bit_is_detected() {
    for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
        let span = Span::new(0, 40).unwrap();
        let chunk = seal_all(sealer(aead, Codec::None, span), &noise(40)).remove(0);
        for bit in 0..chunk.len() * 8 {
            let mut flipped = chunk.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut opener = opener(aead, Codec::None, span);
            assert_eq!(Err(OpenError::Forged), opener.open(&mut flipped, &mut []), "{aead:?}, bit {bit}");
            assert_eq!(Err(OpenError::Poisoned), opener.open(&mut chunk.clone(), &mut []));
        }
    }
}

#[test]
fn a_chunk_does_not_open_with_another_key_prefix_or_aead() {
    let span = Span::new(0, 40).unwrap();
    let chunk = seal_all(sealer(Aead::ChaCha20Poly1305, Codec::None, span), &noise(40)).remove(0);
    for (keys, aead) in [
        (StreamKeys::from_bytes([6; 32], [9; 7]), Aead::ChaCha20Poly1305),
        (StreamKeys::from_bytes([5; 32], [8; 7]), Aead::ChaCha20Poly1305),
        (keys(), Aead::Aes256Gcm),
    ] {
        let mut opener = Opener::<SoftCipher>::new(keys, &suite(aead, Codec::None), span).unwrap();
        assert_eq!(Err(OpenError::Forged), opener.open(&mut chunk.clone(), &mut []));
    }
}

#[test]
fn nothing_opens_after_the_end() {
    let span = Span::new(0, 40).unwrap();
    let chunks = seal_all(sealer(Aead::ChaCha20Poly1305, Codec::None, span), &noise(40));
    let mut opener = opener(Aead::ChaCha20Poly1305, Codec::None, span);
    assert_eq!((noise(40), None), open_all(&mut opener, &chunks));
    assert_eq!((40, 0), (opener.position(), opener.next_len()));
    assert_eq!(Err(OpenError::End), opener.open(&mut chunks[0].clone(), &mut []));
    assert_eq!(Err(OpenError::Poisoned), opener.open(&mut chunks[0].clone(), &mut []));
}

#[test]
fn a_raw_piece_has_exactly_its_length() {
    let raw = |length| [&noise(length)[..], &[0]].concat();
    assert_eq!(Ok(noise(100)), open_forged(Codec::Lz4, 100, &raw(100)));
    for length in [0, 1, 99, 101, 1024, 1025] {
        assert_eq!(Err(OpenError::Length), open_forged(Codec::Lz4, 100, &raw(length)), "{length}");
    }
    assert_eq!(Err(OpenError::Length), open_forged(Codec::None, 100, &[]));
}

#[test]
fn an_lz4_piece_has_exactly_its_length() {
    // Literal 'a', a match of 1000 bytes at offset 1, five literals: 1006 bytes.
    let block = [0x1F, b'a', 1, 0, 255, 255, 255, 216, 0x50, b'b', b'b', b'b', b'b', b'b', 1];
    let piece = [&[b'a'; 1001][..], b"bbbbb"].concat();
    assert_eq!(Ok(piece), open_forged(Codec::Lz4, 1006, &block));
    for length in [100, 1000, 1001, 1005, 1007, 1024] {
        assert_eq!(Err(OpenError::Length), open_forged(Codec::Lz4, length, &block), "{length}");
    }
}

#[test]
fn an_lz4_bomb_is_refused() {
    // A match of more than 255,000 bytes.
    let bomb = [&[0x1F, b'a', 1, 0][..], &[255; 1000], &[0, 0x50, 1, 2, 3, 4, 5, 1]].concat();
    assert_eq!(Err(OpenError::Length), open_forged(Codec::Lz4, 1024, &bomb));
}

#[test]
fn a_broken_lz4_block_is_refused() {
    for block in [
        &[1][..],
        // Literals and lengths that exceed the block.
        &[0x40, 1, 1],
        &[0xF0, 1],
        &[0xF0, 255, 255, 1],
        &[0x10, 1, 1, 1],
        // Matches before the first byte, and at offset 0.
        &[0x14, 1, 2, 0, 0x50, 1, 2, 3, 4, 5, 1],
        &[0x14, 1, 0, 0, 0x50, 1, 2, 3, 4, 5, 1],
    ] {
        assert_eq!(Err(OpenError::Block), open_forged(Codec::Lz4, 100, block), "{block:?}");
    }
}

/// Literal 'a', a match of 14 bytes at offset 1, five literals: 20 bytes; codec 1.
const TWENTY: [u8; 11] = [0x1A, b'a', 1, 0, 0x50, b'a', b'a', b'a', b'a', b'a', 1];

#[test]
fn only_agreed_codecs_open() {
    assert_eq!(Ok(vec![b'a'; 20]), open_forged(Codec::Lz4, 20, &TWENTY));
    assert_eq!(Err(OpenError::Codec), open_forged(Codec::None, 20, &TWENTY));
    for number in 2..=255 {
        assert_eq!(Err(OpenError::Codec), open_forged(Codec::Lz4, 5, &[1, 2, 3, 4, 5, number]));
    }
}

#[test]
fn a_chunk_is_no_longer_than_a_raw_one() {
    // A valid LZ4 block of five literals, which is longer than the five bytes.
    assert_eq!(Err(OpenError::Length), open_forged(Codec::Lz4, 5, &[0x50, 1, 2, 3, 4, 5, 1]));
}

#[test]
fn a_short_buffer_is_the_callers_error() {
    let span = Span::new(0, 20).unwrap();
    let mut opener = opener(Aead::ChaCha20Poly1305, Codec::Lz4, span);
    assert_eq!(Err(OpenError::Buffer), opener.open(&mut forge(span, &TWENTY), &mut [0; 19]));
}

#[test]
fn incompressible_data_is_mostly_skipped() {
    let (mut compressor, mut out) = (Compressor::new(), vec![0; seal_buffer(ChunkSize::MAX)]);
    let piece = noise(CHUNK_MAX as usize);
    let mut tries = 0;
    for _ in 0..1000 {
        tries += u32::from(compressor.skip == 0);
        assert_eq!(None, compressor.compress(&piece, &mut out));
    }
    // Tried after 0, 1, 2, 4 and 8 skipped pieces, then every seventeenth piece.
    assert_eq!(5 + (1000 - 5 - 15) / 17, tries);
    let skipped = (0..).take_while(|_| compressor.compress(&[0; CHUNK_MAX as usize], &mut out).is_none()).count();
    assert!(skipped <= Compressor::SKIP_MAX as usize, "{skipped}");
    // Compressible data ends the skipping, and the next skip starts with one piece.
    assert!(compressor.compress(&[0; CHUNK_MAX as usize], &mut out).is_some());
    assert_eq!((0, 1), (compressor.skip, compressor.next_skip));
}

#[test]
fn lz4_is_used_only_if_it_saves_a_sixteenth() {
    let mut out = vec![0; seal_buffer(CHUNK)];
    // The zeros save a little more than a sixteenth, or a little less.
    for (zeros, is_used) in [(100, true), (50, false)] {
        let piece = [noise(1024 - zeros), vec![0; zeros]].concat();
        assert_eq!(is_used, Compressor::new().compress(&piece, &mut out).is_some(), "{zeros}");
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |range: core::ops::Range<usize>| proptest::collection::vec(any::<u8>(), range);
    let text = (bytes(1..40), 1..400usize).prop_map(|(words, times)| words.repeat(times));
    proptest::collection::vec(prop_oneof![bytes(0..3000), text], 0..4).prop_map(|parts| parts.concat())
}

/// Random bytes, and valid LZ4 blocks in which some bytes were changed.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let random = proptest::collection::vec(any::<u8>(), 0..1024);
    let changes = proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4);
    let changed = (content(), changes).prop_map(|(content, changes)| {
        let mut block = vec![0; get_maximum_output_size(1024)];
        let piece = &content[..content.len().min(1024)];
        let length = compress_into_with_table(piece, &mut block, &mut CompressTable::large()).unwrap();
        block.truncate(length);
        changes.into_iter().for_each(|(at, byte)| block[at % length] = byte);
        block
    });
    prop_oneof![random, changed]
}

fn aead() -> impl Strategy<Value = Aead> {
    prop_oneof![Just(Aead::Aes256Gcm), Just(Aead::ChaCha20Poly1305)]
}

/// Damage that a network or a store may do to a sequence of chunks.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, usize),
    Cut(usize, usize),
    Extend(usize, Vec<u8>),
    Swap(usize, usize),
    Repeat(usize),
    Drop(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let (i, j) = (any::<usize>(), any::<usize>());
    prop_oneof![
        (i, j).prop_map(|(i, j)| Damage::Flip(i, j)),
        (i, j).prop_map(|(i, j)| Damage::Cut(i, j)),
        (i, proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(i, bytes)| Damage::Extend(i, bytes)),
        (i, j).prop_map(|(i, j)| Damage::Swap(i, j)),
        i.prop_map(Damage::Repeat),
        i.prop_map(Damage::Drop),
    ]
}

impl Damage {
    /// Applies the damage. Returns the index of the first changed chunk.
    fn apply(self, chunks: &mut Vec<Vec<u8>>) -> usize {
        let count = chunks.len();
        match self {
            Self::Flip(i, bit) => {
                let chunk = &mut chunks[i % count];
                let bit = bit % (chunk.len() * 8);
                chunk[bit / 8] ^= 1 << (bit % 8);
                i % count
            }
            Self::Cut(i, length) => {
                let chunk = &mut chunks[i % count];
                chunk.truncate(length % chunk.len());
                i % count
            }
            Self::Extend(i, bytes) => {
                chunks[i % count].extend(bytes);
                i % count
            }
            Self::Swap(i, j) => {
                let (i, j) = (i % count, j % count);
                // Swapping a chunk with itself damages nothing, so it is swapped with the next one.
                let j = if i == j { (j + 1) % count } else { j };
                chunks.swap(i, j);
                i.min(j)
            }
            Self::Repeat(i) => {
                chunks.insert(i % count, chunks[i % count].clone());
                i % count + 1
            }
            Self::Drop(i) => {
                chunks.remove(i % count);
                i % count
            }
        }
    }
}

proptest! {
    #[test]
    fn sealed_chunks_open(
        archive in content(),
        from in any::<prop::sample::Index>(),
        log in 10u32..=16,
        aead in aead(),
        lz4 in any::<bool>(),
    ) {
        let position = from.index(archive.len() + 1);
        let span = Span::new(position as u64, archive.len() as u64).unwrap();
        let codec = if lz4 { Codec::Lz4 } else { Codec::None };
        let suite = Suite { aead, codec, chunk: ChunkSize::new(1 << log).unwrap() };
        let chunks = seal_all(Sealer::new(keys(), &suite, span).unwrap(), &archive);
        for chunk in &chunks {
            prop_assert!(chunk.len() <= (1 << log) + CHUNK_OVERHEAD);
        }
        let mut opener = Opener::new(keys(), &suite, span).unwrap();
        let (opened, error) = open_all(&mut opener, &chunks);
        prop_assert_eq!((&archive[position..], None), (&opened[..], error));
        prop_assert_eq!(0, opener.next_len());
    }

    #[test]
    fn damaged_chunks_are_refused(
        archive in proptest::collection::vec(any::<u8>(), 1025..6000),
        aead in aead(),
        damage in damage(),
    ) {
        let span = Span::new(0, archive.len() as u64).unwrap();
        let mut chunks = seal_all(sealer(aead, Codec::None, span), &archive);
        let whole = chunks.clone();
        let first = damage.apply(&mut chunks);
        let mut opener = opener(aead, Codec::None, span);
        let (opened, error) = open_all(&mut opener, &chunks);
        if first == chunks.len() {
            // The last chunk was dropped: there is no error, but the opener has not reached the end.
            prop_assert_eq!(None, error);
            prop_assert!(opener.next_len() > 0);
        } else {
            prop_assert!(error.is_some());
            // The opener is poisoned, even for the chunk that would be right here.
            for chunk in whole.iter().chain(&chunks) {
                prop_assert_eq!(Some(OpenError::Poisoned), opener.open(&mut chunk.clone(), &mut []).err());
            }
        }
        prop_assert_eq!(&archive[..archive.len().min(first * CHUNK.bytes() as usize)], &opened[..]);
    }

    #[test]
    fn any_lz4_block_is_a_piece_or_an_error(block in block(), length in 1u64..=1024) {
        if let Ok(piece) = open_forged(Codec::Lz4, length, &[&block[..], &[1]].concat()) {
            prop_assert_eq!(length, piece.len() as u64);
        }
    }

    #[test]
    fn random_bytes_do_not_open(mut bytes in proptest::collection::vec(any::<u8>(), 0..1100), aead in aead()) {
        let mut opener = opener(aead, Codec::Lz4, Span::new(0, 1024).unwrap());
        prop_assert!(opener.open(&mut bytes, &mut [0; 1024]).is_err());
    }
}
