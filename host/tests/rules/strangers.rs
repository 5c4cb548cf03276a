//! What a receiver answers before the peer is authenticated. PROTOCOL.md, section 2.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::laptop::Running;
use super::rig::{Kind, Rig};

for_both!(
    what_is_no_preface_gets_no_answer,
    an_unknown_purpose_is_refused,
    a_session_is_spoken_with,
    while_a_sender_is_connected_others_get_busy,
    strangers_that_go_leave_the_place_free,
);

const PREFACE: &[u8] = b"WAFT\x01\0\0\0";

/// Sends these bytes and, if `ends`, closes the sending side. Returns the answer, at most the eight bytes of a refusal.
fn answer(rig: &Rig, said: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(&rig.address).expect("the receiver listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has one");
    stream.write_all(said).expect("the receiver reads");
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    // If the receiver closes with unread bytes, the connection is reset.
    let _ = stream.take(8).read_to_end(&mut answer);
    answer
}

fn what_is_no_preface_gets_no_answer(kind: Kind) {
    let rig = Rig::unattended(kind);
    for said in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"WAFT\x01\x01\0\0", b"WAFT\x01\0\0\x01", b"waft\x01\0\0\0", &[0x16; 8]]
    {
        assert_eq!(answer(&rig, said, false), b"", "{said:?}");
    }
    assert_eq!(answer(&rig, b"WAFT\x01\0\0", true), b"", "it is truncated");
}

fn an_unknown_purpose_is_refused(kind: Kind) {
    let rig = Rig::unattended(kind);
    // A board can pair, but does not at present.
    let pairing = if matches!(kind, Kind::Board) { 4 } else { 1 };
    for (purpose, refusal) in [(0, 1), (2, pairing), (255, 1)] {
        let answer = answer(&rig, &[b'W', b'A', b'F', b'T', purpose, 0, 0, 0], false);
        assert_eq!(answer, [b'W', b'A', b'F', b'T', 1, refusal, 0, 0], "{purpose}");
    }
}

fn a_session_is_spoken_with(kind: Kind) {
    let rig = Rig::unattended(kind);
    assert_eq!(answer(&rig, b"WAFT\x01\0\0\0", false).first(), Some(&0x16), "TLS begins");
}

fn while_a_sender_is_connected_others_get_busy(kind: Kind) {
    let mut rig = Rig::keyed(kind);
    let run = Running::of("a", "alpha");
    let sending = rig.laptop.begin(&rig.address, &run, &[]);
    rig.types("0000-0000-0000-0000");
    assert_eq!(answer(&rig, PREFACE, false), b"WAFT\x01\x02\0\0");
    assert_eq!(answer(&rig, b"WAFT\0\0\0\0", false), b"WAFT\x01\x01\0\0", "the version comes first");
    rig.types_again(&run.key);
    sending.ends().expect("the others did not disturb it");
}

fn strangers_that_go_leave_the_place_free(kind: Kind) {
    let rig = Rig::unattended(kind);
    for said in [PREFACE, b"WAFT", b""] {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(&rig.address).expect("the receiver listens");
            stream.write_all(said).expect("the receiver reads");
        }
    }
    rig.laptop.send(&rig.address, &Running::of("a", "alpha"), &[]).expect("nobody is in the way");
}
