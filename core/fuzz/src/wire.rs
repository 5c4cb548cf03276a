//! Target for prefaces, frame headers and messages. Whatever decodes must be encoded and decoded to the same value
//! again.

use waft_core::limits::MESSAGE_MAX;
use waft_core::wire::frame::Header;
use waft_core::wire::message::{FromReceiver, FromSender};
use waft_core::wire::preface::{ClearRefusal, check_preface};

/// Decodes the input as each of these types.
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
