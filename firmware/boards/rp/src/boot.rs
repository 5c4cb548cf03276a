//! What the board determines when it starts: the reason for the start, its unique ID and its identity.

use embassy_rp::{otp, pac};
use waft_board::boot;
use waft_board::retained::Retained;
use waft_receiver::board::StartReason;
use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError};
use waft_rp::start::Evidence;
use zeroize::Zeroizing;

use crate::{Flash, REGIONS};

/// What the program leaves in scratch register 0 of the watchdog, which a reset of the cores keeps. The boot ROM uses only
/// registers 2 to 7.
const MARK: u32 = u32::from_be_bytes(*b"WAFT");

/// The reason for the start. Leaves the mark for the next one.
pub(crate) fn reason(retained: &Retained) -> StartReason {
    let scratch = pac::WATCHDOG.scratch0();
    let evidence = Evidence {
        chip_reset: pac::POWMAN.chip_reset().read().0,
        watchdog_reason: pac::WATCHDOG.reason().read().0,
        is_marked: scratch.read() == MARK,
        was_kept: retained.was_kept,
        has_failed: retained.failure.is_some(),
    };
    scratch.write_value(MARK);
    evidence.reason()
}

/// The chip's unique ID. 0 if another firmware has locked the memory that contains it.
pub(crate) fn unique_id() -> u64 {
    otp::get_chipid().unwrap_or_default()
}

/// Reads the identity that was flashed next to the firmware.
#[inline(never)]
pub(crate) fn identity(flash: &mut Flash) -> Result<&'static Identity, IdentityError> {
    let mut image = Zeroizing::new([0; IMAGE_MAX]);
    flash.read_blocking(REGIONS.identity().start, &mut *image).map_err(|_| IdentityError::Checksum)?;
    boot::identity(&*image)
}
