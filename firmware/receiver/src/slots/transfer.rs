//! The memory of whatever reads an archive: a transfer, the read-back before its commit, or the verification of the
//! committed folder. Only one of them runs at a time.

use waft_core::archive::ManifestReader;
use waft_core::digest::Hasher;

/// Memory for reading one archive, about 6 KiB. It is lent to what needs it, and its parts are restarted in place, so that
/// none of them is ever moved.
pub struct Transfer {
    manifest: Lazy<ManifestReader>,
    hasher: Lazy<Hasher>,
}

// `Empty` is represented by zeros, so that a static value takes no flash.
#[repr(u8)]
enum Lazy<T> {
    Empty,
    Made(T),
}

impl Transfer {
    /// Creates the memory without a transfer.
    pub const fn new() -> Self {
        Self { manifest: Lazy::Empty, hasher: Lazy::Empty }
    }

    /// Creates the parts. Call it where the stack is still shallow.
    pub(crate) fn prepare(&mut self) {
        self.manifest_and_hasher();
    }

    /// The reader of the manifest. It must be restarted before its first use, and after [`hashers`](Self::hashers).
    pub(super) fn manifest(&mut self) -> &mut ManifestReader {
        self.manifest.get_or_make(|| ManifestReader::new(0))
    }

    /// The reader of the manifest, and a hasher beside it.
    pub(super) fn manifest_and_hasher(&mut self) -> (&mut ManifestReader, &mut Hasher) {
        let manifest = self.manifest.get_or_make(|| ManifestReader::new(0));
        (manifest, self.hasher.get_or_make(Hasher::new))
    }

    /// Two hashers, one of which belongs to the reader of the manifest.
    pub(super) fn hashers(&mut self) -> [&mut Hasher; 2] {
        let (manifest, hasher) = self.manifest_and_hasher();
        [manifest.hasher(), hasher]
    }
}

impl Default for Transfer {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Lazy<T> {
    fn get_or_make(&mut self, make: fn() -> T) -> &mut T {
        if matches!(self, Self::Empty) {
            self.fill(make);
        }
        match self {
            Self::Made(value) => value,
            Self::Empty => unreachable!("it was just made"),
        }
    }

    /// Not inlined, since the value is on the stack before it is moved into its place.
    #[inline(never)]
    fn fill(&mut self, make: fn() -> T) {
        *self = Self::Made(make());
    }
}
