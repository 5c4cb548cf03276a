//! Target for sealed files: headers, and authentic chunks and names of any plaintext, so that the input reaches the parser
//! that follows the AEAD.

use waft_core::code::TransferKey;
use waft_core::limits::{CHUNK_MAX, COMPONENT_MAX, SEALED_NAME};
use waft_core::sealed::file::{Header, START, header_len};
use waft_core::sealed::{Aead, ChunkSize, Codec, Opener, Schedule, Secret, Span, Suite, Transcript};

use crate::cipher::Plain;

/// Reads the input as a header, and as chunks.
pub fn run(data: &[u8]) {
    if let Some((start, rest)) = data.split_first_chunk::<START>()
        && let Ok(length) = header_len(start)
    {
        let _ = rest.get(..length).map(Header::decode);
    }
    let [total, lz4, rest @ ..] = data else { return };
    let key = TransferKey::parse("0123456789ABCDEF").expect("well-formed");
    let mut schedule = Schedule::new(&Secret::typed(&key, &[0; 32], 1), &Transcript::file(&[]));
    let mut name = [0; SEALED_NAME];
    let length = rest.len().min(COMPONENT_MAX);
    name[..length].copy_from_slice(&rest[..length]);
    let name_key = schedule.take_name_key().expect("it is taken once");
    if let Some(name) = name_key.open::<Plain>(Aead::Aes256Gcm, &mut name) {
        assert!(rest.starts_with(name.as_str().as_bytes()));
    }
    let span = Span::new(0, u64::from(*total) * 32).expect("within the limits");
    let codec = if *lz4 & 1 == 0 { Codec::None } else { Codec::Lz4 };
    let suite = Suite { aead: Aead::Aes256Gcm, codec, chunk: ChunkSize::MIN };
    let opener = Opener::<Plain>::new(schedule.into_stream().0, &suite, span);
    let mut opener = opener.expect("the cipher supports every AEAD");
    let mut plain = vec![0; CHUNK_MAX as usize];
    for piece in rest.chunks(512) {
        let mut chunk = [piece, &[0; 16]].concat();
        let expected = opener.next_len();
        match opener.open(&mut chunk, &mut plain) {
            Ok(archive) => assert_eq!(archive.len(), expected),
            Err(_) => assert!(opener.open(&mut chunk, &mut plain).is_err(), "a poisoned opener opens nothing"),
        }
    }
}
