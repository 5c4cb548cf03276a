//! Target for pairings whose bytes are changed between the sides, or that break. Neither side may panic or wait without
//! end; no side gets a wrong certificate; if the dialer reports success, so does the listener.
//!
//! The first byte is the number of bytes after which the connection breaks, in units of 4, or 0 for never. Its lowest
//! bit chooses the direction. Every four bytes after it are an edit: a position (u16), options, and the bits to flip.
//! Bit 0 of the options chooses the direction.

use embassy_futures::join::join;
use embedded_io_async::Read as _;
use waft_core::pairing::{
    Buffer, DeviceKind, Directions, Incoming, Introduction, Limiter, Outgoing, PairingCode, PairingError,
};
use waft_core::session::Clock as _;
use waft_core::wire::preface::{LEN, Purpose};

use crate::doubles::Seeded;
use crate::simulation::{MemoryLink, VirtualClock, connect, run as run_both};

const DIALER: &[u8] = b"the dialer's certificate";
const LISTENER: &[u8] = b"the listener's certificate";
/// Upper bound of a pairing's length, in milliseconds, whatever the other side does.
const LONGEST: u64 = 130_000;

fn code() -> PairingCode {
    PairingCode::parse("123456").expect("six digits")
}

fn introduction(name: &'static str, certificate: &'static [u8]) -> Introduction<'static> {
    Introduction::new(DeviceKind::Computer, Directions::default(), name, certificate).expect("within its bounds")
}

/// Runs one pairing with these edits.
pub fn run(data: &[u8]) {
    let (cut, edits) = data.split_first().map_or((0, data), |(cut, edits)| (*cut, edits));
    let left = |is_cut| if is_cut { u64::from(cut / 2) * 4 } else { u64::MAX };
    let (mut dialer_link, mut listener_link) = connect(left(cut > 0 && cut & 1 == 0), left(cut > 0 && cut & 1 == 1));
    for edit in edits.chunks_exact(4) {
        let position = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let link = if edit[2] & 1 == 0 { &mut dialer_link } else { &mut listener_link };
        link.edits.push((position, edit[3]));
    }
    let clock = VirtualClock::default();
    let dialing = async {
        let end = dial(&mut dialer_link, &clock).await;
        drop(dialer_link);
        end
    };
    let listening = async {
        let end = listen(&mut listener_link, &clock).await;
        drop(listener_link);
        end
    };
    let (dialed, listened) = run_both(&clock, join(dialing, listening));
    assert!(clock.now() < LONGEST, "{} ms", clock.now());
    assert!(!data.is_empty() || (dialed.is_ok() && listened.is_ok()), "{dialed:?}, {listened:?}");
    assert!(dialed.is_err() || listened.is_ok(), "{dialed:?}, {listened:?}");
    assert!(dialed.is_ok() || !listened.as_ref().is_ok_and(|(_, is_confirmed)| *is_confirmed));
    assert!(dialed.is_err() || dialed.is_ok_and(|certificate| certificate == LISTENER));
    assert!(listened.is_err() || listened.is_ok_and(|(certificate, _)| certificate == DIALER));
}

async fn dial(link: &mut MemoryLink, clock: &VirtualClock) -> Result<Vec<u8>, PairingError> {
    let (mut buffer, mut rng) = (Buffer::new(), Seeded(1));
    let outgoing = Outgoing::connect(link, &mut buffer, &mut rng, clock).await?;
    let paired = outgoing.pair(code(), &introduction("anna", DIALER), &mut rng).await?;
    Ok(paired.peer.certificate().to_vec())
}

async fn listen(link: &mut MemoryLink, clock: &VirtualClock) -> Result<(Vec<u8>, bool), PairingError> {
    let mut preface = [0; LEN];
    link.read_exact(&mut preface).await.map_err(|_| PairingError::Disconnected)?;
    if Purpose::of_preface(&preface) != Ok(Purpose::Pairing) {
        return Err(PairingError::NotWaft);
    }
    let (mut buffer, mut rng, mut limiter) = (Buffer::new(), Seeded(2), Limiter::new());
    let incoming = Incoming::accept(link, &mut buffer, &mut rng, clock, &limiter).await?;
    let paired = incoming.pair(Some(code()), &introduction("kitchen", LISTENER), &mut rng, &mut limiter).await?;
    Ok((paired.peer.certificate().to_vec(), paired.is_confirmed))
}
