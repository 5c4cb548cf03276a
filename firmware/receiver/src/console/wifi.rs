//! Wi-Fi on the console: the commands `wifi` and `forget-wifi`, and the texts about the connection.
//!
//! `wifi NAME` asks for the passphrase. The next line is the passphrase, whatever it says; Ctrl-C ends the question. The
//! passphrase is not shown, and is in no text.

use core::fmt::{self, Display as _};

use embedded_io_async::{Read, Write};
use heapless::String;
use waft_core::session::Clock;

use super::Dialogue;
use super::terminal::{CTRL_C, Line};
use super::text::{self, Untrusted};
use crate::board::Board;
use crate::identity::check_ssid;
use crate::operator::Control;
use crate::wifi::{Failure, JoinError, RadioFault, SSID_MAX, State, Status, Wifi, WifiError};

/// The name of a network.
pub(super) type Ssid = String<SSID_MAX>;

const HELP: [&str; 3] = [
    "wifi         the Wi-Fi network, and whether this board is connected to it",
    "wifi NAME    joins another network: asks for its passphrase, and keeps both",
    "forget-wifi  forgets that network: the one that was provisioned counts again",
];

const NO_WIFI: &str = "This board has no Wi-Fi.";

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    pub(super) async fn help_with_wifi(&mut self) {
        if self.control.wifi().is_some() {
            for line in HELP {
                self.terminal.print(line).await;
            }
        }
    }

    /// Prints the network and the status.
    pub(super) async fn print_wifi(&mut self) {
        let Some(wifi) = self.control.wifi() else { return self.terminal.print(NO_WIFI).await };
        let (ssid, now) = (wifi.ssid().unwrap_or_default(), self.control.clock().now());
        self.terminal.print(StatusText { status: wifi.status(), ssid: &ssid, now }).await;
    }

    /// Asks for the passphrase of a network, unless it could not be stored.
    pub(super) async fn ask_passphrase(&mut self, name: &str) {
        if self.control.wifi().is_none() {
            return self.terminal.print(NO_WIFI).await;
        }
        if let Err(error) = self.control.identity() {
            return self.explain(error).await;
        }
        if !self.control.stores_settings() {
            return self.terminal.print(text::NOT_STORED).await;
        }
        let Some(ssid) = check_ssid(name).ok().and_then(|name| Ssid::try_from(name).ok()) else {
            return self.terminal.print(network_error(WifiError::Ssid)).await;
        };
        let shown = Untrusted(ssid.as_bytes());
        self.terminal
            .print(format_args!("Type the passphrase of {shown}, which is not shown. Ctrl-C: the network stays."))
            .await;
        self.terminal.set_secret(true);
        self.joined = Some(ssid);
    }

    /// Stores the network with the passphrase that the user typed, and joins it.
    pub(super) async fn take_passphrase(&mut self, ssid: &Ssid, line: &Line) {
        self.terminal.set_secret(false);
        match Wifi::new(ssid, line.bytes()) {
            Ok(network) => self.set_wifi(Some(network), "Stored. This board joins that network now.").await,
            Err(error) => self.terminal.print(network_error(error)).await,
        }
    }

    /// Ends the question for a passphrase if the user pressed Ctrl-C.
    pub(super) async fn cancel_passphrase(&mut self, byte: u8) {
        if byte == CTRL_C && self.joined.take().is_some() {
            self.terminal.set_secret(false);
            self.terminal.print("The network stays as it is.").await;
        }
    }

    pub(super) async fn forget_wifi(&mut self) {
        if self.control.wifi().is_none() {
            return self.terminal.print(NO_WIFI).await;
        }
        self.set_wifi(None, "Forgotten. If a network was provisioned, this board joins that one.").await;
    }

    async fn set_wifi(&mut self, network: Option<Wifi>, success: &'static str) {
        let text = match self.control.set_wifi(network).await {
            Ok(()) => success,
            Err(error) => text::change_error(error),
        };
        self.terminal.print(text).await;
    }
}

/// Says what changed.
pub(super) fn write_news<B: Board>(f: &mut fmt::Formatter<'_>, control: &Control<'_, B>) -> fmt::Result {
    let Some(wifi) = control.wifi() else { return Ok(()) };
    let (ssid, status) = (wifi.ssid().unwrap_or_default(), wifi.status());
    let shown = Untrusted(ssid.as_bytes());
    match (status.state, status.failure) {
        // The board may be joining again already.
        (State::Waiting { .. } | State::Joining | State::Addressing, Some(failure)) => {
            write!(f, "Wi-Fi: not connected to {shown}: {}. ", failure_text(failure))?;
            match failure {
                Failure::Join(JoinError::WrongPassphrase) => {
                    write!(f, "It is tried again; `wifi {shown}` sets another one.")
                }
                _ => f.write_str("This board keeps trying."),
            }
        }
        _ => StatusText { status, ssid: &ssid, now: control.clock().now() }.fmt(f),
    }
}

/// The status in a line.
struct StatusText<'s> {
    status: Status,
    ssid: &'s Ssid,
    /// The time, in milliseconds of the clock.
    now: u64,
}

impl fmt::Display for StatusText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { state, failure, failures } = self.status;
        let ssid = Untrusted(self.ssid.as_bytes());
        f.write_str("Wi-Fi: ")?;
        match state {
            State::Starting => return f.write_str("the radio starts"),
            State::Unusable(RadioFault::NoFirmware) => {
                return f.write_str("off: this program was linked without the firmware of the radio");
            }
            State::Unusable(_) => return f.write_str("off: the radio is missing, or did not start"),
            State::NoNetwork => return f.write_str("no network is set; `wifi NAME` joins one"),
            State::Connected => return write!(f, "connected to {ssid}"),
            State::Joining => write!(f, "joining {ssid}")?,
            State::Addressing => write!(f, "joined {ssid}, which has given no address yet")?,
            State::Waiting { until } => {
                write!(
                    f,
                    "not connected to {ssid}, tries again in {} s",
                    until.saturating_sub(self.now).div_ceil(1_000)
                )?;
            }
        }
        match failure {
            Some(failure) => write!(f, "; failures: {failures}, the last one: {}", failure_text(failure)),
            None => Ok(()),
        }
    }
}

/// Why the board is not connected.
fn failure_text(failure: Failure) -> &'static str {
    match failure {
        Failure::Join(JoinError::NotFound) => "it was not found",
        Failure::Join(JoinError::WrongPassphrase) => "it rejects the passphrase",
        Failure::Join(JoinError::Rejected) => "it rejects this board, or has another security than WPA2 or WPA3",
        Failure::Join(JoinError::Radio) => "the radio fails, or does not answer",
        Failure::TimedOut => "it did not answer in time",
        Failure::NoAddress => "it gives no address by DHCP",
        Failure::LinkLost => "the connection was lost",
    }
}

/// Why a network that was typed is invalid.
fn network_error(error: WifiError) -> &'static str {
    match error {
        WifiError::Ssid => "The name of a network has 1 to 32 bytes. Nothing was changed.",
        WifiError::Length => {
            "A passphrase has 8 to 63 characters, or none if the network is open. Nothing was changed: type `wifi NAME` again."
        }
        WifiError::Character => {
            "A passphrase has letters, digits, spaces and signs of ASCII only. Nothing was changed: type `wifi NAME` again."
        }
    }
}
