//! The events for scripts: one JSON object per line, with its kind in `event`. The README of this crate documents them.
//!
//! ```text
//! {"event":"started","v":1,"command":"send"}       always the first line
//! {"event":"connected","peer":"kitchen"}
//! {"event":"committed","peer":"kitchen", ...}
//! ```

use serde::Serialize;
use zeroize::Zeroizing;

/// Capacity for every event that holds a secret. A buffer that grew would leave copies in memory that are not
/// zeroized.
const ROOM: usize = 4096;

/// The version of the events, which the first event of every run states. It increases if an event or a field is removed
/// or changes its type or meaning. New events, fields and values of `what` leave it as it is.
const VERSION: u32 = 1;

/// An event. Its creator has already escaped the texts in it, as for a terminal.
#[derive(Serialize, Debug)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event<'a> {
    /// The command begins.
    Started {
        /// The version of the events.
        v: u32,
        /// The command without options and arguments, such as `trust add`; absent if the command line is wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<&'a str>,
    },
    /// This machine's identity.
    Identity {
        /// The user's name for this machine, if it has one. It is only shown locally.
        name: Option<&'a str>,
        /// The fingerprint, as users compare it.
        fingerprint: String,
        /// Whether it was created just now.
        new: bool,
    },
    /// A certificate.
    Certificate {
        /// The certificate in PEM.
        pem: &'a str,
    },
    /// A trusted machine.
    Trusted {
        /// The name of the machine on this machine.
        name: &'a str,
        /// The fingerprint of its certificate.
        fingerprint: String,
        /// Whether it may send to this machine.
        sends: bool,
        /// Whether it may receive from this machine.
        receives: bool,
        /// Its address: where it was last reached, else the configured one.
        address: Option<String>,
    },
    /// A machine was removed from the trusted ones.
    Removed {
        /// The name that it had on this machine.
        name: &'a str,
    },
    /// A board was provisioned.
    Provisioned {
        /// The name of the board on this machine.
        name: &'a str,
        /// The type of the board.
        board: &'a str,
        /// The fingerprint of its certificate.
        fingerprint: String,
        /// The file with the board's identity image.
        path: String,
        /// The file with the first record of the board's seed, for boards that are flashed with one.
        #[serde(skip_serializing_if = "Option::is_none")]
        seed: Option<String>,
        /// The folder in which the commands run, unless that is waft's source.
        #[serde(skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
        /// The commands that build the firmware and flash it and the images.
        commands: &'a [String],
    },
    /// A file with the program of a board was created.
    Firmware {
        /// The type of the board.
        board: &'a str,
        /// The file.
        path: String,
        /// The commands that flash it.
        commands: &'a [String],
    },
    /// A command that flashes a board begins.
    Running {
        /// The command, as a user would type it.
        command: &'a str,
    },
    /// The receiver is listening.
    Ready {
        /// The address that a sender on the network should try first; absent without a network.
        address: Option<&'a str>,
        /// All addresses of the receiver.
        addresses: &'a [String],
        /// The code, if senders are asked for one, or the pairing code.
        code: Option<&'a str>,
    },
    /// A receiver announces itself on the network. Nothing of this is proven.
    Found {
        /// The id that it announces.
        id: &'a str,
        /// The name on this machine of the peer with this id; null if no trusted one has it.
        name: Option<&'a str>,
        /// The address to use first.
        address: &'a str,
        /// All its addresses on the networks of this machine.
        addresses: &'a [String],
        /// Whether the peer of this name may send to this machine.
        sends: bool,
        /// Whether the peer of this name may receive from this machine.
        receives: bool,
        /// The version of the protocol that it speaks.
        version: u8,
        /// The name that it announces while it waits for a pairing, which may be empty; null if it does not wait for one.
        pairing: Option<&'a str>,
    },
    /// A line of a simulated board's console.
    Console {
        /// The text of the line.
        text: &'a str,
    },
    /// The receiver has a new code.
    Code {
        /// The four digits; the digits of a pairing code in groups of three.
        code: &'a str,
    },
    /// The key of a sealed file, or the sender's key for this run. A sender prints it once, when a receiver asks its
    /// user to type the key.
    Key {
        /// The key in four groups.
        key: &'a str,
        /// The receiver of this transfer, from a sender.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// A question waits for a line of standard input.
    Asked {
        /// The input: `code`, `pairing-code`, `key`, `folder`, `receiver`, `machine`, `name`, `passphrase`, `renewal`
        /// or `confirmation`.
        what: &'static str,
        /// The receiver whose code is asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// The two sides have authenticated each other.
    Connected {
        /// The name of the peer on this machine.
        peer: &'a str,
    },
    /// A sender offers a folder.
    Offered {
        /// The name of the peer on this machine.
        peer: &'a str,
        /// The number of files in the folder.
        files: u32,
        /// The length of the archive in bytes.
        total: u64,
    },
    /// The sender waits for the receiver.
    Waiting {
        /// The reason: `key` (the key has to be typed), `hashing` (of the content that is already there), `verifying`
        /// (of the received content), `reader` (the place of the new folder is in use), `storing` (the storage is
        /// slow) or `busy`.
        what: &'static str,
        /// The receiver.
        peer: &'a str,
    },
    /// The progress of the transfer.
    Progress {
        /// Bytes of the archive so far, including those that the receiver already had.
        bytes: u64,
        /// The length of the archive in bytes.
        total: u64,
        /// The receiver of this transfer, from a sender.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// The sender will try again.
    Retry {
        /// The reason.
        message: String,
        /// Milliseconds until the next attempt.
        wait: u64,
        /// The milliseconds for which attempts continue; absent where their number is limited instead.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<u64>,
        /// The receiver.
        peer: &'a str,
    },
    /// The new folder has been committed.
    Committed {
        /// The name of the peer on this machine.
        peer: &'a str,
        /// The number of files in the folder.
        files: u32,
        /// The length of the archive in bytes.
        bytes: u64,
        /// Bytes of the archive that were transferred. This is less than `bytes` if the receiver already had a part.
        /// A sender counts all connections of its run, so this is more than `bytes` if connections broke and a part
        /// was sent again. A receiver counts only the last connection.
        sent: u64,
        /// The root hash of the archive.
        digest: String,
        /// The number of folders that the receiver has committed, if its store counts them; else 0.
        generation: u64,
        /// What the folder is called.
        folder: &'a str,
        /// Where the folder is, at a receiver.
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// How it got there, at a receiver: `new`, `replaced`, `merged` or `unchanged`.
        #[serde(skip_serializing_if = "Option::is_none")]
        placed: Option<&'static str>,
    },
    /// A sealed file was created.
    Sealed {
        /// The path of the file.
        path: String,
        /// The number of files in the folder.
        files: u32,
        /// The length of the archive in bytes.
        bytes: u64,
    },
    /// A sealed file was unpacked.
    Opened {
        /// The path of the target.
        path: String,
        /// The number of files in the folder.
        files: u32,
        /// The length of the archive in bytes.
        bytes: u64,
        /// The root hash of the archive.
        digest: String,
    },
    /// A file or folder that `waft send --dry-run` would send.
    Listed {
        /// Its path in the folder.
        path: &'a str,
        /// Its length in bytes; null for a folder.
        bytes: Option<u64>,
    },
    /// A file or folder that `waft send --dry-run` would not send.
    LeftOut {
        /// Its path in the folder.
        path: &'a str,
        /// Why it would not be sent.
        why: &'a str,
    },
    /// A warning.
    Warning {
        /// The text of the warning.
        message: String,
    },
    /// Connections were rejected.
    Rejected {
        /// The address of the last peer.
        address: String,
        /// The name of the error's class.
        class: &'static str,
        /// The reason.
        message: String,
        /// The number of connections since the last such event.
        count: u32,
    },
    /// Something failed.
    Error {
        /// The name of the error's class.
        class: &'static str,
        /// The exit code; absent if the command continues.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<u8>,
        /// What happened.
        message: String,
        /// What to do next.
        advice: String,
        /// The receiver, if others are sent to at the same time.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
    },
    /// The transfers to several receivers have ended.
    Summary {
        /// The receivers that have the folder.
        committed: &'a [&'a str],
        /// The others.
        failed: &'a [Failed<'a>],
    },
}

/// A receiver that does not have the folder.
#[derive(Serialize, Debug)]
pub(crate) struct Failed<'a> {
    /// Its name on this machine.
    pub(crate) peer: &'a str,
    /// The name of the error's class.
    pub(crate) class: &'static str,
    /// The exit code that belongs to this class.
    pub(crate) exit: u8,
}

impl<'a> Event<'a> {
    /// The first event of a run.
    pub(crate) fn started(command: Option<&'a str>) -> Self {
        Self::Started { v: VERSION, command }
    }

    /// The event as a line, including the line break.
    pub(super) fn line(&self) -> Zeroizing<Vec<u8>> {
        let mut line = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *line, self)
            .expect("an event has only texts, numbers and booleans, and writing to a vector cannot fail");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of every kind, with all fields.
    fn every_event() -> Vec<Event<'static>> {
        let text = || "text".to_owned();
        let addresses = Box::leak(Box::new(["10.0.0.2:12346".to_owned()])) as &[String];
        let (name, peer, files, bytes, total) = ("kitchen", "kitchen", 2, 340, 340);
        let all = vec![
            Event::started(Some("trust add")),
            Event::Identity { name: Some(name), fingerprint: text(), new: true },
            Event::Certificate { pem: "text" },
            Event::Trusted { name, fingerprint: text(), sends: true, receives: false, address: Some(text()) },
            Event::Removed { name },
            Event::Provisioned {
                name,
                board: "mps2",
                fingerprint: text(),
                path: text(),
                seed: Some(text()),
                folder: Some(text()),
                commands: addresses,
            },
            Event::Firmware { board: "mps2", path: text(), commands: addresses },
            Event::Running { command: "text" },
            Event::Ready { address: Some(&addresses[0]), addresses, code: Some("0123") },
            Event::Found {
                id: "text",
                name: Some(name),
                address: &addresses[0],
                addresses,
                sends: false,
                receives: true,
                version: 1,
                pairing: Some("text"),
            },
            Event::Console { text: "text" },
            Event::Code { code: "0123" },
            Event::Key { key: "AAAA-BBBB-CCCC-DDDD", peer: Some(peer) },
            Event::Asked { what: "code", peer: Some(peer) },
            Event::Connected { peer },
            Event::Offered { peer, files, total },
            Event::Waiting { what: "key", peer },
            Event::Progress { bytes, total, peer: Some(peer) },
            Event::Retry { message: text(), wait: 1000, left: Some(45000), peer },
            Event::Committed {
                peer,
                files,
                bytes,
                sent: 0,
                digest: text(),
                generation: 7,
                folder: "photos",
                path: Some(text()),
                placed: Some("new"),
            },
            Event::Sealed { path: text(), files, bytes },
            Event::Opened { path: text(), files, bytes, digest: text() },
            Event::Listed { path: "text", bytes: Some(bytes) },
            Event::LeftOut { path: "text", why: "text" },
            Event::Warning { message: text() },
            Event::Rejected { address: text(), class: "identity", message: text(), count: 1 },
            Event::Error { class: "usage", exit: Some(2), message: text(), advice: text(), peer: Some(peer) },
            Event::Summary {
                committed: &["kitchen"],
                failed: &[Failed { peer: "attic", class: "unreachable", exit: 10 }],
            },
        ];
        // A new kind does not compile here until it has its example above.
        all.iter().for_each(|event| match event {
            Event::Started { .. } | Event::Identity { .. } | Event::Certificate { .. } | Event::Trusted { .. } => {}
            Event::Removed { .. } | Event::Provisioned { .. } | Event::Ready { .. } | Event::Console { .. } => {}
            Event::Code { .. } | Event::Key { .. } | Event::Asked { .. } | Event::Connected { .. } => {}
            Event::Offered { .. } | Event::Waiting { .. } | Event::Progress { .. } | Event::Retry { .. } => {}
            Event::Committed { .. } | Event::Sealed { .. } | Event::Opened { .. } | Event::Warning { .. } => {}
            Event::Rejected { .. } | Event::Error { .. } | Event::Listed { .. } | Event::LeftOut { .. } => {}
            Event::Summary { .. } | Event::Found { .. } | Event::Firmware { .. } | Event::Running { .. } => {}
        });
        all
    }

    #[test]
    fn version_1_stays_as_it_is() {
        let lines: Vec<u8> = every_event().iter().flat_map(|event| event.line().to_vec()).collect();
        assert_eq!(String::from_utf8_lossy(&lines), include_str!("events-v1.jsonl"));
    }

    #[test]
    fn what_is_optional_is_absent_or_null() {
        let line = |event: Event<'_>| String::from_utf8_lossy(&event.line()).into_owned();
        assert_eq!(line(Event::started(None)), "{\"event\":\"started\",\"v\":1}\n");
        let nowhere = Event::Ready { address: None, addresses: &[], code: None };
        assert_eq!(line(nowhere), "{\"event\":\"ready\",\"address\":null,\"addresses\":[],\"code\":null}\n");
        let endless = Event::Retry { message: "m".into(), wait: 1, left: None, peer: "p" };
        assert_eq!(line(endless), "{\"event\":\"retry\",\"message\":\"m\",\"wait\":1,\"peer\":\"p\"}\n");
        let of_a_file = Event::Key { key: "k", peer: None };
        assert_eq!(line(of_a_file), "{\"event\":\"key\",\"key\":\"k\"}\n");
    }

    #[test]
    fn every_field_is_documented() {
        let (_, page) = include_str!("../../../README.md").split_once("| event |").expect("the table is there");
        let rows: Vec<(&str, &str)> =
            page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
        for event in every_event() {
            let event: serde_json::Value = serde_json::from_slice(&event.line()).unwrap();
            let kind = format!("`{}`", event["event"].as_str().unwrap());
            let (_, text) = rows.iter().find(|(kinds, _)| kinds.contains(&kind)).unwrap_or_else(|| panic!("no {kind}"));
            for field in event.as_object().unwrap().keys().filter(|field| *field != "event") {
                assert!(text.contains(&format!("`{field}`")), "{kind} does not document {field}");
            }
        }
    }
}
