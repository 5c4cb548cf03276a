//! The hash of all messages that both sides exchanged before they derive keys. The keys depend on it, so that both
//! sides derive the same keys only if they saw the same messages and certificates. PROTOCOL.md, section 7.3.

use sha2::{Digest as _, Sha256};

use crate::certificate::CertificateHash;

/// The first bytes of a sealed file.
pub(super) const FILE_MAGIC: [u8; 8] = *b"WAFTSEAL";

/// SHA-256 of the messages and certificates that both sides exchanged before they derive keys, or of the header of a
/// sealed file. The keys depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

impl Transcript {
    /// The transcript of a session. `hello` and `greeting` are the payloads of the frames `Hello` and `Greeting` as
    /// they were sent. `offer_body` is the payload of `Offer` without its tags, and `sender` and `receiver` are the
    /// hashes of the certificates. No payload may be longer than `MESSAGE_MAX`.
    pub fn session(
        hello: &[u8],
        greeting: &[u8],
        offer_body: &[u8],
        sender: &CertificateHash,
        receiver: &CertificateHash,
    ) -> Self {
        SessionTranscript::new().message(hello).message(greeting).message(offer_body).finish(sender, receiver)
    }

    /// The transcript of a sealed file. `header` is its header in postcard, without magic and length.
    pub fn file(header: &[u8]) -> Self {
        Self(part(Sha256::new_with_prefix(b"waft/1 file").chain_update(FILE_MAGIC), header).finalize().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// The transcript of a session while its messages are exchanged. [`Transcript::session`] lists them.
pub struct SessionTranscript(Sha256);

impl SessionTranscript {
    /// The transcript before the first message.
    pub fn new() -> Self {
        Self(Sha256::new_with_prefix(b"waft/1 session"))
    }

    /// Adds the next message.
    pub fn message(self, payload: &[u8]) -> Self {
        Self(part(self.0, payload))
    }

    /// Ends the transcript after the last message, with the hashes of the certificates.
    pub fn finish(self, sender: &CertificateHash, receiver: &CertificateHash) -> Transcript {
        Transcript(self.0.chain_update(sender.0).chain_update(receiver.0).finalize().into())
    }
}

impl Default for SessionTranscript {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds `part(message)` of PROTOCOL.md, section 7.3: the length of the message, then the message.
fn part(hash: Sha256, message: &[u8]) -> Sha256 {
    let length = u16::try_from(message.len()).expect("a message or header has at most MESSAGE_MAX bytes");
    hash.chain_update(length.to_be_bytes()).chain_update(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::vectors::vectors;

    #[test]
    fn a_session_has_the_frozen_transcript() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/schedule.txt")).remove(0);
        let payloads = ["hello", "greeting", "offer_body"].map(|name| vector.bytes(name));
        let [hello, greeting, offer_body] = &payloads;
        let [sender, receiver] = ["sender", "receiver"].map(|name| CertificateHash(vector.array(name)));
        let transcript = Transcript::session(hello, greeting, offer_body, &sender, &receiver);
        assert_eq!(vector.array("transcript"), transcript.0);
    }

    #[test]
    fn a_file_has_the_frozen_transcript() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/file.txt")).remove(0);
        // The header follows the magic and its length.
        let transcript = Transcript::file(&vector.bytes("start")[FILE_MAGIC.len() + 2..]);
        assert_eq!(vector.array("transcript"), transcript.0);
    }

    #[test]
    fn a_transcript_binds_every_part_and_its_length() {
        let of = |hello: &[u8], greeting: &[u8], offer: &[u8], sender: u8, receiver: u8| {
            let [sender, receiver] = [sender, receiver].map(|byte| CertificateHash([byte; 32]));
            Transcript::session(hello, greeting, offer, &sender, &receiver)
        };
        let one = of(b"ab", b"cd", b"ef", 1, 2);
        for other in [
            of(b"xb", b"cd", b"ef", 1, 2),
            of(b"ab", b"xd", b"ef", 1, 2),
            of(b"ab", b"cd", b"xf", 1, 2),
            of(b"a", b"bcd", b"ef", 1, 2),
            of(b"ab", b"c", b"def", 1, 2),
            of(b"ab", b"cd", b"ef", 3, 2),
            of(b"ab", b"cd", b"ef", 1, 3),
            of(b"ab", b"cd", b"ef", 2, 1),
        ] {
            assert_ne!(one, other);
        }
    }
}
