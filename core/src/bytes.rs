//! Arrays of bytes in messages: only their bytes, with no length before them. For `#[serde(with = "bytes")]`.
//!
//! Serde encodes an array of up to 32 bytes the same way, but its code to decode one is unrolled for each length, which
//! took 1.7 KiB of a board's flash.

use core::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{SerializeTuple, Serializer};

/// Writes the bytes of an array.
pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(N)?;
    bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
    tuple.end()
}

/// Reads the bytes of an array.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    let mut bytes = [0; N];
    deserializer.deserialize_tuple(N, Fill(&mut bytes))?;
    Ok(bytes)
}

/// Fills a slice. It is the same type for every length.
struct Fill<'a>(&'a mut [u8]);

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for (index, byte) in self.0.iter_mut().enumerate() {
            *byte = items.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &"more bytes"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Arrays(#[serde(with = "super")] [u8; 32], #[serde(with = "super")] [u8; 65]);

    #[test]
    fn the_bytes_of_an_array_are_those_that_serde_writes() {
        let (mut one, mut other) = ([0; 128], [0; 128]);
        let encoded = postcard::to_slice(&Arrays([3; 32], [5; 65]), &mut one).unwrap();
        let by_serde: &[u8] = postcard::to_slice(&([3_u8; 32], [[5_u8; 13]; 5]), &mut other).unwrap();
        assert_eq!(encoded, by_serde);
        assert_eq!(postcard::from_bytes(encoded), Ok(Arrays([3; 32], [5; 65])));
        for length in 0..encoded.len() {
            assert!(postcard::from_bytes::<Arrays>(&encoded[..length]).is_err(), "{length} bytes");
        }
    }
}
