//! Wi-Fi on the console: the commands `wifi`, `wifi-open` and `forget-wifi`, and the texts about the connection.
//!
//! `wifi NAME` asks for the passphrase. The next line is the passphrase, whatever it says, and the question is asked again
//! until it is one. It ends without a change by an empty line, by Ctrl-C, after two minutes, if the line fails, and if a
//! sender asks for a key, so that the key is not stored as the passphrase. The passphrase is not shown, and is in no text.

use core::fmt::{self, Display as _};

use embedded_io_async::{Read, Write};
use heapless::String;
use waft_core::session::Clock;

use super::Dialogue;
use super::commands::Answer;
use super::terminal::{CTRL_C, Line};
use super::text::{self, Untrusted};
use crate::board::Board;
use crate::identity::check_ssid;
use crate::operator::Control;
use crate::settings::SettingsError;
use crate::wifi::{Failure, JoinError, RadioFault, SSID_MAX, State, Status, Wifi, WifiError};

/// The name of a network.
type Ssid = String<SSID_MAX>;

/// The time for an answer to the question for a passphrase, in milliseconds.
const ANSWER_MS: u64 = 120_000;

pub(super) const HELP: &[&str] = &[
    "wifi         the Wi-Fi network, and whether this board is connected to it",
    "wifi NAME    joins another network: asks for its passphrase, and keeps both",
    "wifi-open NAME  the same for a network without a passphrase",
    "forget-wifi  forgets that network: the one that was provisioned counts again",
];

const NO_WIFI: &str = "This board has no Wi-Fi.";
const UNCHANGED: &str = "The network stays as it is.";
const STORED: &str = "Stored. This board joins that network now.";

/// A question for the passphrase of a network.
pub(super) struct Question {
    ssid: Ssid,
    /// The end of the time to answer it, in milliseconds of the clock.
    pub(super) until: u64,
}

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    /// Composes the network and the status.
    pub(super) fn compose_wifi(&mut self) -> Answer {
        let Some(wifi) = self.control.wifi() else { return self.compose(NO_WIFI) };
        let (ssid, now) = (wifi.ssid().unwrap_or_default(), self.control.clock().now());
        self.compose(StatusText { status: wifi.status(), ssid: &ssid, now })
    }

    /// Asks for the passphrase of a network, and hides the input from now on, unless it could not be stored. Composes the
    /// question, or why not.
    pub(super) fn ask_passphrase(&mut self, name: &str) -> Answer {
        let ssid = match self.check_network(name) {
            Ok(ssid) => ssid,
            Err(answer) => return answer,
        };
        if self.control.key_request().is_some() {
            return self.compose("First type the key that is asked for, or `decline`.");
        }
        let hidden = if self.terminal.hide_input() { ", which is not shown" } else { "" };
        let shown = Untrusted(ssid.as_bytes());
        let answer =
            self.compose(format_args!("Type the passphrase of {shown}{hidden}. Enter alone: the network stays."));
        self.question = Some(Question { ssid, until: self.control.clock().now() + ANSWER_MS });
        answer
    }

    /// Stores the network with the passphrase that the user typed, and joins it. Asks again if it is not one.
    pub(super) async fn take_passphrase(&mut self, line: &Line) {
        let Some(question) = &mut self.question else { return };
        if self.control.key_request().is_some() {
            // The line may be the key already. `give_way_to_key` follows.
            return;
        }
        if line.bytes().is_empty() {
            return self.end_question(UNCHANGED).await;
        }
        match Wifi::new(&question.ssid, line.bytes()) {
            Ok(network) => {
                self.question = None;
                self.terminal.reset();
                self.set_wifi(Some(network), STORED).await;
                self.terminal.put_line().await;
            }
            Err(error) => {
                question.until = self.control.clock().now() + ANSWER_MS;
                self.terminal
                    .print(format_args!("{} Type it again. Enter alone: the network stays.", network_error(error)))
                    .await;
            }
        }
    }

    /// Ends the question for a passphrase if a key is asked for, because the next line is that key.
    pub(super) async fn give_way_to_key(&mut self) {
        if self.control.key_request().is_some() {
            self.end_question("A key is asked for, so the network stays as it is. Type `wifi NAME` again later.").await;
        }
    }

    /// Ends the question for a passphrase if the user pressed Ctrl-C.
    pub(super) async fn cancel_passphrase(&mut self, byte: u8) {
        if byte == CTRL_C {
            self.end_question(UNCHANGED).await;
        }
    }

    /// Ends the question for a passphrase, if there is one, and says why.
    pub(super) async fn end_question(&mut self, why: &str) {
        if self.question.take().is_some() {
            self.terminal.reset();
            self.terminal.print(why).await;
        }
    }

    /// Stores a network without a passphrase, and joins it. Composes the answer.
    pub(super) async fn open_wifi(&mut self, name: &str) -> Answer {
        match self.check_network(name).map(|ssid| Wifi::new(&ssid, &[])) {
            Ok(Ok(network)) => self.set_wifi(Some(network), STORED).await,
            Ok(Err(error)) => self.compose(network_error(error)),
            Err(answer) => answer,
        }
    }

    /// Forgets the network that was set here. Composes the answer.
    pub(super) async fn forget_wifi(&mut self) -> Answer {
        match self.check_changeable() {
            Ok(()) => self.set_wifi(None, "Forgotten. If a network was provisioned, this board joins that one.").await,
            Err(answer) => answer,
        }
    }

    /// The name of a network, if it is valid and could be stored. Otherwise composes why not.
    fn check_network(&mut self, name: &str) -> Result<Ssid, Answer> {
        self.check_changeable()?;
        check_ssid(name)
            .ok()
            .and_then(|name| Ssid::try_from(name).ok())
            .ok_or_else(|| self.compose(format_args!("{} Nothing was changed.", network_error(WifiError::Ssid))))
    }

    /// Whether a network could be stored. Otherwise composes why not.
    fn check_changeable(&mut self) -> Result<(), Answer> {
        let text = match (self.control.wifi(), self.control.identity(), self.control.check_settings()) {
            (None, ..) => NO_WIFI,
            (_, Err(error), _) => return Err(self.compose_startup_error(error)),
            (_, _, Err(SettingsError::NotMounted)) => text::NOT_STORED,
            (_, _, Err(error)) => text::settings_error(error),
            _ => return Ok(()),
        };
        Err(self.compose(text))
    }

    async fn set_wifi(&mut self, network: Option<Wifi>, success: &'static str) -> Answer {
        let text = match self.control.set_wifi(network).await {
            Ok(()) => success,
            Err(error) => self.change_error(error),
        };
        self.compose(text)
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
        WifiError::Ssid => "The name of a network has 1 to 32 bytes.",
        WifiError::Length => "A passphrase has 8 to 63 characters, or is a key of 64 hexadecimal digits.",
        WifiError::Character => "A passphrase has letters, digits, spaces and signs of ASCII only.",
    }
}
