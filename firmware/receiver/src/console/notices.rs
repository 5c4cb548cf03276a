//! Turns each notice into a line on the console.

use core::fmt;

use embedded_io_async::{Read, Write};
use waft_core::certificate::CertificateHash;
use waft_core::session::receiver::Event;

use super::Dialogue;
use super::text::{self, Bytes, Code, Files, TriesLeft};
use crate::board::Board;
use crate::operator::{Control, KeyRequest, Notice};

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    pub(super) async fn show(&mut self, notice: Notice) {
        if let Notice::Session(Event::Connected(sender)) = notice {
            self.peer = self.control.sender(&sender).map(|sender| sender.name);
        }
        let peer = self.peer.as_ref().map_or("the sender", |peer| peer.as_str());
        self.terminal.print(NoticeText { notice: &notice, control: self.control, peer }).await;
        if let Notice::Session(Event::Committed(receipt)) = notice {
            self.terminal.print(format_args!("Digest: {}", receipt.digest)).await;
        }
    }
}

/// A notice as text.
struct NoticeText<'c, 'a, B: Board> {
    notice: &'c Notice,
    /// Holds the address, the code and the request, which a notice only announces.
    control: &'c Control<'a, B>,
    peer: &'c str,
}

impl<B: Board> fmt::Display for NoticeText<'_, '_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notice, control, peer } = *self;
        match *notice {
            Notice::Address => match control.address() {
                Some(address) => write!(f, "Listening at {address}."),
                #[cfg(feature = "wifi")]
                None if control.wifi().is_some() => f.write_str("This board has no address any more."),
                None => f.write_str("No network: the cable is unplugged, or this board has no address any more."),
            },
            #[cfg(feature = "wifi")]
            Notice::Wifi => super::wifi::write_news(f, control),
            Notice::Code => Code(control.code()).fmt(f),
            Notice::Pairing => write_pairing(f, control),
            Notice::Paired { sender, is_confirmed } => write_paired(f, control, &sender, is_confirmed),
            Notice::PairingFailed(failure) => write!(f, "Not paired: {}.", text::pairing_failure(failure)),
            Notice::KeyRequest => match control.key_request() {
                Some(request) => write_request(f, request, peer),
                None => f.write_str("The key is no longer needed."),
            },
            Notice::Session(event) => write_event(f, event, peer),
            Notice::Progress(percent) => write!(f, "{percent:3} %"),
            Notice::Failed(error) => write!(f, "No new folder from {peer}: {}.", text::session_failure(error)),
            Notice::Refused { peers: 1, last } => {
                write!(f, "A connection was refused: {}.", text::handshake_failure(last))
            }
            Notice::Refused { peers, last } => {
                write!(f, "{peers} more connections were refused. The last one: {}.", text::handshake_failure(last))
            }
            Notice::Dropped(count) => write!(f, "(Lines left out here, because too much happened at once: {count})"),
        }
    }
}

/// Says what the user of the other device types.
fn write_pairing<B: Board>(f: &mut fmt::Formatter<'_>, control: &Control<'_, B>) -> fmt::Result {
    let shown = control.with_pairing_code(|code| {
        let name = control.identity().map_or("NAME", |identity| &identity.name);
        match control.address() {
            Some(address) => write!(f, "To pair within two minutes: `waft pair {name}@{address}`")?,
            None => write!(f, "To pair within two minutes: `waft pair {name}@ADDRESS`")?,
        }
        write!(f, ", pairing code: {}", code.display())
    });
    shown.unwrap_or_else(|| f.write_str("Pairing is closed."))
}

fn write_paired<B: Board>(
    f: &mut fmt::Formatter<'_>,
    control: &Control<'_, B>,
    certificate: &CertificateHash,
    is_confirmed: bool,
) -> fmt::Result {
    let Some(sender) = control.sender(certificate) else { return f.write_str("Paired.") };
    write!(f, "Paired: {} is trusted, fingerprint {}.", sender.name, sender.hash)?;
    if is_confirmed {
        return Ok(());
    }
    f.write_str(" The connection broke at the end: if the other device reports an error, pair again.")
}

/// Asks the user for the key.
fn write_request(
    f: &mut fmt::Formatter<'_>,
    KeyRequest { offered, tries_left }: KeyRequest,
    peer: &str,
) -> fmt::Result {
    let (files, bytes) = (Files(offered.shape.files), Bytes(offered.shape.total));
    match tries_left {
        None => write!(f, "Type the key that {peer} shows, for {files} ({bytes}); or `decline`."),
        Some(left) => write!(f, "The key is wrong. {} left.", TriesLeft(left)),
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, event: Event, peer: &str) -> fmt::Result {
    match event {
        Event::Connected(_) => write!(f, "{peer} connected."),
        Event::CodeWrong { left } => write!(f, "{peer} sent a wrong code. {} left.", TriesLeft(left)),
        Event::Locked { seconds } => write!(f, "{peer} sent too many wrong codes. It is locked out for {seconds} s."),
        Event::CodeAccepted => f.write_str("The code is right."),
        Event::Offered(offered) => {
            write!(f, "{peer} offers {}, {}.", Files(offered.shape.files), Bytes(offered.shape.total))
        }
        Event::Hashing => f.write_str("The key is right."),
        Event::Waiting => f.write_str("Waiting until the slot is no longer read (`release` ends a `hold`)."),
        Event::Receiving { offset: 0, .. } => f.write_str("Receiving."),
        Event::Receiving { offset, total } if offset == total => f.write_str("The whole folder is here already."),
        Event::Receiving { offset, total } => write!(f, "Resuming at {} of {}.", Bytes(offset), Bytes(total)),
        Event::Verifying => f.write_str("Received. Verifying."),
        Event::Committed(receipt) => {
            let (files, bytes) = (Files(receipt.files), Bytes(receipt.bytes));
            write!(f, "The folder is in place: {files}, {bytes}, generation {}.", receipt.generation)
        }
        // `Event::Received` is shown as a percentage by `Notice::Progress`.
        _ => Ok(()),
    }
}
