//! The error type of the command. Each failure has a class, a text that says what happened, and a text that says what
//! to do next.
//!
//! [`Error::told`] gives all three for every failure. Errors of lower layers (sessions, stores, TLS, identities) are
//! stored unchanged, and converted to text only here.

mod boards;
mod class;
mod identity;
mod local;
mod moment;
mod reach;
mod receiving;
mod sending;
mod storage;

use std::fmt;
use std::path::PathBuf;

pub(crate) use class::Class;
pub(crate) use moment::Moment;
use waft_core::session::sender::SourceError;
use waft_core::session::{SessionError, StoreError};
use waft_core::wire::message::Cancel;

use crate::address::Address;
use crate::asked::Asked;
use crate::certificate::CertificateError;
use crate::door::KnockError;
use crate::folder::FolderError;
use crate::home::HomeError;
use crate::identity::IdentityError;
use crate::net::{DialError, ListenError};
use crate::tls::error::HandshakeError;
use crate::trouble::Trouble;
use crate::trust::TrustError;

/// Why the command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line cannot be parsed. Holds clap's whole message.
    CommandLine(String),
    /// An option or argument is invalid.
    Usage {
        /// What is wrong with it.
        what: String,
        /// The command with the invalid argument, such as `waft trust add`.
        command: String,
    },
    /// An answer was needed, but standard input ended or is not available.
    NoAnswer(Asked),
    /// `WAFT_KEY`, or the only answer, is not a key.
    KeyMalformed(String),
    /// `WAFT_AUTH_CODE`, or the only answer, is not a code.
    CodeMalformed(String),
    /// The receiver rejected the code, and the user cannot be asked for another one.
    CodeWrong,
    /// The key does not open the sealed file.
    FileKeyWrong,
    /// The sealed file cannot be used, for this reason.
    Sealed(Sealed, PathBuf),
    /// A file that would be created already exists.
    Exists(PathBuf),
    /// A file cannot be read or written.
    File(PathBuf, std::io::Error),
    /// This machine's identity cannot be used.
    Identity(IdentityError),
    /// The configuration folder cannot be used.
    Home(HomeError),
    /// The trust file cannot be read or changed.
    Trust(TrustError),
    /// A file is not a usable certificate.
    Certificate(PathBuf, CertificateError),
    /// A board's identity image cannot be created or used.
    Image(PathBuf, waft_receiver::identity::IdentityError),
    /// A receiver is trusted, but has no known address.
    NoAddress(String),
    /// A peer is trusted, but may not receive from this machine.
    NotAReceiver(String),
    /// The connection to the receiver failed.
    Dial(DialError),
    /// The connection failed both at the address where the receiver was last reached and at its configured address.
    DialBoth(DialError, DialError),
    /// The peer at that address does not begin TLS.
    Knock(Address, KnockError),
    /// The TLS handshake failed: the peer, described by this text, could not prove its identity, or rejected ours.
    Handshake(String, HandshakeError),
    /// The port cannot be opened for listening.
    Listen(ListenError),
    /// The folder cannot be sent.
    Folder(FolderError),
    /// A folder changed or became unreadable while it was read. Holds the path and the problem, if known.
    Source(SourceError, Option<Trouble>),
    /// The target rejects the folder. Holds the path and the problem, if known.
    Store(StoreError, Option<Trouble>),
    /// The folder cannot be used as a target.
    Place(Trouble),
    /// A session with a receiver ended without a receipt.
    Sending {
        /// The name of the receiver on this machine.
        peer: String,
        /// The error that ended the session.
        cause: SessionError,
        /// The path in the folder to which the error refers.
        entry: Option<String>,
        /// The phase in which the session ended.
        moment: Moment,
    },
    /// A session broke off, and its receiver could not be reached again.
    Lost {
        /// The error that ended the session.
        broken: Box<Error>,
        /// The error of the last attempt to reach the receiver.
        last: Box<Error>,
    },
    /// A session with a sender ended without a folder.
    Receiving {
        /// The name of the sender on this machine.
        peer: String,
        /// The error that ended the session.
        cause: SessionError,
        /// The path and the problem, if the store failed.
        trouble: Option<Trouble>,
        /// The phase in which the session ended.
        moment: Moment,
    },
    /// A file does not hold the flash of a simulated board, or is too small for it.
    NoFlash(PathBuf),
    /// A simulated board already has another identity image than the given one. Holds the path of its image.
    OtherIdentity(PathBuf),
    /// Another process already runs this simulated board. Holds the folder of its state.
    PoweredOn(PathBuf),
    /// The emulator is not installed on this machine.
    NoQemu,
    /// The emulator ended unexpectedly, in this way.
    QemuEnded(String),
    /// There is neither a firmware nor a source tree to build it from.
    NoFirmware,
    /// A file is not a firmware for the emulated board.
    NotFirmware(PathBuf),
    /// The firmware for this compilation target cannot be built.
    Build(&'static str),
    /// The user switched a simulated board off. Holds the folder of its state.
    PoweredOff(PathBuf),
    /// The demonstration failed.
    Demo(String),
    /// The user declined to renew the identity.
    NotRenewed,
    /// The user interrupted the command.
    Interrupted,
    /// The user interrupted the command. A part of a folder is kept in this folder for the sender's next attempt.
    InterruptedWithPart(PathBuf),
    /// The user interrupted the command after a part of the folder had reached this receiver.
    InterruptedSending(String),
}

/// Why a sealed file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// The file does not begin like a sealed file.
    NotOne,
    /// The file has a later version of the format.
    Version,
    /// The file ends too early.
    Truncated,
    /// The content of the file was changed.
    Damaged,
}

/// The texts of an error for the user.
#[derive(Debug)]
pub(crate) struct Told {
    /// The class of the error, which determines the exit code.
    pub class: Class,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub next: String,
}

/// The advice where two sides do not understand each other.
const SAME_RELEASE: &str = "Bring waft to the same release on both sides.";
/// The advice where two sides do not understand each other although that should be impossible.
const REPORT: &str = "Bring waft to the same release on both sides; if it stays, report it with what both sides said.";

/// The advice where small messages arrive and large ones do not.
const LARGE_PACKETS: &str = "Where that happens each time, the way there may swallow large packets, as some VPNs do: try a \
                             smaller MTU (on Linux: sudo ip link set dev INTERFACE mtu 1280).";

fn told(class: Class, what: impl Into<String>, next: impl Into<String>) -> Told {
    Told { class, what: what.into(), next: next.into() }
}

impl Error {
    /// The error for an answer in a wrong format.
    pub(crate) fn malformed(asked: Asked, why: String) -> Self {
        match asked {
            Asked::Code => Self::CodeMalformed(why),
            Asked::Key => Self::KeyMalformed(why),
            Asked::Folder | Asked::Receiver | Asked::Passphrase | Asked::Renewal => Self::usage(why),
        }
    }

    /// The error for an invalid option or argument. [`of`](Self::of) adds the command.
    pub(crate) fn usage(what: impl ToString) -> Self {
        Self::Usage { what: what.to_string(), command: "waft".to_owned() }
    }

    /// Adds the command to an error of an invalid option or argument.
    pub(crate) fn of(self, command: &str) -> Self {
        match self {
            Self::Usage { what, .. } => Self::Usage { what, command: command.to_owned() },
            other => other,
        }
    }

    /// The class and the texts of this error.
    pub(crate) fn told(&self) -> Told {
        match self {
            Self::CommandLine(text) => local::command_line(text),
            Self::Usage { what, command } => local::usage(what, command),
            Self::NoAnswer(asked) => local::no_answer(*asked),
            Self::KeyMalformed(why) => local::key_malformed(why),
            Self::CodeMalformed(why) => local::code_malformed(why),
            Self::CodeWrong => local::code_wrong(),
            Self::FileKeyWrong => local::file_key_wrong(),
            Self::Sealed(what, path) => local::sealed(*what, path),
            Self::Exists(path) => local::exists(path),
            Self::File(path, cause) => local::file(path, cause),
            Self::Identity(error) => identity::identity(error),
            Self::Home(error) => identity::home(error),
            Self::Trust(error) => identity::trust(error),
            Self::Certificate(path, error) => identity::certificate(path, *error),
            Self::Image(path, error) => boards::image(path, *error),
            Self::NoAddress(name) => identity::no_address(name),
            Self::NotAReceiver(name) => identity::not_a_receiver(name),
            Self::Dial(error) => reach::dial(error),
            Self::DialBoth(last, at) => reach::dial_both(last, at),
            Self::Knock(address, error) => reach::knock(&address.to_string(), *error),
            Self::Handshake(who, error) => reach::handshake(who, error),
            Self::Listen(error) => reach::listen(error),
            Self::Folder(error) => storage::folder(error),
            Self::Source(error, trouble) => storage::source(*error, trouble.as_ref()),
            Self::Store(error, trouble) => storage::store(*error, trouble.as_ref()),
            Self::Place(trouble) => storage::place(trouble),
            Self::Sending { peer, cause, entry, moment } => sending::session(peer, *cause, entry.as_deref(), *moment),
            Self::Lost { broken, last } => sending::lost(broken.told(), last.told()),
            Self::Receiving { peer, cause, trouble, moment } => {
                receiving::session(peer, *cause, trouble.as_ref(), *moment)
            }
            Self::NoFlash(path) => boards::no_flash(path),
            Self::OtherIdentity(path) => boards::other_identity(path),
            Self::PoweredOn(path) => boards::powered_on(path),
            Self::NoQemu => boards::no_qemu(),
            Self::QemuEnded(how) => boards::qemu_ended(how),
            Self::NoFirmware => boards::no_firmware(),
            Self::NotFirmware(path) => boards::not_firmware(path),
            Self::Build(target) => boards::build(target),
            Self::PoweredOff(path) => boards::powered_off(path),
            Self::Demo(what) => local::demo(what),
            Self::NotRenewed => local::not_renewed(),
            Self::Interrupted => local::interrupted(),
            Self::InterruptedWithPart(path) => local::interrupted_with_part(path),
            Self::InterruptedSending(peer) => local::interrupted_sending(peer),
        }
    }

    /// A hint at the possible cause if a peer stopped responding. It is shown while the command tries again.
    pub(crate) fn silence_hint(&self) -> Option<&'static str> {
        use SessionError::{OutcomeUnknown, PeerCancelled, TimedOut};
        match self {
            Self::Handshake(_, HandshakeError::TimedOut) => Some(LARGE_PACKETS),
            Self::Sending {
                cause: TimedOut | OutcomeUnknown { interrupted: false }, moment: Moment::Begun, ..
            } => Some(LARGE_PACKETS),
            Self::Sending { cause: PeerCancelled(Cancel::TimedOut), moment: Moment::Begun, .. } => Some(LARGE_PACKETS),
            _ => None,
        }
    }

    /// The class of this error.
    pub(crate) fn class(&self) -> Class {
        self.told().class
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().what)
    }
}

impl std::error::Error for Error {}

impl From<IdentityError> for Error {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<HomeError> for Error {
    fn from(error: HomeError) -> Self {
        Self::Home(error)
    }
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

impl From<FolderError> for Error {
    fn from(error: FolderError) -> Self {
        Self::Folder(error)
    }
}

/// A path, escaped for display.
pub(crate) fn shown(path: &std::path::Path) -> String {
    crate::trouble::shown(path.as_os_str())
}

/// A number of bytes, rounded and with a unit.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Two numbers of bytes for comparison. They are exact if they would look the same after rounding.
fn both_bytes(one: u64, other: u64) -> [String; 2] {
    let rounded = [one, other].map(bytes);
    if rounded[0] == rounded[1] { [one, other].map(|count| format!("{count} B")) } else { rounded }
}

/// A number of files as text.
pub(crate) fn files(count: u32) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Makes a sentence of an error text of a lower layer, which begins in lower case and has no full stop.
fn sentence(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).chain((!text.ends_with('.')).then_some('.')).collect()
}

#[cfg(test)]
mod tests {
    /// The sources of all error texts that the README quotes.
    const SOURCES: [&str; 12] = [
        include_str!("identity.rs"),
        include_str!("local.rs"),
        include_str!("moment.rs"),
        include_str!("reach.rs"),
        include_str!("receiving.rs"),
        include_str!("sending.rs"),
        include_str!("storage.rs"),
        include_str!("../folder/mod.rs"),
        include_str!("../home.rs"),
        include_str!("../identity.rs"),
        include_str!("../trouble.rs"),
        include_str!("../trust.rs"),
    ];

    /// The texts in the first column of the README's table.
    fn rows(readme: &str) -> impl Iterator<Item = &str> {
        let table = readme.split_once("| it says |").expect("the table is there").1;
        table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
    }

    #[test]
    fn the_readme_quotes_what_is_really_said() {
        let sources = SOURCES.map(|source| source.replace("\\\n", "")).concat().to_lowercase();
        let mut count = 0;
        for text in rows(include_str!("../../README.md")).flat_map(|row| row.split("; ")) {
            for part in text.split("...").map(|part| part.trim_matches([' ', ',', ':']).to_lowercase()) {
                assert!(sources.contains(&part), "nothing says {part:?}");
            }
            count += 1;
        }
        assert!(count > 60, "{count}");
    }
}
