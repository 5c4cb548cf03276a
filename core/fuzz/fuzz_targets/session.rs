//! Whole sessions whose bytes are changed on the way, as only an authenticated peer could: neither end may panic or
//! hang, and what a receiver commits is what was offered.
//!
//! Four bytes of input are one edit: the place (u16), the direction, and what to flip.
#![no_main]

#[path = "../../tests/session/actors.rs"]
mod actors;
#[path = "../../tests/session/source.rs"]
mod source;
#[path = "../../tests/session/world.rs"]
#[allow(dead_code)]
mod world;

use actors::{Caller, MemoryStore, Seeded, Typist, archive_of};
use embassy_futures::join::join;
use libfuzzer_sys::fuzz_target;
use waft_core::certificate::CertificateHash;
use waft_core::code::TransferKey;
use waft_core::limits::ITERATIONS_MIN;
use waft_core::sealed::cipher::SoftCipher;
use waft_core::session::desk::Desk;
use waft_core::session::receiver::{self, KeySource, Policy, Receiver};
use waft_core::session::sender::{self, Peer, Run, Sender};
use world::{VirtualClock, connect, run};

const CHUNK: u32 = 1_024;
const SENDER: CertificateHash = CertificateHash([1; 32]);
const RECEIVER: CertificateHash = CertificateHash([2; 32]);

fuzz_target!(|data: &[u8]| {
    let key = || TransferKey::parse("0123456789ABCDEF").expect("well-formed");
    let mut source = archive_of(&[("a", b"alpha"), ("b", &[7; 3_000])]);
    let archive = source.archive.clone();
    let clock = VirtualClock::default();
    let (mut here, mut there) = connect(u64::MAX, u64::MAX);
    for edit in data.chunks_exact(4) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let link = if edit[2] & 1 == 0 { &mut here } else { &mut there };
        link.edits.push((place, edit[3]));
    }
    let (mut plain, mut frame) = (vec![0; sender::buffer_len(CHUNK)], vec![0; sender::buffer_len(CHUNK)]);
    let sender_key = key();
    let mut sender = Sender {
        run: &Run {
            key: &sender_key,
            salt: [7; 32],
            created: 0,
            iterations: ITERATIONS_MIN,
            chunk: CHUNK,
            certificate: SENDER,
        },
        source: &mut source,
        operator: &mut Caller::default(),
        clock: &clock,
        entropy: &mut Seeded(1),
        buffers: sender::Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
    };
    let mut entropy = Seeded(2);
    let mut desk = Desk::new(&mut entropy);
    let mut store = MemoryStore::default();
    let (mut in_frame, mut in_plain) = (vec![0; receiver::buffer_len(CHUNK)], vec![0; CHUNK as usize]);
    let mut receiver = Receiver {
        policy: &Policy {
            code_needed: false,
            key: KeySource::Typed,
            max_iterations: ITERATIONS_MIN,
            max_chunk: CHUNK,
            key_seconds: 300,
            certificate: RECEIVER,
        },
        desk: &mut desk,
        store: &mut store,
        operator: &mut Typist { keys: [key()].into(), ..Typist::default() },
        clock: &clock,
        entropy: &mut entropy,
        buffers: receiver::Buffers { frame: &mut in_frame, plain: &mut in_plain },
    };
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let send = async {
        let end = sender.send::<SoftCipher>(&mut here, &peer).await;
        (end, drop(here))
    };
    let receive = async {
        let end = receiver.receive::<SoftCipher>(&mut there, SENDER).await;
        (end, drop(there))
    };
    let (_, (received, ())) = run(&clock, join(send, receive));
    if received.is_ok() {
        assert_eq!(store.committed, archive);
    }
});
