//! What a session needs on a computer, on both sides: a clock, the ciphers of the sealed stream, and the texts for a peer
//! that did wrong, with the phase in which a session ended.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use tokio::time::{Instant, sleep_until};
use waft_core::sealed::cipher::{NONCE, TAG};
use waft_core::sealed::{Aead, AeadKey, Cipher, Forged};
use waft_core::session::{self, Misbehaviour, SessionError};
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
        Cancel::BaseLost => Error::new(
            Broken,
            format!("{peer} no longer has a file that did not have to be sent, or has it damaged."),
            "Send again: then everything is sent.",
        ),
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
        SessionError::PeerMisbehaved(Misbehaviour::BaseMac) => "a list of its files that is not authentic",
        SessionError::PeerMisbehaved(Misbehaviour::LeftOut) => {
            "a folder without a file that this machine does not have"
        }
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

/// A clock that counts the milliseconds since its creation.
pub struct Clock(Instant);

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl session::Clock for Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, at: u64) {
        match self.0.checked_add(Duration::from_millis(at)) {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }
}

/// The date, in seconds since 1970; 0 if this machine's clock is set to an earlier time.
pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One of the two AEADs of the sealed stream, implemented by `ring`. This is the library that also provides TLS here; it
/// is several times as fast as the portable implementations. PROTOCOL.md, section 7.4.
pub struct RingCipher(LessSafeKey);

impl Cipher for RingCipher {
    /// AES comes first because nearly every computer has instructions for it.
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        let algorithm = match aead {
            Aead::Aes256Gcm => &AES_256_GCM,
            Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            _ => return None,
        };
        let key = UnboundKey::new(algorithm, key.as_bytes()).expect("both AEADs take keys of 32 bytes");
        Some(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), data);
        let tag = tag.expect("a chunk is far shorter than what either AEAD takes");
        tag.as_ref().try_into().expect("both AEADs have tags of 16 bytes")
    }

    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        match self.0.open_in_place_separate_tag(nonce, Aad::empty(), (*tag).into(), data, 0..) {
            Ok(_) => Ok(()),
            Err(_) => Err(Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use waft_core::code::TransferKey;
    use waft_core::sealed::{Schedule, Secret, SoftCipher, Transcript};
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
            let there = send::error::session_error("kitchen", cause.into(), None, Phase::Content);
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
            let there = send::error::session_error("kitchen", wrong.into(), None, phase);
            let here = receive::error::session_error("laptop", wrong, None, phase);
            for error in [there, here] {
                assert_eq!(error.to_string().contains("three times"), phase == Phase::Key, "{error:?}");
            }
        }
    }

    fn cipher<C: Cipher>(aead: Aead) -> C {
        let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
        let schedule = Schedule::new(&Secret::typed(&key, &[7; 32], 1), &Transcript::file(b"header"));
        C::new(aead, schedule.into_stream().0.chunk_key()).unwrap()
    }

    #[test]
    fn seals_what_the_portable_one_opens_and_back() {
        let nonce = [9; NONCE];
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            let (ring, soft): (RingCipher, SoftCipher) = (cipher(aead), cipher(aead));
            for length in [0, 1, 15, 16, 17, 4097, 65_537] {
                let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let (mut one, mut other) = (plain.clone(), plain.clone());
                let tag = ring.seal(&nonce, &mut one);
                assert_eq!((tag, &one), (soft.seal(&nonce, &mut other), &other), "{aead:?} {length}");
                assert_eq!(ring.open(&nonce, &mut one, &tag), Ok(()));
                assert_eq!(one, plain);
            }
        }
    }

    #[test]
    fn forgeries_do_not_open() {
        for aead in RingCipher::AEADS {
            let cipher: RingCipher = cipher(*aead);
            let mut data = *b"some bytes";
            let tag = cipher.seal(&[0; NONCE], &mut data);
            let forged = |data: [u8; 10], nonce, tag| cipher.open(&nonce, &mut { data }, &tag);
            let mut other = data;
            other[3] ^= 1;
            assert_eq!(forged(other, [0; NONCE], tag), Err(Forged));
            assert_eq!(forged(data, [1; NONCE], tag), Err(Forged));
            assert_eq!(forged(data, [0; NONCE], [0; TAG]), Err(Forged));
            assert_eq!(forged(data, [0; NONCE], tag), Ok(()));
        }
    }
}
