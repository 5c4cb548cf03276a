//! Tests of the receiver with a sender that is made from cryptographic primitives alone. PROTOCOL.md, sections 6 and 7.

use embedded_io_async::{Read as _, Write as _};
use p256::SecretKey;
use waft_core::session::{Misbehaviour, Receipt, SessionError};

use crate::doubles::{Seeded, archive_of};
use crate::fixture::{CHUNK, Fixture};
use crate::primitives::{Derived, point, sealed_secret, varint};
use crate::simulation::MemoryLink;

/// `Refused(Chunk)` and `Refused(Protocol)`.
const CHUNK_REFUSED: [u8; 2] = [7, 16];
const PROTOCOL_REFUSED: [u8; 2] = [7, 19];

/// A fixture whose folder has two pieces; the second is shorter.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.typed = false;
    fixture.source = archive_of(&[("a", &[7; 1_500])]);
    fixture
}

/// The plaintext of each chunk of the stream.
fn pieces(archive: &[u8]) -> Vec<Vec<u8>> {
    archive.chunks(CHUNK as usize).map(|piece| [piece, &[0]].concat()).collect()
}

/// A frame of this kind.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind], &(payload.len() as u32).to_be_bytes()[1..], payload].concat()
}

/// Receives the payload of the next frame.
pub(crate) async fn receive_frame(link: &mut MemoryLink) -> Vec<u8> {
    let mut header = [0; 4];
    link.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize];
    link.read_exact(&mut payload).await.unwrap();
    payload
}

/// Sends chunks with these plaintexts, after a `Hello` that is longer than that of this version. Returns the receiver's
/// result and its last message.
fn send(codec: u8, plain: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>) -> (Result<Receipt, SessionError>, Vec<u8>) {
    let mut fixture = fixture();
    let archive = fixture.source.archive.clone();
    let shape = fixture.source.info.shape;
    let public = fixture.hpke.public();
    let mut last_message = Vec::new();
    let end = fixture.receive_from(async |mut link| {
        let hello = [&[0, 1, 1], &[3; 64][..], b"of a later version"].concat();
        link.write_all(&frame(1, &hello)).await.unwrap();
        let greeting = receive_frame(&mut link).await;
        let ephemeral = SecretKey::random(&mut Seeded(5));
        let counts = [1, shape.total, shape.files.into(), shape.entries.into(), shape.manifest.into()];
        let enc = point(&ephemeral.public_key());
        let suite = [&[2, 0, 2, codec], &varint(CHUNK.into())[..], &[1], &enc].concat();
        let body = [suite, counts.map(varint).concat()].concat();
        let manifest = &archive[..shape.manifest as usize];
        let derived = Derived::new(&sealed_secret(&ephemeral, &public), [&hello, &greeting, &body], manifest);
        link.write_all(&frame(1, &[&body[..], &derived.offer_tail(2, "photos")].concat())).await.unwrap();
        assert_eq!(receive_frame(&mut link).await, derived.accept(b""), "the keys are bound to all of `Hello`");
        link.write_all(&frame(1, &[3, 0, 0])).await.unwrap();
        let plain = plain(pieces(&archive));
        for (counter, plain) in plain.iter().enumerate() {
            let chunk = derived.keys.chunk(2, counter as u32, counter + 1 == plain_count(&archive), plain);
            if link.write_all(&frame(2, &chunk)).await.is_err() {
                break;
            }
        }
        last_message = receive_frame(&mut link).await;
        drop(link);
    });
    (end, last_message)
}

fn plain_count(archive: &[u8]) -> usize {
    archive.len().div_ceil(CHUNK as usize)
}

#[test]
fn a_receiver_accepts_a_sender_made_from_primitives() {
    let (end, message) = send(0, |pieces| pieces);
    assert_eq!(end.map(|receipt| receipt.digest), Ok(fixture().source.root));
    assert_eq!((message[0], &message[1..33]), (6, &fixture().source.root.0[..]));
}

#[test]
fn a_chunk_whose_data_does_not_have_the_length_of_its_piece_is_refused_as_a_chunk() {
    let first = |plain: Vec<u8>| {
        move |mut pieces: Vec<Vec<u8>>| {
            pieces[0] = plain.clone();
            pieces
        }
    };
    // Literal 'a', a match of 14 bytes at offset 1, five literals: 20 bytes, not 1024.
    let short_block = [0x1a, b'a', 1, 0, 0x50, b'a', b'a', b'a', b'a', b'a', 1].to_vec();
    for (codec, plain) in [
        (0, vec![0; 1_024]),
        (0, vec![0; 1]),
        (0, vec![]),
        (0, [vec![7; 1_024], vec![1]].concat()),
        (1, [vec![7; 1_024], vec![2]].concat()),
        (1, short_block),
        (1, vec![1]),
    ] {
        let what = format!("{codec} {plain:?}");
        let (end, message) = send(codec, first(plain));
        assert_eq!(end, Err(SessionError::PeerMisbehaved(Misbehaviour::Chunk)), "{what}");
        assert_eq!(message, CHUNK_REFUSED, "{what}");
    }
}

#[test]
fn a_piece_that_exceeds_the_archive_is_refused_as_a_chunk() {
    let (end, message) = send(0, |mut pieces| {
        pieces[1] = vec![0; 1_025];
        pieces
    });
    assert_eq!((end, message), (Err(SessionError::PeerMisbehaved(Misbehaviour::Chunk)), CHUNK_REFUSED.to_vec()));
}

#[test]
fn a_frame_that_is_longer_than_a_chunk_is_refused_as_a_frame() {
    let (end, message) = send(0, |mut pieces| {
        pieces[0].push(0);
        pieces
    });
    assert_eq!((end, message), (Err(SessionError::PeerMisbehaved(Misbehaviour::Frame)), PROTOCOL_REFUSED.to_vec()));
}
