//! BLAKE3 digests, and the hasher that computes them.
//!
//! The archive uses them for files, manifests and its root; a session uses them to compare the prefix of an archive
//! that the receiver holds with the sender's. PROTOCOL.md, sections 6 and 8.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A 32-byte BLAKE3 digest. `Display` and `Debug` write it as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Digest(pub [u8; 32]);

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

/// Computes the digest of a stream of bytes.
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// A hasher that has seen no bytes.
    #[inline(never)]
    pub fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(self.0.finalize().into())
    }

    /// Begins again with no bytes, in place.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}
