//! The user interface of a receiver's session: implements core's [`Operator`].

use waft_core::code::{AuthCode, TransferKey};
use waft_core::session::Offered;
use waft_core::session::receiver::{Event as Happened, KeyAnswer, Operator};
use zeroize::Zeroizing;

use crate::asked::Asked;
use crate::cli::answers::{key_form, show_code};
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::secret;
use crate::cli::ui::{Event, Progress, Ui};
use crate::error::{Error, Moment, bytes, files};

/// The user interface for one session with `peer`.
pub(super) struct AtReceiver<'a> {
    ui: &'a Ui,
    interrupt: &'a Interrupt,
    peer: &'a str,
    /// The last code that was shown to the user; `None` if senders are not asked for a code.
    shown: Option<&'a mut Option<Zeroizing<String>>>,
    progress: Option<Progress<'a>>,
    /// The last key that was given. It is used again if the input ends after a wrong key.
    given: Option<Zeroizing<String>>,
    /// Why no key was given.
    failure: Option<Error>,
    held: u64,
    moment: Moment,
    /// Whether this session committed a folder, rather than only repeat a receipt.
    committed: bool,
    /// Whether the key is typed on this machine.
    typed: bool,
}

impl<'a> AtReceiver<'a> {
    pub(super) fn new(
        ui: &'a Ui,
        interrupt: &'a Interrupt,
        peer: &'a str,
        shown: Option<&'a mut Option<Zeroizing<String>>>,
        typed: bool,
    ) -> Self {
        let (progress, given, failure, moment, committed) = (None, None, None, Moment::Opening, false);
        Self { ui, interrupt, peer, shown, progress, given, failure, held: 0, moment, committed, typed }
    }

    /// Whether this session committed a folder.
    pub(super) fn has_committed(&self) -> bool {
        self.committed
    }

    /// Ends the session. Returns the number of archive bytes that were already held, the phase of the session, and
    /// the error if no key was given.
    pub(super) fn end(self) -> (u64, Moment, Option<Error>) {
        (self.held, self.moment, self.failure)
    }

    fn question(&self, offered: &Offered, left: Option<u8>) -> String {
        match left {
            None => format!(
                "Key that {} shows, for {} ({}):",
                self.peer,
                files(offered.shape.files),
                bytes(offered.shape.total)
            ),
            Some(left) => {
                format!("That was not the key; {left} {} left. Key:", if left == 1 { "try" } else { "tries" })
            }
        }
    }

    fn begin(&mut self, offset: u64, total: u64) {
        self.held = offset;
        self.moment = Moment::Begun;
        match offset {
            0 => self.ui.say("The key is right. Receiving."),
            offset if offset == total => self.ui.say("Everything is here already."),
            offset => self.ui.say(format!("The key is right. Going on at {} of {}.", bytes(offset), bytes(total))),
        }
        self.progress = Some(self.ui.progress(offset, total));
    }
}

impl Operator for AtReceiver<'_> {
    fn code(&mut self, code: &AuthCode) {
        let digits = secret(code.display());
        let Some(shown) = &mut self.shown else { return };
        if shown.replace(digits.clone()).as_ref() != Some(&digits) {
            show_code(self.ui, "Next code", &digits);
            self.ui.event(&Event::Code { code: &digits });
        }
    }

    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        let question = self.question(offered, left);
        let answer = tokio::select! {
            answer = self.ui.ask(Asked::Key, &question, key_form) => answer,
            () = self.interrupt.raised() => return KeyAnswer::Interrupted,
        };
        match (answer, &self.given) {
            (Ok(typed), _) => {
                key.copy_from(&typed);
                self.given = Some(secret(typed.display()));
                KeyAnswer::Given
            }
            // A script's input ended after a wrong key: repeat that key until no tries are left. A user who ends the
            // input wants to stop.
            (Err(Error::NoAnswer(_)), Some(given)) if !self.ui.has_person() => {
                key.read(given).map_or(KeyAnswer::Declined, |()| KeyAnswer::Given)
            }
            (Err(error), _) => {
                self.failure = Some(error);
                if self.ui.has_person() { KeyAnswer::Declined } else { KeyAnswer::Unavailable }
            }
        }
    }

    fn event(&mut self, event: Happened) {
        match event {
            Happened::Connected(_) => {
                self.ui.event(&Event::Connected { peer: self.peer });
                self.ui.say(format!("{} is there.", self.peer));
            }
            Happened::CodeWrong { left } => {
                self.ui.say(format!("{} gave a wrong code; tries left: {left}.", self.peer))
            }
            // The error that ends the session reports the lockout.
            Happened::Locked { .. } => {}
            Happened::CodeAccepted => self.ui.say("The code is right."),
            Happened::Offered(offered) => {
                self.moment = if self.typed { Moment::Key } else { Moment::SealedKey };
                self.ui.event(&Event::Offered {
                    peer: self.peer,
                    files: offered.shape.files,
                    total: offered.shape.total,
                });
            }
            Happened::Hashing => self.ui.detail("Reading back what is here already."),
            Happened::Waiting => self.ui.say("Waiting until no other waft receives into this folder."),
            Happened::Receiving { offset, total } => self.begin(offset, total),
            Happened::Received(bytes) => {
                self.moment = Moment::Content;
                if let Some(progress) = &mut self.progress {
                    progress.set(bytes);
                }
            }
            Happened::Verifying => {
                self.progress = None;
                self.ui.say("Everything has arrived. Verifying it and putting it in place.");
            }
            Happened::Committed(_) => {
                self.progress = None;
                self.committed = true;
            }
        }
    }

    async fn interrupted(&mut self) {
        self.interrupt.raised().await;
    }
}
