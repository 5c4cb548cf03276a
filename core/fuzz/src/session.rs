//! Target for whole sessions whose bytes are changed between the sides, as only an authenticated peer could. Neither
//! side may panic or hang; if either reports success, the receiver has the offered archive.
//!
//! Every four bytes of the input are an edit: a position (u16), options, and the bits to flip. Bit 0 of the options
//! chooses the direction; bit 1 of the first edit leaves the content unencrypted, so that edits reach the archive; with bit
//! 2 of the first edit the receiver has an earlier folder of the sender.

use embassy_futures::join::join;
use waft_core::sealed::{Cipher, SoftCipher};
use waft_core::session::Clock as _;

use crate::cipher::Plain;
use crate::sides::{LONGEST, ReceivingSide, SendingSide};
use crate::simulation::{VirtualClock, connect, run as run_both};

/// Runs one session with these edits.
pub fn run(data: &[u8]) {
    let is_plain = data.get(2).is_some_and(|options| options & 2 != 0);
    if is_plain { run_edited::<Plain>(data) } else { run_edited::<SoftCipher>(data) }
}

fn run_edited<C: Cipher>(data: &[u8]) {
    let clock = VirtualClock::default();
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    for edit in data.chunks_exact(4) {
        let position = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let link = if edit[2] & 1 == 0 { &mut sender_link } else { &mut receiver_link };
        link.edits.push((position, edit[3]));
    }
    let mut receiver = ReceivingSide::new();
    if data.get(2).is_some_and(|options| options & 4 != 0) {
        receiver.have_base();
    }
    let mut sender = SendingSide::to(&receiver);
    let send = async {
        let end = sender.send::<C>(&clock, &mut sender_link).await;
        (end, drop(sender_link))
    };
    let receive = async {
        let end = receiver.receive::<C>(&clock, &mut receiver_link).await;
        (end, drop(receiver_link))
    };
    let ((sent, ()), (received, ())) = run_both(&clock, join(send, receive));
    assert!(clock.now() < LONGEST, "{} ms", clock.now());
    assert!(!data.is_empty() || (sent.is_ok() && received.is_ok()), "{sent:?}, {received:?}");
    if sent.is_ok() || received.is_ok() {
        assert_eq!(receiver.store.committed, sender.source.archive);
    }
}
