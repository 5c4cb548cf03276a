//! The application's say in a folder: it may reject a verified folder before that is committed.

use core::fmt;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::Folder;

/// Decides about each folder after it was received and verified, and before it is committed.
pub trait Review<M: RawMutex, F: NorFlash> {
    /// Whether there is anything to decide. Without it, the code for reviews takes no flash.
    const REVIEWS: bool = true;

    /// How long a review may take, in milliseconds, up to an hour. After that the folder is rejected with
    /// [`Rejection::TIMEOUT`]. The sender gets keep-alives meanwhile, and waits for an hour at most.
    const LIMIT_MS: u64 = 60_000;

    /// Accepts or rejects the folder, which has the generation that it gets if it is accepted. Readers still see the old
    /// one. The future is dropped when the limit has passed.
    ///
    /// A rejected folder is not committed, and the sender sees the number of the rejection. It may be sent again, without
    /// the part that the board still holds.
    async fn review(&mut self, folder: &Folder<'_, M, F>) -> Result<(), Rejection>;
}

/// The application rejects a folder. The number is the application's own; the sender shows it to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rejection(pub u16);

impl Rejection {
    /// The review took too long.
    pub const TIMEOUT: Self = Self(0);
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the application rejects the folder: number {}", self.0)
    }
}

impl core::error::Error for Rejection {}

/// Accepts every folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl<M: RawMutex, F: NorFlash> Review<M, F> for AcceptAll {
    const REVIEWS: bool = false;

    async fn review(&mut self, _: &Folder<'_, M, F>) -> Result<(), Rejection> {
        Ok(())
    }
}
