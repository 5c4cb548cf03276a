//! The one error of the command. Each failure has a class, a text that says what happened, and what to do next.
//!
//! All three stand side by side in one place per failure: [`Error::told`]. Causes from below (sessions, stores, TLS,
//! identities) are kept as they are, and put into words here.

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
    /// The command line cannot be parsed; with all that clap has to say.
    CommandLine(String),
    /// An option or argument does not make sense.
    Usage {
        /// What is wrong.
        what: String,
        /// The command that it was given to, such as `waft trust add`.
        command: String,
    },
    /// Standard input ended, or is none, where an answer was needed.
    NoAnswer(Asked),
    /// `WAFT_KEY`, or the only answer, is no key.
    KeyMalformed(String),
    /// `WAFT_AUTH_CODE`, or the only answer, is no code.
    CodeMalformed(String),
    /// The receiver says that the code is wrong, and there is no other to try.
    CodeWrong,
    /// A sealed file's key is wrong.
    FileKeyWrong,
    /// A sealed file is not one, or damaged, or cut short.
    Sealed(Sealed, PathBuf),
    /// A file that would be made exists already.
    Exists(PathBuf),
    /// A file cannot be read or written.
    File(PathBuf, std::io::Error),
    /// This machine's identity cannot be used.
    Identity(IdentityError),
    /// Its configuration folder cannot be used.
    Home(HomeError),
    /// Whom it trusts cannot be read or changed.
    Trust(TrustError),
    /// A file is no certificate that can be trusted.
    Certificate(PathBuf, CertificateError),
    /// A board's identity image cannot be made or used.
    Image(PathBuf, waft_receiver::identity::IdentityError),
    /// A receiver is trusted, but nobody knows where it listens.
    NoAddress(String),
    /// A peer is trusted, but not to receive.
    NotAReceiver(String),
    /// The receiver cannot be connected to.
    Dial(DialError),
    /// Neither where it was met last nor where it is said to listen.
    DialBoth(DialError, DialError),
    /// What answers at that address does not begin TLS.
    Knock(Address, KnockError),
    /// The peer, in words, could not prove who it is, or did not believe us.
    Handshake(String, HandshakeError),
    /// The port cannot be listened on.
    Listen(ListenError),
    /// The folder that is to be sent cannot be.
    Folder(FolderError),
    /// A folder that is read changed, or cannot be read on; with what went wrong where.
    Source(SourceError, Option<Trouble>),
    /// The target does not take a folder; with what went wrong where.
    Store(StoreError, Option<Trouble>),
    /// The target cannot be one.
    Place(Trouble),
    /// A session with that receiver ended without a receipt.
    Sending {
        /// Its name here.
        peer: String,
        /// How it ended.
        cause: SessionError,
        /// What in the folder the cause is about.
        entry: Option<String>,
        /// How far it was.
        moment: Moment,
    },
    /// A session broke, and then its receiver could not be reached again.
    Lost {
        /// How the session ended.
        broken: Box<Error>,
        /// Why it cannot be reached.
        last: Box<Error>,
    },
    /// A session with that sender ended without a folder.
    Receiving {
        /// Its name here.
        peer: String,
        /// How it ended.
        cause: SessionError,
        /// What went wrong where.
        trouble: Option<Trouble>,
        /// How far it was.
        moment: Moment,
    },
    /// A file is not the flash of a simulated board, or too small for it.
    NoFlash(PathBuf),
    /// A simulated board has another identity image than the one that it is given; with the file.
    OtherIdentity(PathBuf),
    /// A simulated board is on already; with the folder of its state.
    PoweredOn(PathBuf),
    /// The emulator is not on this machine.
    NoQemu,
    /// The emulator ended by itself, in that way.
    QemuEnded(String),
    /// There is no firmware, and no source to build it from.
    NoFirmware,
    /// A file is no firmware for the emulated board.
    NotFirmware(PathBuf),
    /// The firmware cannot be built; for what it is compiled.
    Build(&'static str),
    /// The person switched a simulated board off; with the folder of its state.
    PoweredOff(PathBuf),
    /// The demonstration failed.
    Demo(String),
    /// The user does not want a new identity.
    NotRenewed,
    /// The person stopped it.
    Interrupted,
    /// The person stopped it, and a part of a folder stays there for the sender's next try.
    InterruptedWithPart(PathBuf),
    /// The person stopped it, and a part of the folder has reached that receiver.
    InterruptedSending(String),
}

/// What is wrong with a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// It does not begin as one.
    NotOne,
    /// It is of a later version.
    Version,
    /// It ends too early.
    Truncated,
    /// A byte of it is not what it was.
    Damaged,
}

/// An error in words.
#[derive(Debug)]
pub(crate) struct Told {
    /// Its class, and with it the exit code.
    pub class: Class,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub next: String,
}

/// What helps where two sides do not understand each other.
const SAME_RELEASE: &str = "Bring waft to the same release on both sides.";
/// The same, where that should not happen at all.
const REPORT: &str = "Bring waft to the same release on both sides; if it stays, report it with what both sides said.";

/// What may help where small messages cross, and large ones do not.
const LARGE_PACKETS: &str = "Where that happens each time, the way there may swallow large packets, as some VPNs do: try a \
                             smaller MTU (on Linux: sudo ip link set dev INTERFACE mtu 1280).";

fn told(class: Class, what: impl Into<String>, next: impl Into<String>) -> Told {
    Told { class, what: what.into(), next: next.into() }
}

impl Error {
    /// The error for an answer of a wrong form.
    pub(crate) fn malformed(asked: Asked, why: String) -> Self {
        match asked {
            Asked::Code => Self::CodeMalformed(why),
            Asked::Key => Self::KeyMalformed(why),
            Asked::Folder | Asked::Receiver | Asked::Passphrase | Asked::Renewal => Self::usage(why),
        }
    }

    /// The error for an option or argument that does not make sense, to whatever command.
    pub(crate) fn usage(what: impl ToString) -> Self {
        Self::Usage { what: what.to_string(), command: "waft".to_owned() }
    }

    /// The same error, of the command that was typed.
    pub(crate) fn of(self, command: &str) -> Self {
        match self {
            Self::Usage { what, .. } => Self::Usage { what, command: command.to_owned() },
            other => other,
        }
    }

    /// The error in words.
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

    /// What may be the cause where a peer that was there falls silent, for those who try again.
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

    /// Its class.
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

/// A path as it may be shown.
pub(crate) fn shown(path: &std::path::Path) -> String {
    crate::trouble::shown(path.as_os_str())
}

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Two numbers of bytes that people compare: exact, where rounding would make them the same.
fn both_bytes(one: u64, other: u64) -> [String; 2] {
    let rounded = [one, other].map(bytes);
    if rounded[0] == rounded[1] { [one, other].map(|count| format!("{count} B")) } else { rounded }
}

/// A number of files as people read it.
pub(crate) fn files(count: u32) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Texts from below begin small and end without a stop.
fn sentence(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).chain((!text.ends_with('.')).then_some('.')).collect()
}

#[cfg(test)]
mod tests {
    /// Everything that puts an error into words.
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
