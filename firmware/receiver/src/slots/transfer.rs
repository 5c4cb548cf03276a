//! The memory of whatever reads an archive: a transfer, the read-back before its commit, or the verification of the
//! committed folder. Only one of them runs at a time.
//!
//! ```text
//! a hasher, and beside it one of: the state of the manifest's reader   while a manifest is read
//!                                 a second hasher                      while contents are read
//! ```

use waft_core::archive::{ArchiveError, ManifestState, Summary};
use waft_core::digest::Hasher;

/// Memory for reading one archive, about 4 KiB. It is lent to what needs it, and its parts are made in place, so that none
/// of them is ever moved.
pub struct Transfer {
    hasher: Lazy<Hasher>,
    beside: Beside,
}

// `Empty` is represented by zeros, so that a static value takes no flash.
#[repr(u8)]
enum Lazy<T> {
    Empty,
    Made(T),
}

/// What the memory is used for.
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is no allocator for a box")]
enum Beside {
    Empty,
    Manifest(ManifestState),
    Contents(Hasher),
}

/// A reader of a manifest, in the memory of a transfer.
pub(super) struct Manifest<'t> {
    state: &'t mut ManifestState,
    hasher: &'t mut Hasher,
}

impl Transfer {
    /// Creates the memory without a transfer.
    pub const fn new() -> Self {
        Self { hasher: Lazy::Empty, beside: Beside::Empty }
    }

    /// The reader of the manifest. It must be restarted before its first use, and after [`hasher`](Self::hasher) or
    /// [`hashers`](Self::hashers).
    pub(super) fn manifest(&mut self) -> Manifest<'_> {
        if !matches!(self.beside, Beside::Manifest(_)) {
            self.beside.become_manifest();
        }
        let hasher = self.hasher.get_or_make(Hasher::new);
        match &mut self.beside {
            Beside::Manifest(state) => Manifest { state, hasher },
            _ => unreachable!("it was just made"),
        }
    }

    /// A hasher, which belongs to the reader of the manifest.
    pub(super) fn hasher(&mut self) -> &mut Hasher {
        if let Beside::Manifest(state) = &mut self.beside {
            // Without its hasher it reads nothing.
            state.restart(0);
        }
        self.hasher.get_or_make(Hasher::new)
    }

    /// Two hashers, in place of the reader of the manifest.
    pub(super) fn hashers(&mut self) -> [&mut Hasher; 2] {
        if !matches!(self.beside, Beside::Contents(_)) {
            self.beside.become_contents();
        }
        let hasher = self.hasher.get_or_make(Hasher::new);
        match &mut self.beside {
            Beside::Contents(second) => [hasher, second],
            _ => unreachable!("it was just made"),
        }
    }
}

impl Default for Transfer {
    fn default() -> Self {
        Self::new()
    }
}

impl Manifest<'_> {
    /// Begins with a manifest of `length` bytes.
    pub(super) fn restart(&mut self, length: u32) {
        self.state.restart(length);
        self.hasher.reset();
    }

    /// Reads and checks the part of `bytes` that belongs to the manifest. Returns the summary once the manifest is
    /// complete.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Option<Summary>, ArchiveError> {
        while self.state.next(self.hasher, &mut bytes)?.is_some() {}
        if self.state.is_complete() { self.state.finish(self.hasher).map(Some) } else { Ok(None) }
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

impl Beside {
    /// Not inlined, for the reason of [`Lazy::fill`].
    #[inline(never)]
    fn become_manifest(&mut self) {
        *self = Self::Manifest(ManifestState::new());
    }

    #[inline(never)]
    fn become_contents(&mut self) {
        *self = Self::Contents(Hasher::new());
    }
}
