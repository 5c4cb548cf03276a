//! The user interface of a sender.

use waft_core::code::{AuthCode, TransferKey};

use super::retries::RetryReports;
use crate::cli::answers::{code_form, show_key};
use crate::cli::ui::{Event, Progress, Question, Ui, secret};
use crate::error::{Class, Error, bytes};
use crate::name::Name;
use crate::send::{self, Stage};

/// The user interface for one run of a sender to `peer`.
pub(super) struct SendOperator<'a> {
    ui: &'a Ui,
    peer: &'a str,
    retries: RetryReports,
    /// Whether the key was shown to the user, which happens when the receiver's user is asked for it. A script has it
    /// earlier, before it is asked for the code.
    is_key_shown: bool,
    progress: Option<Progress<'a>>,
    /// Why no code was given.
    failure: Option<Error>,
}

impl<'a> SendOperator<'a> {
    pub(super) fn new(ui: &'a Ui, peer: &'a str) -> Self {
        let (retries, is_key_shown, progress, failure) = Default::default();
        Self { ui, peer, retries, is_key_shown, progress, failure }
    }

    /// Why no code was given, if that ended the run.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure
    }

    fn offered(&mut self, key: Option<&TransferKey>) {
        let Some(key) = key else {
            return self.ui.say(format!("The key goes to {} sealed: nobody has to type it.", self.peer));
        };
        if !std::mem::replace(&mut self.is_key_shown, true) {
            show_key(self.ui, key);
            self.ui.say(format!("Read it out to the user at {}, who is asked for it now.", self.peer));
        }
    }

    fn waiting(&mut self, stage: Stage) {
        self.progress = None;
        let (what, text) = match stage {
            Stage::Key => ("key", "Waiting for the key to be typed there."),
            Stage::KeyAgain => ("key", "A wrong key was typed there. Waiting for the right one."),
            Stage::Hashing => ("hashing", "Waiting: what is there already is read back."),
            Stage::Verifying => ("verifying", "All sent. Waiting for it to be verified and put in place."),
            Stage::Waiting => ("reader", "Waiting: the place of the new folder is still in use there."),
            Stage::Storing => ("storing", "Waiting: the storage there is slow."),
            _ => ("busy", "Waiting for it."),
        };
        self.ui.event(&Event::Waiting { what });
        if stage == Stage::KeyAgain { self.ui.must(text) } else { self.ui.say(text) }
    }

    fn started(&mut self, offset: u64, total: u64) {
        match offset {
            0 => self.ui.say("Sending."),
            offset if offset == total => self.ui.say(format!("{} has everything already.", self.peer)),
            offset => self.ui.say(format!("Continuing at {} of {}.", bytes(offset), bytes(total))),
        }
        self.progress = Some(self.ui.progress(offset, total));
    }
}

impl send::Operator for SendOperator<'_> {
    async fn code(&mut self, _receiver: &Name, tries_left: Option<u8>) -> Option<AuthCode> {
        if let Some(left) = tries_left {
            self.ui.must(format!("That code is wrong; tries left: {left}."));
            if Question::Code.in_environment().is_some() {
                self.failure = Some(wrong_code());
                return None;
            }
        }
        let question = format!("Code that {} shows:", self.peer);
        match self.ui.ask(Question::Code, &question, code_form).await {
            Ok(code) => Some(code),
            Err(error) => {
                self.failure = Some(if tries_left.is_some() { wrong_code() } else { error.into() });
                None
            }
        }
    }

    fn event(&mut self, event: send::Event<'_>) {
        use send::Event as Happened;
        match event {
            Happened::StillDialing { address, limit } => {
                self.ui.say(format!("{address} has not answered yet. Waiting up to {} s.", limit.as_secs()));
            }
            Happened::OtherAddress { failed, next } => self
                .ui
                .detail(format!("{} is not at {failed}. Trying {next}, its address in the trust file.", self.peer)),
            Happened::Connected => {
                self.ui.event(&Event::Connected { peer: self.peer });
                self.ui.say(format!("{} connected.", self.peer));
            }
            Happened::AddressNotSaved(error) => {
                self.ui.warn(format!("the address of {} cannot be stored: {error}", self.peer));
            }
            Happened::FreeSpace(free) => self.ui.detail(format!("{} has {} free.", self.peer, bytes(free))),
            Happened::Key(key) => self.ui.event(&Event::Key { key: &secret(key.display()) }),
            Happened::CodeAccepted => self.ui.say("The code is right."),
            Happened::Offered { key } => self.offered(key),
            Happened::Waiting(stage) => self.waiting(stage),
            Happened::Started { offset, total } => self.started(offset, total),
            Happened::Progress(position) => {
                if let Some(progress) = &mut self.progress {
                    progress.set(position);
                }
            }
            Happened::Retry { .. } => {
                self.progress = None;
                self.retries.report(&event, self.ui);
            }
        }
    }
}

/// The error for a code that the receiver rejects, if the user cannot be asked for another one.
fn wrong_code() -> Error {
    Error::new(
        Class::Code,
        "The code is wrong.",
        "Look at the receiver: it shows the code that holds now. After three wrong ones it makes a new one.",
    )
}
