//! The user interface of a receiver.

use waft_core::code::{AuthCode, TransferKey};
use zeroize::Zeroizing;

use super::rejections::Rejections;
use crate::cli::answers::{files, key_form, show_code};
use crate::cli::ui::{AskError, Event, Progress, Question, Ui, secret};
use crate::error::{Error, bytes};
use crate::receive::{self, KeyAnswer, Offer};

/// The user interface for one session with a sender.
pub(super) struct ReceiveOperator<'a> {
    ui: &'a Ui,
    rejections: &'a Rejections,
    progress: Option<Progress<'a>>,
    /// The last key that was given. It is used again if the input ends after a wrong key.
    given: Option<Zeroizing<String>>,
    /// Why no key was given.
    failure: Option<Error>,
}

impl<'a> ReceiveOperator<'a> {
    pub(super) fn new(ui: &'a Ui, rejections: &'a Rejections) -> Self {
        Self { ui, rejections, progress: None, given: None, failure: None }
    }

    /// Why no key was given, if that ended the session.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure
    }

    fn started(&mut self, offset: u64, total: u64) {
        match offset {
            0 => self.ui.say("The key is right. Receiving."),
            offset if offset == total => self.ui.say("Everything is here already."),
            offset => self.ui.say(format!("The key is right. Continuing at {} of {}.", bytes(offset), bytes(total))),
        }
        self.progress = Some(self.ui.progress(offset, total));
    }
}

fn question(offer: &Offer<'_>, tries_left: Option<u8>) -> String {
    match tries_left {
        None => {
            format!("Key that {} shows, for {} ({}):", offer.peer.name, files(offer.files), bytes(offer.total))
        }
        Some(left) => format!("That is not the key; {left} {} left. Key:", if left == 1 { "try" } else { "tries" }),
    }
}

impl receive::Operator for ReceiveOperator<'_> {
    fn code(&mut self, code: &AuthCode) {
        show_code(self.ui, "Next code", code);
        self.ui.event(&Event::Code { code: &secret(code.display()) });
    }

    async fn key(&mut self, offer: &Offer<'_>, tries_left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        let answer = self.ui.ask(Question::Key, &question(offer, tries_left), key_form).await;
        match (answer, &self.given) {
            (Ok(typed), _) => {
                key.copy_from(&typed);
                self.given = Some(secret(typed.display()));
                KeyAnswer::Given
            }
            // A script's input ended after a wrong key: repeat that key until no tries are left. A user who ends the
            // input wants to stop.
            (Err(AskError::NoAnswer(_)), Some(given)) if !self.ui.has_user() => {
                key.read(given).map_or(KeyAnswer::Declined, |()| KeyAnswer::Given)
            }
            (Err(error), _) => {
                self.failure = Some(error.into());
                if self.ui.has_user() { KeyAnswer::Declined } else { KeyAnswer::Unavailable }
            }
        }
    }

    fn event(&mut self, event: receive::Event<'_>) {
        use receive::Event as Happened;
        match event {
            Happened::NotASender { address, why } => self.ui.detail(format!("{address}: {why}")),
            Happened::NotAuthenticated { address, error } => self.rejections.add(address, error),
            Happened::Connected(peer) => {
                self.ui.event(&Event::Connected { peer: peer.name.as_str() });
                self.ui.say(format!("{} connected.", peer.name));
            }
            Happened::CodeWrong { peer, left } => {
                self.ui.say(format!("{} gave a wrong code; tries left: {left}.", peer.name));
            }
            Happened::CodeAccepted => self.ui.say("The code is right."),
            Happened::Offered(Offer { peer, files, total, .. }) => {
                self.ui.event(&Event::Offered { peer: peer.name.as_str(), files, total });
            }
            Happened::Hashing => self.ui.detail("Reading back what is here already."),
            Happened::Waiting => self.ui.say("Waiting until no other waft receives into this folder."),
            Happened::Started { offset, total } => self.started(offset, total),
            Happened::Progress(position) => {
                if let Some(progress) = &mut self.progress {
                    progress.set(position);
                }
            }
            Happened::Verifying => {
                self.progress = None;
                self.ui.say("Everything has arrived. Verifying it and putting it in place.");
            }
            Happened::Committed => self.progress = None,
        }
    }
}
