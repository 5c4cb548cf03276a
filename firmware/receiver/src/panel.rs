//! Between a session and the console: what the person has to know, and the key that they type.
//!
//! A session speaks through [`AtBoard`], core's `Operator`. The [`console`](crate::console) shows the notices when it gets to it. A session
//! never waits for that: past a few, the oldest notice is dropped. What must not get lost, the code and the question for
//! the key, is state and no notice.

use core::cell::Cell;
use core::net::SocketAddr;

use embassy_sync::blocking_mutex::raw::{NoopRawMutex, RawMutex};
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use waft_core::code::AuthCode;
use waft_core::limits::PROGRESS_STEP;
use waft_core::session::desk::Tries;
use waft_core::session::receiver::{Event as Happened, KeyAnswer, Operator};
use waft_core::session::{Offered, SessionError};

use crate::events::{Event, Events};
use crate::tls::error::HandshakeError;

/// Notices that wait for the console.
const NOTICES: usize = 8;

/// Something to be shown.
#[derive(Clone, Copy)]
pub(crate) enum Notice {
    /// Senders reach the board there.
    Listening(SocketAddr),
    /// It has a new code.
    Code,
    /// It is asked for the key, or not any more.
    Question,
    /// What happened in a session.
    Session(Happened),
    /// So many percent are here.
    Percent(u8),
    /// The session ended so.
    Ended(SessionError),
    /// Somebody connected and could not prove to be a trusted sender.
    Stranger(HandshakeError),
}

/// The question for a key.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub(crate) offered: Offered,
    /// Tries left, after a wrong one.
    pub(crate) left: Option<u8>,
}

/// What session and console share. Both run in one task.
pub(crate) struct Panel {
    notices: Channel<NoopRawMutex, Notice, NOTICES>,
    pub(crate) address: Cell<Option<SocketAddr>>,
    pub(crate) code: Cell<Option<[u8; 4]>>,
    pub(crate) question: Cell<Option<Question>>,
    answer: Signal<NoopRawMutex, KeyAnswer>,
}

impl Panel {
    #[inline(never)]
    pub(crate) const fn new() -> Self {
        Self {
            notices: Channel::new(),
            address: Cell::new(None),
            code: Cell::new(None),
            question: Cell::new(None),
            answer: Signal::new(),
        }
    }

    pub(crate) fn tell(&self, notice: Notice) {
        while self.notices.try_send(notice).is_err() {
            let _ = self.notices.try_receive();
        }
    }

    /// The next notice. Cancel-safe.
    pub(crate) async fn next(&self) -> Notice {
        self.notices.receive().await
    }

    pub(crate) fn listens_at(&self, address: SocketAddr) {
        if self.address.replace(Some(address)) != Some(address) {
            self.tell(Notice::Listening(address));
        }
    }

    pub(crate) fn show_code(&self, code: &AuthCode) {
        if self.code.replace(Some(*code.digits())) != Some(*code.digits()) {
            self.tell(Notice::Code);
        }
    }

    /// Answers the question. It is not asked any more from then on.
    pub(crate) fn answer(&self, answer: KeyAnswer) {
        self.question.set(None);
        self.answer.signal(answer);
    }

    /// Asks for a key. Dropped, it is not asked any more.
    async fn ask(&self, question: Question) -> KeyAnswer {
        let asked = Asked(self);
        self.answer.reset();
        self.question.set(Some(question));
        self.tell(Notice::Question);
        let answer = self.answer.wait().await;
        drop(asked);
        answer
    }
}

/// Takes the question back where nobody waits for the answer.
struct Asked<'a>(&'a Panel);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.0.question.take().is_some() {
            self.0.tell(Notice::Question);
        }
    }
}

/// The person at the board, as core's session sees them; and the application, which hears of the same things.
pub(crate) struct AtBoard<'a, M: RawMutex> {
    panel: &'a Panel,
    events: &'a Events<M>,
    tries: &'a mut Tries,
    code_needed: bool,
    total: u64,
    /// Percent, and bytes, that were told last.
    told: (u8, u64),
}

impl<'a, M: RawMutex> AtBoard<'a, M> {
    pub(crate) fn new(panel: &'a Panel, events: &'a Events<M>, tries: &'a mut Tries, code_needed: bool) -> Self {
        Self { panel, events, tries, code_needed, total: 1, told: (0, 0) }
    }

    fn received(&mut self, received: u64) {
        let total = self.total.max(1);
        if received >= self.told.1 + PROGRESS_STEP {
            self.told.1 = received;
            self.events.tell(Event::Receiving { received, total });
        }
        // Whole tens.
        let percent = (received * 10 / total * 10) as u8;
        if percent > self.told.0 {
            self.told.0 = percent;
            self.panel.tell(Notice::Percent(percent));
        }
    }

    fn begins(&mut self, offset: u64, total: u64) {
        self.total = total;
        self.told = ((offset * 10 / total.max(1) * 10) as u8, offset);
        self.events.tell(Event::Receiving { received: offset, total });
    }
}

impl<M: RawMutex> Operator for AtBoard<'_, M> {
    fn code(&mut self, code: &AuthCode) {
        if self.code_needed {
            self.panel.show_code(code);
        }
    }

    fn tries(&mut self, tries: &Tries) {
        *self.tries = *tries;
    }

    async fn key(&mut self, offered: &Offered, left: Option<u8>) -> KeyAnswer {
        self.panel.ask(Question { offered: *offered, left }).await
    }

    fn event(&mut self, event: Happened) {
        match event {
            Happened::Received(received) => return self.received(received),
            Happened::Receiving { offset, total } => self.begins(offset, total),
            Happened::Offered(Offered { sender, shape, .. }) => {
                self.events.tell(Event::Offered { sender, files: shape.files, total: shape.total });
            }
            Happened::Committed(receipt) => self.events.tell(Event::Committed(receipt)),
            _ => {}
        }
        self.panel.tell(Notice::Session(event));
    }
}
