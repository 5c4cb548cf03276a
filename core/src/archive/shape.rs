//! What is known about an archive as a whole: its lengths and counts, and the summary of its manifest.
//!
//! PROTOCOL.md, sections 6 (step 4) and 8.

use serde::{Deserialize, Serialize};

use crate::archive::error::ArchiveError;
use crate::digest::Digest;

/// Length of the digest that follows every file's content, and of the root that ends an archive.
pub const DIGEST: usize = 32;

/// The lengths and counts of an archive, which are announced before its first byte.
///
/// An `Offer` and the header of a sealed file contain this struct as it is: the order of its fields *is* the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Length of the archive, in bytes.
    pub total: u64,
    /// Number of files.
    pub files: u32,
    /// Number of entries in the manifest: files and directories.
    pub entries: u32,
    /// Length of the manifest, in bytes.
    pub manifest: u32,
}

impl Shape {
    /// Whether there is at least one entry, there are no more files than entries, the manifest is long enough for its
    /// entries, and the archive is long enough for the manifest and all digests.
    pub fn is_consistent(&self) -> bool {
        // One digest for each file, and the root.
        let digests = DIGEST as u64 * (u64::from(self.files) + 1);
        self.entries > 0
            && self.files <= self.entries
            && self.entries <= self.manifest
            && u64::from(self.manifest) + digests <= self.total
    }
}

/// The summary of a whole manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// BLAKE3 of the manifest.
    pub digest: Digest,
    /// The archive's lengths and counts.
    pub shape: Shape,
    /// Sum of the files' sizes, in bytes.
    pub content: u64,
}

impl Summary {
    /// Checks that the manifest agrees with the lengths and counts that were announced.
    pub fn check(&self, announced: &Shape) -> Result<(), ArchiveError> {
        if self.shape == *announced { Ok(()) } else { Err(ArchiveError::Counts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_compared_with_the_announced_shape() {
        let shape = Shape { total: 10 + 5 + 64, files: 1, entries: 2, manifest: 10 };
        let summary = Summary { digest: Digest([0; 32]), shape, content: 5 };
        assert_eq!(summary.check(&shape), Ok(()));
        for announced in [
            Shape { total: 78, ..shape },
            Shape { files: 2, ..shape },
            Shape { entries: 1, ..shape },
            Shape { manifest: 9, ..shape },
        ] {
            assert_eq!(summary.check(&announced), Err(ArchiveError::Counts));
        }
    }

    #[test]
    fn a_shape_that_contradicts_itself_is_not_consistent() {
        let shape = Shape { total: 10 + 3 * 32, files: 2, entries: 2, manifest: 10 };
        assert!(shape.is_consistent());
        for wrong in [
            Shape { total: shape.total - 1, ..shape },
            Shape { manifest: 11, ..shape },
            Shape { files: 3, ..shape },
            Shape { files: 0, entries: 0, ..shape },
            Shape { manifest: 1, ..shape },
        ] {
            assert!(!wrong.is_consistent(), "{wrong:?}");
        }
    }
}
