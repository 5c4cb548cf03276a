//! Tests of the name of the folder, which crosses sealed. PROTOCOL.md, sections 6 (step 5) and 7.5.

use embedded_io_async::Write as _;
use p256::SecretKey;
use waft_core::path::FolderName;
use waft_core::sealed::SoftCipher;
use waft_core::session::{Misbehaviour, Receipt, SessionError};
use waft_core::wire::message::{OFFER_TAIL, Refusal};

use crate::doubles::{Seeded, archive_of};
use crate::fixture::{CHUNK, Fixture, UNKNOWN, refused};
use crate::handmade::{frame, receive_frame};
use crate::primitives::{Derived, frames, point, sealed_secret, varint};
use crate::source::HandMade;

/// Connects with a sender made from primitives, whose `Offer` ends in these bytes. Returns the receiver's result, its
/// answer, and the names that its store was given.
fn offer(tail: impl Fn(&Derived) -> Vec<u8>) -> (Result<Receipt, SessionError>, Vec<u8>, Vec<String>) {
    let mut fixture = Fixture::new();
    fixture.typed = false;
    let (archive, shape) = (fixture.source.archive.clone(), fixture.source.info.shape);
    let public = fixture.hpke.public();
    let mut answer = Vec::new();
    let end = fixture.receive_from(async |mut link| {
        let hello = [&[0, 1, 1], &[3; 64][..]].concat();
        link.write_all(&frame(1, &hello)).await.unwrap();
        let greeting = receive_frame(&mut link).await;
        let ephemeral = SecretKey::random(&mut Seeded(5));
        let counts = [1, shape.total, shape.files.into(), shape.entries.into(), shape.manifest.into()];
        let suite = [&[2, 0, 2, 0], &varint(CHUNK.into())[..], &[1], &point(&ephemeral.public_key())].concat();
        let body = [suite, counts.map(varint).concat()].concat();
        let manifest = &archive[..shape.manifest as usize];
        let derived = Derived::new(&sealed_secret(&ephemeral, &public), [&hello, &greeting, &body], manifest);
        link.write_all(&frame(1, &[body, tail(&derived)].concat())).await.unwrap();
        answer = receive_frame(&mut link).await;
        drop(link);
    });
    (end, answer, fixture.store.names)
}

/// The end of an offer with these bytes in place of the sealed name.
fn with_name(derived: &Derived, sealed: &[u8]) -> Vec<u8> {
    [&derived.manifest_tag[..], &derived.commitment, &varint(sealed.len() as u64), sealed].concat()
}

#[test]
fn a_store_is_given_the_name() {
    let mut fixture = Fixture::new();
    fixture.name = "naïve 日本".to_owned();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.names, ["naïve 日本"]);
    let (end, _, names) = offer(|derived| derived.offer_tail(2, &"n".repeat(255)));
    assert_eq!((end, names), (Err(SessionError::Disconnected), vec!["n".repeat(255)]));
}

#[test]
fn neither_a_name_nor_its_length_can_be_seen() {
    let offer_of = |name: &str| {
        let mut fixture = Fixture::new();
        fixture.name = name.to_owned();
        let sent = fixture.record::<SoftCipher>().0;
        frames(&sent)[1].1.to_vec()
    };
    let [short, long] = ["secret", &"secret".repeat(40)].map(offer_of);
    assert_eq!(short.len(), long.len());
    for offer in [short, long] {
        assert!(!offer.windows(6).any(|window| window == b"secret"));
    }
}

#[test]
fn a_hostile_name_is_refused_by_name() {
    for name in ["", ".", "..", "../evil", "/etc", "a/b", "a\0b", "a\nb", "\u{1b}[2J", "\u{9b}m"] {
        let (end, answer, names) = offer(|derived| derived.offer_tail(2, name));
        assert_eq!(end, Err(SessionError::Refused(Refusal::FolderName)), "{name:?}");
        assert_eq!((answer, names), (vec![7, 21], vec![]), "{name:?}");
        assert!(FolderName::new(name).is_err(), "a sender cannot even offer it");
    }
}

#[test]
fn a_sealed_name_that_does_not_open_is_refused() {
    for at in 0..271 {
        let (end, answer, names) = offer(|derived| {
            let mut sealed = derived.keys.name(2, "photos");
            sealed[at] ^= 0x80;
            with_name(derived, &sealed)
        });
        assert_eq!(end, Err(SessionError::Refused(Refusal::FolderName)), "{at}");
        assert_eq!((answer, names), (vec![7, 21], vec![]), "{at}");
    }
    // Sealed with the other AEAD.
    let (end, ..) = offer(|derived| derived.offer_tail(1, "photos"));
    assert_eq!(end, Err(SessionError::Refused(Refusal::FolderName)));
}

#[test]
fn a_sealed_name_of_another_length_breaks_the_protocol() {
    for length in [0, 1, 16, 270, 272] {
        let (end, answer, _) = offer(|derived| with_name(derived, &vec![0; length]));
        assert_eq!(end, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)), "{length}");
        assert_eq!(answer, [7, 19], "{length}");
    }
    for missing in 1..OFFER_TAIL {
        let (end, ..) = offer(|derived| {
            let mut tail = derived.offer_tail(2, "photos");
            tail.truncate(OFFER_TAIL - missing);
            tail
        });
        assert_eq!(end, Err(SessionError::PeerMisbehaved(Misbehaviour::Message)), "{missing}");
    }
}

/// A folder that does not shrink when it is compressed.
fn folder() -> HandMade {
    let bytes: Vec<u8> = (0..2_000_u32).flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    archive_of(&[("a", &bytes)])
}

/// Neither while it is transferred nor once it is committed.
#[test]
fn a_run_keeps_the_name_of_its_folder() {
    let all = {
        let mut fixture = Fixture::new();
        fixture.source = folder();
        fixture.record::<SoftCipher>()
    };
    let (to_receiver, to_sender) = (all.0.len() as u64, all.1.len() as u64);
    // The first connection breaks among the chunks, or at the receipt.
    for (cuts, error) in
        [((to_receiver - 1_000, u64::MAX), SessionError::Disconnected.into()), ((u64::MAX, to_sender - 1), UNKNOWN)]
    {
        for keeps in [true, false] {
            let mut fixture = Fixture::new();
            fixture.source = folder();
            assert_eq!(fixture.connect_cut(cuts.0, cuts.1).0, Err(error));
            if keeps {
                let ends = fixture.connect();
                fixture.assert_committed(ends);
            } else {
                fixture.name = "other".to_owned();
                let (sender, receiver) = fixture.connect();
                assert_eq!(sender, refused(Refusal::Protocol).0);
                assert_eq!(receiver, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)));
                assert!(fixture.store.names.iter().all(|name| name == "photos"));
            }
        }
    }
}
