//! Target for prefaces, frame headers and messages. Whatever decodes must be encoded and decoded to the same value
//! again.

use waft_core::limits::MESSAGE_MAX;
use waft_core::pairing::Introduction;
use waft_core::pairing::message::PairingMessage;
use waft_core::wire::frame::Header;
use waft_core::wire::message::{FromReceiver, FromSender};
use waft_core::wire::preface::{ClearRefusal, Purpose, check_preface};

/// Decodes the input as each of these types.
pub fn run(data: &[u8]) {
    if let Some((start, _)) = data.split_first_chunk::<8>() {
        let _ = (check_preface(start), Purpose::of_preface(start), ClearRefusal::from_bytes(start));
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
    if let Ok((message, _)) = postcard::take_from_bytes::<PairingMessage>(data) {
        let again = postcard::to_slice(&message, &mut buffer).expect("every message fits");
        assert_eq!(postcard::from_bytes::<PairingMessage>(again), Ok(message));
    }
    if let Ok(introduction) = Introduction::decode(data) {
        let (kind, directions) = (introduction.kind(), introduction.directions());
        let again = Introduction::new(kind, directions, introduction.name(), introduction.certificate());
        assert_eq!(again, Ok(introduction));
        assert!(!introduction.name().chars().any(char::is_control));
    }
}
