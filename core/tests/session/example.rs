//! The worked examples of PROTOCOL.md: sessions with fixed entropy. Their bytes are computed a second time from
//! primitives alone, and compared with those on the page.
//!
//! If a test fails, a byte on the wire has changed: fix the code, not the page.

use std::fmt::Write;

use p256::SecretKey;
use rand_core::RngCore;
use sha2::{Digest, Sha256};
use waft_core::archive::{ENTRY_PREFIX, Entry, Kind, ManifestWriter, Modified};
use waft_core::limits::ENTRY_MAX;
use waft_core::path::RelPath;
use waft_core::sealed::file::{ENCODED_MAX, Header};
use waft_core::sealed::{
    Aead, AeadKey, Cipher, Codec, Forged, Schedule, Sealer, Secret, SoftCipher, Span, Suite, Transcript, seal_buffer,
};
use waft_core::wire::message;

use crate::doubles::{Base, Seeded, archive_at, archive_of};
use crate::fixture::{CHUNK, CHUNK_SIZE, Fixture, KEY, RECEIVER, SENDER, key};
use crate::primitives::{Derived, Keys, frames, hmac, part, point, sealed_secret, typed_secret, unpack, varint};
use crate::source::HandMade;

const PAGE: &str = include_str!("../../PROTOCOL.md");

/// The cipher of a receiver that supports only the AEAD with this number.
struct Only<const NUMBER: u8>(SoftCipher);

impl<const NUMBER: u8> Cipher for Only<NUMBER> {
    const AEADS: &'static [Aead] = match NUMBER {
        1 => &[Aead::Aes256Gcm],
        _ => &[Aead::ChaCha20Poly1305],
    };

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        SoftCipher::new(aead, key).map(Self)
    }

    fn seal(&self, nonce: &[u8; 12], data: &mut [u8]) -> [u8; 16] {
        self.0.seal(nonce, data)
    }

    fn open(&self, nonce: &[u8; 12], data: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        self.0.open(nonce, data, tag)
    }
}

/// The lines of an example.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn text(&mut self, name: &str, text: &str) {
        writeln!(self.0, "{name:<20} {text}").unwrap();
    }

    fn hex(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut rows = hex.as_bytes().chunks(96).map(|row| std::str::from_utf8(row).unwrap());
        self.text(name, rows.next().unwrap_or(""));
        rows.for_each(|row| self.text("", row));
    }

    /// Asserts that the lines are the block of the page that begins with the same name.
    fn assert_on_the_page(&self) {
        let name = self.0.split(' ').next().unwrap();
        let start = format!("```text\n{name} ");
        let on_the_page = PAGE.split(&start).nth(1).and_then(|rest| rest.split("```").next()).unwrap_or("");
        assert!(self.0 == format!("{name} {on_the_page}"), "the example is now:\n{}", self.0);
    }
}

/// Adds the derived values.
fn show(derived: &Derived, lines: &mut Lines) {
    lines.hex("T", &derived.keys.transcript);
    lines.hex("chunk key", &derived.keys.expand::<32>("waft/1 chunk key"));
    lines.hex("chunk nonce", &derived.keys.expand::<7>("waft/1 chunk nonce"));
    lines.hex("commitment", &derived.commitment);
    lines.hex("manifest tag", &derived.manifest_tag);
    lines.hex("name key", &derived.keys.expand::<32>("waft/1 name"));
}

/// An offer without its tags and name.
fn body_of(offer: &[u8]) -> &[u8] {
    &offer[..offer.len() - message::OFFER_TAIL]
}

#[test]
fn the_first_example_has_the_bytes_on_the_page() {
    let mut fixture = Fixture::new().with_right_code();
    fixture.source = archive_of(&[("hello.txt", b"Hello, board!\n")]);
    fixture.salt = std::array::from_fn(|at| at as u8);
    let archive = fixture.source.archive.clone();
    let (to_receiver, to_sender) = fixture.record::<Only<2>>();
    let (to_receiver, to_sender) = (frames(&to_receiver), frames(&to_sender));
    let [(1, hello), (1, code), (1, offer), (1, resume), (2, chunk)] = to_receiver[..] else {
        panic!("{to_receiver:02x?}")
    };
    let [(1, greeting), (1, accepted), (1, working), (1, accept), (1, committed)] = to_sender[..] else {
        panic!("{to_sender:02x?}")
    };

    let secret = typed_secret(KEY, &fixture.salt, 1_000);
    let manifest = &archive[..fixture.source.info.shape.manifest as usize];
    let derived = Derived::new(&secret, [hello, greeting, body_of(offer)], manifest);
    assert_eq!(offer[body_of(offer).len()..], derived.offer_tail(2, "photos"));
    assert_eq!(accept, derived.accept(b""));
    assert_eq!(chunk, derived.keys.chunk(2, 0, true, &[&archive[..], &[0]].concat()));

    let mut lines = Lines::default();
    lines.text("key", KEY);
    lines.hex("sender certificate", &SENDER.0);
    lines.hex("receiver certificate", &RECEIVER.0);
    lines.hex("manifest", manifest);
    lines.hex("manifest digest", &derived.manifest_digest);
    lines.hex("archive", &archive);
    lines.hex("Hello", hello);
    lines.hex("Greeting", greeting);
    lines.hex("Code", code);
    lines.hex("CodeAccepted", accepted);
    lines.hex("secret", &secret);
    show(&derived, &mut lines);
    lines.hex("Offer", offer);
    lines.hex("Working", working);
    lines.hex("Accept", accept);
    lines.hex("Resume", resume);
    lines.hex("chunk", chunk);
    lines.hex("Committed", committed);
    lines.hex("sealed file", &sealed_file(&archive, &fixture));
    lines.assert_on_the_page();
}

/// The same archive as a sealed file, made by the library and checked from the primitives.
fn sealed_file(archive: &[u8], fixture: &Fixture) -> Vec<u8> {
    let info = fixture.source.info;
    let header = Header {
        iterations: 1_000,
        salt: fixture.salt,
        suite: Suite { aead: Aead::ChaCha20Poly1305, codec: Codec::None, chunk: CHUNK_SIZE },
        created: 1_700_000_000,
        shape: info.shape,
    };
    let mut start = [0; ENCODED_MAX];
    let start = header.encode(&mut start);
    let schedule = Schedule::new(&Secret::typed(&key(KEY), &fixture.salt, 1_000), &Transcript::file(&start[10..]));
    let commitment = schedule.commitment();
    let span = Span::new(0, info.shape.total).unwrap();
    let mut sealer = Sealer::<SoftCipher>::new(schedule.into_stream().0, &header.suite, span).unwrap();
    let mut chunk = vec![0; seal_buffer(CHUNK_SIZE)];
    let length = sealer.seal(archive, None, &mut chunk).unwrap();

    let transcript = [&b"waft/1 file"[..], b"WAFTSEAL", &part(&start[10..])].concat();
    let keys = Keys::new(&typed_secret(KEY, &fixture.salt, 1_000), &transcript);
    assert_eq!(commitment, keys.expand("waft/1 commitment"));
    assert_eq!(chunk[..length], keys.chunk(2, 0, true, &[archive, &[0]].concat()));
    let frame = [2, 0, 0, length as u8];
    [start, &commitment, &frame, &chunk[..length]].concat()
}

/// Length of the prefix that the receiver of the second example holds.
const HELD: usize = 300;

/// The folder of the second example: its last piece begins where the content of its long file ends.
fn tree() -> HandMade {
    let (mut writer, mut manifest) = (ManifestWriter::new(), Vec::new());
    let long = &*b"waft".repeat(304);
    for (path, content, mode, seconds, nanos) in [
        ("empty", None, 0o755, 1_700_000_000, 0),
        ("sub", None, 0o750, 1_700_000_000, 999_999_999),
        ("sub/deeper", None, 0o700, -1, 500_000_000),
        ("sub/deeper/long.txt", Some(long.len()), 0o644, 0, 0),
        ("sub/none", Some(0), 0o400, 1_700_000_000, 0),
    ] {
        let entry = Entry {
            kind: content.map_or(Kind::Directory, |size| Kind::File { size: size as u64 }),
            path: RelPath::new(path).unwrap(),
            mode,
            modified: Modified { seconds, nanos },
        };
        let mut out = [0; ENTRY_PREFIX + ENTRY_MAX];
        let length = writer.push(&entry, &mut out).unwrap();
        manifest.extend(&out[..length]);
    }
    let tree = HandMade::of(&manifest, 5, &[long, &[]]);
    assert_eq!(manifest.len() + long.len(), HELD + CHUNK as usize);
    tree
}

/// The ephemeral key that the sender of the fixture's next connection draws after its nonce.
fn ephemeral(fixture: &Fixture, hello: &[u8]) -> SecretKey {
    let mut entropy = Seeded(Seeded(fixture.rng.0).next_u64());
    let mut nonce = [0; 32];
    entropy.fill_bytes(&mut nonce);
    assert_eq!(hello[3..35], nonce);
    SecretKey::random(&mut entropy)
}

#[test]
fn the_second_example_has_the_bytes_on_the_page() {
    let mut fixture = Fixture::new();
    fixture.typed = false;
    fixture.source = tree();
    fixture.store.staged = fixture.source.archive[..HELD].to_vec();
    fixture.hold_staged();
    // Long enough for a keep-alive.
    fixture.source_delay = 6_000;
    let archive = fixture.source.archive.clone();
    let before = Seeded(fixture.rng.0);
    let (to_receiver, to_sender) = fixture.record::<Only<1>>();
    fixture.rng = before;
    let (to_receiver, to_sender) = (frames(&to_receiver), frames(&to_sender));
    let [(1, hello), (1, offer), (1, hashing), (1, resume), (1, reading), (2, first), (1, reading_again), (2, last)] =
        to_receiver[..]
    else {
        panic!("{to_receiver:02x?}")
    };
    let [(1, greeting), (1, accept), (1, waiting), (1, committed)] = to_sender[..] else { panic!("{to_sender:02x?}") };
    assert_eq!(reading, reading_again);

    let ephemeral = ephemeral(&fixture, hello);
    let public = fixture.hpke.public();
    let secret = sealed_secret(&ephemeral, &public);
    let manifest = &archive[..fixture.source.info.shape.manifest as usize];
    let derived = Derived::new(&secret, [hello, greeting, body_of(offer)], manifest);
    let enc = point(&ephemeral.public_key());
    assert!(offer.windows(65).any(|window| window == enc));
    assert_eq!(offer[body_of(offer).len()..], derived.offer_tail(1, "photos"));
    assert_eq!(accept, derived.accept(&archive[..HELD]));
    let (piece, rest) = archive[HELD..].split_at(CHUNK as usize);
    // An LZ4 block has no canonical form, so its decoded content is compared.
    let block = lz4_of(&derived.keys, first);
    assert_eq!(
        (unpack(&block), first),
        (piece.to_vec(), &*derived.keys.chunk(1, 0, false, &[&block[..], &[1]].concat()))
    );
    assert_eq!(last, derived.keys.chunk(1, 1, true, &[rest, &[0]].concat()));

    let mut lines = Lines::default();
    lines.hex("receiver", &*fixture.hpke.to_bytes());
    lines.hex("receiver public", &public);
    lines.hex("ephemeral", &ephemeral.to_bytes());
    lines.hex("manifest", manifest);
    lines.hex("archive's SHA-256", &Sha256::digest(&archive));
    lines.hex("Hello", hello);
    lines.hex("Greeting", greeting);
    lines.hex("secret", &secret);
    show(&derived, &mut lines);
    lines.hex("Offer", offer);
    lines.hex("Accept", accept);
    lines.hex("Working (Hashing)", hashing);
    lines.hex("Working (Waiting)", waiting);
    lines.hex("Resume", resume);
    lines.hex("Working (Reading)", reading);
    lines.hex("first plain", &[&block[..], &[1]].concat());
    lines.hex("first chunk", first);
    lines.hex("last plain", &[rest, &[0]].concat());
    lines.hex("last chunk", last);
    lines.hex("Committed", committed);
    lines.assert_on_the_page();
}

/// The folder of the third example with this setting, which was made at that time.
fn house(seconds: i64, setting: &[u8]) -> HandMade {
    archive_at(
        seconds,
        &[("config", setting), ("index.html", b"<h1>Kitchen</h1>\n"), ("style.css", b"h1 { color: teal }\n")],
    )
}

#[test]
fn the_third_example_has_the_bytes_on_the_page() {
    let mut fixture = Fixture::new();
    fixture.source = house(1_700_000_000, b"light = on\n");
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    fixture.source = house(1_700_000_060, b"light = off");
    fixture.store.base = Some(Base::Stays);
    (fixture.store.staged, fixture.store.owner) = (Vec::new(), None);
    fixture.salt = [8; 32];
    fixture.receiver_user.keys.push_back(key(KEY));
    let (archive, shape) = (fixture.source.archive.clone(), fixture.source.info.shape);
    let (to_receiver, to_sender) = fixture.record::<Only<2>>();
    let (to_receiver, to_sender) = (frames(&to_receiver), frames(&to_sender));
    let [(1, hello), (1, offer), (1, resume), (2, first), (1, range), (2, second), (1, end), (2, last)] =
        to_receiver[..]
    else {
        panic!("{to_receiver:02x?}")
    };
    let [(1, greeting), (1, _), (1, accept), (1, files), (1, base_end), (1, committed)] = to_sender[..] else {
        panic!("{to_sender:02x?}")
    };

    let secret = typed_secret(KEY, &fixture.salt, 1_000);
    let (manifest, content) = archive.split_at(shape.manifest as usize);
    let derived = Derived::new(&secret, [hello, greeting, body_of(offer)], manifest);
    assert_eq!(accept, derived.accept_with(b"", true));
    let has = [&b"light = on\n"[..], b"<h1>Kitchen</h1>\n", b"h1 { color: teal }\n"].map(blake3::hash);
    let listed = has.iter().flat_map(|digest| [&[0], &digest.as_bytes()[..]].concat());
    assert_eq!(files, [9, 3].into_iter().chain(listed).collect::<Vec<_>>());
    let base_key = derived.keys.expand::<32>("waft/1 base");
    let parts = [0, 1, 2].map(|file: u32| [&file.to_be_bytes()[..], has[file as usize].as_bytes()].concat());
    assert_eq!(base_end, [&[10], &hmac(&base_key, &parts.each_ref().map(|part| &part[..]))[..]].concat());
    // The first file and its digest cross, the others do not; then the root.
    let (crosses, rest) = content.split_at(11 + 32);
    let (left_out, root) = rest.split_at(rest.len() - 32);
    let [from, length] = [manifest.len() + crosses.len(), left_out.len()].map(|number| varint(number as u64));
    assert_eq!(range, [&[6][..], &from, &length].concat());
    assert_eq!(end, [&[6][..], &varint(shape.total), &[0]].concat());
    for (chunk, counter, piece) in [(first, 0, manifest), (second, 1, crosses), (last, 2, root)] {
        assert_eq!(chunk, derived.keys.chunk(2, counter, counter == 2, &[piece, &[0]].concat()));
    }

    let mut lines = Lines::default();
    lines.hex("new archive", &archive);
    lines.hex("Hello", hello);
    lines.hex("Greeting", greeting);
    lines.hex("secret", &secret);
    show(&derived, &mut lines);
    lines.hex("base key", &base_key);
    lines.hex("Offer", offer);
    lines.hex("Accept", accept);
    lines.hex("Resume", resume);
    lines.hex("first chunk", first);
    lines.hex("BaseFiles", files);
    lines.hex("BaseEnd", base_end);
    lines.hex("LeaveOut", range);
    lines.hex("second chunk", second);
    lines.hex("LeaveOut (end)", end);
    lines.hex("last chunk", last);
    lines.hex("Committed", committed);
    lines.assert_on_the_page();
}

/// The LZ4 block in the first chunk of a stream of AEAD 1, whose keystream comes from a chunk of zeros.
fn lz4_of(keys: &Keys, chunk: &[u8]) -> Vec<u8> {
    let sealed = &chunk[..chunk.len() - 16];
    let stream = keys.chunk(1, 0, false, &vec![0; sealed.len()]);
    let plain: Vec<u8> = sealed.iter().zip(stream).map(|(sealed, stream)| sealed ^ stream).collect();
    let (codec, block) = plain.split_last().unwrap();
    assert_eq!(*codec, 1, "LZ4");
    block.to_vec()
}
