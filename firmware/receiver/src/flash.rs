//! Operations on NOR flash: reading with retries, writing with read-back, and erasing. The seed, the settings and the slots use
//! them.
//!
//! The caller locks the flash and passes it. A caller that locks it once for several operations takes less code: on a flash
//! whose driver never waits, only the lock can wait.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

/// Attempts per read.
const TRIES: usize = 3;
/// The largest unit of a read, in bytes.
pub(crate) const UNIT_MAX: usize = 32;

/// The flash failed, or did not keep what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

/// Reads any range, regardless of the flash's read unit. Retries, because an error may be transient.
pub(crate) async fn read<F: NorFlash>(flash: &mut F, mut at: u32, mut bytes: &mut [u8]) -> Result<(), Fault> {
    const { assert!(F::READ_SIZE <= UNIT_MAX, "read units of 1 to 32 bytes") };
    let unit = F::READ_SIZE;
    let mut tries = TRIES;
    while !bytes.is_empty() {
        let skip = at as usize % unit;
        let whole = if skip == 0 { bytes.len() / unit * unit } else { 0 };
        let mut window = [0; UNIT_MAX];
        let units = if whole > 0 { &mut bytes[..whole] } else { &mut window[..unit] };
        if flash.read(at - skip as u32, units).await.is_err() {
            tries -= 1;
            if tries == 0 {
                return Err(Fault);
            }
            continue;
        }
        let taken = if whole > 0 { whole } else { bytes.len().min(unit - skip) };
        if whole == 0 {
            bytes[..taken].copy_from_slice(&window[skip..][..taken]);
        }
        at += taken as u32;
        bytes = &mut bytes[taken..];
    }
    Ok(())
}

/// Writes whole write units to erased flash, and verifies that they read back, in pieces of the length of `back`,
/// which is not empty. Fill it with other bytes than those that are written, or with 0xFF, as in erased flash: a driver may
/// fail to fill it.
pub(crate) async fn program<F: NorFlash>(flash: &mut F, at: u32, bytes: &[u8], back: &mut [u8]) -> Result<(), Fault> {
    flash.write(at, bytes).await.map_err(|_| Fault)?;
    let length = back.len();
    for (index, piece) in bytes.chunks(length).enumerate() {
        let back = &mut back[..piece.len()];
        read(flash, at + (index * length) as u32, back).await?;
        if !is_equal(back, piece) {
            return Err(Fault);
        }
    }
    Ok(())
}

/// Erases whole blocks, even if they read as blank: after an interrupted erasure, a block may read as blank without being
/// erased.
pub(crate) async fn erase<F: NorFlash>(flash: &mut F, range: Range<u32>) -> Result<(), Fault> {
    flash.erase(range.start, range.end).await.map_err(|_| Fault)
}

/// Compares two slices of the same length, 16 bytes at once. `==` compares them byte by byte on a microcontroller, at
/// seven instructions per byte of a transfer.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let ((a_parts, a_rest), (b_parts, b_rest)) = (a.as_chunks(), b.as_chunks());
    a_parts.iter().zip(b_parts).all(|(a, b)| u128::from_ne_bytes(*a) == u128::from_ne_bytes(*b)) && a_rest == b_rest
}
