//! BLAKE3 digests, and the hasher that computes them.
//!
//! An archive contains the digest of each file, and ends with its root: the digest of the manifest's digest and all
//! file digests. To resume a transfer, a session compares the digest of the prefix that the receiver holds with the
//! digest of the same prefix of the sender's archive. PROTOCOL.md, sections 6 (steps 6 and 7) and 8.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes;

/// A 32-byte BLAKE3 digest. `Display` and `Debug` write it as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Digest(#[serde(with = "bytes")] pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes the digest of a stream of bytes. A clone goes on from the bytes that were added so far.
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// A hasher for a new stream, to which no bytes were added yet.
    #[inline(never)] // A hasher takes about 2 KiB. Inlined, its parts would take space in the caller's frame, too.
    pub fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes that were added so far. More can be added afterwards.
    pub fn digest(&self) -> Digest {
        Digest(self.0.finalize().into())
    }

    /// Forgets all bytes, to begin a new stream. Unlike a new hasher, this one need not be moved into its place.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}
