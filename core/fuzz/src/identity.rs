//! Target for identity images. Whatever parses is encoded to the same bytes again.

use waft_receiver::identity::{IMAGE_MAX, Identity};

/// Bytes of magic, version and length.
const HEADER: usize = 7;

/// Parses the input as an image, and again with the right magic, version, length and CRC, so that the input reaches the
/// parser of the fields.
pub fn run(data: &[u8]) {
    parse(data);
    let mut image = data.to_vec();
    image.truncate(IMAGE_MAX - 4);
    if image.len() < HEADER {
        return;
    }
    let length = (image.len() + 4) as u16;
    image[..5].copy_from_slice(b"WFID\x01");
    image[5..HEADER].copy_from_slice(&length.to_be_bytes());
    image.extend(crate::crc32(&image).to_be_bytes());
    parse(&image);
}

fn parse(image: &[u8]) {
    let Ok(identity) = Identity::parse(image) else { return };
    let mut encoded = [0; IMAGE_MAX];
    let length = identity.encode(&mut encoded).expect("what was parsed can be encoded");
    assert_eq!(encoded[..length], image[..length]);
}
