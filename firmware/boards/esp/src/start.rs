//! The reason for the start, decoded from the number that the chip's low-power domain keeps through a reset.
//!
//! ```text
//! 01 power-on, or the reset button, which switches the power of the chip     0F brown-out
//! 03 software, the digital core        0C software, the processor            05 deep sleep
//! 07 08 09 0B 0D 10 11 12 watchdogs    15 16 18 USB and debugger
//! ```
//!
//! The numbers are those of `RESET_CAUSE` in the technical reference manuals of ESP32-C3 and ESP32-C6, section "Reset".

use waft_receiver::board::StartReason;

/// Decodes the reset cause. `failed`: the program stored a failure report before it reset the chip.
pub const fn decode(cause: u32, failed: bool) -> StartReason {
    match cause {
        // Power comes first, because memory has no meaningful content after it.
        0x01 | 0x0F => StartReason::PowerOn,
        0x07..=0x09 | 0x0B | 0x0D | 0x10..=0x12 => StartReason::Watchdog,
        0x03 | 0x0C if failed => StartReason::Failure,
        0x03 | 0x05 | 0x0C | 0x15 | 0x16 | 0x18 => StartReason::Requested,
        _ => StartReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reset_cause_is_decoded() {
        for (cause, failed, expected) in [
            (0x01, false, StartReason::PowerOn),
            (0x01, true, StartReason::PowerOn),
            (0x0F, true, StartReason::PowerOn),
            (0x03, false, StartReason::Requested),
            (0x03, true, StartReason::Failure),
            (0x0C, true, StartReason::Failure),
            (0x09, false, StartReason::Watchdog),
            (0x09, true, StartReason::Watchdog),
            (0x12, false, StartReason::Watchdog),
            (0x15, false, StartReason::Requested),
            (0x00, false, StartReason::Unknown),
            (0x13, true, StartReason::Unknown),
        ] {
            assert_eq!(expected, decode(cause, failed), "{cause:X} {failed}");
        }
    }
}
