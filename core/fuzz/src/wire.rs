//! Prefaces, frame headers and messages: whatever decodes encodes again, and decodes to the same.

use waft_core::limits::MESSAGE_MAX;
use waft_core::wire::frame::Header;
use waft_core::wire::message::{FromReceiver, FromSender};
use waft_core::wire::preface::{ClearRefusal, check_preface};

/// Decodes bytes in each of these ways.
pub fn run(data: &[u8]) {
    if let Some((start, _)) = data.split_first_chunk::<8>() {
        let _ = (check_preface(start), ClearRefusal::from_bytes(start));
    }
    if let Some((start, _)) = data.split_first_chunk::<4>()
        && let Ok(header) = Header::decode(*start, 1_024)
    {
        assert_eq!(Header::encode(header.kind, header.length), *start);
    }
    let mut buffer = [0; MESSAGE_MAX];
    if let Ok((message, _)) = postcard::take_from_bytes::<FromSender>(data) {
        let again = postcard::to_slice(&message, &mut buffer).expect("every message fits");
        assert_eq!(postcard::from_bytes::<FromSender>(again), Ok(message));
    }
    if let Ok((message, _)) = postcard::take_from_bytes::<FromReceiver>(data) {
        let again = postcard::to_slice(&message, &mut buffer).expect("every message fits");
        assert_eq!(postcard::from_bytes::<FromReceiver>(again), Ok(message));
    }
}
