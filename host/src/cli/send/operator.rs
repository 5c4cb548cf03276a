//! The user interface of a sender's session: implements core's [`Operator`].

use waft_core::code::{AuthCode, TransferKey};
use waft_core::session::sender::{Event as Happened, Operator};
use waft_core::wire::message::Stage;

use crate::asked::Asked;
use crate::cli::answers::{code_form, show_key};
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::secret;
use crate::cli::ui::{Event, Progress, Ui};
use crate::error::{Error, Moment, bytes};

/// Where the key was already shown in this run. It is shown once in each place.
#[derive(Default)]
pub(super) struct KeyTold {
    /// As an event for scripts. This happens as soon as it is known that the key will be typed, so that a script has
    /// it before it is asked for the code.
    script: bool,
    /// As text for the user. This happens when the receiver's user is asked for the key.
    user: bool,
}

/// The user interface for one session with `peer`.
pub(super) struct AtSender<'a> {
    ui: &'a Ui,
    interrupt: &'a Interrupt,
    peer: &'a str,
    key: &'a TransferKey,
    total: u64,
    /// Where the key was already shown in this run.
    key_told: &'a mut KeyTold,
    progress: Option<Progress<'a>>,
    stage: Option<Stage>,
    /// The positions in the archive where sending began and where it is now.
    crossed: Option<(u64, u64)>,
    moment: Moment,
    /// Why no code was given.
    failure: Option<Error>,
}

impl<'a> AtSender<'a> {
    pub(super) fn new(
        ui: &'a Ui,
        interrupt: &'a Interrupt,
        peer: &'a str,
        key: &'a TransferKey,
        total: u64,
        key_told: &'a mut KeyTold,
    ) -> Self {
        let (progress, stage, crossed, moment, failure) = (None, None, None, Moment::Opening, None);
        Self { ui, interrupt, peer, key, total, key_told, progress, stage, crossed, moment, failure }
    }

    /// Whether everything was sent, so that the receiver may have the whole folder.
    pub(super) fn has_sent_all(&self) -> bool {
        self.crossed.is_some_and(|(_, sent)| sent == self.total)
    }

    /// Ends the session. Returns the number of archive bytes that were sent, the phase of the session, and the error
    /// if no code was given.
    pub(super) fn end(self) -> (u64, Moment, Option<Error>) {
        (self.crossed.map_or(0, |(from, to)| to - from), self.moment, self.failure)
    }

    fn offered(&mut self, sealed: bool) {
        self.moment = if sealed { Moment::SealedKey } else { Moment::Key };
        if sealed {
            return self.ui.say(format!("The key goes to {} sealed: nobody has to type it.", self.peer));
        }
        if !std::mem::replace(&mut self.key_told.user, true) {
            show_key(self.ui, self.key);
            self.ui.say(format!("Read it out to the user at {}, who is asked for it now.", self.peer));
        }
    }

    fn working(&mut self, stage: Stage) {
        if self.stage.replace(stage) == Some(stage) {
            return;
        }
        self.progress = None;
        let (what, text) = match stage {
            Stage::Key => ("key", "Waiting for the key to be typed there."),
            Stage::KeyAgain => ("key", "A wrong key was typed there. Waiting for the right one."),
            Stage::Hashing => ("hashing", "Waiting: what is there already is read back."),
            Stage::Verifying => ("verifying", "All sent. Waiting for it to be verified and put in place."),
            Stage::Waiting => ("reader", "Waiting: the place of the new folder is still in use there."),
            Stage::Storing => ("storing", "Waiting: the storage there is slow."),
            Stage::Reading | Stage::Unknown(_) => ("busy", "Waiting for it."),
        };
        self.ui.event(&Event::Waiting { what });
        if stage == Stage::KeyAgain { self.ui.must(text) } else { self.ui.say(text) }
    }

    fn begin(&mut self, offset: u64) {
        self.moment = Moment::Begun;
        self.crossed = Some((offset, offset));
        match offset {
            0 => self.ui.say("Sending."),
            offset if offset == self.total => self.ui.say(format!("{} has everything already.", self.peer)),
            offset => self.ui.say(format!("Going on at {} of {}.", bytes(offset), bytes(self.total))),
        }
        self.progress = Some(self.ui.progress(offset, self.total));
    }
}

impl Operator for AtSender<'_> {
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode> {
        self.moment = Moment::Code;
        if let Some(left) = left {
            self.ui.must(format!("That code was wrong; tries left: {left}."));
            if Asked::Code.in_environment().is_some() {
                self.failure = Some(Error::CodeWrong);
                return None;
            }
        }
        let question = format!("Code that {} shows:", self.peer);
        let answer = tokio::select! {
            answer = self.ui.ask(Asked::Code, &question, code_form) => answer,
            () = self.interrupt.raised() => return None,
        };
        match answer {
            Ok(code) => Some(code),
            Err(error) => {
                self.failure = Some(if left.is_some() { Error::CodeWrong } else { error });
                None
            }
        }
    }

    fn event(&mut self, event: Happened) {
        match event {
            Happened::Greeted { free, sealed } => {
                self.ui.detail(format!("{} has {} free.", self.peer, bytes(free)));
                if !sealed && !std::mem::replace(&mut self.key_told.script, true) {
                    self.ui.event(&Event::Key { key: &secret(self.key.display()) });
                }
            }
            Happened::CodeAccepted => {
                self.moment = Moment::Opening;
                self.ui.say("The code is right.");
            }
            Happened::Offered { sealed } => self.offered(sealed),
            Happened::Working(stage) => self.working(stage),
            Happened::Accepted { offset } => self.begin(offset),
            Happened::Sent(bytes) => {
                if let (Some(progress), Some((_, sent))) = (&mut self.progress, &mut self.crossed) {
                    *sent = bytes;
                    progress.set(bytes);
                }
            }
            Happened::Durable(_) => self.moment = Moment::Content,
        }
    }

    async fn interrupted(&mut self) {
        self.interrupt.raised().await;
    }
}
