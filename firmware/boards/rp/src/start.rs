//! The reason for the start, decoded from registers that the chip keeps through a reset.
//!
//! ```text
//! CHIP_RESET   16 power-on   17 brown-out   18 pin RUN   19 debug port   21 rescue   22 to 24 watchdog, of the power manager
//!              25 switched core powered down   26 supply glitch   27, 28 reset of the power-on state machine
//! REASON        0 watchdog timer            1 watchdog, forced
//! ```
//!
//! CHIP_RESET tells the last reset of the whole chip, and a reset of the cores does not change it. So the program leaves a
//! mark in a scratch register of the watchdog, which every reset of the whole chip clears: with the mark, CHIP_RESET tells of
//! an earlier start.
//!
//! RP2350 data sheet, POWMAN: CHIP_RESET and WATCHDOG: REASON.

use waft_receiver::board::StartReason;

/// Resets that turn off the power of the RAM: all those of the switched core.
const POWER: u32 = 0b1_1111_1111 << 16 | 1 << 25;
/// The chip's supply dropped for a moment.
const GLITCH: u32 = 1 << 26;
/// The watchdog was not fed in time.
const TIMED_OUT: u32 = 1 << 0;

/// What the chip and its memory tell about the start.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The register CHIP_RESET of the power manager.
    pub chip_reset: u32,
    /// The register REASON of the watchdog.
    pub watchdog_reason: u32,
    /// Whether the program's mark is in the scratch register: the cores started again, not the whole chip.
    pub is_marked: bool,
    /// Whether the RAM was kept.
    pub was_kept: bool,
    /// Whether the program stored a failure report before it reset the chip.
    pub has_failed: bool,
}

impl Evidence {
    /// The reason for the start. A reset by the pin RUN counts as a power-on, because it turns off the power of the RAM.
    pub const fn reason(self) -> StartReason {
        let Self { chip_reset, watchdog_reason, is_marked, was_kept, has_failed } = self;
        match is_marked {
            // Power comes first, because memory has no meaningful content after it.
            _ if !was_kept => StartReason::PowerOn,
            false if chip_reset & POWER != 0 => StartReason::PowerOn,
            _ if watchdog_reason & TIMED_OUT != 0 => StartReason::Watchdog,
            false if chip_reset & GLITCH != 0 => StartReason::Unknown,
            _ if has_failed => StartReason::Failure,
            _ => StartReason::Requested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POWER_ON: u32 = 1 << 16;
    const RUN: u32 = 1 << 18;

    /// The reason with the mark, and without it.
    fn reasons(chip_reset: u32, watchdog_reason: u32, was_kept: bool, has_failed: bool) -> [StartReason; 2] {
        [true, false]
            .map(|is_marked| Evidence { chip_reset, watchdog_reason, is_marked, was_kept, has_failed }.reason())
    }

    #[test]
    fn without_its_memory_the_board_was_powered_on() {
        for chip_reset in [0, POWER_ON, RUN, GLITCH, 1 << 28] {
            for has_failed in [false, true] {
                assert_eq!([StartReason::PowerOn; 2], reasons(chip_reset, TIMED_OUT, false, has_failed));
            }
        }
    }

    #[test]
    fn the_mark_tells_a_reset_of_the_cores_from_a_power_on() {
        // Whatever reset the whole chip before stays in the register.
        for bit in [16, 17, 18, 19, 20, 21, 22, 23, 24, 25] {
            assert_eq!([StartReason::Requested, StartReason::PowerOn], reasons(1 << bit, 0, true, false), "{bit}");
            assert_eq!([StartReason::Failure, StartReason::PowerOn], reasons(1 << bit, 0, true, true), "{bit}");
            assert_eq!([StartReason::Watchdog, StartReason::PowerOn], reasons(1 << bit, 1, true, true), "{bit}");
        }
    }

    #[test]
    fn other_resets_are_decoded() {
        assert_eq!([StartReason::Requested, StartReason::Unknown], reasons(GLITCH, 0, true, false));
        assert_eq!([StartReason::Requested; 2], reasons(1 << 27, 0, true, false));
        assert_eq!([StartReason::Watchdog; 2], reasons(1 << 28, TIMED_OUT, true, false));
        // Forced by a program, as `picotool reboot` does.
        assert_eq!([StartReason::Requested; 2], reasons(1 << 28, 1 << 1, true, false));
        assert_eq!([StartReason::Failure; 2], reasons(0, 0, true, true));
    }
}
