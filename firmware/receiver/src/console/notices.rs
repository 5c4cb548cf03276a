//! What happens, line by line.

use waft_core::session::receiver::Event;
use waft_core::session::{CertificateHash, Receipt};

use super::text::{self, Bytes, Files};
use super::{Console, Ready};
use crate::board::Board;
use crate::panel::Notice;

impl<B: Board> Console<'_, B> {
    pub(super) async fn show(&mut self, notice: Notice) {
        match notice {
            Notice::Listening(address) => self.terminal.say(format_args!("Listening at {address}.")).await,
            Notice::Code => self.show_code().await,
            Notice::Question => match self.around.panel.question.get() {
                Some(question) => self.ask(question).await,
                None => self.terminal.say("The key is not asked for any more.").await,
            },
            Notice::Session(event) => self.show_event(event).await,
            Notice::Percent(percent) => self.terminal.say(format_args!("{percent:3} %")).await,
            Notice::Ended(error) => {
                let reason = text::ending(error);
                self.terminal.say(format_args!("No new folder from {}: {reason}.", self.peer_name())).await;
            }
            Notice::Stranger(error) => {
                self.terminal.say(format_args!("Somebody was refused: {}.", text::stranger(error))).await;
            }
        }
    }

    async fn show_event(&mut self, event: Event) {
        if let Event::Connected(sender) = event {
            self.meet(sender);
        }
        let peer = self.peer_name();
        let terminal = &mut self.terminal;
        match event {
            Event::Connected(_) => terminal.say(format_args!("{peer} is there.")).await,
            Event::CodeWrong { left } => {
                let tries = if left == 1 { "try" } else { "tries" };
                terminal.say(format_args!("{peer} gave a wrong code; {left} {tries} left.")).await;
            }
            Event::Locked { seconds } => {
                terminal.say(format_args!("{peer} gave too many wrong codes, and has to wait {seconds} s.")).await;
            }
            Event::CodeAccepted => terminal.say("The code is right.").await,
            Event::Offered(offered) => {
                let (files, bytes) = (Files(offered.shape.files), Bytes(offered.shape.total));
                terminal.say(format_args!("{peer} offers {files}, {bytes}.")).await;
            }
            Event::Hashing => terminal.say("The key is right.").await,
            Event::Receiving { offset: 0, .. } => terminal.say("Receiving.").await,
            Event::Receiving { offset, total } if offset == total => terminal.say("All of it is here already.").await,
            Event::Receiving { offset, total } => {
                terminal.say(format_args!("Going on at {} of {}.", Bytes(offset), Bytes(total))).await;
            }
            Event::Received(_) => {}
            Event::Verifying => terminal.say("All is here. Verifying.").await,
            Event::Committed(receipt) => self.show_receipt(receipt).await,
        }
    }

    async fn show_receipt(&mut self, receipt: Receipt) {
        let Receipt { digest, files, bytes, generation } = receipt;
        let (files, bytes) = (Files(files), Bytes(bytes));
        self.terminal.say(format_args!("The folder is in place: {files}, {bytes}, generation {generation}.")).await;
        self.terminal.say(format_args!("Digest: {digest}")).await;
    }

    fn meet(&mut self, hash: CertificateHash) {
        let Ok(Ready { identity, .. }) = &self.around.ready else { return };
        self.peer = identity.senders.iter().find(|sender| sender.hash == hash);
    }
}
