//! The reason for the start, decoded from the flags that the chip keeps through a reset.
//!
//! ```text
//! RCC_RSR   31 low-power reset   30 window watchdog   29 independent watchdog
//!           28 software reset    27 power (brown-out) 26 reset pin; set with each of the others
//! ```
//!
//! RM0481, RCC_RSR.

use waft_receiver::board::Start;

const WATCHDOG: u32 = 1 << 30 | 1 << 29;
const PROGRAM: u32 = 1 << 28;
const POWER: u32 = 1 << 27;
const PIN: u32 = 1 << 26;

/// Decodes RCC_RSR. `failed`: the program stored a failure report before it reset the chip.
pub const fn decode(register: u32, failed: bool) -> Start {
    match register {
        // Power comes first, because memory has no meaningful content after it.
        _ if register & POWER != 0 => Start::Power,
        _ if register & WATCHDOG != 0 => Start::Watchdog,
        _ if register & PROGRAM != 0 && failed => Start::Failure,
        _ if register & (PROGRAM | PIN) != 0 => Start::Asked,
        _ => Start::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reset_flag_is_decoded() {
        for (register, failed, expected) in [
            (POWER | PIN, false, Start::Power),
            (POWER | PIN, true, Start::Power),
            (POWER | PROGRAM | WATCHDOG, true, Start::Power),
            (1 << 29 | PIN, false, Start::Watchdog),
            (1 << 30 | PIN, true, Start::Watchdog),
            (PROGRAM | PIN, true, Start::Failure),
            (PROGRAM | PIN, false, Start::Asked),
            (PIN, false, Start::Asked),
            (PIN, true, Start::Asked),
            (1 << 31, false, Start::Unknown),
            (0, false, Start::Unknown),
        ] {
            assert_eq!(expected, decode(register, failed), "{register:X} {failed}");
        }
    }
}
