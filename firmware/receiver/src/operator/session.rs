//! The operator of a session in core: passes the session's questions and events on to the board's operator and to the
//! application.

use embassy_sync::blocking_mutex::raw::RawMutex;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits::PROGRESS_STEP;
use waft_core::session::Offered;
use waft_core::session::receiver::peers::LockoutSnapshot;
use waft_core::session::receiver::{Event as SessionEvent, KeyAnswer, Operator};

use super::{KeyRequest, Notice, OperatorState};
use crate::events::{Event, Events};

/// The `Operator` of a session in core. Questions and notices go to the board's operator through [`OperatorState`], and
/// events to the application through [`Events`].
pub(crate) struct SessionOperator<'a, M: RawMutex> {
    state: &'a OperatorState,
    events: Option<&'a Events<M>>,
    lockouts: Option<&'a mut LockoutSnapshot>,
    total: u64,
    /// The percentage and the number of bytes that were reported last.
    reported: (u8, u64),
}

impl<'a, M: RawMutex> SessionOperator<'a, M> {
    pub(crate) fn new(
        state: &'a OperatorState,
        events: Option<&'a Events<M>>,
        lockouts: Option<&'a mut LockoutSnapshot>,
    ) -> Self {
        Self { state, events, lockouts, total: 1, reported: (0, 0) }
    }

    fn send(&self, event: Event) {
        if let Some(events) = self.events {
            events.send(event);
        }
    }

    fn report_progress(&mut self, received: u64) {
        let total = self.total.max(1);
        if received >= self.reported.1 + PROGRESS_STEP {
            self.reported.1 = received;
            self.send(Event::Receiving { received, total });
        }
        // Reported in steps of ten percent.
        let percent = (received * 10 / total * 10) as u8;
        if percent > self.reported.0 {
            self.reported.0 = percent;
            self.state.notify(Notice::Progress(percent));
        }
    }

    fn begin(&mut self, offset: u64, total: u64) {
        self.total = total;
        self.reported = ((offset * 10 / total.max(1) * 10) as u8, offset);
        self.send(Event::Receiving { received: offset, total });
    }
}

impl<M: RawMutex> Drop for SessionOperator<'_, M> {
    fn drop(&mut self) {
        self.state.end_key_check();
    }
}

impl<M: RawMutex> Operator for SessionOperator<'_, M> {
    fn code(&mut self, code: &AuthCode) {
        self.state.show_code(Some(code));
    }

    fn keep_lockouts(&mut self, lockouts: &LockoutSnapshot) {
        if let Some(kept) = &mut self.lockouts {
            **kept = *lockouts;
        }
    }

    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        self.state.request_key(KeyRequest { offered: *offered, tries_left: left }, key).await
    }

    fn event(&mut self, event: SessionEvent) {
        self.state.end_key_check();
        match event {
            SessionEvent::Received(received) => return self.report_progress(received),
            SessionEvent::Receiving { offset, total } => self.begin(offset, total),
            SessionEvent::Offered(Offered { sender, shape, .. }) => {
                self.send(Event::Offered { sender, files: shape.files, total: shape.total });
            }
            SessionEvent::Committed(receipt) => self.send(Event::Committed(receipt)),
            _ => {}
        }
        self.state.notify(Notice::Session(event));
    }
}
