//! The eight bytes before TLS, for both sides. A sender sends a preface; a receiver begins TLS or answers with a
//! refusal.
//!
//! Nothing here is authenticated, so a refusal is only a hint. PROTOCOL.md, section 2.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use waft_core::limits::PREFACE_MS;
use waft_core::wire::preface::{ClearRefusal, LEN, TLS_HANDSHAKE, check_preface, preface};

use crate::address::Address;
use crate::error::Class::{Broken, Identity, Protocol, Refused, Unreachable};
use crate::error::{Error, SAME_RELEASE};
use crate::net::close;

const PREFACE: Duration = Duration::from_millis(PREFACE_MS);
/// How long a sender waits for the receiver's answer. A receiver answers at once, unless it is a board in the middle
/// of another handshake; after this time a new attempt is more promising than waiting.
const ANSWER: Duration = Duration::from_secs(5);

/// Sends the preface and waits until the receiver begins TLS. Leaves the bytes of TLS in the stream.
pub async fn send(stream: &mut TcpStream) -> Result<(), PrefaceError> {
    timeout(ANSWER, exchange(stream)).await.unwrap_or(Err(PrefaceError::Silent))
}

/// Why a receiver does not begin TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefaceError {
    /// The receiver refused, with this reason.
    Refused(ClearRefusal),
    /// The peer is not a waft receiver.
    NotWaft,
    /// The receiver closed the connection without an answer.
    Closed,
    /// The receiver did not answer in time.
    Silent,
}

impl PrefaceError {
    /// The error for the peer at `address`.
    pub(crate) fn at(self, address: &Address) -> Error {
        match self {
            Self::Refused(ClearRefusal::Busy) => Error::new(
                Refused,
                format!("The receiver at {address} is busy with another transfer."),
                "Send again when that one is over.",
            ),
            Self::Refused(ClearRefusal::NotProvisioned) => Error::new(
                Identity,
                format!("The board at {address} has no identity yet."),
                "Give it one with `waft provision`, then send again.",
            ),
            Self::Refused(ClearRefusal::Purpose) => Error::new(
                Protocol,
                format!(
                    "The receiver at {address} does not know this kind of connection: it is another release of waft."
                ),
                SAME_RELEASE,
            ),
            Self::Refused(ClearRefusal::PairingClosed) => Error::new(
                Refused,
                format!("The device at {address} does not take attempts to pair at present."),
                "Begin pairing there (`pair` at the console of a board), then try again.",
            ),
            Self::Refused(ClearRefusal::Other(reason)) => Error::new(
                Protocol,
                format!("The receiver at {address} refuses for a reason of a later version ({reason})."),
                SAME_RELEASE,
            ),
            Self::NotWaft => Error::new(
                Protocol,
                format!("What answers at {address} is not waft."),
                "Another program listens there. Compare address and port with what `waft receive` or the board's console shows.",
            ),
            Self::Closed => Error::new(
                Broken,
                format!("The connection to {address} was closed without an answer."),
                "It is not waft, or it is busy with other connections. Compare address and port with what `waft receive` \
                 shows; if they are right, send again later.",
            ),
            Self::Silent => Error::new(
                Unreachable,
                format!("{address} accepts connections, but does not respond."),
                "Compare address and port with what `waft receive` or the board's console shows; if they are right, start it again there.",
            ),
        }
    }
}

/// Waits for a sender's preface. Bytes that are not a preface get no answer; a preface that has to be refused is
/// answered with the refusal.
pub async fn receive(stream: &mut TcpStream) -> Result<(), Rejected> {
    match read_preface(stream).await? {
        Ok(()) => Ok(()),
        Err(refusal) => {
            // The connection is rejected whether or not the refusal can still be sent.
            let _ = stream.write_all(&refusal.to_bytes()).await;
            Err(Rejected::Refused(refusal))
        }
    }
}

/// Sends a refusal to a sender whose preface was accepted, and closes the connection.
pub async fn refuse(mut stream: TcpStream, refusal: ClearRefusal) {
    let _ = stream.write_all(&refusal.to_bytes()).await;
    close(stream).await;
}

/// Why a connection was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The peer sent bytes that are not a preface.
    #[error("something that is not waft connected")]
    NotWaft,
    /// The peer does not speak our version of the protocol; the refusal was sent to it.
    #[error("a sender of another version connected")]
    Refused(ClearRefusal),
    /// The peer closed the connection before it had sent a preface.
    #[error("a connection was closed at once")]
    Closed,
    /// The peer did not send a preface in time.
    #[error("a connection said nothing")]
    Silent,
}

async fn exchange(stream: &mut TcpStream) -> Result<(), PrefaceError> {
    let closed = |_| PrefaceError::Closed;
    stream.write_all(&preface()).await.map_err(closed)?;
    let mut first = [0];
    match (stream.peek(&mut first).await.map_err(closed)?, first[0]) {
        (0, _) => return Err(PrefaceError::Closed),
        (_, TLS_HANDSHAKE) => return Ok(()),
        (_, b'W') => {}
        _ => return Err(PrefaceError::NotWaft),
    }
    let mut refusal = [0; LEN];
    stream.read_exact(&mut refusal).await.map_err(|_| PrefaceError::NotWaft)?;
    Err(ClearRefusal::from_bytes(&refusal).map_or(PrefaceError::NotWaft, PrefaceError::Refused))
}

/// Reads a preface. `Ok(Err(_))` is a well-formed preface that has to be refused.
async fn read_preface(stream: &mut TcpStream) -> Result<Result<(), ClearRefusal>, Rejected> {
    let mut bytes = [0; LEN];
    match timeout(PREFACE, stream.read_exact(&mut bytes)).await {
        Err(_) => return Err(Rejected::Silent),
        Ok(Err(_)) => return Err(Rejected::Closed),
        Ok(Ok(_)) => {}
    }
    match check_preface(&bytes) {
        Ok(()) => Ok(Ok(())),
        Err(Some(refusal)) => Ok(Err(refusal)),
        Err(None) => Err(Rejected::NotWaft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::connected;

    #[tokio::test]
    async fn the_first_byte_of_tls_stays_on_the_stream() {
        let (mut sender, mut receiver) = connected().await;
        let ((), ()) = tokio::join!(async { send(&mut sender).await.unwrap() }, async {
            receive(&mut receiver).await.unwrap();
            receiver.write_all(&[TLS_HANDSHAKE, 3]).await.unwrap();
        });
        let mut hello = [0; 2];
        sender.read_exact(&mut hello).await.unwrap();
        assert_eq!(hello, [TLS_HANDSHAKE, 3]);
    }

    #[tokio::test]
    async fn refusals_arrive() {
        for refusal in [ClearRefusal::Busy, ClearRefusal::NotProvisioned, ClearRefusal::Purpose] {
            let (mut sender, receiver) = connected().await;
            let sending = async {
                let outcome = send(&mut sender).await;
                drop(sender);
                outcome
            };
            let (outcome, ()) = tokio::join!(sending, refuse(receiver, refusal));
            assert_eq!(outcome, Err(PrefaceError::Refused(refusal)));
        }
    }

    #[tokio::test]
    async fn other_answers_are_distinguished() {
        for (answer, error) in [
            (&b"HTTP/1.1 400 Bad Request"[..], PrefaceError::NotWaft),
            (b"SSH-2.0-x", PrefaceError::NotWaft),
            (b"WAFTx", PrefaceError::NotWaft),
            (b"WELCOME!", PrefaceError::NotWaft),
            (b"", PrefaceError::Closed),
        ] {
            let (mut sender, mut receiver) = connected().await;
            receiver.write_all(answer).await.unwrap();
            receiver.shutdown().await.unwrap();
            assert_eq!(send(&mut sender).await, Err(error), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn strangers_get_no_answer() {
        for (said, error) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Rejected::NotWaft),
            (b"WAFT\x01\0\0\x01", Rejected::NotWaft),
            (b"WAFT", Rejected::Closed),
            (b"", Rejected::Closed),
        ] {
            let (mut stranger, mut receiver) = connected().await;
            stranger.write_all(said).await.unwrap();
            stranger.shutdown().await.unwrap();
            assert_eq!(receive(&mut receiver).await, Err(error), "{said:?}");
            receiver.shutdown().await.unwrap();
            assert_eq!(stranger.read(&mut [0; 8]).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn an_older_sender_gets_our_version() {
        let (mut sender, mut receiver) = connected().await;
        sender.write_all(b"WAFT\0\0\0\0").await.unwrap();
        assert!(matches!(receive(&mut receiver).await, Err(Rejected::Refused(ClearRefusal::Purpose))));
        let mut answer = [0; LEN];
        sender.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"WAFT\x01\x01\0\0");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let (mut sender, mut receiver) = connected().await;
        assert_eq!(receive(&mut receiver).await, Err(Rejected::Silent));
        assert_eq!(send(&mut sender).await, Err(PrefaceError::Silent));
    }
}
