//! Target for one side of a session. Its peer replays the bytes of a recorded session, with bytes changed, removed,
//! repeated or inserted. The side uses the same random numbers as in the recording, so that every key and tag matches.
//!
//! The first byte of the input holds options: bit 0 replays to the sender instead of the receiver, bit 1 leaves the
//! content unencrypted, and bit 2 closes the connection a second after the last byte. Every six bytes after it are an
//! edit: its kind, a position (u16), a length, and a value (u16).

use std::sync::OnceLock;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embedded_io_async::Write as _;
use waft_core::sealed::{Cipher, SoftCipher};
use waft_core::session::Clock as _;
use waft_core::session::sender::SendError;

use crate::cipher::Plain;
use crate::sides::{LONGEST, ReceivingSide, SendingSide};
use crate::simulation::{MemoryLink, VirtualClock, connect, run as run_both};

/// Longest edited recording, in bytes.
const LENGTH_MAX: usize = 1 << 15;

/// All bytes of a successful session.
struct Recording {
    to_receiver: Vec<u8>,
    to_sender: Vec<u8>,
}

/// Replays an edited recording to one side.
pub fn run(data: &[u8]) {
    static SEALED: OnceLock<Recording> = OnceLock::new();
    static PLAIN: OnceLock<Recording> = OnceLock::new();
    let [options, edits @ ..] = data else { return };
    if options & 2 == 0 {
        replay::<SoftCipher>(SEALED.get_or_init(record::<SoftCipher>), *options, edits);
    } else {
        replay::<Plain>(PLAIN.get_or_init(record::<Plain>), *options, edits);
    }
}

fn record<C: Cipher>() -> Recording {
    let clock = VirtualClock::default();
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let mut receiver = ReceivingSide::new();
    let mut sender = SendingSide::to(&receiver);
    let send = async {
        sender.send::<C>(&clock, &mut sender_link).await.expect("an unchanged session succeeds");
        (std::mem::take(&mut sender_link.written), drop(sender_link))
    };
    let receive = async {
        receiver.receive::<C>(&clock, &mut receiver_link).await.expect("an unchanged session succeeds");
        (std::mem::take(&mut receiver_link.written), drop(receiver_link))
    };
    let ((to_receiver, ()), (to_sender, ())) = run_both(&clock, join(send, receive));
    Recording { to_receiver, to_sender }
}

fn replay<C: Cipher>(recording: &Recording, options: u8, edits: &[u8]) {
    let (to_sender, closes) = (options & 1 != 0, options & 4 != 0);
    let mut bytes = if to_sender { recording.to_sender.clone() } else { recording.to_receiver.clone() };
    edits.chunks_exact(6).for_each(|edit| apply(edit, &mut bytes));
    let clock = VirtualClock::default();
    let (mut sender_link, receiver_link) = connect(u64::MAX, u64::MAX);
    let mut receiver = ReceivingSide::new();
    let mut sender = SendingSide::to(&receiver);
    let outcome = if to_sender {
        let send = async { sender.send::<C>(&clock, &mut sender_link).await };
        run_side(&clock, send, receiver_link, &bytes, closes)
    } else {
        let receive = async { receiver.receive::<C>(&clock, &mut sender_link).await.map_err(SendError::from) };
        run_side(&clock, receive, receiver_link, &bytes, closes)
    };
    assert!(clock.now() < LONGEST, "{} ms", clock.now());
    assert!(edits.len() >= 6 || outcome.is_ok(), "an unchanged session fails: {outcome:?}");
    if !to_sender && outcome.is_ok() {
        assert_eq!(receiver.store.committed, sender.source.archive);
    }
    if let Ok(receipt) = outcome {
        assert_eq!(receipt.digest, sender.source.root);
    }
}

/// Runs one side against a peer that sends `bytes`, and nothing after them.
fn run_side<T>(
    clock: &VirtualClock,
    side: impl Future<Output = T>,
    mut link: MemoryLink,
    bytes: &[u8],
    closes: bool,
) -> T {
    let peer = async {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(frame_length(rest));
            // The side may have closed the connection already.
            let _ = link.write_all(frame).await;
            // The virtual clock advances only once the side has nothing left to do.
            clock.sleep_until(clock.now() + 1).await;
            rest = after;
        }
        if closes {
            clock.sleep_until(clock.now() + 1_000).await;
            drop(link);
        }
        std::future::pending::<()>().await
    };
    match run_both(clock, select(side, peer)) {
        Either::First(outcome) => outcome,
        Either::Second(()) => unreachable!("the peer runs until it is dropped"),
    }
}

/// The length of the frame at the start of `bytes`, or of the part of it that `bytes` contains.
fn frame_length(bytes: &[u8]) -> usize {
    let length = |header: &[u8; 4]| 4 + u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    bytes.first_chunk().map_or(bytes.len(), length).min(bytes.len())
}

/// Applies one edit.
fn apply(edit: &[u8], bytes: &mut Vec<u8>) {
    let &[kind, low, high, length, value, more] = edit else { return };
    let at = usize::from(u16::from_le_bytes([low, high])) % (bytes.len() + 1);
    let end = bytes.len().min(at + usize::from(length));
    match kind % 5 {
        0 => bytes[at..end].iter_mut().take(2).zip([value, more]).for_each(|(byte, flip)| *byte ^= flip),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.truncate(at),
        3 => drop(bytes.splice(at..at, [value, more].into_iter().cycle().take(usize::from(length)))),
        _ => {
            let (piece, to) = (bytes[at..end].to_vec(), usize::from(u16::from_le_bytes([value, more])));
            let to = to % (bytes.len() + 1);
            drop(bytes.splice(to..to, piece));
        }
    }
    bytes.truncate(LENGTH_MAX);
}
