//! The bytes of every message, and of every value of every enum on the wire. They never change: a variant or a field
//! that is inserted, removed or moved fails here. PROTOCOL.md, sections 2, 4, 5 and 8.1.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use waft_core::archive::{Kind, Shape};
use waft_core::digest::Digest;
use waft_core::limits::CHUNK_MAX;
use waft_core::pairing::message::{Failure, PairingGreeting, PairingHello, PairingMessage};
use waft_core::sealed::{Aead, Codec};
use waft_core::wire::frame::{self, Header};
use waft_core::wire::message::{
    BaseFile, BaseFiles, Cancel, FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, KeyMode, Kibibytes,
    Limit, List, OFFER_TAIL, Offer, OfferBody, Refusal, Stage,
};
use waft_core::wire::preface::{ClearRefusal, LEN, Purpose, check_preface, preface};

fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut buffer = [0; 512];
    postcard::to_slice(value, &mut buffer).unwrap().to_vec()
}

/// Checks an enum whose values are the rows of `frozen`, one for each variant, in the order of their numbers. Every row
/// has the bytes of its value, and no other number decodes. What is decoded may borrow from its bytes, so they are leaked.
fn check_variants<T: Serialize + Deserialize<'static> + PartialEq + Debug>(frozen: &[(T, &[u8])]) {
    for (number, (value, bytes)) in frozen.iter().enumerate() {
        assert_eq!(encode(value), *bytes, "{value:?}");
        assert_eq!(postcard::from_bytes::<T>(bytes.to_vec().leak()).as_ref(), Ok(value), "{bytes:02x?}");
        assert_eq!(usize::from(bytes[0]), number, "{value:?} belongs in another row");
    }
    // Enough zeros for the fields of any variant. A larger number would need a second byte.
    let mut bytes = [0; 512];
    for number in 0..128 {
        bytes[0] = number;
        let is_known = postcard::take_from_bytes::<T>(bytes.to_vec().leak()).is_ok();
        assert_eq!(is_known, usize::from(number) < frozen.len(), "a variant of number {number} has no row here");
    }
}

#[test]
fn every_refusal_has_its_bytes() {
    check_variants(&[
        (Refusal::Version, &[0][..]),
        (Refusal::Locked { seconds: 300 }, &[1, 0xac, 2]),
        (Refusal::CodeTimeout, &[2]),
        (Refusal::KeyWrong, &[3]),
        (Refusal::KeyTimeout, &[4]),
        (Refusal::Declined, &[5]),
        (Refusal::KeyMode, &[6]),
        (Refusal::Limit { limit: Limit::Path }, &[7, 3]),
        (Refusal::NoSpace { missing: Kibibytes(300) }, &[8, 0xac, 2]),
        (Refusal::NotEmpty, &[9]),
        (Refusal::NotWritable, &[10]),
        (Refusal::InUse, &[11]),
        (Refusal::Older, &[12]),
        (Refusal::Name { entry: 300 }, &[13, 0xac, 2]),
        (Refusal::Collision { entry: 300 }, &[14, 0xac, 2]),
        (Refusal::Archive, &[15]),
        (Refusal::Chunk, &[16]),
        (Refusal::Storage, &[17]),
        (Refusal::Verify, &[18]),
        (Refusal::Protocol, &[19]),
        (Refusal::Rejected { code: 300 }, &[20, 0xac, 2]),
        (Refusal::FolderName, &[21]),
        (Refusal::Edited, &[22]),
    ]);
}

#[test]
fn every_reason_to_cancel_has_its_byte() {
    check_variants(&[
        (Cancel::Interrupted, &[0][..]),
        (Cancel::SourceChanged, &[1]),
        (Cancel::SourceUnreadable, &[2]),
        (Cancel::TimedOut, &[3]),
        (Cancel::Protocol, &[4]),
        (Cancel::Declined, &[5]),
        (Cancel::BaseLost, &[6]),
    ]);
}

#[test]
fn every_limit_has_its_byte() {
    check_variants(&[
        (Limit::Total, &[0][..]),
        (Limit::Entries, &[1]),
        (Limit::Manifest, &[2]),
        (Limit::Path, &[3]),
        (Limit::Chunk, &[4]),
        (Limit::Iterations, &[5]),
    ]);
}

#[test]
fn every_stage_has_its_byte() {
    let known =
        [Stage::Key, Stage::KeyAgain, Stage::Hashing, Stage::Verifying, Stage::Waiting, Stage::Storing, Stage::Reading];
    for number in 0..=u8::MAX {
        let stage = known.get(usize::from(number)).copied().unwrap_or(Stage::Unknown(number));
        assert_eq!(encode(&stage), [number]);
        assert_eq!(postcard::from_bytes(&[number]), Ok(stage));
    }
}

#[test]
fn every_key_mode_has_its_bytes() {
    let encapsulation = std::array::from_fn(|index| index as u8);
    let sealed: Vec<u8> = std::iter::once(1).chain(0..65).collect();
    check_variants(&[(KeyMode::Typed, &[0][..]), (KeyMode::Sealed(encapsulation), &sealed)]);
    assert_eq!([KEY_TYPED, KEY_SEALED], [0, 1]);
}

#[test]
fn every_kind_of_entry_has_its_bytes() {
    check_variants(&[(Kind::Directory, &[0][..]), (Kind::File { size: 300 }, &[1, 0xac, 2])]);
}

#[test]
fn every_aead_and_codec_has_its_number() {
    for number in 0..=u8::MAX {
        let aead = match number {
            1 => Some(Aead::Aes256Gcm),
            2 => Some(Aead::ChaCha20Poly1305),
            _ => None,
        };
        let codec = match number {
            0 => Some(Codec::None),
            1 => Some(Codec::Lz4),
            _ => None,
        };
        assert_eq!((Aead::from_number(number), Codec::from_number(number)), (aead, codec), "{number}");
        assert!(aead.is_none_or(|aead| aead as u8 == number) && codec.is_none_or(|codec| codec as u8 == number));
    }
}

#[test]
fn every_kind_of_frame_has_its_number() {
    for number in 0..=u8::MAX {
        let kind = match number {
            1 => Some(frame::Kind::Message),
            2 => Some(frame::Kind::Chunk),
            _ => None,
        };
        let decoded = Header::decode([number, 0, 1, 0x2c], CHUNK_MAX).ok();
        assert_eq!(decoded, kind.map(|kind| Header { kind, length: 300 }), "{number}");
        assert!(kind.is_none_or(|kind| Header::encode(kind, 300) == [number, 0, 1, 0x2c]));
    }
}

#[test]
fn every_purpose_and_clear_refusal_has_its_bytes() {
    let bytes = |byte_4, byte_5| -> [u8; LEN] { [b'W', b'A', b'F', b'T', byte_4, byte_5, 0, 0] };
    assert_eq!(preface(), bytes(1, 0));
    for number in 0..=u8::MAX {
        let purpose = match number {
            1 => Ok(Purpose::Session),
            2 => Ok(Purpose::Pairing),
            _ => Err(Some(ClearRefusal::Purpose)),
        };
        assert_eq!(Purpose::of_preface(&bytes(number, 0)), purpose, "{number}");
        assert!(purpose.is_err() || purpose.unwrap().preface() == bytes(number, 0));
        let is_known = if number == 1 { Ok(()) } else { Err(Some(ClearRefusal::Purpose)) };
        assert_eq!(check_preface(&bytes(number, 0)), is_known, "{number}");
        let refusal = match number {
            1 => ClearRefusal::Purpose,
            2 => ClearRefusal::Busy,
            3 => ClearRefusal::NotProvisioned,
            4 => ClearRefusal::PairingClosed,
            other => ClearRefusal::Other(other),
        };
        assert_eq!(ClearRefusal::from_bytes(&bytes(1, number)), Ok(refusal));
        assert_eq!(refusal.to_bytes(), bytes(1, number));
    }
}

fn offer(key: KeyMode) -> Offer<'static> {
    let shape = Shape { total: 300, files: 9, entries: 10, manifest: 301 };
    let body = OfferBody { iterations: 1_000, aead: 2, codec: 1, chunk: 1_024, key, created: 302, shape };
    Offer { body, manifest_tag: [0xaa; 32], commitment: [0xbb; 32], name: &[0xcc; 271] }
}

#[test]
fn every_message_of_a_sender_has_its_bytes() {
    let hello = Hello { min: 1, max: 2, nonce: [0xaa; 32], salt: [0xbb; 32] };
    let offer_body = [2, 0xe8, 7, 2, 1, 0x80, 8, 0, 0xae, 2, 0xac, 2, 9, 10, 0xad, 2];
    let tags = [[0xaa; 32], [0xbb; 32]].concat();
    let tail = [&tags[..], &[0x8f, 2], &[0xcc; 271]].concat();
    assert_eq!(tail.len(), OFFER_TAIL);
    check_variants(&[
        (FromSender::Hello(hello), &[&[0, 1, 2][..], &tags].concat()),
        (FromSender::Code { digits: *b"0123" }, &[1, b'0', b'1', b'2', b'3']),
        (FromSender::Offer(offer(KeyMode::Typed)), &[&offer_body[..], &tail].concat()),
        (FromSender::Resume { offset: 300, base: true }, &[3, 0xac, 2, 1]),
        (FromSender::Cancel(Cancel::Declined), &[4, 5]),
        (FromSender::Working(Stage::Reading), &[5, 6]),
        (FromSender::LeaveOut { offset: 300, length: 301 }, &[6, 0xac, 2, 0xad, 2]),
    ]);
    let sealed = FromSender::Offer(offer(KeyMode::Sealed([7; 65])));
    let body = [&offer_body[..7], &[1], &[7; 65], &offer_body[8..]].concat();
    assert_eq!(encode(&sealed), [body, tail].concat());
    assert!(FromSender::is_working(&encode(&FromSender::Working(Stage::Unknown(200)))));
}

#[test]
fn every_message_of_a_receiver_has_its_bytes() {
    let greeting = Greeting {
        version: 1,
        nonce: [0xaa; 32],
        max_total: 300,
        max_entries: 301,
        max_manifest: 302,
        max_path: 303,
        max_chunk: 304,
        free: 305,
        aeads: List::from_slice(&[2, 1]).unwrap(),
        codecs: List::from_slice(&[1, 0]).unwrap(),
        keys: List::from_slice(&[0]).unwrap(),
        code_needed: true,
        max_iterations: 306,
        key_seconds: 307,
    };
    let bounds = [0xac, 2, 0xad, 2, 0xae, 2, 0xaf, 2, 0xb0, 2, 0xb1, 2];
    let rest = [2, 2, 1, 2, 1, 0, 1, 0, 1, 0xb2, 2, 0xb3, 2];
    let committed = FromReceiver::Committed { digest: Digest([0xaa; 32]), files: 9, bytes: 300, generation: 301 };
    let accept = FromReceiver::Accept { offset: 300, digest: Digest([0xaa; 32]), base: true, mac: [0xbb; 32] };
    let listed = BaseFile { skipped: 300, digest: Digest([0xaa; 32]) };
    let files = BaseFiles::from_slice(&[listed, BaseFile { skipped: 0, ..listed }]).unwrap();
    check_variants(&[
        (FromReceiver::Greeting(greeting), &[&[0, 1][..], &[0xaa; 32], &bounds, &rest].concat()),
        (FromReceiver::CodeAccepted, &[1]),
        (FromReceiver::CodeWrong { left: 2 }, &[2, 2]),
        (FromReceiver::Working(Stage::Storing), &[3, 5]),
        (accept, &[&[4, 0xac, 2][..], &[0xaa; 32], &[1], &[0xbb; 32]].concat()),
        (FromReceiver::Progress { durable: 300 }, &[5, 0xac, 2]),
        (committed, &[&[6][..], &[0xaa; 32], &[9, 0xac, 2, 0xad, 2]].concat()),
        (FromReceiver::Refused(Refusal::Locked { seconds: 30 }), &[7, 1, 30]),
        (FromReceiver::Cancel(Cancel::TimedOut), &[8, 3]),
        (FromReceiver::BaseFiles { files }, &[&[9, 2, 0xac, 2][..], &[0xaa; 32], &[0], &[0xaa; 32]].concat()),
        (FromReceiver::BaseEnd { mac: [0xbb; 32] }, &[&[10][..], &[0xbb; 32]].concat()),
    ]);
}

#[test]
fn every_message_of_a_pairing_has_its_bytes() {
    let tag = [9; 32];
    let with_tag = |number: u8| [&[number][..], &tag].concat();
    check_variants(&[
        (PairingMessage::Hello(PairingHello { min: 1, max: 2, nonce: tag }), &[&[0, 1, 2][..], &tag].concat()),
        (PairingMessage::Greeting(PairingGreeting { version: 1, nonce: tag }), &[&[1, 1][..], &tag].concat()),
        (PairingMessage::Share { point: [4; 65] }, &[&[2][..], &[4; 65]].concat()),
        (PairingMessage::Confirm { tag }, &with_tag(3)),
        (PairingMessage::Done { tag }, &with_tag(4)),
        (PairingMessage::Failed(Failure::WrongCode), &[5, 2]),
    ]);
    check_variants(&[
        (Failure::Version, &[0][..]),
        (Failure::Paused { seconds: 300 }, &[1, 0xac, 2]),
        (Failure::WrongCode, &[2]),
        (Failure::Protocol, &[3]),
        (Failure::TimedOut, &[4]),
        (Failure::Declined, &[5]),
        (Failure::SameCertificate, &[6]),
    ]);
}
