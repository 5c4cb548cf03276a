//! The error of the library's operations and of the command: a class, what happened, and what to do next.
//!
//! Lower layers have small enums of their own, on which code decides, such as [`HomeError`](crate::home::HomeError).
//! Each is converted to an [`Error`](struct@Error) where enough is known to advise a user: beside its definition. A
//! [`FileError`] keeps the path and the cause of a file system error beside them.

use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use thiserror::Error;
use waft_core::path::escape;
use waft_core::wire::message::Kibibytes;

/// Why an operation failed.
#[derive(Debug)]
pub struct Error {
    class: Class,
    what: String,
    advice: String,
    exit: Option<u8>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error. `what` says in full sentences what happened, and `advice` what to do next.
    pub fn new(class: Class, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { class, what: what.into(), advice: advice.into(), exit: None, source: None }
    }

    /// The error of an operation that its user, or the program, stopped.
    pub fn interrupted() -> Self {
        Self::new(Class::Interrupted, "Interrupted.", "Nothing was left half-done.")
    }

    /// The error of an invalid argument or setting. `what` need not be a sentence.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self::new(Class::Usage, sentence(what), "")
    }

    /// The error of a file that cannot be read or written.
    pub(crate) fn file(path: impl AsRef<Path>, cause: io::Error) -> Self {
        let what = format!("{} cannot be used: {cause}.", shown(path.as_ref()));
        let error =
            Self::new(Class::Storage, what, "Look at its name, its permissions and the free space of its disk.");
        error.caused_by(cause)
    }

    /// The error of an output file that already exists.
    pub(crate) fn exists(path: &Path) -> Self {
        Self::new(
            Class::Storage,
            format!("{} already exists.", shown(path)),
            "Remove it, or give another name: an existing file is never overwritten.",
        )
    }

    /// Adds the error of a lower layer.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Replaces the advice.
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Sets the exit code of a command that ends with this error: that of another program which failed.
    pub fn with_exit(mut self, code: u8) -> Self {
        self.exit = Some(code);
        self
    }

    /// Adds a detail to what happened.
    pub(crate) fn detailed(mut self, detail: impl fmt::Display) -> Self {
        self.what.push_str(&format!(" {detail}."));
        self
    }

    /// The class of this error.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The exit code, if it is that of another program and not that of the class.
    pub fn exit(&self) -> Option<u8> {
        self.exit
    }

    /// What to do next, in full sentences. May be empty.
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

/// What happened, in full sentences.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The class of an [`Error`](struct@Error), by which code decides. Its number is the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// An argument or a setting is wrong.
    Usage = 2,
    /// The receiver cannot be reached, or the port cannot be opened for listening.
    Unreachable = 10,
    /// Identity, trust or TLS failed.
    Identity = 11,
    /// The 4-digit code is missing or wrong.
    Code = 12,
    /// The transfer key is missing or wrong.
    Key = 13,
    /// The storage or file system failed.
    Storage = 14,
    /// The receiver refused the folder because of its policy or limits.
    Refused = 15,
    /// The transfer broke off and can be resumed.
    Broken = 16,
    /// The peer violates the protocol.
    Protocol = 17,
    /// The folder was sent, but the outcome is unknown.
    Unknown = 18,
    /// Some of several receivers do not have the folder.
    Partial = 19,
    /// The user, or the program, stopped the operation.
    Interrupted = 130,
}

impl Class {
    /// The exit code of a command that ends with an error of this class.
    pub fn exit_code(self) -> u8 {
        self as u8
    }

    /// The name of this class in JSON events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Identity => "identity",
            Self::Code => "code",
            Self::Key => "key",
            Self::Storage => "storage",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Protocol => "protocol",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The advice where two sides do not understand each other.
pub(crate) const SAME_RELEASE: &str = "Install the same release of waft on both sides.";
/// The advice where two sides do not understand each other although that should be impossible.
pub(crate) const REPORT: &str =
    "Install the same release of waft on both sides; if that does not help, report it with the messages of both sides.";
/// The advice where small messages arrive and large ones do not.
pub(crate) const LARGE_PACKETS: &str = "If this happens every time, the network may drop large packets, as some VPNs do: try a smaller MTU (on Linux: \
     sudo ip link set dev INTERFACE mtu 1280).";

/// How much more space is needed, after the statement that there is too little; or what else may be used up.
pub(crate) fn more_space(missing: Kibibytes) -> String {
    match missing {
        Kibibytes(0) => ", or a quota or the number of files is used up".to_owned(),
        missing => format!(": {} more are needed", bytes(missing.bytes())),
    }
}

/// A number of bytes, rounded and with a unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = count.ilog2() as usize / 10;
    format!("{:.2} {}", count as f64 / 2f64.powi(10 * power as i32), UNITS[power - 1])
}

/// Two numbers of bytes for comparison. They are exact if they would look the same after rounding.
pub(crate) fn both_bytes(one: u64, other: u64) -> [String; 2] {
    let rounded = [one, other].map(bytes);
    if rounded[0] == rounded[1] { [one, other].map(|count| format!("{count} B")) } else { rounded }
}

/// Makes a sentence of an error text of a lower layer, which begins in lower case and has no full stop.
pub(crate) fn sentence(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).chain((!text.ends_with('.')).then_some('.')).collect()
}

/// The detailed cause of a file system error: a path and the problem there. It is recorded beside the small errors of
/// core's traits, for the text that the user reads.
#[derive(Debug, Error)]
#[error("{path}: {cause}")]
pub struct FileError {
    /// The path, escaped for display.
    pub path: String,
    /// The problem.
    pub cause: Cause,
}

impl FileError {
    pub(crate) fn new(path: impl AsRef<OsStr>, cause: impl Into<Cause>) -> Self {
        Self { path: shown(path.as_ref()), cause: cause.into() }
    }

    /// Whether an entry in the target cannot be replaced by the folder's entry.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.cause, Cause::FolderInTheWay | Cause::FileInTheWay | Cause::Immutable | Cause::MountPoint)
    }

    /// Whether a part of a folder was moved into the target, and the rest is still to be moved.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.cause, Cause::Unfinished(_))
    }

    /// The kind of the file system's error, if the cause is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.cause {
            Cause::Io(error) | Cause::Unfinished(error) => Some(error.kind()),
            _ => None,
        }
    }
}

/// The problem at a path.
#[derive(Debug, Error)]
pub enum Cause {
    /// An error of the file system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file differs from its state when the folder was walked.
    #[error("it changed while it was being sent")]
    Changed,
    /// The path has to be a folder and is not.
    #[error("it is not a folder")]
    NotAFolder,
    /// A folder exists where a file has to be written.
    #[error("a folder of that name is in the way of a file")]
    FolderInTheWay,
    /// A file exists where a folder has to be created.
    #[error("a file or link of that name is in the way of a folder")]
    FileInTheWay,
    /// The entry belongs to another user.
    #[error("it belongs to another user")]
    NotOurs,
    /// Another process receives into this folder.
    #[error("another waft is receiving there")]
    InUse,
    /// The path is a mount point: nothing can replace it, and nothing can be renamed into it from another file
    /// system.
    #[error("something is mounted there")]
    MountPoint,
    /// The file system marks the entry as immutable or append-only.
    #[error("it is marked as immutable or append-only")]
    Immutable,
    /// An entry of a folder has the name of the staging area.
    #[error("waft needs that name while it receives into this folder")]
    Staging,
    /// The name of a folder in an inbox is the name of a staging area.
    #[error("names that begin with a dot and end in .waft are kept for waft itself")]
    StagingName,
    /// The platform cannot hold the name safely.
    #[error("this name cannot be held safely here")]
    NotHeld,
    /// The file system takes the name for that of another folder.
    #[error("another folder has this name in another spelling")]
    OtherSpelling,
    /// The platform cannot hold the name by which a sender is trusted.
    #[error("the name by which this sender is trusted cannot be held here")]
    SenderName,
    /// The folder in an inbox did not come from the sender who would replace it, as far as is known.
    #[error("it holds something that did not come from this sender")]
    NotTheirs,
    /// The folder was changed since it was received.
    #[error("it was changed since it was received")]
    Edited,
    /// A replacement was interrupted, and another folder is now in the place of the old one.
    #[error("it is the only copy of the folder that was here before: move it or the other folder to another place")]
    OnlyCopy,
    /// A move into the target was started and cannot be completed.
    #[error("{0}")]
    Unfinished(io::Error),
    /// The path does not name a folder that could be created.
    #[error("it does not name a folder")]
    Nameless,
}

/// Whether the error means that the file system, or this user's quota, is full.
pub(crate) fn is_disk_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Escapes a name or path for display, so that no part of it reaches the terminal as a control sequence.
pub(crate) fn shown(name: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in name.as_ref().as_encoded_bytes().utf8_chunks() {
        let _ = write!(text, "{}", escape(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            ((1 << 20) - 1, "1024.00 KiB"),
            (1 << 20, "1.00 MiB"),
            (5 << 40, "5.00 TiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(super::bytes(count), text);
        }
    }

    #[test]
    fn what_is_not_known_to_be_missing_is_not_stated() {
        assert_eq!(super::more_space(Kibibytes::missing(5 << 20, 3 << 20)), ": 2.00 MiB more are needed");
        assert!(!super::more_space(Kibibytes::missing(3, 5 << 30)).contains("needed"));
    }

    /// The sources of the library and the command, which contain every error text.
    fn sources(folder: &std::path::Path) -> String {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: std::path::PathBuf| match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(path).unwrap(),
        };
        entries.map(text).collect()
    }

    /// Joins the lines of string literals that are continued with a backslash.
    fn joined(source: &str) -> String {
        source.split("\\\n").map(str::trim_start).collect()
    }

    /// The texts in the first column of the README's table.
    fn rows(readme: &str) -> impl Iterator<Item = &str> {
        let table = readme.split_once("| message |").expect("the table is there").1;
        table.lines().skip(2).map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
    }

    #[test]
    fn the_readme_quotes_what_is_really_said() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let sources = joined(&sources(&root.join("src"))).to_lowercase();
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        let mut count = 0;
        for text in rows(&readme).flat_map(|row| row.split("; ")) {
            for part in text.split("...").map(|part| part.trim_matches([' ', ',', ':']).to_lowercase()) {
                assert!(sources.contains(&part), "nothing says {part:?}");
            }
            count += 1;
        }
        assert!(count > 60, "{count}");
    }

    #[test]
    fn shows_bytes_that_are_no_text() {
        assert_eq!(shown(OsStr::new("a b")), "a b");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(shown(OsStr::from_bytes(b"a\xff\x1b[b")), "a\\xff\\u{1b}[b");
        }
    }
}
