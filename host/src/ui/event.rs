//! What scripts are told: one JSON object a line, with its kind in `event`.

use serde::Serialize;
use zeroize::Zeroizing;

/// Room for every event that holds a secret: a buffer that grows leaves copies behind, which nothing wipes.
const ROOM: usize = 4096;

/// Something that happened. Texts in it are escaped already by who makes it, as they would be for a terminal.
#[derive(Serialize, Debug)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// This machine's identity.
    Identity {
        /// Its name, if it has one; for its own person only.
        name: Option<&'a str>,
        /// Its fingerprint, as people compare it.
        fingerprint: String,
        /// Whether it was made just now.
        new: bool,
    },
    /// A certificate.
    Certificate {
        /// In PEM.
        pem: &'a str,
    },
    /// A machine that is trusted.
    Trusted {
        /// Its name here.
        name: &'a str,
        /// Its fingerprint.
        fingerprint: String,
        /// It may send to this machine.
        sends: bool,
        /// It may receive from this machine.
        receives: bool,
        /// Where it listens, or was met last.
        address: Option<String>,
    },
    /// A machine that is trusted no longer.
    Removed {
        /// Its name here.
        name: &'a str,
    },
    /// A board has an identity now.
    Provisioned {
        /// Its name here.
        name: &'a str,
        /// What kind of board it is.
        board: &'a str,
        /// Its fingerprint.
        fingerprint: String,
        /// The file with its identity image.
        path: String,
        /// What builds its firmware, and flashes it and the image.
        commands: &'a [String],
    },
    /// The receiver listens.
    Ready {
        /// The address that a sender on the network uses first; none without a network.
        address: Option<&'a str>,
        /// All addresses.
        addresses: &'a [String],
        /// The code, if one is asked for.
        code: Option<&'a str>,
    },
    /// A simulated board's console says something.
    Console {
        /// One line of it.
        text: &'a str,
    },
    /// The receiver has a new code.
    Code {
        /// Four digits.
        code: &'a str,
    },
    /// The key of a sealed file, or the sender's key for this run. A sender tells it once, when a receiver asks for a key
    /// that is typed.
    Key {
        /// In four groups.
        key: &'a str,
    },
    /// A question waits for a line of standard input.
    Asked {
        /// `code`, `key`, `folder`, `receiver` or `passphrase`.
        what: &'static str,
    },
    /// The two sides have proven who they are.
    Connected {
        /// The peer's name here.
        peer: &'a str,
    },
    /// A sender offers a folder.
    Offered {
        /// The peer's name here.
        peer: &'a str,
        /// Files in it.
        files: u32,
        /// Bytes of archive.
        total: u64,
    },
    /// The sender waits for the receiver.
    Waiting {
        /// `key` to be typed, `hashing` of what is there, `verifying` of what came, a `reader` of the old folder.
        what: &'static str,
    },
    /// Bytes cross.
    Progress {
        /// Bytes of archive so far, held ones included.
        bytes: u64,
        /// Bytes of archive in all.
        total: u64,
    },
    /// The sender tries again.
    Retry {
        /// What happened.
        message: String,
        /// After so many milliseconds.
        wait: u64,
        /// For how many milliseconds tries go on; absent where they are counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<u64>,
    },
    /// The new folder is in place.
    Committed {
        /// The peer's name here.
        peer: &'a str,
        /// Files in it.
        files: u32,
        /// Bytes of archive.
        bytes: u64,
        /// Bytes of archive that crossed. Less than `bytes` where a part was there already. A sender counts all
        /// connections of its run: more than `bytes`, where connections broke and a part had to cross again. A receiver
        /// counts the last one.
        sent: u64,
        /// The archive's root.
        digest: String,
        /// Counts the folders that the receiver has committed, where its store counts them; else 0.
        generation: u64,
    },
    /// A sealed file was made.
    Sealed {
        /// The file.
        path: String,
        /// Files in the folder.
        files: u32,
        /// Bytes of archive.
        bytes: u64,
    },
    /// A sealed file was unpacked.
    Opened {
        /// The target.
        path: String,
        /// Files in the folder.
        files: u32,
        /// Bytes of archive.
        bytes: u64,
        /// The archive's root.
        digest: String,
    },
    /// Something to know about.
    Warning {
        /// In words.
        message: String,
    },
    /// Somebody was turned away at the door.
    Rejected {
        /// From where.
        address: String,
        /// Name of the error's class.
        class: &'static str,
        /// In words.
        message: String,
    },
    /// Something failed.
    Error {
        /// Name of its class.
        class: &'static str,
        /// The exit code. Absent where the command goes on.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<u8>,
        /// What happened.
        message: String,
        /// What to do next.
        advice: String,
    },
}

impl Event<'_> {
    /// The event as a line, with its end.
    pub(super) fn line(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *line, self).expect("events are plain data");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_kind() {
        let addresses = ["10.0.0.2:12346".to_owned()];
        let ready = Event::Ready { address: Some(&addresses[0]), addresses: &addresses, code: Some("0123") };
        assert_eq!(
            String::from_utf8_lossy(&ready.line()),
            "{\"event\":\"ready\",\"address\":\"10.0.0.2:12346\",\"addresses\":[\"10.0.0.2:12346\"],\"code\":\"0123\"}\n"
        );
    }
}
