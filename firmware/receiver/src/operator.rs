//! The user interface of a board: shows the receiver's state to a user, and takes the user's answers: a serial console, a display with buttons, a page of
//! a web server.
//!
//! ```text
//! session --> state: code, request for a key; queue of notices --> Control --> Operator
//!         <-- typed key, "no"                                  <--         <--
//! ```
//!
//! The receiver runs one [`Operator`] beside its sessions, in the same task. The operator waits for notices, shows them,
//! and answers through its [`Control`]. [`console`](crate::console) is an operator on a serial line. An operator with a
//! display and buttons:
//!
//! ```
//! use embassy_futures::select::{Either, select};
//! use waft_receiver::board::Board;
//! use waft_receiver::operator::{Control, Notice, Operator};
//! # struct Display;
//! # impl Display {
//! #     fn show(&mut self, _: &str) {}
//! #     fn show_code(&mut self, _: Option<[u8; 4]>) {}
//! # }
//! # struct Button;
//! # impl Button { async fn pressed(&mut self) {} }
//!
//! struct Panel {
//!     display: Display,
//!     cancel: Button,
//! }
//!
//! impl<B: Board> Operator<B> for Panel {
//!     async fn run(&mut self, control: &Control<'_, B>) -> ! {
//!         loop {
//!             match select(control.next(), self.cancel.pressed()).await {
//!                 Either::First(Notice::Code) => self.display.show_code(control.code()),
//!                 Either::First(Notice::Failed(_)) => self.display.show("no new folder"),
//!                 Either::First(_) => {}
//!                 Either::Second(()) => {
//!                     control.decline();
//!                 }
//!             }
//!         }
//!     }
//! }
//! ```

mod session;
mod state;

use core::cell::Cell;
use core::future::{Future, pending};
use core::ops::{Deref, DerefMut};

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::MutexGuard;
use waft_core::certificate::CertificateHash;
use waft_core::limits::LINGER_MS;
use waft_core::session::Clock;
use waft_core::session::receiver::KeyAnswer;

pub use waft_core::code::KeyError;
pub use waft_core::pairing::{PairingCode, PairingError};
pub use waft_core::session::receiver::Event;
pub use waft_core::session::{Offered, SessionError};

use crate::board::{Board, Socket, StartReason, StartupError};
use crate::entropy::Sources;
use crate::identity::{Identity, Policy, TrustedSender};
use crate::pairing::PairingFailure;
use crate::session::{BoardSettings, BoardSlots, TransferMemory};
use crate::settings::{Settings, SettingsError};
use crate::slots::{Pause, SlotChange, Transfer};
use crate::tls::error::HandshakeError;
#[cfg(feature = "wifi")]
use crate::wifi::{Station, Wifi};

pub(crate) use crate::settings::Change;
pub(crate) use session::SessionOperator;
pub(crate) use state::OperatorState;

/// A user interface: shows the receiver's state to a user, and takes the user's answers.
pub trait Operator<B: Board> {
    /// Runs beside the sessions of the receiver, in the same task. It is dropped with [`Receiver::run`].
    ///
    /// [`Receiver::run`]: crate::Receiver::run
    async fn run(&mut self, control: &Control<'_, B>) -> !;
}

/// An operator that shows nothing and answers nothing. Use it where senders need neither code nor typed key.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOperator;

impl<B: Board> Operator<B> for NoOperator {
    async fn run(&mut self, _: &Control<'_, B>) -> ! {
        pending().await
    }
}

/// A message for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// [`Control::address`] changed.
    Address,
    /// The status of [`Control::wifi`] changed.
    #[cfg(feature = "wifi")]
    Wifi,
    /// [`Control::code`] changed.
    Code,
    /// [`Control::with_pairing_code`] changed: there is another code, or pairing ended.
    Pairing,
    /// A device has paired, and is a trusted sender now.
    Paired {
        /// Its certificate.
        sender: CertificateHash,
        /// Whether it is known to have paired as well. Otherwise the connection broke at the end.
        is_confirmed: bool,
    },
    /// An attempt to pair failed. The next one needs another code.
    PairingFailed(PairingFailure),
    /// [`Control::key_request`] changed: a key is requested, or is no longer requested.
    KeyRequest,
    /// An event of a session.
    Session(Event),
    /// This percentage of the archive was received, in steps of ten.
    Progress(u8),
    /// A trusted sender's session ended without a new folder.
    Failed(SessionError),
    /// Peers that could not prove that they are trusted senders were refused.
    Refused {
        /// The number of peers since the last such notice.
        peers: u32,
        /// Why the last one was refused.
        last: HandshakeError,
    },
    /// This number of notices was dropped, because the operator did not take them in time. The state that they announced,
    /// such as the code, is not lost.
    Dropped(u32),
}

/// A request for the key that the sender shows to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// The offered folder that the key belongs to.
    pub offered: Offered,
    /// The number of attempts left, if the last key was wrong.
    pub tries_left: Option<u8>,
}

/// Why a typed key is not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// No key is requested now.
    NotRequested,
    /// The text is not a key. It does not count as an attempt.
    NotAKey(KeyError),
}

/// Why a change of the store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// A session uses the store.
    Busy,
    /// The flash failed.
    Flash,
}

/// Why pairing cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairError {
    /// This firmware does not store the list of trusted senders, or the board cannot receive.
    NotStored,
    /// A sender's session is running.
    Busy,
    /// As many senders are trusted as can be: [`Control::untrust`] one.
    Full,
    /// The settings failed.
    Settings(SettingsError),
}

/// Why a sender was not removed from the list of trusted senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntrustError {
    /// No sender of this name is trusted.
    NotFound,
    /// This firmware does not store the list, or the board cannot receive.
    NotStored,
    /// The settings failed. The sender is not trusted until the next start. Try again.
    Settings(SettingsError),
}

/// The memory of transfers while none runs: see [`Control::borrow_memory`].
pub struct IdleMemory<'a, B: Board> {
    memory: MutexGuard<'a, NoopRawMutex, Transfer>,
    _pause: Pause<'a, B::Mutex, B::Flash>,
}

impl<B: Board> Deref for IdleMemory<'_, B> {
    type Target = Transfer;

    fn deref(&self) -> &Transfer {
        &self.memory
    }
}

impl<B: Board> DerefMut for IdleMemory<'_, B> {
    fn deref_mut(&mut self) -> &mut Transfer {
        &mut self.memory
    }
}

/// The address at which senders reach a board.
pub(crate) type Address<B> = <<B as Board>::Socket as Socket>::Address;

/// What an operator sees and controls.
pub struct Control<'a, B: Board> {
    pub(crate) state: &'a OperatorState,
    pub(crate) address: &'a Cell<Option<Address<B>>>,
    pub(crate) slots: &'a BoardSlots<'a, B>,
    pub(crate) transfer: &'a TransferMemory,
    pub(crate) clock: &'a B::Clock,
    pub(crate) identity: Result<&'a Identity, StartupError>,
    pub(crate) sources: Option<Sources>,
    pub(crate) start: StartReason,
    pub(crate) settings: Option<&'a BoardSettings<'a, B>>,
    pub(crate) restart: Option<&'a dyn Fn()>,
    #[cfg(feature = "wifi")]
    pub(crate) wifi: Option<&'a Station<B::Mutex>>,
}

impl<'a, B: Board> Control<'a, B> {
    /// Waits for the next notice. Cancel-safe. The receiver never waits for the operator: if too many notices wait, the
    /// oldest is dropped, and [`Notice::Dropped`] reports it.
    pub async fn next(&self) -> Notice {
        #[cfg(feature = "wifi")]
        if let Some(wifi) = self.wifi {
            return match select(self.state.next(self.clock), wifi.news()).await {
                Either::First(notice) => notice,
                Either::Second(()) => Notice::Wifi,
            };
        }
        self.state.next(self.clock).await
    }

    /// The code that a sender has to give, in ASCII digits. `None` if senders need none.
    pub fn code(&self) -> Option<[u8; 4]> {
        self.state.code.get()
    }

    /// The request for a key that waits for an answer.
    pub fn key_request(&self) -> Option<KeyRequest> {
        self.state.request.get()
    }

    /// Answers the request with the key that the user typed, in any case, with or without dashes and spaces.
    pub fn answer_key(&self, typed: &str) -> Result<(), AnswerError> {
        match self.state.request.get() {
            None => Err(AnswerError::NotRequested),
            Some(_) => self.state.answer_key(typed).map_err(AnswerError::NotAKey),
        }
    }

    /// Declines the folder for which a key is requested. Returns `false` if there is no such request.
    pub fn decline(&self) -> bool {
        let is_requested = self.state.request.get().is_some();
        if is_requested {
            self.state.answer(KeyAnswer::Declined);
        }
        is_requested
    }

    /// Completes when no typed key is being checked. Until then the next key would have no request to answer.
    /// Cancel-safe.
    pub async fn key_checked(&self) {
        self.state.key_checked().await;
    }

    /// Whether a typed key is being checked.
    pub fn is_checking_key(&self) -> bool {
        self.state.is_checking_key()
    }

    /// The address at which senders reach the board, if it has one.
    pub fn address(&self) -> Option<Address<B>> {
        self.address.get()
    }

    /// The identity of the board, or why it cannot receive.
    pub fn identity(&self) -> Result<&'a Identity, StartupError> {
        self.identity
    }

    /// The trusted sender with this certificate.
    pub fn sender(&self, certificate: &CertificateHash) -> Option<TrustedSender> {
        self.identity.ok()?.senders.find(certificate)
    }

    /// Why nobody is trusted, if the list of trusted senders could not be read.
    pub fn settings_error(&self) -> Option<SettingsError> {
        self.settings?.error()
    }

    /// The sources of the random numbers, if the application stated them.
    pub fn sources(&self) -> Option<Sources> {
        self.sources
    }

    /// Why the board started.
    pub fn start(&self) -> StartReason {
        self.start
    }

    /// The slots with the received folder.
    pub fn slots(&self) -> &'a BoardSlots<'a, B> {
        self.slots
    }

    /// The clock.
    pub fn clock(&self) -> &'a B::Clock {
        self.clock
    }

    /// Forgets the committed folder, and any folder that the [`JournalError`](crate::slots::JournalError) may hide.
    pub async fn forget(&self) -> Result<(), ChangeError> {
        self.change_slots(SlotChange::Forget).await
    }

    /// Forgets when the newest folder of each sender was created, so that each sender may send an older one.
    pub async fn reset_guard(&self) -> Result<(), ChangeError> {
        self.change_slots(SlotChange::ResetGuard).await
    }

    /// Opens pairing for two minutes: [`Notice::Pairing`] announces each code.
    pub fn pair(&self) -> Result<(), PairError> {
        let (Ok(identity), Some(settings)) = (self.identity, self.settings) else { return Err(PairError::NotStored) };
        settings.check_changeable().map_err(PairError::Settings)?;
        if identity.senders.is_full() {
            return Err(PairError::Full);
        }
        if self.state.sender.get().is_some() {
            return Err(PairError::Busy);
        }
        self.state.request_pairing();
        Ok(())
    }

    /// Ends pairing. Returns whether it was open. An attempt that has begun goes on.
    pub fn end_pairing(&self) -> bool {
        self.state.close_pairing()
    }

    /// Whether a factory reset has begun.
    #[cfg(feature = "announce")]
    pub(crate) fn is_reset(&self) -> bool {
        self.state.is_reset.get()
    }

    /// Whether pairing is open.
    pub fn is_pairing_open(&self) -> bool {
        self.state.is_pairing_open(self.clock.now())
    }

    /// Calls `show` with the code that the user of the other device types. `None` if pairing is not open, or an attempt is
    /// running.
    pub fn with_pairing_code<T>(&self, show: impl FnOnce(&PairingCode) -> T) -> Option<T> {
        self.state.with_pairing_code(show)
    }

    /// Removes the sender with this name from the list of trusted senders. This ends its session, the runs that are
    /// remembered of it, and the transfer that it could resume. Once this returns `Ok`, the list in the flash does not
    /// contain the sender, whatever power cut follows.
    pub async fn untrust(&self, name: &str) -> Result<(), UntrustError> {
        let (Ok(identity), Some(settings)) = (self.identity, self.settings) else {
            return Err(UntrustError::NotStored);
        };
        let Some(sender) = identity.senders.find_name(name) else {
            // An earlier call may have removed the sender, and left a copy of the list behind.
            settings.settle().await.map_err(UntrustError::Settings)?;
            return Err(UntrustError::NotFound);
        };
        let stored = settings.untrust(&identity.senders, &sender).await;
        self.state.end_session(&sender).await;
        // Behind the session of another sender this does not wait. Pairing forgets the transfer at the latest.
        let abandoned = match self.change_slots(SlotChange::Abandon(&sender)).await {
            Err(ChangeError::Flash) => Err(SettingsError::Flash),
            Ok(()) | Err(ChangeError::Busy) => Ok(()),
        };
        stored.and(abandoned).map_err(UntrustError::Settings)
    }

    /// What the board requires of senders at present. `None` if it cannot receive.
    pub fn policy(&self) -> Option<Policy> {
        let identity = self.identity.ok()?;
        Some(self.settings.and_then(Settings::policy).unwrap_or(identity.policy))
    }

    /// Changes what the board requires of senders, from the next session on. If this fails, the policy stays; but try
    /// again, because a later start may have the new one otherwise. Fails with [`SettingsError::NotMounted`] if this
    /// firmware stores no settings, or the board cannot receive.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), SettingsError> {
        self.change_settings(Change::Policy(policy)).await
    }

    /// Begins a factory reset: wipes the list of trusted senders, the policy, the Wi-Fi network that was set at the board,
    /// and the identity that the board made itself.
    /// From the call on nobody is trusted. This ends the session and pairing. Once it returns `Ok`,
    /// [`restart`](Self::restart) the board: the start erases the folders before it shows anything, and if power is cut,
    /// the next one does. An identity that was provisioned stays, and with it the senders and the policy that it contains.
    /// Fails with [`SettingsError::NotMounted`] if this firmware stores no settings.
    pub async fn factory_reset(&self) -> Result<(), SettingsError> {
        self.change_settings(Change::Reset).await
    }

    /// Both changes, as one future: each costs a board flash.
    pub(crate) async fn change_settings(&self, change: Change) -> Result<(), SettingsError> {
        let settings = self.settings.ok_or(SettingsError::NotMounted)?;
        if let Change::Reset = change {
            self.state.close_pairing();
        }
        #[cfg(feature = "announce")]
        let is_reset = matches!(change, Change::Reset);
        let changed = settings.change(change, self.identity.ok().map(|identity| &identity.senders)).await;
        #[cfg(feature = "announce")]
        self.state.is_reset.set(self.state.is_reset.get() || is_reset && changed.is_ok());
        // After a reset, the sender of the session is not trusted any more.
        self.state.sender_removed.signal(());
        self.state.wake.signal(());
        changed
    }

    /// Resets the board. Returns if the application gave no way to do so: see [`Config::restart`](crate::Config::restart).
    pub fn restart(&self) {
        if let Some(restart) = self.restart {
            restart();
        }
    }

    /// Whether the board made its identity itself. Otherwise it was provisioned.
    pub fn has_own_identity(&self) -> bool {
        self.settings.is_some_and(Settings::has_own_identity)
    }

    /// The station of a board with Wi-Fi. `None` if the board has none.
    #[cfg(feature = "wifi")]
    pub fn wifi(&self) -> Option<&'a Station<B::Mutex>> {
        self.wifi
    }

    /// Why no setting can be changed, except by a factory reset: [`SettingsError::NotMounted`] if this firmware stores
    /// none, or why they could not be read.
    #[cfg(feature = "wifi")]
    pub(crate) fn check_settings(&self) -> Result<(), SettingsError> {
        self.settings.ok_or(SettingsError::NotMounted)?.check_changeable()
    }

    /// Stores a Wi-Fi network, and joins it at once. With `None`, the board returns to the network of its identity. If
    /// this fails, the network stays; but try again, because a later start may have the new one otherwise. Fails with
    /// [`SettingsError::NotMounted`] if this firmware stores no settings, or the board has no identity or no Wi-Fi, and with
    /// [`SettingsError::Network`] if the network is invalid.
    #[cfg(feature = "wifi")]
    pub async fn set_wifi(&self, network: Option<Wifi>) -> Result<(), SettingsError> {
        let (Some(settings), Ok(identity), Some(wifi)) = (self.settings, self.identity, self.wifi) else {
            return Err(SettingsError::NotMounted);
        };
        let joined = network.as_ref().map(Wifi::copy);
        settings.set_network(&identity.senders, network).await?;
        wifi.set_network_or(joined, Some(identity));
        Ok(())
    }

    /// Whether this start has completed a factory reset.
    pub fn was_reset(&self) -> bool {
        self.settings.is_some_and(Settings::was_reset)
    }

    /// Borrows the memory of transfers, to verify a folder in it. Until it is dropped, senders hear that the receiver is
    /// busy, and try again for a while. `None` if a session uses it.
    pub async fn borrow_memory(&self) -> Option<IdleMemory<'a, B>> {
        let pause = self.slots.pause();
        let memory = self.unless_busy(self.transfer.lock()).await?;
        Some(IdleMemory { memory, _pause: pause })
    }

    /// Changes the slots, unless a session uses them.
    pub(crate) async fn change_slots(&self, change: SlotChange<'_>) -> Result<(), ChangeError> {
        self.unless_busy(self.slots.idle()).await.ok_or(ChangeError::Busy)?;
        self.slots.change(change).await.map_err(|_| ChangeError::Flash)
    }

    /// Waits for what a session uses, or returns `None`. A session that is over still uses it until its sender has
    /// disconnected.
    async fn unless_busy<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let until = self.clock.now() + LINGER_MS + 1_000;
        match select(wait, self.clock.sleep_until(until)).await {
            Either::First(done) => Some(done),
            Either::Second(()) => None,
        }
    }
}
