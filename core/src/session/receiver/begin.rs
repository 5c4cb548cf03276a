//! What the store does in a receiver's session before the key and after it was proven: check, begin, and `Accept`.
//!
//! PROTOCOL.md, section 6, steps 4, 6 and 7.

use core::cell::Cell;
use core::mem;
use core::pin::pin;

use crate::digest::Digest;
use crate::limits::{LEASE_MS, WORKING_CAP_MS};
use crate::sealed::keys::Schedule;
use crate::session::channel::decode;
use crate::session::link::Clock;
use crate::session::outcome::SessionError;
use crate::session::receiver::environment::Environment;
use crate::session::receiver::offer::CheckedOffer;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::peers::RunId;
use crate::session::receiver::state::{Session, check_field, not_expected};
use crate::session::receiver::store::{Held, Offered, Store, StoreError};
use crate::session::receiver::wait::{StoreOutput, wait_for};
use crate::wire::message::{FromReceiver, FromSender, Refusal, Stage};

/// How often the receiver asks its store again while the storage is in use, in milliseconds.
const LEASE_STEP_MS: u64 = 500;

/// The answer to a request other than [`Request::Begin`]. Its value is never used.
const NOTHING: Held = Held { offset: 0, digest: Digest([0; 32]) };

/// Where the chunks begin.
#[derive(Clone, Copy)]
pub(super) struct Resumed {
    pub(super) offset: u64,
    /// Whether the sender leaves out files that the store's base has.
    pub(super) base: bool,
}

/// A request to the store before the first chunk.
#[derive(Clone, Copy)]
enum Request<'a> {
    /// [`Store::check`].
    Check(&'a Offered),
    /// [`Store::begin`].
    Begin(&'a CheckedOffer, &'a Schedule),
    /// [`Store::restart`].
    Restart,
}

impl Request<'_> {
    /// Whether the session reads the sender's messages meanwhile. During a restart it must not, since the sender is
    /// already sending chunks.
    fn reads_messages(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

impl<E: Environment> Session<'_, '_, E> {
    /// Lets the store check the offer before the user is asked for the key. If this run has committed the folder
    /// already, only its receipt has to be sent, and the state of the store does not matter.
    pub(super) async fn check(&mut self, run: &RunId, offered: &Offered) -> Result<(), SessionError> {
        if self.receiver.peers.runs.receipt(run).is_some() {
            return Ok(());
        }
        self.request(Request::Check(offered)).await.map(drop)
    }

    /// Lets the store begin the transfer, and returns the prefix of the archive that the store already holds.
    pub(super) async fn begin(&mut self, checked: &CheckedOffer, schedule: &Schedule) -> Result<Held, SessionError> {
        self.receiver.operator.event(Event::Hashing);
        self.request(Request::Begin(checked, schedule)).await
    }

    /// Sends a request to the store. While a reader or another transfer is using the storage, the request is repeated
    /// for up to [`LEASE_MS`].
    async fn request(&mut self, request: Request<'_>) -> Result<Held, SessionError> {
        let (clock, until) = (self.receiver.clock, self.channel.after(LEASE_MS));
        let manifest = Cell::new(None);
        let mut is_waiting = false;
        loop {
            let mut held = Err(StoreError::Io);
            let first = {
                let receiver = &mut *self.receiver;
                let work = async {
                    let (CheckedOffer { manifest_tag, offered, .. }, schedule) = match request {
                        Request::Check(offered) => return receiver.store.check(offered).await.map(|()| NOTHING),
                        Request::Restart => return receiver.store.restart().await.map(|()| NOTHING),
                        Request::Begin(checked, schedule) => (checked, schedule),
                    };
                    let matches = |digest: &Digest| {
                        let matches = schedule.verify_manifest_tag(digest, manifest_tag);
                        if matches {
                            manifest.set(Some(*digest));
                        }
                        matches
                    };
                    receiver.store.begin(offered, &matches).await
                };
                let work = pin!(StoreOutput { work: pin!(work), output: &mut held });
                let buffer = request.reads_messages().then_some(&mut *receiver.buffers.frame);
                let interrupted = pin!(receiver.operator.interrupted());
                wait_for(&mut self.channel, Stage::Hashing, buffer, interrupted, work).await?
            };
            self.expect_done(first)?;
            let result = held.map_err(SessionError::from);
            if result != Err(SessionError::Refused(Refusal::InUse)) || clock.now() >= until {
                self.manifest = manifest.get();
                return result;
            }
            if !mem::replace(&mut is_waiting, true) {
                self.receiver.operator.event(Event::Waiting);
            }
            self.channel.send_working(&FromReceiver::Working(Stage::Waiting)).await?;
            let again = self.channel.after(LEASE_STEP_MS);
            let first = {
                let receiver = &mut *self.receiver;
                let buffer = request.reads_messages().then_some(&mut *receiver.buffers.frame);
                let (pause, interrupted) = (pin!(clock.sleep_until(again)), pin!(receiver.operator.interrupted()));
                wait_for(&mut self.channel, Stage::Waiting, buffer, interrupted, pause).await?
            };
            self.expect_done(first)?;
        }
    }

    /// Sends `Accept`, and returns where the sender resumes. `total` is the length of the archive.
    pub(super) async fn accept(
        &mut self,
        schedule: &Schedule,
        held: Held,
        total: u64,
    ) -> Result<Resumed, SessionError> {
        let Held { offset, digest } = held;
        let has_base = self.receiver.store.has_base();
        let mac = schedule.accept_mac(offset, &digest, has_base);
        self.channel.send(&FromReceiver::Accept { offset, digest, base: has_base, mac }).await?;
        let until = self.channel.after(WORKING_CAP_MS);
        let (from, base) = match decode(self.receive_payload(until, SessionError::TimedOut).await?)? {
            FromSender::Resume { offset, base } => (offset, base),
            other => return not_expected(other),
        };
        check_field((from == offset || from == 0) && (!base || has_base && from < total))?;
        if from < offset {
            self.request(Request::Restart).await?;
        }
        Ok(Resumed { offset: from, base })
    }
}
