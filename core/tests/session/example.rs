//! The worked example of PROTOCOL.md: a session with fixed entropy, its bytes computed a second time from the
//! primitives alone, and held against the page.
//!
//! If this fails, a byte on the wire has changed: mend the code, not the page.

use std::fmt::Write;

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use waft_core::sealed::cipher::{Aead, Cipher, SoftCipher};
use waft_core::sealed::file::{ENCODED_MAX, Header};
use waft_core::sealed::keys::{ChunkKey, Schedule, Secret, Transcript};
use waft_core::sealed::stream::{Codec, Sealer, Span, seal_buffer};
use waft_core::wire::message;

use crate::actors::archive_of;
use crate::scene::{CHUNK, KEY, RECEIVER, SENDER, Scene, key};

const PAGE: &str = include_str!("../../PROTOCOL.md");

/// A cipher suite of one cipher, as a board without an AES unit has it.
struct OnlyChaCha(SoftCipher);

impl Cipher for OnlyChaCha {
    const AEADS: &'static [Aead] = &[Aead::ChaCha20Poly1305];

    fn new(aead: Aead, key: &ChunkKey) -> Option<Self> {
        SoftCipher::new(aead, key).map(Self)
    }

    fn seal(&self, nonce: &[u8; 12], data: &mut [u8]) -> [u8; 16] {
        self.0.seal(nonce, data)
    }

    fn open(&self, nonce: &[u8; 12], data: &mut [u8], tag: &[u8; 16]) -> Result<(), waft_core::sealed::cipher::Forged> {
        self.0.open(nonce, data, tag)
    }
}

/// Splits a stream into frames: kind and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [kind, high, middle, low, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        frames.push((*kind, &rest[..length]));
        bytes = &rest[length..];
    }
    frames
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// The schedule of section 7.3, from the primitives.
struct Keys {
    transcript: [u8; 32],
    hkdf: Hkdf<Sha256>,
}

impl Keys {
    fn new(secret: &[u8], transcript: &[u8]) -> Self {
        Self { transcript: Sha256::digest(transcript).into(), hkdf: Hkdf::new(Some(&[]), secret) }
    }

    fn expand<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut out = [0; N];
        self.hkdf.expand(&[label.as_bytes(), &self.transcript].concat(), &mut out).unwrap();
        out
    }

    /// Section 7.4, for a stream of one raw chunk.
    fn only_chunk(&self, archive: &[u8]) -> Vec<u8> {
        let key: [u8; 32] = self.expand("waft/1 chunk key");
        let prefix: [u8; 7] = self.expand("waft/1 chunk nonce");
        let nonce = [&prefix[..], &[0, 0, 0, 0, 1]].concat();
        let mut chunk = [&[0], archive].concat();
        let cipher = ChaCha20Poly1305::new(&key.into());
        let tag = cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), &[], &mut chunk).unwrap();
        chunk.extend(tag);
        chunk
    }
}

fn pbkdf2(key: &str, salt: &[u8]) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(key.replace('-', "").as_bytes(), salt, 1_000)
}

/// The lines of the example.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn hex(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut rows = hex.as_bytes().chunks(96).map(|row| std::str::from_utf8(row).unwrap());
        writeln!(self.0, "{name:<20} {}", rows.next().unwrap_or("")).unwrap();
        rows.for_each(|row| writeln!(self.0, "{:<20} {row}", "").unwrap());
    }
}

#[test]
fn the_pages_example_is_what_happens() {
    let mut scene = Scene::new().with_right_code();
    scene.source = archive_of(&[("hello.txt", b"Hello, board!\n")]);
    scene.salt = std::array::from_fn(|at| at as u8);
    let archive = scene.source.archive.clone();
    let (forth, back) = scene.record::<OnlyChaCha>();
    let (forth, back) = (frames(&forth), frames(&back));
    let [(1, hello), (1, code), (1, offer), (1, resume), (2, chunk)] = forth[..] else { panic!("{forth:02x?}") };
    let [(1, greeting), (1, accepted), (1, working), (1, accept), (1, committed)] = back[..] else {
        panic!("{back:02x?}")
    };

    let body = &offer[..offer.len() - message::OFFER_TAGS];
    let secret = pbkdf2(KEY, &scene.salt);
    let transcript =
        [&b"waft/1 session"[..], &part(hello), &part(greeting), &part(body), &SENDER.0, &RECEIVER.0].concat();
    let keys = Keys::new(&secret, &transcript);
    let manifest = &archive[..scene.source.info.shape.manifest as usize];
    let manifest_digest = *blake3::hash(manifest).as_bytes();
    let manifest_tag = hmac(&keys.expand::<32>("waft/1 manifest tag"), &[&manifest_digest]);
    let commitment: [u8; 32] = keys.expand("waft/1 commitment");
    let nothing = *blake3::hash(b"").as_bytes();
    let mac = hmac(&keys.expand::<32>("waft/1 accept"), &[&0u64.to_be_bytes(), &nothing]);
    assert_eq!(offer[body.len()..], [manifest_tag, commitment].concat());
    assert_eq!(accept, [&[4, 0][..], &nothing, &mac].concat());
    assert_eq!(chunk, keys.only_chunk(&archive));

    let mut lines = Lines::default();
    writeln!(lines.0, "{:<20} {KEY}", "key").unwrap();
    for (name, bytes) in [
        ("sender certificate", &SENDER.0[..]),
        ("receiver certificate", &RECEIVER.0),
        ("manifest", manifest),
        ("manifest digest", &manifest_digest),
        ("archive", &archive),
        ("Hello", hello),
        ("Greeting", greeting),
        ("Code", code),
        ("CodeAccepted", accepted),
        ("secret", &secret),
        ("T", &keys.transcript),
        ("chunk key", &keys.expand::<32>("waft/1 chunk key")),
        ("chunk nonce", &keys.expand::<7>("waft/1 chunk nonce")),
        ("commitment", &commitment),
        ("manifest tag", &manifest_tag),
        ("Offer", offer),
        ("Working", working),
        ("Accept", accept),
        ("Resume", resume),
        ("chunk", chunk),
        ("Committed", committed),
        ("sealed file", &sealed_file(&archive, &scene)),
    ] {
        lines.hex(name, bytes);
    }
    let on_the_page = PAGE.split("```text\nkey ").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or("");
    assert!(lines.0 == format!("key {on_the_page}"), "the example is now:\n{}", lines.0);
}

/// The same archive as a sealed file, made by the library and checked from the primitives.
fn sealed_file(archive: &[u8], scene: &Scene) -> Vec<u8> {
    let info = scene.source.info;
    let header = Header {
        iterations: 1_000,
        salt: scene.salt,
        aead: Aead::ChaCha20Poly1305,
        codec: Codec::None,
        chunk: CHUNK,
        created: 1_700_000_000,
        shape: info.shape,
    };
    let mut start = [0; ENCODED_MAX];
    let start = header.encode(&mut start);
    let schedule = Schedule::new(&Secret::typed(&key(KEY), &scene.salt, 1_000), &Transcript::file(&start[10..]));
    let cipher = SoftCipher::new(header.aead, schedule.chunk_key()).unwrap();
    let span = Span::new(CHUNK, 0, info.shape.total).unwrap();
    let mut chunk = vec![0; seal_buffer(CHUNK)];
    let length =
        Sealer::new(cipher, schedule.nonce_prefix(), span, Codec::None).seal(archive, None, &mut chunk).unwrap();

    let transcript = [&b"waft/1 file"[..], b"WAFTSEAL", &part(&start[10..])].concat();
    let keys = Keys::new(&pbkdf2(KEY, &scene.salt), &transcript);
    assert_eq!(schedule.commitment(), keys.expand("waft/1 commitment"));
    assert_eq!(chunk[..length], keys.only_chunk(archive));
    let frame = [2, 0, 0, length as u8];
    [start, &schedule.commitment(), &frame, &chunk[..length]].concat()
}
