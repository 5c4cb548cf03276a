//! What a receiver answers to a trusted sender, message by message. PROTOCOL.md, sections 4 to 6.

use super::peers::{message, payloads, run, say, varint};
use super::rig::{Kind, Rig};

for_both!(
    what_stands_behind_a_hello_is_skipped,
    a_version_that_is_not_spoken_is_refused,
    any_stage_is_taken,
    what_is_not_waited_for_is_refused,
    what_comes_ahead_of_accept_is_refused,
    a_key_in_another_mode_is_refused,
    an_encapsulation_has_its_length,
);

/// `Refused(Protocol)`.
const PROTOCOL: &[u8] = &[7, 19];
/// `Refused(KeyWrong)`.
const KEY_WRONG: &[u8] = &[7, 3];
/// `Refused(KeyMode)`.
const KEY_MODE: &[u8] = &[7, 6];
/// `Cancel(Interrupted)`.
const CANCEL: &[u8] = &[4, 0];

fn hello(min: u8, max: u8, behind: &[u8]) -> Vec<u8> {
    message(&[&[0, min, max], &[5; 64][..], behind].concat())
}

/// An offer of one small file, within all bounds. Its key opens nothing.
fn offer(iterations: u64, key: &[u8]) -> Vec<u8> {
    let numbers = [1, 1_000, 1, 1, 10].map(varint).concat();
    message(
        &[&[2], &varint(iterations)[..], &[2, 0], &varint(1_024), key, &numbers, &[9; 64], &varint(271), &[9; 271]]
            .concat(),
    )
}

const TYPED: &[u8] = &[0];

/// All answers to these frames, until the receiver ends the session.
fn answers(rig: &Rig, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let bytes = frames.concat();
    payloads(&run(async { say(rig.laptop.dial(&rig.address).await, &bytes).await }))
}

fn last_word(rig: &Rig, frames: &[Vec<u8>]) -> Vec<u8> {
    answers(rig, frames).pop().expect("it says why")
}

fn what_stands_behind_a_hello_is_skipped(kind: Kind) {
    let rig = Rig::unattended(kind);
    let answers = answers(&rig, &[hello(1, 9, b"of a later version"), message(CANCEL)]);
    assert_eq!((answers.len(), answers[0][..2].to_vec()), (1, vec![0, 1]), "it greets with the version that it speaks");
}

fn a_version_that_is_not_spoken_is_refused(kind: Kind) {
    let rig = Rig::unattended(kind);
    for (min, max) in [(0, 0), (2, 9), (9, 1)] {
        assert_eq!(answers(&rig, &[hello(min, max, b"")]), [[7, 0]], "{min} to {max}");
    }
}

fn any_stage_is_taken(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let wrong = if rig.code() == "0000" { b"\x010001" } else { b"\x010000" };
    let stages = [0, 6, 7, 255].map(|stage| message(&[5, stage]));
    let answers =
        answers(&rig, &[&[hello(1, 1, b"")][..], &stages, &[message(wrong)], &stages, &[message(CANCEL)]].concat());
    assert_eq!(answers[1..], [[2, 2]], "the code is wrong, and nothing else");
}

fn what_is_not_waited_for_is_refused(kind: Kind) {
    let rig = Rig::attended(kind);
    for frame in [offer(1_000, TYPED), message(&[3, 0, 0]), hello(1, 1, b""), message(&[6]), message(b"\x0112345")] {
        assert_eq!(last_word(&rig, &[hello(1, 1, b""), frame]), PROTOCOL);
    }
    for frame in [message(&[5, 0]), message(&[1, b'0', b'0', b'0', b'0']), vec![3, 0, 0, 0], vec![2, 0, 0, 17]] {
        assert_eq!(last_word(&rig, &[frame]), PROTOCOL);
    }
}

fn what_comes_ahead_of_accept_is_refused(kind: Kind) {
    let rig = Rig::keyed(kind);
    for ahead in [message(&[3, 0, 0]), vec![2, 0, 0, 17]] {
        let answers = answers(&rig, &[hello(1, 1, b""), offer(1_000, TYPED), ahead]);
        assert_eq!(answers.last().map(Vec::as_slice), Some(PROTOCOL));
        assert!(!answers.iter().any(|answer| answer.first() == Some(&4)), "the offer is not accepted");
    }
}

fn a_key_in_another_mode_is_refused(kind: Kind) {
    let sealed = [&[1][..], &[4; 65]].concat();
    assert_eq!(last_word(&Rig::keyed(kind), &[hello(1, 1, b""), offer(0, &sealed)]), KEY_MODE);
    assert_eq!(last_word(&Rig::unattended(kind), &[hello(1, 1, b""), offer(1_000, TYPED)]), KEY_MODE);
}

fn an_encapsulation_has_its_length(kind: Kind) {
    let rig = Rig::unattended(kind);
    for (length, word) in [(0, PROTOCOL), (33, PROTOCOL), (64, PROTOCOL), (65, KEY_WRONG), (66, PROTOCOL)] {
        let sealed = [&[1][..], &vec![4; length]].concat();
        assert_eq!(last_word(&rig, &[hello(1, 1, b""), offer(0, &sealed)]), word, "{length}");
    }
}
