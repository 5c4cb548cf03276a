//! Serves one connection, from the ClientHello until the connection is closed.
//!
//! Errors of the peer end here: the caller continues with the next connection.

use core::marker::PhantomData;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::{NoopRawMutex, RawMutex};
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::certificate::CertificateHash;
use waft_core::limits::{LINGER_MS, REMEMBER_MS, WORKING_CAP_MS};
use waft_core::pairing::{Buffer, DeviceKind, Directions, Incoming, Introduction, Limiter, Paired, PairingError};
use waft_core::sealed::ChunkSize;
use waft_core::session::own_frame::own_frame;
use waft_core::session::peers::{LockoutSnapshot, PeerState};
use waft_core::session::receiver::{Buffers, Environment, KeySource, Policy, Receiver, buffer_len};
use waft_core::session::{Clock, Link};
use waft_core::wire::preface::Purpose;
use zeroize::Zeroize as _;

use crate::accept::ActiveSession;
use crate::board::Board;
use crate::events::{Event, Events};
use crate::identity::{Identity, KeyPolicy, Policy as BoardPolicy};
use crate::operator::{Notice, OperatorState, SessionOperator};
use crate::pairing::{PairingFailure, PlainLink, sender_of};
use crate::settings::{Settings, SettingsError};
use crate::slots::{Folder, Rejection, Review, SlotStore, Slots, Transfer};
use crate::tls::link::TlsLink;
use crate::tls::wire::Wire;
use crate::tls::{self, Authenticated, authenticate};

/// The largest chunk that a board accepts, in bytes of the archive.
pub const CHUNK: ChunkSize = ChunkSize::new(4 << 10).expect("4 KiB is a chunk size");
/// The number of bytes that are buffered before they are written to the flash.
const COLLECTED: usize = 1 << 10;

/// The slots of a board.
pub(crate) type BoardSlots<'a, B> = Slots<'a, <B as Board>::Mutex, <B as Board>::Flash>;
/// The settings of a board.
pub(crate) type BoardSettings<'a, B> = Settings<'a, <B as Board>::Mutex, <B as Board>::Flash>;
/// The slot store of a session on a board. The review borrows for `'s`.
type Store<'s, B, V> =
    SlotStore<'s, <B as Board>::Mutex, <B as Board>::Flash, LimitedReview<'s, V, <B as Board>::Clock>>;

/// The memory of transfers. A session locks it as long as it uses the slots. In between, the operator can borrow it.
pub(crate) type TransferMemory = Mutex<NoopRawMutex, Transfer>;

/// The buffers of a receiver, about 19 KiB.
pub struct Memory {
    pub(crate) tls: tls::Buffers,
    pub(crate) frame: [u8; buffer_len(CHUNK)],
    pub(crate) plain: [u8; CHUNK.bytes() as usize],
    pub(crate) collected: [u8; COLLECTED],
    pub(crate) transfer: TransferMemory,
}

impl Memory {
    /// Creates zeroed buffers.
    pub const fn new() -> Self {
        Self {
            tls: tls::Buffers::new(),
            frame: [0; buffer_len(CHUNK)],
            plain: [0; CHUNK.bytes() as usize],
            collected: [0; COLLECTED],
            transfer: TransferMemory::new(Transfer::new()),
        }
    }
}

impl Memory {
    /// Creates the parts that need more stack than a transfer: call it where the stack is shallow. Otherwise
    /// [`Receiver::run`](crate::Receiver::run) does it.
    pub fn prepare(&mut self) {
        self.transfer.get_mut().prepare();
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The state with which all sessions work, one after the other.
pub(crate) struct Sessions<'a, B: Board, V> {
    pub(crate) identity: &'a Identity,
    pub(crate) rng: &'a mut B::Rng,
    pub(crate) peers: &'a mut PeerState,
    pub(crate) lockouts: Option<&'a mut LockoutSnapshot>,
    pub(crate) slots: &'a BoardSlots<'a, B>,
    pub(crate) collected: &'a mut [u8],
    pub(crate) transfer: &'a TransferMemory,
    pub(crate) review: &'a mut V,
    /// How often a folder was reverted when the runs in `peers` were valid.
    pub(crate) reverted: u32,
    pub(crate) clock: &'a B::Clock,
    pub(crate) state: &'a OperatorState,
    pub(crate) events: Option<&'a Events<B::Mutex>>,
    pub(crate) max_iterations: u32,
    pub(crate) key_seconds: u16,
    pub(crate) settings: Option<&'a BoardSettings<'a, B>>,
    /// The wrong codes of attempts to pair.
    pub(crate) limiter: Limiter,
}

/// The buffers of a session, which hold secrets while it runs.
pub(crate) struct SessionBuffers<'a> {
    pub(crate) tls: &'a mut tls::Buffers,
    pub(crate) frame: &'a mut [u8],
    pub(crate) plain: &'a mut [u8],
}

impl<B: Board, V: Review<B::Mutex, B::Flash>> Sessions<'_, B, V> {
    /// Wipes the keys of runs that have expired. Returns the time at which to call it again.
    #[inline(never)]
    pub(crate) fn expire(&mut self) -> u64 {
        let now = self.clock.now();
        self.peers.expire(now);
        self.peers.next_expiry().unwrap_or(now + REMEMBER_MS)
    }

    /// Does what the operator asked for: forgets the runs of senders that are no longer trusted, opens pairing, and shows
    /// the code if the policy asks for it. Also makes the next code after an attempt to pair.
    #[inline(never)]
    pub(crate) fn prepare(&mut self) {
        self.state.renew_pairing(self.rng, self.clock.now());
        self.state.show_code(self.policy().code.then(|| self.peers.code()));
        let senders = &self.identity.senders;
        self.peers.retain_runs(|sender| senders.contains(sender));
    }

    /// What the board requires of senders at present.
    fn policy(&self) -> BoardPolicy {
        self.settings.and_then(Settings::policy).unwrap_or(self.identity.policy)
    }

    /// Serves one connection, and marks `active` once the peer is authenticated. On boards with [`Board::wipe`], no key
    /// stays in memory once the caller has wiped this future, except those of the runs that [`PeerState`] remembers.
    pub(crate) async fn serve(
        &mut self,
        buffers: &mut SessionBuffers<'_>,
        socket: &mut B::Socket,
        active: &ActiveSession,
    ) {
        // Declared first, and so dropped after the session, which borrows the buffers.
        let buffers = WipeBuffersOnDrop(buffers);
        match active.purpose {
            Purpose::Pairing => own_frame(pin!(self.pair(socket, active))).await,
            _ => own_frame(pin!(self.run_tls(&mut *buffers.0, socket, active))).await,
        }
    }

    /// Serves an attempt to pair.
    async fn pair(&mut self, socket: &mut B::Socket, active: &ActiveSession) {
        let (mut link, mut buffer) = (PlainLink(socket), Buffer::new());
        let accepted = Incoming::accept(&mut link, &mut buffer, self.rng, self.clock, &self.limiter).await;
        let Ok(incoming) = accepted else { return };
        let code = self.state.take_pairing_code(self.clock.now());
        let directions = Directions { sends: false, receives: true };
        let Identity { name, certificate, .. } = self.identity;
        let me = Introduction::new(DeviceKind::Board, directions, name, certificate);
        let me = me.expect("an identity is shorter than an introduction may be");
        let notice = match incoming.pair(code, &me, self.rng, &mut self.limiter).await {
            Ok(paired) => {
                active.set_authenticated();
                match self.trust(&paired).await {
                    Ok(sender) => {
                        self.state.close_pairing();
                        Notice::Paired { sender, is_confirmed: paired.is_confirmed }
                    }
                    Err(failure) => Notice::PairingFailed(failure),
                }
            }
            // No code was shown, so the user has nothing to learn.
            Err(PairingError::Declined) => return,
            Err(error) => Notice::PairingFailed(error.into()),
        };
        self.state.notify(notice);
    }

    /// Adds a device that has paired to the trusted senders. What it could have resumed when it was trusted before is
    /// forgotten.
    async fn trust(&mut self, paired: &Paired<'_>) -> Result<CertificateHash, PairingFailure> {
        let senders = &self.identity.senders;
        let sender = sender_of(paired, senders)?;
        let hash = sender.hash;
        self.peers.retain_runs(|sender| *sender != hash);
        self.slots.abandon(&hash).await.map_err(|_| SettingsError::Flash)?;
        let settings = self.settings.ok_or(SettingsError::NotMounted)?;
        settings.trust(senders, sender).await?;
        Ok(hash)
    }

    /// Serves the connection, from the ClientHello to the end of TLS.
    async fn run_tls(&mut self, buffers: &mut SessionBuffers<'_>, socket: &mut B::Socket, active: &ActiveSession) {
        let SessionBuffers { tls, frame, plain } = buffers;
        let mut wire = Wire::new(socket);
        let (identity, rng) = (self.identity, &mut *self.rng);
        let mut place = None;
        let authenticated = {
            let handshake = pin!(authenticate::<_, B::Suite>(&mut place, &mut wire, tls, identity, rng, self.clock));
            own_frame(handshake).await
        };
        let Authenticated { link, sender } = match authenticated {
            Ok(authenticated) => authenticated,
            Err(error) => return self.state.count_refused(error),
        };
        active.set_authenticated();
        let (buffers, state, senders) = (Buffers { frame, plain }, self.state, &self.identity.senders);
        state.sender.set(Some(sender));
        let removed = async {
            while senders.contains(&sender) {
                state.sender_removed().await;
            }
        };
        // Dropping a session is as safe as a power cut.
        let over = {
            let session = pin!(self.receive(link, buffers, sender));
            select(removed, own_frame(session)).await
        };
        state.sender.set(None);
        if let Either::First(()) = over {
            return;
        }
        // If the peer accepts no more data, the connection ends without `close_notify`.
        let enough = self.clock.sleep_until(self.clock.now() + LINGER_MS);
        own_frame(pin!(select(TlsLink::close(&mut place), enough))).await;
    }

    /// Runs a session of core's receiver, with exclusive access to the store.
    async fn receive<L: Link>(&mut self, link: &mut L, buffers: Buffers<'_>, sender: CertificateHash) {
        let required = self.policy();
        let policy = Policy {
            code_needed: required.code,
            key: match required.key {
                KeyPolicy::Typed => KeySource::Typed,
                KeyPolicy::Sealed => KeySource::Sealed(&self.identity.hpke),
                KeyPolicy::Either => KeySource::Either(&self.identity.hpke),
            },
            max_iterations: self.max_iterations,
            max_chunk: CHUNK,
            key_seconds: self.key_seconds,
            certificate: self.identity.certificate_hash(),
        };
        let review = LimitedReview { review: &mut *self.review, clock: self.clock };
        let mut transfer = self.transfer.lock().await;
        let mut store = SlotStore::open(self.slots, self.collected, &mut transfer, review).await;
        store.allow_older(required.allow_older);
        if core::mem::replace(&mut self.reverted, self.slots.reverted()) != self.reverted {
            self.peers.forget_runs();
        }
        let mut operator = SessionOperator::new(self.state, self.events, self.lockouts.as_deref_mut());
        let mut receiver = Receiver::<SessionEnvironment<'_, '_, B, V, L>> {
            policy: &policy,
            peers: &mut *self.peers,
            store: &mut store,
            operator: &mut operator,
            clock: self.clock,
            rng: &mut *self.rng,
            buffers,
        };
        if let Err(error) = receiver.receive(link, sender).await {
            if let Some(events) = self.events {
                events.send(Event::Failed(error));
            }
            self.state.notify(Notice::Failed(error));
        }
    }
}

/// The types with which core's receiver works on a board: the operator borrows for `'o`, the store for `'s`.
struct SessionEnvironment<'o, 's, B, V, L>(PhantomData<(&'o (), &'s (), B, V, L)>);

impl<'o, 's, B: Board + 's, V: Review<B::Mutex, B::Flash> + 's, L: Link> Environment
    for SessionEnvironment<'o, 's, B, V, L>
where
    B::Mutex: 'o,
{
    type Link = L;
    type Store = Store<'s, B, V>;
    type Operator = SessionOperator<'o, B::Mutex>;
    type Clock = B::Clock;
    type Rng = B::Rng;
    type Cipher = B::Cipher;
}

/// The buffers of a session. They are wiped when the session ends and when it is dropped.
struct WipeBuffersOnDrop<'a, 'b>(&'a mut SessionBuffers<'b>);

impl Drop for WipeBuffersOnDrop<'_, '_> {
    fn drop(&mut self) {
        let SessionBuffers { tls, frame, plain } = &mut *self.0;
        tls.zeroize();
        frame.zeroize();
        plain.zeroize();
    }
}

/// A review that rejects the folder when its time is over.
struct LimitedReview<'s, V, K> {
    review: &'s mut V,
    clock: &'s K,
}

impl<M: RawMutex, F: NorFlash, V: Review<M, F>, K: Clock> Review<M, F> for LimitedReview<'_, V, K> {
    const REVIEWS: bool = V::REVIEWS;
    // A sender waits no longer. It also keeps the sum of times below within its type.
    const LIMIT_MS: u64 = if V::LIMIT_MS < WORKING_CAP_MS { V::LIMIT_MS } else { WORKING_CAP_MS };

    async fn review(&mut self, folder: &Folder<'_, M, F>) -> Result<(), Rejection> {
        let limit = self.clock.sleep_until(self.clock.now() + Self::LIMIT_MS);
        match select(self.review.review(folder), limit).await {
            Either::First(verdict) => verdict,
            Either::Second(()) => Err(Rejection::TIMEOUT),
        }
    }
}

/// The memory of a session, with everything that runs beside it: futures that are created while a session runs take
/// remains of it from the stack. It is wiped when the session ends and when it is dropped.
pub(crate) struct WipeOnDrop<'a, T, B: Board>(pub(crate) Pin<&'a mut Option<T>>, pub(crate) PhantomData<B>);

impl<T, B: Board> Drop for WipeOnDrop<'_, T, B> {
    fn drop(&mut self) {
        B::wipe(self.0.as_mut());
    }
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    use super::*;
    use crate::seed::testing::Flash;

    struct Patient;

    impl<M: RawMutex, F: NorFlash> Review<M, F> for Patient {
        const LIMIT_MS: u64 = u64::MAX;

        async fn review(&mut self, _: &Folder<'_, M, F>) -> Result<(), Rejection> {
            pending().await
        }
    }

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> u64 {
            0
        }

        async fn sleep_until(&self, _: u64) {
            pending().await
        }
    }

    #[test]
    fn a_review_ends_when_its_sender_waits_no_longer() {
        type Limited<'s, V> = LimitedReview<'s, V, Stopped>;
        assert_eq!(<Limited<'_, Patient> as Review<NoopRawMutex, Flash>>::LIMIT_MS, WORKING_CAP_MS);
        let default = <crate::slots::AcceptAll as Review<NoopRawMutex, Flash>>::LIMIT_MS;
        assert_eq!(<Limited<'_, crate::slots::AcceptAll> as Review<NoopRawMutex, Flash>>::LIMIT_MS, default);
    }
}
