//! Whole sessions whose bytes are changed on the way, as only an authenticated peer could: neither side may panic or
//! wait for ever, and where either reports success, the receiver has what was offered.
//!
//! Four bytes of input are one edit: the place (u16), a byte of options, and what to flip. Of the options, bit 0 chooses
//! the direction; bit 1 of the first edit leaves the content unencrypted, so that the edits reach the archive in it.

use embassy_futures::join::join;
use waft_core::sealed::cipher::{Cipher, SoftCipher};
use waft_core::session::Clock as _;

use crate::cipher::Plain;
use crate::sides::{LONGEST, ReceivingSide, SendingSide};
use crate::world::{VirtualClock, connect, run as run_both};

/// Runs one session with these edits.
pub fn run(data: &[u8]) {
    if data.get(2).is_some_and(|options| options & 2 != 0) { play::<Plain>(data) } else { play::<SoftCipher>(data) }
}

fn play<C: Cipher>(data: &[u8]) {
    let clock = VirtualClock::default();
    let (mut here, mut there) = connect(u64::MAX, u64::MAX);
    for edit in data.chunks_exact(4) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let link = if edit[2] & 1 == 0 { &mut here } else { &mut there };
        link.edits.push((place, edit[3]));
    }
    let mut receiver = ReceivingSide::new();
    let mut sender = SendingSide::to(&receiver);
    let send = async {
        let end = sender.send::<C>(&clock, &mut here).await;
        (end, drop(here))
    };
    let receive = async {
        let end = receiver.receive::<C>(&clock, &mut there).await;
        (end, drop(there))
    };
    let ((sent, ()), (received, ())) = run_both(&clock, join(send, receive));
    assert!(clock.now() < LONGEST, "{} ms", clock.now());
    assert!(!data.is_empty() || (sent.is_ok() && received.is_ok()), "{sent:?}, {received:?}");
    if sent.is_ok() || received.is_ok() {
        assert_eq!(receiver.store.committed, sender.source.archive);
    }
}
