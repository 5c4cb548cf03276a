//! The reason for the start, decoded from the flags that the chip keeps through a reset.
//!
//! ```text
//! RCC_RSR   31 low-power reset   30 window watchdog   29 independent watchdog
//!           28 software reset    27 power (brown-out) 26 reset pin; set with each of the others
//! ```
//!
//! RM0481, RCC_RSR.

use waft_receiver::board::StartReason;

const WATCHDOG: u32 = 1 << 30 | 1 << 29;
const PROGRAM: u32 = 1 << 28;
const POWER: u32 = 1 << 27;
const PIN: u32 = 1 << 26;

/// Decodes RCC_RSR. `failed`: the program stored a failure report before it reset the chip.
pub const fn decode(register: u32, failed: bool) -> StartReason {
    match register {
        // Power comes first, because memory has no meaningful content after it.
        _ if register & POWER != 0 => StartReason::PowerOn,
        _ if register & WATCHDOG != 0 => StartReason::Watchdog,
        _ if register & PROGRAM != 0 && failed => StartReason::Failure,
        _ if register & (PROGRAM | PIN) != 0 => StartReason::Requested,
        _ => StartReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reset_flag_is_decoded() {
        for (register, failed, expected) in [
            (POWER | PIN, false, StartReason::PowerOn),
            (POWER | PIN, true, StartReason::PowerOn),
            (POWER | PROGRAM | WATCHDOG, true, StartReason::PowerOn),
            (1 << 29 | PIN, false, StartReason::Watchdog),
            (1 << 30 | PIN, true, StartReason::Watchdog),
            (PROGRAM | PIN, true, StartReason::Failure),
            (PROGRAM | PIN, false, StartReason::Requested),
            (PIN, false, StartReason::Requested),
            (PIN, true, StartReason::Requested),
            (1 << 31, false, StartReason::Unknown),
            (0, false, StartReason::Unknown),
        ] {
            assert_eq!(expected, decode(register, failed), "{register:X} {failed}");
        }
    }
}
