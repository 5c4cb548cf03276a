//! Turns each notice into a line on the console.

use core::fmt;

use waft_core::certificate::CertificateHash;
use waft_core::session::receiver::Event;

use super::text::{self, Bytes, Code, Files, Tries};
use super::{Console, Ready};
use crate::board::Board;
use crate::panel::{Notice, Panel, Question};

impl<B: Board> Console<'_, B> {
    pub(super) async fn show(&mut self, notice: Notice) {
        if let Notice::Session(Event::Connected(sender)) = notice {
            self.meet(sender);
        }
        let peer = self.peer.map_or("the sender", |peer| peer.name.as_str());
        self.terminal
            .say(Told { notice: &notice, panel: self.around.panel, address: self.around.address.get(), peer })
            .await;
        if let Notice::Session(Event::Committed(receipt)) = notice {
            self.terminal.say(format_args!("Digest: {}", receipt.digest)).await;
        }
    }

    fn meet(&mut self, hash: CertificateHash) {
        let Ok(Ready { identity, .. }) = &self.around.ready else { return };
        self.peer = identity.senders.iter().find(|sender| sender.hash == hash);
    }
}

/// A notice as text.
struct Told<'a, A> {
    notice: &'a Notice,
    /// Holds the code and the question, which a notice only announces.
    panel: &'a Panel,
    address: Option<A>,
    peer: &'a str,
}

impl<A: fmt::Display> fmt::Display for Told<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notice, panel, ref address, peer } = *self;
        match *notice {
            Notice::Address => match address {
                Some(address) => write!(f, "Listening at {address}."),
                None => f.write_str("No network: the cable is unplugged, or this board has no address any more."),
            },
            Notice::Code => Code(panel.code.get()).fmt(f),
            Notice::Question => match panel.question.get() {
                Some(question) => ask(f, question, peer),
                None => f.write_str("The key is not asked for any more."),
            },
            Notice::Session(event) => tell(f, event, peer),
            Notice::Percent(percent) => write!(f, "{percent:3} %"),
            Notice::Ended(error) => write!(f, "No new folder from {peer}: {}.", text::ending(error)),
            Notice::Strangers(1, reason) => write!(f, "Somebody was refused: {}.", text::stranger(reason)),
            Notice::Strangers(count, last) => {
                write!(f, "{count} more were refused; the last: {}.", text::stranger(last))
            }
            Notice::Dropped(count) => write!(f, "(Lines left out here, because too much happened at once: {count})"),
        }
    }
}

/// Asks the user for the key.
fn ask(f: &mut fmt::Formatter<'_>, Question { offered, left }: Question, peer: &str) -> fmt::Result {
    let (files, bytes) = (Files(offered.shape.files), Bytes(offered.shape.total));
    match left {
        None => write!(f, "Type the key that {peer} shows, for {files} ({bytes}); or `decline`."),
        Some(left) => write!(f, "That was not the key; {} left.", Tries(left)),
    }
}

fn tell(f: &mut fmt::Formatter<'_>, event: Event, peer: &str) -> fmt::Result {
    match event {
        Event::Connected(_) => write!(f, "{peer} is there."),
        Event::CodeWrong { left } => write!(f, "{peer} gave a wrong code; {} left.", Tries(left)),
        Event::Locked { seconds } => write!(f, "{peer} gave too many wrong codes, and has to wait {seconds} s."),
        Event::CodeAccepted => f.write_str("The code is right."),
        Event::Offered(offered) => {
            write!(f, "{peer} offers {}, {}.", Files(offered.shape.files), Bytes(offered.shape.total))
        }
        Event::Hashing => f.write_str("The key is right."),
        Event::Waiting => f.write_str("Waiting until nobody reads the folder in its place (`release` ends a `hold`)."),
        Event::Receiving { offset: 0, .. } => f.write_str("Receiving."),
        Event::Receiving { offset, total } if offset == total => f.write_str("All of it is here already."),
        Event::Receiving { offset, total } => write!(f, "Going on at {} of {}.", Bytes(offset), Bytes(total)),
        // Shown as a percentage by `Notice::Percent`.
        Event::Received(_) => Ok(()),
        Event::Verifying => f.write_str("All is here. Verifying."),
        Event::Committed(receipt) => {
            let (files, bytes) = (Files(receipt.files), Bytes(receipt.bytes));
            write!(f, "The folder is in place: {files}, {bytes}, generation {}.", receipt.generation)
        }
    }
}
