//! Wi-Fi: joins the board's network and stays connected, whatever the access point does.
//!
//! ```text
//! settings, or identity --> Station::set_network        Station::status --> operator: console, display
//!                                        \              /
//!                  a task of the board: Station::run
//!                         |                     |
//!               Radio: join, leave       Link: is there a link, an address?
//!               the chip's driver        TCP/IP with DHCP
//! ```
//!
//! A board with Wi-Fi creates one [`Station`], names it in [`Config::wifi`](crate::Config::wifi), and runs
//! [`Station::run`] in a task of its own, with a [`Radio`] that it implements for its chip. `Receiver::run` sets the
//! network: the one that a user set at the board, or else the one of the identity.
//!
//! ```text
//! NoNetwork --network--> Joining --joined--> Addressing --address--> Connected
//!                         ^   |                   |                      |
//!                         |   | not joined        | no address, or lost  | lost
//!                         |   v                   v                      |
//!                         +-- Waiting <-----------+<---------------------+
//! ```
//!
//! Attempts never end. The time between two attempts doubles up to a minute, or to five minutes if the passphrase is
//! rejected, because some access points lock out a station that tries too often. Each wait is shortened at random by up
//! to a half, so that many boards do not return at the same moment. Another network is joined at once.

mod run;

use core::cell::RefCell;
use core::fmt;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::signal::Signal;
use heapless::String;

use crate::identity::Identity;
pub use crate::identity::{SSID_MAX, Wifi, WifiError};

/// What the tasks of a board with Wi-Fi share: the network that is to be joined, and the status. One task waits for its
/// [`news`](Self::news), and one [runs](Self::run) it.
pub struct Station<M: RawMutex> {
    shared: Mutex<M, RefCell<Shared>>,
    /// Wakes the task that joins.
    network_changed: Signal<M, ()>,
    /// Wakes the operator.
    news: Signal<M, ()>,
}

struct Shared {
    /// `None` until it is known which network is to be joined. `Some(None)`: none is.
    network: Option<Option<Wifi>>,
    status: Status,
    /// The news that were signalled last.
    signalled: Option<News>,
}

/// The radio of a board: what its driver does.
pub trait Radio {
    /// Joins a network as a station, once. `Ok` means that frames can be sent. A network without a passphrase is open;
    /// otherwise the security is WPA2 or WPA3, and the passphrase has 8 to 63 characters, or is the key itself in 64
    /// hexadecimal digits. It must not be logged: some drivers log what they send to the chip at the level of debugging.
    ///
    /// The future is dropped, at any await, after [`JOIN_MS`], and when another network is set. The radio may be
    /// joining still: [`leave`](Self::leave) follows.
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError>;

    /// Leaves the network, or gives up joining it. Called once or more between two `join`s: after one that succeeded, also
    /// if the link was lost since, after one that was dropped, and after one that failed, because some chips stay associated
    /// when the passphrase is rejected, and take no other network then. If there is nothing to leave, it must do nothing:
    /// where the driver panics then, the implementation keeps in mind how the last `join` ended.
    ///
    /// The future is dropped, at any await, after [`LEAVE_MS`], and when another network is set.
    async fn leave(&mut self);
}

/// What TCP/IP knows about the link of the radio. It is asked about once a second, because embassy-net keeps the waker of
/// only one task that waits for changes of link and address, and the receiver is that task.
pub trait Link {
    /// Whether the radio is associated with an access point.
    fn is_up(&self) -> bool;

    /// Whether the link is up and there is an address, from DHCP or a fixed one.
    fn has_address(&self) -> bool;
}

/// How long a [`Radio::join`] may take, in milliseconds.
pub const JOIN_MS: u64 = 30_000;
/// How long a [`Radio::leave`] may take, in milliseconds.
pub const LEAVE_MS: u64 = 5_000;

/// Why a network was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JoinError {
    /// No access point of this network was heard.
    NotFound,
    /// The access point rejects the passphrase. Drivers report this for a handshake that was broken by noise as well.
    WrongPassphrase,
    /// The access point rejects the board for another reason, such as another kind of security.
    Rejected,
    /// The radio does not answer, or reports an error of its own.
    Radio,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the network was not found",
            Self::WrongPassphrase => "the network rejects the passphrase",
            Self::Rejected => "the network rejects this board",
            Self::Radio => "the radio fails or does not answer",
        })
    }
}

impl core::error::Error for JoinError {}

/// Why an attempt to connect, or a connection, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The network was not joined.
    Join(JoinError),
    /// Neither network nor radio answered in time.
    TimedOut,
    /// The network was joined, but no DHCP server gave an address in time.
    NoAddress,
    /// The link to the access point was lost.
    LinkLost,
}

/// Why the radio cannot be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RadioFault {
    /// It is missing, or did not start.
    Missing,
    /// The program was linked without the firmware that the radio needs.
    NoFirmware,
}

/// What the station does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Neither the radio nor the receiver has started yet.
    Starting,
    /// Nothing, because the radio cannot be used.
    Unusable(RadioFault),
    /// Nothing, because no network is set.
    NoNetwork,
    /// It joins the network.
    Joining,
    /// It has joined the network, and waits for an address.
    Addressing,
    /// It is connected, and has an address.
    Connected,
    /// It waits for the next attempt.
    Waiting {
        /// The time of that attempt, in milliseconds of the clock.
        until: u64,
    },
}

/// The status of the station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status {
    /// What the station does.
    pub state: State,
    /// Why the last attempt failed. `None` before the first failure, and while it is connected.
    pub failure: Option<Failure>,
    /// The number of failures since it was connected last, or since the network was set.
    pub failures: u32,
}

/// A change of the status that a user wants to know. Attempts that fail for the same reason again are no news.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    Unusable(RadioFault),
    NoNetwork,
    Failed(Failure),
    Connected,
}

impl Status {
    const STARTING: Self = Self::new(State::Starting);

    const fn new(state: State) -> Self {
        Self { state, failure: None, failures: 0 }
    }

    fn news(&self) -> Option<News> {
        match (self.state, self.failure) {
            (State::Unusable(fault), _) => Some(News::Unusable(fault)),
            (State::NoNetwork, _) => Some(News::NoNetwork),
            (State::Connected, _) => Some(News::Connected),
            (State::Waiting { .. }, Some(failure)) => Some(News::Failed(failure)),
            _ => None,
        }
    }
}

impl<M: RawMutex> Station<M> {
    /// A station that does not know its network yet.
    pub const fn new() -> Self {
        let shared = Shared { network: None, status: Status::STARTING, signalled: None };
        Self { shared: Mutex::new(RefCell::new(shared)), network_changed: Signal::new(), news: Signal::new() }
    }

    /// Sets the network that [`run`](Self::run) joins. It leaves another one at once. The same one is joined at once as
    /// well, without the wait between two attempts, unless it is connected or being joined. Without a network (`None`), it
    /// leaves and waits.
    pub fn set_network(&self, network: Option<Wifi>) {
        let begins_anew = self.with(|shared| {
            let is_waiting = network.is_some() && !matches!(shared.status.state, State::Connected | State::Joining);
            let network = Some(network);
            let begins_anew = is_waiting || shared.network != network;
            if begins_anew {
                (shared.network, shared.signalled) = (network, None);
            }
            begins_anew
        });
        if begins_anew {
            self.network_changed.signal(());
        }
    }

    /// Sets a network, or else the one of the identity.
    pub(crate) fn set_network_or(&self, network: Option<Wifi>, identity: Option<&Identity>) {
        let provisioned = || identity?.network.wifi.as_ref().map(Wifi::copy);
        self.set_network(network.or_else(provisioned));
    }

    /// The name of the network that is to be joined.
    pub fn ssid(&self) -> Option<String<SSID_MAX>> {
        self.with(|shared| shared.network.as_ref()?.as_ref().map(|wifi| wifi.ssid.clone()))
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.with(|shared| shared.status)
    }

    /// Reports that the radio cannot be used. The board does not [run](Self::run) the station then.
    pub fn report_fault(&self, fault: RadioFault) {
        self.set_status(Status::new(State::Unusable(fault)));
    }

    /// Completes when a user wants to know the [`status`](Self::status): the station is connected, an attempt failed for
    /// another reason than the one before, no network is set, or the radio cannot be used. Cancel-safe. One task may
    /// wait.
    pub async fn news(&self) {
        self.news.wait().await;
    }

    fn set_status(&self, status: Status) {
        let is_news = self.with(|shared| {
            shared.status = status;
            let news = status.news();
            let is_news = news.is_some() && news != shared.signalled;
            if is_news {
                shared.signalled = news;
            }
            is_news
        });
        #[cfg(feature = "defmt")]
        defmt::info!("Wi-Fi: {}", status);
        if is_news {
            self.news.signal(());
        }
    }

    fn with<T>(&self, access: impl FnOnce(&mut Shared) -> T) -> T {
        self.shared.lock(|shared| access(&mut shared.borrow_mut()))
    }
}

impl<M: RawMutex> Default for Station<M> {
    fn default() -> Self {
        Self::new()
    }
}
