//! Error texts about boards: their identity images, and the requirements for running one on this machine.

use std::path::Path;

use waft_receiver::identity::IdentityError;

use super::Class::{Broken, Identity, Interrupted, Storage, Usage};
use super::{Told, shown, told};

const AGAIN: &str = "Provision the board again: waft trust remove NAME, then waft provision.";

/// The text for an identity image that cannot be made or used.
pub(super) fn image(path: &Path, error: IdentityError) -> Told {
    let (why, next) = match error {
        IdentityError::Missing => ("it is blank", "Give the file that `waft provision` made."),
        IdentityError::NotAnIdentity => ("it is no identity image", "Give the file that `waft provision` made."),
        IdentityError::Version => {
            ("it is of another release of waft", "Bring waft to the release that made it, or provision again.")
        }
        IdentityError::Length => ("it is cut short", AGAIN),
        IdentityError::Checksum => ("it is damaged: its checksum is wrong", AGAIN),
        IdentityError::Name => ("a name in it is none", AGAIN),
        IdentityError::TlsKey | IdentityError::HpkeKey => ("a private key in it is none", AGAIN),
        IdentityError::Certificate => ("its certificate is too long for a board", AGAIN),
        IdentityError::CertificateMismatch => ("its certificate is not that of its keys", AGAIN),
        IdentityError::Policy => ("its policy is not known here", AGAIN),
        IdentityError::Senders => (
            "a sender's certificate has no key that a board could check",
            "Let that sender print its certificate again (`waft id cert`), and provision the board with that one.",
        ),
        IdentityError::Network => ("its network settings make no sense", AGAIN),
    };
    told(Identity, format!("The identity image {} cannot be used: {why}.", shown(path)), next)
}

/// The text for a file that does not hold the flash of a simulated board.
pub(super) fn no_flash(path: &Path) -> Told {
    told(
        Storage,
        format!("{} is not the flash of a simulated board.", shown(path)),
        "Remove it to begin with a blank one, or name another folder with --state.",
    )
}

/// The text for a simulated board whose identity would be overwritten.
pub(super) fn other_identity(path: &Path) -> Told {
    told(
        Identity,
        format!("The board has another identity already: {}.", shown(path)),
        "Leave --identity out to run it as it is, or name another folder with --state to run the new board beside it. \
         That file may be the only copy of its private key: remove it only to give that board up.",
    )
}

/// The text for a simulated board that another process already runs.
pub(super) fn powered_on(state: &Path) -> Told {
    told(
        Storage,
        format!("The board in {} is on already.", shown(state)),
        "End the other `waft simulate`, or run another board: --name NAME.",
    )
}

/// The text for a missing emulator.
pub(super) fn no_qemu() -> Told {
    told(
        Storage,
        "QEMU is missing: there is no qemu-system-arm in the PATH.",
        "Debian, Ubuntu: sudo apt install qemu-system-arm (where that conflicts with a newer QEMU, on Debian 12: sudo apt \
         install -t bookworm-backports qemu-system-arm)\n  \
         Fedora: sudo dnf install qemu-system-arm\n  \
         macOS: brew install qemu\n  \
         Windows: winget install SoftwareFreedomConservancy.QEMU, and put its folder into the PATH\n  \
         Or run the board without it: waft simulate",
    )
}

/// The text for an emulator that ended unexpectedly.
pub(super) fn qemu_ended(how: &str) -> Told {
    told(
        Broken,
        format!("The emulated board went off by itself: QEMU ended with {how}."),
        "Look at what it said last. What the board has stays: the next `waft simulate` goes on from there.",
    )
}

/// The text for a missing firmware.
pub(super) fn no_firmware() -> Told {
    told(
        Usage,
        "There is no firmware to run: this is not in waft's source.",
        "Give the program with --firmware ELF, or run the command in the source, which builds it.",
    )
}

/// The text for a file that is not a firmware.
pub(super) fn not_firmware(path: &Path) -> Told {
    told(
        Storage,
        format!("{} is no firmware: it is no ELF program for 32-bit Arm.", shown(path)),
        "Give the file that cargo built, waft-mps2, and no .bin or .hex of it. In waft's source --firmware can be left out.",
    )
}

/// The text for a firmware that cannot be built.
pub(super) fn build(target: &str) -> Told {
    told(
        Storage,
        "The firmware could not be built; cargo's own words stand above.",
        format!(
            "If the target is missing: rustup target add {target}. A firmware built elsewhere can be given with --firmware."
        ),
    )
}

/// The text for a simulated board that was switched off.
pub(super) fn powered_off(state: &Path) -> Told {
    told(
        Interrupted,
        "The board was switched off.",
        format!("What it has stays in {}: the next `waft simulate` goes on from there.", shown(state)),
    )
}
