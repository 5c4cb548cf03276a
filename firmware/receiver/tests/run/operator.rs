//! Tests of operators other than the console, and of a receiver whose future is dropped.

use std::cell::{Cell, RefCell};

use tokio::io::duplex;
use tokio::join;
use waft_core::session::SessionError;
use waft_core::session::receiver::Event;
use waft_core::session::sender::SendError;
use waft_core::wire::message::Refusal;
use waft_receiver::board::StartupError;
use waft_receiver::identity::{IdentityError, KeyPolicy};
use waft_receiver::operator::{AnswerError, Control, NoOperator, Notice, Operator};

use crate::archive::{archive, tree};
use crate::board::{Hosted, Powered};
use crate::laptop::Outcome;
use crate::transfers::{folder, laptop_and_board, transfer};
use crate::user::User;

/// A user with a display and two buttons: the code is on the display, and one answer is given to every request.
#[derive(Default)]
struct Panel {
    code: Cell<Option<[u8; 4]>>,
    notices: RefCell<Vec<Notice>>,
    error: Cell<Option<StartupError>>,
    /// The key with which requests are answered. Without it, folders are declined.
    key: Option<String>,
}

impl Operator<Hosted> for &Panel {
    async fn run(&mut self, control: &Control<'_, Hosted>) -> ! {
        self.error.set(control.identity().err());
        assert_eq!(control.answer_key("0123-4567-89AB-CDEF"), Err(AnswerError::NotRequested));
        assert!(!control.decline());
        loop {
            let notice = control.next().await;
            self.notices.borrow_mut().push(notice);
            match (notice, &self.key) {
                (Notice::Code, _) => self.code.set(control.code()),
                (Notice::KeyRequest, Some(key)) if control.key_request().is_some() => {
                    assert!(matches!(control.answer_key("no key"), Err(AnswerError::NotAKey(_))));
                    control.answer_key(key).unwrap();
                    assert!(control.is_checking_key());
                }
                (Notice::KeyRequest, None) => {
                    let is_requested = control.key_request().is_some();
                    assert_eq!(control.decline(), is_requested);
                }
                _ => {}
            }
        }
    }
}

impl Panel {
    async fn code(&self) -> String {
        loop {
            match self.code.get() {
                Some(code) => return code.iter().map(|digit| char::from(*digit)).collect(),
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// Waits for a notice.
    async fn sees(&self, notice: Notice) {
        while !self.notices.borrow().contains(&notice) {
            tokio::task::yield_now().await;
        }
    }
}

fn no_user() -> User {
    User::new(duplex(1).0)
}

#[tokio::test]
async fn an_operator_without_a_console_shows_the_code_and_takes_the_key() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    let panel = Panel { key: Some(laptop.key.display().to_string()), ..Panel::default() };
    let receipt = Powered::new(16)
        .boot_with(Ok(&identity), &mut &panel, no_user(), async |fixture| {
            let code = panel.code().await;
            let receipt = laptop.send(fixture.address, &folder, &code, None).await.receipt();
            panel.sees(Notice::Progress(100)).await;
            panel.sees(Notice::Session(Event::Committed(receipt))).await;
            receipt
        })
        .await;
    assert_eq!(receipt.digest, folder.root);
}

#[tokio::test]
async fn an_operator_declines_a_folder() {
    let (laptop, identity) = laptop_and_board();
    let (folder, panel) = (folder(1), Panel::default());
    let declined = SessionError::Refused(Refusal::Declined);
    let outcome = Powered::new(16)
        .boot_with(Ok(&identity), &mut &panel, no_user(), async |fixture| {
            let code = panel.code().await;
            let outcome = laptop.send(fixture.address, &folder, &code, None).await;
            panel.sees(Notice::Failed(declined)).await;
            outcome
        })
        .await;
    assert!(matches!(outcome, Outcome::Ended(error) if error == declined), "{outcome:?}");
}

#[tokio::test]
async fn an_operator_learns_why_nothing_is_received() {
    let panel = Panel::default();
    Powered::new(16)
        .boot_with(Err(IdentityError::Missing), &mut &panel, no_user(), async |_| {
            while panel.error.get().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    assert_eq!(panel.error.get(), Some(StartupError::Identity(IdentityError::Missing)));
}

#[tokio::test]
async fn a_receiver_without_code_and_key_needs_no_operator() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    let receipt = Powered::new(16)
        .boot_with(Ok(&identity), &mut NoOperator, no_user(), async |fixture| {
            laptop.send(fixture.address, &folder, "", None).await.receipt()
        })
        .await;
    assert_eq!(receipt.digest, folder.root);
}

/// A dropped future is like a power cut: the old folder stays, the transfer resumes later, and lockouts are kept.
#[tokio::test]
async fn a_receiver_that_was_dropped_runs_again() {
    let (mut laptop, identity) = laptop_and_board();
    let (first, second) = (folder(1), archive(tree(2, &[60_000]), 200));
    Powered::new(32)
        .boot(Ok(&identity), async |mut fixture| {
            transfer(&laptop, &mut fixture, &first).await.receipt();
            fixture.user.types("code").await;
            let code = fixture.user.reads_code().await;
            laptop.salt[0] ^= 1;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types(&laptop.key.display().to_string()).await;
                fixture.user.sees(" 50 %").await;
                fixture.restart.notify_one();
                fixture.user.sees("help").await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &second, &code, None), user);
            // All of it may have been sent.
            let is_unknown = matches!(outcome, Outcome::GaveUp(SendError::OutcomeUnknown { interrupted: false }));
            assert!(is_unknown || matches!(outcome, Outcome::Ended(_)), "{outcome:?}");
            assert_eq!(fixture.slots.folder().unwrap().digest(), first.root);
            fixture.user.types("code").await;
            laptop.salt[0] ^= 1;
            assert_eq!(transfer(&laptop, &mut fixture, &second).await.receipt().generation, 2);
            fixture.user.sees("Resuming at ").await;
        })
        .await;
}
