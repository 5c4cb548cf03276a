//! What the board determines when it starts: the reason for the start, its unique ID and its identity.

use embassy_stm32::pac::{RCC, UID};
use waft_board::boot;
use waft_board::retained::Retained;
use waft_receiver::board::StartReason;
use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError};
use waft_stm32::start;
use zeroize::Zeroizing;

use crate::{Flash, REGIONS};

/// The reason for the start. Clears the flags that hold it.
pub(crate) fn reason(retained: &Retained) -> StartReason {
    let flags = RCC.rsr().read().0;
    RCC.rsr().modify(|flags| flags.set_rmvf(true));
    start::decode(flags, retained.failure.is_some())
}

/// The chip's unique ID. It can only be read in whole words.
pub(crate) fn unique_id() -> [u32; 3] {
    core::array::from_fn(|word| UID.uid(word).read())
}

/// Reads the identity that was flashed next to the firmware.
#[inline(never)]
pub(crate) fn identity(flash: &mut Flash) -> Result<&'static Identity, IdentityError> {
    let mut image = Zeroizing::new([0; IMAGE_MAX]);
    // A torn word means that the write of the image was interrupted.
    flash.read_blocking(REGIONS.identity().start, &mut *image).map_err(|_| IdentityError::Checksum)?;
    boot::identity(&*image)
}
