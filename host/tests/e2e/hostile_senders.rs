//! Trusted senders that violate the protocol, against the built receiver: archives, chunks, frames and offers that must
//! be refused.
//!
//! The cases are the ways in which comparable tools were broken: traversal, escape sequences, sizes and counts,
//! truncation, decompression bombs.

use std::fs;

use waft::session::RingCipher;
use waft_core::archive::Shape;
use waft_core::digest::Digest;
use waft_core::sealed::cipher::{NONCE, TAG};
use waft_core::sealed::{Aead, AeadKey, Cipher, Forged};
use waft_core::session::SessionError;
use waft_core::session::sender::SendError;
use waft_core::wire::message::Refusal;

use super::harness::{Ended, Waft, check_error};
use super::peers::{Raw, archive_of, directory, file, run, send};
use super::source::HandMade;
use super::world::World;

/// Asserts that no text for users or scripts contains control characters or changes the direction of text.
pub(crate) fn assert_printable(ended: &Ended) {
    let scripts = serde_json::Value::from(ended.events.clone());
    let strings = |value: &serde_json::Value| value.as_object().map(|map| map.values().cloned().collect::<Vec<_>>());
    let reported = scripts.as_array().expect("a list").iter().flat_map(|event| strings(event).expect("an object"));
    let reported = reported.filter_map(|value| value.as_str().map(str::to_owned)).chain([ended.errors.clone()]);
    for text in reported {
        let bad =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!text.contains(bad), "{text:?}");
    }
}

/// A receiver that accepts every trusted sender.
pub(crate) fn receiver(world: &World) -> (Waft, String) {
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    (receiver, address)
}

/// Sends each archive to the same receiver: each is refused as malformed, nothing is kept, nothing is printed. Then a
/// valid one arrives.
fn refused(archives: Vec<(String, HandMade)>) {
    let world = World::new();
    let around = super::world::listed(world.root.path()).len();
    let (mut receiver, address) = receiver(&world);
    for (what, archive) in archives {
        let outcome = run(send::<RingCipher>(&world, &address, archive));
        assert_eq!(outcome, Err(SessionError::Refused(Refusal::Archive).into()), "{what:?}");
        check_error(&receiver.await_event("error"), "protocol", &["laptop", "malformed", "othing of it was kept"]);
        world.nothing_arrived();
        assert!(!world.staging().exists(), "{what:?}");
    }
    // Nothing is kept anywhere else either: there are only the identity files, the trust file and its lock.
    assert!(
        super::world::listed(world.root.path()).len() <= around + 1,
        "{:#?}",
        super::world::listed(world.root.path())
    );
    world.small();
    world.sending(&address).run().succeeded();
    world.arrived();
    receiver.interrupt();
    assert_printable(&receiver.end());
}

fn named(entries: &[Raw]) -> (String, HandMade) {
    let name =
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect::<Vec<_>>().join(" ");
    (name, archive_of(entries))
}

#[test]
fn paths_that_lead_out() {
    let alone: [&[u8]; 13] = [
        b"..",
        b"../x",
        b"../../../../tmp/x",
        b"/",
        b"/etc/x",
        b"//x",
        b".",
        b"./x",
        b"",
        b"x/",
        b"x//y",
        b"/..",
        b"x/../../y",
    ];
    let mut archives: Vec<_> =
        alone.iter().flat_map(|path| [named(&[file(path)]), named(&[directory(path)])]).collect();
    archives.push(named(&[directory("a"), file("a/..")]));
    archives.push(named(&[directory("a"), file("a/../x")]));
    archives.push(named(&[directory("."), file("./x")]));
    archives.push(named(&[directory(".."), file("../x")]));
    refused(archives);
}

#[test]
fn names_that_speak_to_terminals_or_systems() {
    let names: [&[u8]; 11] = [
        b"a\0b",
        b"\0",
        b"\x1b[31mred",
        b"\x1b]0;title\x07",
        b"line\nbreak",
        b"a\rb",
        b"\x7f",
        b"\xc2\x9b31m",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"a\xc0\xafb",
    ];
    refused(names.iter().map(|name| named(&[file(name)])).collect());
}

#[test]
fn manifests_that_are_none() {
    let one = file("a");
    let manifest = |bytes: &[u8], entries| HandMade::of(bytes, entries, &[b""]);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = one.bytes();
        change(&mut bytes);
        manifest(&bytes, 1)
    };
    let mut archives = vec![
        named(&[file("a"), file("a")]),
        named(&[directory("a"), file("a")]),
        named(&[file("b"), file("a")]),
        named(&[file("a/b")]),
        named(&[file("a"), file("a/b")]),
        named(&[Raw { mode: 0o4755, ..one.clone() }]),
        named(&[Raw { nanos: 1_000_000_000, ..one.clone() }]),
        named(&[file(vec![b'n'; 256])]),
        named(&[directory(vec![b'n'; 1025])]),
        ("a name without end".into(), with(&|bytes| bytes[4] = 0x7f)),
        ("a length of nothing".into(), with(&|bytes| bytes[..2].fill(0))),
        ("a length past the end".into(), with(&|bytes| bytes[..2].fill(0xff))),
        ("an unknown kind".into(), with(&|bytes| bytes[2] = 9)),
        ("cut short".into(), with(&|bytes| bytes.truncate(bytes.len() - 1))),
        ("one byte too long".into(), with(&|bytes| bytes.push(0))),
        ("zeros".into(), manifest(&[0; 100], 1)),
        ("noise".into(), manifest(&super::world::noise(300_000), 1)),
    ];
    let deep = (1..=65).map(|depth| directory(vec!["d"; depth].join("/"))).collect::<Vec<_>>();
    archives.push(("65 levels".into(), archive_of(&deep)));
    refused(archives);
}

#[test]
fn counts_and_sizes_that_lie() {
    let good = archive_of(&[directory("a"), file("a/b")]);
    let with = |change: &dyn Fn(&mut HandMade)| {
        let mut archive = good.clone();
        change(&mut archive);
        archive
    };
    let sized = |size: u64| HandMade::of(&Raw { size: Some(size), ..file("a") }.bytes(), 1, &[b"12345"]);
    let mut longer = sized(5);
    longer.info.shape.manifest += 1;
    refused(vec![
        ("more entries".into(), with(&|archive| archive.info.shape.entries = 3)),
        ("as many entries as bytes".into(), with(&|archive| archive.info.shape.entries = archive.info.shape.manifest)),
        ("fewer files".into(), with(&|archive| archive.info.shape.files = 0)),
        ("a shorter manifest".into(), with(&|archive| archive.info.shape.manifest -= 1)),
        ("a longer manifest".into(), longer),
        (
            "another manifest than its tag".into(),
            with(&|archive| archive.info.manifest_digest = Digest::of(b"another")),
        ),
        ("a shorter file".into(), sized(4)),
        ("a longer file".into(), sized(6)),
        ("an endless file".into(), sized(u64::MAX)),
        ("a file of the largest archive".into(), sized(1 << 42)),
    ]);
}

#[test]
fn contents_that_do_not_match() {
    let good = HandMade::of(&Raw { size: Some(5), ..file("a") }.bytes(), 1, &[b"12345"]);
    let flipped = |at: usize| {
        let mut archive = good.clone();
        archive.archive[at] ^= 1;
        (format!("byte {at}"), archive)
    };
    let content = good.info.shape.manifest as usize;
    refused([content, content + 5, content + 36, content + 37, content + 68].map(flipped).into());
}

#[test]
fn a_chain_of_large_claims_takes_no_memory() {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let mut archive = archive_of(&[file("a")]);
    archive.info.shape = Shape { total: 300 << 20, files: 1 << 20, entries: 1 << 20, manifest: 256 << 20 };
    let outcome = run(send::<RingCipher>(&world, &address, archive));
    assert!(
        matches!(
            outcome,
            Err(SendError::Session(SessionError::Cancelled(_) | SessionError::Refused(Refusal::NoSpace { .. })))
        ),
        "{outcome:?}"
    );
    receiver.await_event("error");
    world.nothing_arrived();
    if cfg!(target_os = "linux") {
        let status = fs::read_to_string(format!("/proc/{}/status", receiver.pid())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kib < 48 << 10, "{kib} KiB");
    }
}

/// Changes the plaintext of every chunk, then seals it correctly.
struct FaultyCipher<const FAULT: u8>(RingCipher);

impl<const FAULT: u8> Cipher for FaultyCipher<FAULT> {
    const AEADS: &'static [Aead] = RingCipher::AEADS;

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        RingCipher::new(aead, key).map(Self)
    }

    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
        if *nonce == [0; NONCE] {
            // The name of the folder, which comes before the chunks.
            return self.0.seal(nonce, data);
        }
        let (block, codec) = data.split_at_mut(data.len() - 1);
        match FAULT {
            // An LZ4 block that expands to 255 times its length: one literal, then an endless match.
            0 => {
                codec[0] = 1;
                block.fill(0xff);
                block[..5].copy_from_slice(&[0x1f, 0, 1, 0, 0xff]);
            }
            // A block with a match before its start.
            1 => {
                codec[0] = 1;
                block[..5].copy_from_slice(&[0x1f, 0, 0xff, 0xff, 0]);
            }
            // A block that expands to fewer bytes than expected.
            2 => {
                codec[0] = 1;
                block[..2].copy_from_slice(&[0x10, 0]);
            }
            // An unknown codec.
            3 => codec[0] = 7,
            // The correct data with a wrong tag.
            _ => {
                let mut tag = self.0.seal(nonce, data);
                tag[0] ^= 1;
                return tag;
            }
        }
        self.0.seal(nonce, data)
    }

    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        self.0.open(nonce, data, tag)
    }
}

#[test]
fn chunks_that_are_bombs_or_forged() {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let content = super::world::noise(200_000);
    let archive = HandMade::of(&Raw { size: Some(200_000), ..file("a") }.bytes(), 1, &[&content]);
    for fault in 0..5 {
        let archive = archive.clone();
        let outcome = match fault {
            0 => run(send::<FaultyCipher<0>>(&world, &address, archive)),
            1 => run(send::<FaultyCipher<1>>(&world, &address, archive)),
            2 => run(send::<FaultyCipher<2>>(&world, &address, archive)),
            3 => run(send::<FaultyCipher<3>>(&world, &address, archive)),
            _ => run(send::<FaultyCipher<4>>(&world, &address, archive)),
        };
        assert_eq!(outcome, Err(SessionError::Refused(Refusal::Chunk).into()), "fault {fault}");
        check_error(&receiver.await_event("error"), "protocol", &["laptop"]);
    }
    world.nothing_arrived();
    assert!(!world.staging().exists());
    // A sender without changes is accepted.
    let root = archive.root;
    assert_eq!(run(send::<RingCipher>(&world, &address, archive)).map(|receipt| receipt.digest), Ok(root));
    assert_eq!(fs::read(world.target().join("a")).unwrap(), content);
}
