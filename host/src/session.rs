//! What the errors of both sides' sessions have in common: the phase in which a session ended, and the texts for what a
//! peer did wrong.

use std::time::Duration;

use waft_core::session::{Misbehaviour, SessionError};
use waft_core::wire::message::{Cancel, Refusal};

use crate::error::Class::{Broken, Protocol};
use crate::error::{Error, LARGE_PACKETS, REPORT, SAME_RELEASE};

/// Time to send the last message to a peer, and to receive its answer, once the operator has cancelled.
pub(crate) const GRACE: Duration = Duration::from_secs(4);

/// The phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first messages of the session.
    Opening,
    /// The user was asked for the code.
    Code,
    /// The folder was offered, and a user was asked for the key.
    Key,
    /// The folder was offered with a sealed key, which does not have to be typed.
    SealedKey,
    /// The transfer of the content began, and no arrival of it was confirmed.
    Begun,
    /// The content was being transferred.
    Content,
}

impl Phase {
    /// The phase in words, for an error text.
    pub(crate) fn when(self) -> &'static str {
        match self {
            Self::Opening => "before the folder was offered",
            Self::Code => "while the code was asked for",
            Self::Key => "while the key was asked for there",
            Self::SealedKey => "before the folder was accepted",
            Self::Begun | Self::Content => "in the middle",
        }
    }

    /// Whether the transfer of the content had begun.
    pub(crate) fn is_content(self) -> bool {
        matches!(self, Self::Begun | Self::Content)
    }

    /// What to do next if the peer received nothing for too long.
    pub(crate) fn after_silence(self, next: &str) -> String {
        match self {
            Self::Begun => format!("{next} {LARGE_PACKETS}"),
            _ => next.to_owned(),
        }
    }
}

/// The text for a peer that violated the protocol in this way.
pub(crate) fn misbehaved(peer: &str, cause: SessionError) -> Error {
    Error::new(Protocol, format!("{peer} violates the protocol: it sent {}.", misdeed(cause)), REPORT)
}

/// The text for a peer that cancelled, without the causes that only a sender or only a receiver sends. `next` says
/// what to do if the transfer can be resumed.
pub(crate) fn cancelled(peer: &str, cancel: Cancel, next: &str, phase: Phase) -> Error {
    match cancel {
        Cancel::TimedOut => Error::new(
            Broken,
            format!("{peer} waited too long for this machine, and gave up."),
            phase.after_silence(next),
        ),
        Cancel::Protocol => {
            Error::new(Protocol, format!("{peer} rejects a message of this machine as wrong."), SAME_RELEASE)
        }
        _ => Error::new(Broken, format!("{peer} cancelled the transfer."), next),
    }
}

fn misdeed(cause: SessionError) -> &'static str {
    match cause {
        SessionError::PeerMisbehaved(Misbehaviour::Frame) => "a frame of a wrong kind or length",
        SessionError::PeerMisbehaved(Misbehaviour::Message) => "a message that cannot be read",
        SessionError::PeerMisbehaved(Misbehaviour::Unexpected) => "a message out of turn",
        SessionError::PeerMisbehaved(Misbehaviour::Field) => "a value out of its bounds",
        SessionError::PeerMisbehaved(Misbehaviour::AcceptMac) => "no proof that it has the key",
        SessionError::PeerMisbehaved(Misbehaviour::Chunk) => "a part of the folder that cannot be decrypted",
        _ => "something that has no place there",
    }
}

/// What was malformed, according to the receiver's refusal.
pub(crate) fn malformed(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Archive => "the folder's names or contents do not fit together",
        Refusal::Chunk => "a part of it cannot be decrypted",
        _ => "a message was wrong or out of turn",
    }
}

/// The duration of a lockout as text. No receiver locks a sender out for longer than the limit.
pub(crate) fn pause(seconds: u32) -> String {
    match seconds {
        0..=waft_core::limits::LOCKOUT_MAX_S => format!("{seconds} s"),
        _ => "more than an hour".into(),
    }
}

#[cfg(test)]
mod tests {
    use waft_core::session::SessionError::{Disconnected, PeerMisbehaved, Refused};
    use waft_core::wire::message::Limit;

    use super::*;
    use crate::{receive, send};

    const CAUSES: [SessionError; 11] = [
        PeerMisbehaved(Misbehaviour::Field),
        PeerMisbehaved(Misbehaviour::AcceptMac),
        Refused(Refusal::Archive),
        Refused(Refusal::Chunk),
        Refused(Refusal::Protocol),
        Refused(Refusal::InUse),
        Refused(Refusal::Rejected { code: 7 }),
        Refused(Refusal::Limit { limit: Limit::Chunk }),
        Refused(Refusal::Name { entry: u32::MAX }),
        Refused(Refusal::Locked { seconds: u32::MAX }),
        Disconnected,
    ];

    #[test]
    fn people_read_no_names_of_types() {
        for cause in CAUSES {
            let there = send::error::session_error("kitchen", cause, None, Phase::Content);
            let here = receive::error::session_error("laptop", cause, None, Phase::Content);
            for text in [there.to_string(), here.to_string()] {
                assert!(
                    !text.contains(['(', '{']) && !text.contains("4294967295") && !text.contains("an entry"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn only_what_began_is_kept() {
        let text = |phase| receive::error::session_error("laptop", Disconnected, None, phase).advice().to_owned();
        assert!(text(Phase::Content).contains("is kept") && text(Phase::Begun).contains("is kept"));
        assert!(text(Phase::Key).contains("Nothing was received"));
    }

    #[test]
    fn a_sealed_key_was_not_mistyped() {
        let wrong = Refused(Refusal::KeyWrong);
        for phase in [Phase::Key, Phase::SealedKey] {
            let there = send::error::session_error("kitchen", wrong, None, phase);
            let here = receive::error::session_error("laptop", wrong, None, phase);
            for error in [there, here] {
                assert_eq!(error.to_string().contains("three times"), phase == Phase::Key, "{error:?}");
            }
        }
    }
}
