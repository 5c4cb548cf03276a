//! Texts for numbers, reasons and errors on the console.

use core::fmt;

use waft_core::code::KeyError;
use waft_core::pairing::PairingError;
use waft_core::path::escape_except_tabs;
use waft_core::session::{Misbehaviour, SessionError};
use waft_core::wire::message::{Cancel, Limit, Refusal};

use crate::board::StartReason;
use crate::entropy::Sources;
use crate::identity::IdentityError;
use crate::pairing::PairingFailure;
use crate::seed::SeedError;
use crate::settings::SettingsError;
use crate::slots::JournalError;
use crate::tls::error::{HandshakeError, LinkError};

/// The answer to a change of settings that this board does not store.
pub(super) const NOT_STORED: &str = "This board keeps no settings.";
/// The answer to `factory-reset` without `yes`.
pub(super) const NOT_SURE: &str = "This wipes settings and folder. If you are sure, type `factory-reset yes`.";
/// The answer to a change of the policy that does not exist.
pub(super) const POLICY_CHANGES: &str = if cfg!(feature = "announce") {
    "It is `policy code on|off`, `policy key typed|sealed|either` or `policy announce on|off`."
} else {
    "It is `policy code on|off` or `policy key typed|sealed|either`."
};

/// What a factory reset has wiped, on a board that was provisioned, and on one that made its identity itself.
pub(super) const WIPED: &str =
    "Wiped: settings. If it was provisioned, those senders and that policy count again. A restart wipes the folder.";
pub(super) const WIPED_OWN: &str = "Wiped: identity and settings. A restart wipes the folder.";

/// A number of bytes in readable units. It avoids floating point, which would take 10 KiB of a board's flash.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1024 => return write!(f, "{} B", self.0),
            1024..0x10_0000 => (1 << 10, "KiB"),
            0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
            _ => (1u64 << 30, "GiB"),
        };
        // Rounded to two decimals, as the sender does.
        let rest = (self.0 % unit * 100 + unit / 2) / unit;
        write!(f, "{}.{:02} {name}", self.0 / unit + rest / 100, rest % 100)
    }
}

/// A number of files.
pub(super) struct Files(pub(super) u32);

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 file") } else { write!(f, "{} files", self.0) }
    }
}

/// A number of remaining attempts.
pub(super) struct TriesLeft(pub(super) u8);

impl fmt::Display for TriesLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 try") } else { write!(f, "{} tries", self.0) }
    }
}

/// The authentication code, with spaced digits that are easy to read aloud.
pub(super) struct Code(pub(super) Option<[u8; 4]>);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(digits) = self.0 else { return f.write_str("No code is asked for.") };
        f.write_str("Code: ")?;
        digits.iter().try_for_each(|digit| write!(f, " {}", char::from(*digit)))
    }
}

/// The answer to input that is neither a command nor an accepted key. Of a key it reveals at most a position in it.
pub(super) enum Typed {
    /// The authentication code, which belongs on the sender.
    Code,
    /// A key that is not requested now.
    LateKey,
    /// Not a valid key, while one is requested.
    NoKey(KeyError),
    /// Not a command.
    Nothing,
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => {
                "A code is typed at the sender. Here goes the key that the sender shows, once it is asked for."
            }
            Self::LateKey => "No key is needed now. If no folder arrives, send it again, with a new key.",
            Self::NoKey(error) => return write!(f, "That is no key, and no command: {error}."),
            Self::Nothing => "That is no command. `help` lists them.",
        })
    }
}

/// Untrusted text: control characters and invalid UTF-8 are escaped, so that it cannot control the terminal. A tab is
/// kept.
pub(super) struct Untrusted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            escape_except_tabs(chunk.valid()).fmt(f)?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Why a handshake failed.
pub(super) fn handshake_failure(error: HandshakeError) -> &'static str {
    match error {
        HandshakeError::NotTrusted => "it is not trusted here",
        HandshakeError::NotItsKey => "it does not have the key of its certificate",
        HandshakeError::NotProven => "it did not prove its identity",
        HandshakeError::Rejected => "it does not trust this board",
        HandshakeError::TimedOut => "it took too long",
        HandshakeError::Link(LinkError::Record(_) | LinkError::Tls) => "it does not speak TLS",
        HandshakeError::Link(_) => "the connection broke",
    }
}

/// Why a session ended without a new folder.
pub(super) fn session_failure(error: SessionError) -> &'static str {
    match error {
        SessionError::Refused(refusal) => refused(refusal),
        SessionError::PeerCancelled(Cancel::Interrupted) => "its user stopped it",
        SessionError::PeerCancelled(Cancel::SourceChanged | Cancel::SourceUnreadable) => {
            "its folder changed or could not be read"
        }
        SessionError::PeerCancelled(_) => "it gave up",
        SessionError::Cancelled(Cancel::BaseLost) => {
            "a file of the folder here is damaged, and could not be used again. The sender sends everything"
        }
        SessionError::Cancelled(_) => "it was stopped here",
        SessionError::Disconnected => "the connection broke; if it is sent again, it resumes",
        SessionError::TimedOut => "it sent nothing for too long; if it is sent again, it resumes",
        SessionError::PeerMisbehaved(Misbehaviour::LeftOut) => "it left out a file that is not here",
        SessionError::PeerMisbehaved(_) => "it broke the protocol",
        _ => "an error in this firmware",
    }
}

fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Version => "it speaks another version",
        Refusal::Locked { .. } => "too many wrong codes",
        Refusal::CodeTimeout => "no code came in time",
        Refusal::KeyWrong => "the key was wrong",
        Refusal::KeyTimeout => "the key was not typed in time",
        Refusal::Declined => "it was declined",
        Refusal::KeyMode => "it uses a way to give the key that this board does not support",
        Refusal::Limit { limit: Limit::Chunk | Limit::Iterations } => {
            "the chunk size or the iterations of its key are out of bounds here"
        }
        Refusal::Limit { .. } | Refusal::NoSpace { .. } => "it is too large for this board",
        Refusal::InUse => "the slot is still read (`release` ends a `hold`), or receiving is paused",
        Refusal::Older => "it is older than what the same sender sent last",
        Refusal::Archive | Refusal::Chunk | Refusal::Protocol => "it broke the protocol",
        Refusal::Storage => "the flash failed",
        Refusal::Verify => "the flash did not keep what was written",
        Refusal::Rejected { .. } => "the application rejected it",
        _ => "it was refused",
    }
}

/// Why the identity is not usable.
pub(super) fn identity(error: IdentityError) -> &'static str {
    match error {
        IdentityError::Missing => "it has no identity: `waft provision` makes one",
        IdentityError::NotAnIdentity => "its identity sector holds something else",
        IdentityError::Version => "its identity was made by another version of waft",
        IdentityError::Length | IdentityError::Checksum => "its identity is damaged",
        _ => "its identity is invalid",
    }
}

/// Why no folder is shown and none is received.
pub(super) fn journal_error(error: JournalError) -> &'static str {
    match error {
        JournalError::Unreadable => {
            "The flash cannot be read, so nothing is received. Restart the board to try again, or type `forget yes` to give up the folder."
        }
        JournalError::OtherLayout => {
            "Another firmware wrote the folder here, so nothing is received. Flash that firmware to use the folder, or type `forget yes` to give it up."
        }
    }
}

/// Why a device has not paired.
pub(super) fn pairing_failure(failure: PairingFailure) -> &'static str {
    match failure {
        PairingFailure::Attempt(PairingError::WrongCode) => "the code was wrong",
        PairingFailure::Attempt(PairingError::Disconnected) => "the connection broke",
        PairingFailure::Attempt(PairingError::TimedOut) => "it took too long",
        PairingFailure::Attempt(PairingError::SameCertificate) => "the other device has the identity of this board",
        PairingFailure::Attempt(PairingError::PeerFailed(_)) => "the other device gave up",
        PairingFailure::Attempt(_) => "the other device broke the protocol",
        PairingFailure::DoesNotSend => "the other device does not want to send",
        PairingFailure::Certificate(_) => "the certificate of the other device is not one of waft",
        PairingFailure::Settings(SettingsError::Full) => "as many senders are trusted as can be",
        PairingFailure::Settings(_) => "the flash failed, so the other device is not trusted here. Pair again",
    }
}

/// Why a change of the settings failed.
pub(super) fn change_error(error: SettingsError) -> &'static str {
    match error {
        SettingsError::NotMounted => NOT_STORED,
        SettingsError::Flash => "The flash failed, so a restart may undo the change. Try again.",
        error => settings_error(error),
    }
}

/// Why nobody is trusted.
pub(super) fn settings_error(error: SettingsError) -> &'static str {
    match error {
        SettingsError::OtherVersion => {
            "Another firmware wrote the settings here, so nobody is trusted. Flash that firmware again."
        }
        SettingsError::Unreadable => {
            "The settings cannot be read, so nobody is trusted, and nothing is changed. Restart the board to try again, or type `factory-reset yes` to give them up."
        }
        SettingsError::Flash => {
            "The flash failed, so nobody is trusted, and nothing is changed. Restart the board to try again."
        }
        SettingsError::Reset => "A factory reset has begun. Restart the board.",
        SettingsError::Network => "The Wi-Fi network is invalid.",
        _ => "The settings are lost: nobody is trusted, and the policy is as it was at first.",
    }
}

/// The sources of the random numbers.
pub(super) fn sources(sources: Option<Sources>) -> &'static str {
    let Some(sources) = sources else { return "the application" };
    match (sources.trng, sources.seed) {
        (Ok(()), Ok(())) => "the chip's generator and the seed",
        (Ok(()), Err(SeedError::OtherVersion)) => "the chip's generator alone: another firmware wrote the seed",
        (Ok(()), Err(_)) => "the chip's generator alone: the seed cannot be read or written",
        (Err(_), Ok(())) => "the seed alone: the chip's generator fails its tests, or there is none",
        (Err(_), Err(_)) => "none: neither the chip's generator nor the seed is good",
    }
}

/// The reason for the start.
pub(super) fn start(start: StartReason) -> &'static str {
    match start {
        StartReason::PowerOn => "power-on",
        StartReason::Requested => "it was reset",
        StartReason::Watchdog => "it hung, and the watchdog reset it",
        StartReason::Failure => "the firmware failed, and reset itself",
        StartReason::Unknown => "the chip does not say why",
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn bytes_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (1029, "1.00 KiB"),
            (1030, "1.01 KiB"),
            (1_048_575, "1024.00 KiB"),
            (70 << 20, "70.00 MiB"),
            (u64::MAX, "17179869184.00 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_files_content_cannot_steer_a_terminal() {
        for (text, shown) in [
            (&b"plain\x1b[2J"[..], "plain\\u{1b}[2J"),
            (&[0xFF, 0x1B, b'a', 0xE2, 0x82], "\\xff\\u{1b}a\\xe2\\x82"),
            (b"a\tb\x7f\0", "a\tb\\u{7f}\\u{0}"),
            (
                "é\u{202e}gpj.\u{2066}\u{200b}\u{feff}\u{9b}".as_bytes(),
                "é\\u{202e}gpj.\\u{2066}\\u{200b}\\u{feff}\\u{9b}",
            ),
        ] {
            assert_eq!(Untrusted(text).to_string(), shown);
        }
    }
}
