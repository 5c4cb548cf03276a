//! The identity image, which the emulator loads into memory beside the firmware.

use core::ops::Range;

use waft_receiver::identity::{Identity, IdentityError};

use crate::boot;

/// Parses the identity image at these addresses. Call it once.
///
/// # Safety
/// There is memory at these addresses, the linker does not use it, and nothing writes to it while the firmware runs.
pub unsafe fn parse(at: Range<u32>) -> Result<&'static Identity, IdentityError> {
    // SAFETY: the caller promises it.
    let image = unsafe { core::slice::from_raw_parts(at.start as *const u8, at.len()) };
    // On a real chip a blank sector reads as ones. Here memory that was never loaded reads as zeros.
    if image.iter().all(|byte| *byte == 0) { Err(IdentityError::Missing) } else { boot::identity(image) }
}
