//! The commands of the console: parsing and execution.

use core::pin::pin;

use embedded_io_async::{Read, Write};
use waft_core::session::Clock;
use waft_core::session::own_frame::own_frame;

use super::Dialogue;
use super::terminal::{PIECE, whole};
use super::text::{self, Bytes, Files};
#[cfg(feature = "announce")]
use crate::announce::WITHDRAWN_MS;
use crate::board::{Board, Load, Stack};
use crate::identity::{Identity, KeyPolicy, Policy};
use crate::operator::{Change, ChangeError, PairError, UntrustError};
use crate::settings::SettingsError;
use crate::slots::{Folder, Listed, ReadError, Verdict};

/// The most bytes of a file that `show` prints.
const SHOWN: u32 = 4 << 10;

/// The answer to a command that needs what a session uses.
const BUSY: &str = "A transfer is running. Try again when it is over.";

/// A command that the user typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'l> {
    Help,
    Status,
    Code,
    List,
    Digest,
    Verify,
    Show(&'l str),
    Hold,
    Release,
    Decline,
    Forget {
        sure: bool,
    },
    ResetGuard,
    FactoryReset {
        sure: bool,
    },
    Policy(&'l str),
    Pair,
    Trusted,
    Untrust(&'l str),
    #[cfg(feature = "wifi")]
    Wifi(&'l str),
    #[cfg(feature = "wifi")]
    WifiOpen(&'l str),
    #[cfg(feature = "wifi")]
    ForgetWifi,
}

impl<'l> Command<'l> {
    pub(super) fn parse(line: &'l str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match (word, rest.trim_ascii()) {
            ("help" | "?", "") => Self::Help,
            ("status", "") => Self::Status,
            ("code", "") => Self::Code,
            ("list", "") => Self::List,
            ("digest", "") => Self::Digest,
            ("verify", "") => Self::Verify,
            ("show", path) => Self::Show(path),
            ("hold", "") => Self::Hold,
            ("release", "") => Self::Release,
            ("decline", "") => Self::Decline,
            ("forget", sure) => Self::Forget { sure: sure == "yes" },
            ("reset-guard", "") => Self::ResetGuard,
            ("factory-reset", sure) => Self::FactoryReset { sure: sure == "yes" },
            ("policy", change) => Self::Policy(change),
            ("pair", "") => Self::Pair,
            ("trusted", "") => Self::Trusted,
            ("untrust", name) => Self::Untrust(name),
            #[cfg(feature = "wifi")]
            ("wifi", name) => Self::Wifi(name),
            #[cfg(feature = "wifi")]
            ("wifi-open", name) => Self::WifiOpen(name),
            #[cfg(feature = "wifi")]
            ("forget-wifi", "") => Self::ForgetWifi,
            _ => return None,
        })
    }
}

const HELP: [&str; 17] = [
    "status       name, address, trusted senders, folder, free space",
    "code         the code that a sender has to enter",
    "list         the folder's entries",
    "show PATH    the beginning of a file, as text",
    "digest       the folder's digest, as in the sender's receipt",
    "verify       reads everything back, and names every damaged file",
    "hold         keeps the current folder: a transfer that needs its slot is refused",
    "release      ends `hold`",
    "decline      declines the offered folder, or ends pairing",
    "forget       forgets the folder",
    "reset-guard  allows each sender to send an older folder than its last one",
    "pair         shows a code, with which a computer becomes a trusted sender",
    "trusted      the senders that may send to this board",
    "untrust NAME takes that right from a sender, and ends its transfer",
    "policy       what senders need; `policy code on|off`, `policy key typed|sealed|either` change it",
    "factory-reset  wipes settings and folder",
    "While a key is asked for, type the key.",
];

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    pub(super) async fn execute(&mut self, command: Command<'_>) {
        match command {
            Command::Help => {
                for line in HELP {
                    self.terminal.print(line).await;
                }
                #[cfg(feature = "announce")]
                self.terminal
                    .print("`policy announce on|off` sets whether senders find this board by `waft find`")
                    .await;
                #[cfg(feature = "wifi")]
                self.help_with_wifi().await;
            }
            Command::Status => own_frame(pin!(self.status())).await,
            Command::Code => self.show_code().await,
            Command::List => own_frame(pin!(self.list())).await,
            Command::Digest => self.digest().await,
            Command::Verify => own_frame(pin!(self.verify())).await,
            Command::Show("") => self.terminal.print("Which file? `show PATH` shows one; `list` lists them.").await,
            Command::Show(path) => own_frame(pin!(self.show_file(path))).await,
            Command::Hold => self.hold().await,
            Command::Release => self.release().await,
            Command::Decline => self.decline().await,
            Command::Forget { sure: false } => self.terminal.print("If you are sure, type `forget yes`.").await,
            Command::Forget { sure: true } => own_frame(pin!(self.forget())).await,
            Command::ResetGuard => self.reset_guard().await,
            Command::FactoryReset { sure: false } => self.terminal.print(text::NOT_SURE).await,
            Command::FactoryReset { sure: true } => own_frame(pin!(self.change(Change::Reset))).await,
            Command::Policy("") => self.print_policy().await,
            Command::Policy(words) => match self.control.policy().and_then(|policy| changed(policy, words)) {
                Some(policy) => own_frame(pin!(self.change(Change::Policy(policy)))).await,
                None => self.terminal.print(text::POLICY_CHANGES).await,
            },
            Command::Pair => self.pair().await,
            Command::Trusted => self.trusted().await,
            Command::Untrust("") => self.terminal.print("Whom? `untrust NAME`; `trusted` lists the names.").await,
            Command::Untrust(name) => own_frame(pin!(self.untrust(name))).await,
            #[cfg(feature = "wifi")]
            Command::Wifi("") => self.print_wifi().await,
            #[cfg(feature = "wifi")]
            Command::Wifi(name) => self.ask_passphrase(name).await,
            #[cfg(feature = "wifi")]
            Command::WifiOpen(name) => own_frame(pin!(self.open_wifi(name))).await,
            #[cfg(feature = "wifi")]
            Command::ForgetWifi => own_frame(pin!(self.forget_wifi())).await,
        }
    }

    async fn status(&mut self) {
        self.print_identity().await;
        #[cfg(feature = "wifi")]
        if self.control.wifi().is_some() {
            self.print_wifi().await;
        }
        match self.control.slots().folder() {
            None => {
                self.terminal
                    .print(self.control.slots().journal_error().map_or("Folder: none", text::journal_error))
                    .await
            }
            Some(folder) => {
                let (files, bytes) = (Files(folder.files()), Bytes(folder.bytes().into()));
                let generation = folder.generation();
                self.terminal.print(format_args!("Folder: {files}, {bytes}, generation {generation}")).await;
            }
        }
        self.terminal.print(format_args!("Room: {}", Bytes(self.control.slots().capacity().into()))).await;
        if let Some(Stack { peak, size }) = B::stack() {
            self.terminal.print(format_args!("Stack: at most {peak} of {size} bytes so far")).await;
        }
        if let Some(Load { longest, long, all }) = B::load() {
            let (now, most) = (self.control.clock().now(), Load::LONG_MS);
            let text =
                format_args!("Processor: {all} of {now} ms, at most {longest} at once, {long} times more than {most}");
            self.terminal.print(text).await;
        }
        self.terminal.print(format_args!("Started: {}", text::start(self.control.start()))).await;
    }

    async fn print_identity(&mut self) {
        let identity = match self.control.identity() {
            Ok(identity) => identity,
            Err(error) => return self.explain(error).await,
        };
        let fingerprint = identity.certificate_hash();
        self.terminal.print(format_args!("Name: {}, fingerprint {fingerprint}", identity.name)).await;
        match self.control.address() {
            Some(address) => self.terminal.print(format_args!("Address: {address}")).await,
            None => self.terminal.print("Address: none yet").await,
        }
        self.print_trusted(identity).await;
        self.print_policy().await;
        self.terminal.print(format_args!("Random numbers from: {}", text::sources(self.control.sources()))).await;
        self.show_code().await;
    }

    async fn print_trusted(&mut self, identity: &Identity) {
        let mut index = 0;
        while let Some(sender) = identity.senders.get(index) {
            self.terminal.print(format_args!("Trusts: {}, fingerprint {}", sender.name, sender.hash)).await;
            index += 1;
        }
        if index == 0 {
            self.terminal.print(self.control.settings_error().map_or("Trusts: nobody", text::settings_error)).await;
        }
    }

    async fn list(&mut self) {
        let Some(folder) = self.control.slots().folder() else { return self.print_no_folder().await };
        let mut entries = folder.entries();
        loop {
            match entries.next().await {
                Ok(None) => return,
                Ok(Some(Listed { entry, file: Some(file) })) => {
                    self.terminal.print_untrusted(format_args!("{:>9}  ", file.size()), entry.path.as_str()).await;
                }
                Ok(Some(Listed { entry, file: None })) => {
                    self.terminal.print_untrusted("directory  ", entry.path.as_str()).await;
                }
                Err(error) => return self.print_read_error(error).await,
            }
        }
    }

    async fn digest(&mut self) {
        match self.control.slots().folder() {
            None => self.print_no_folder().await,
            Some(folder) => self.terminal.print(format_args!("Digest: {}", folder.digest())).await,
        }
    }

    async fn verify(&mut self) {
        let Some(folder) = self.control.slots().folder() else { return self.print_no_folder().await };
        let Some(mut memory) = self.control.borrow_memory().await else {
            return self.terminal.print(BUSY).await;
        };
        let mut verification = folder.verify(&mut memory).await;
        loop {
            match verification.next().await {
                Ok(Some((_, true))) => {}
                Ok(Some((path, false))) => self.terminal.print_untrusted("Damaged: ", path.as_str()).await,
                Ok(None) => break,
                Err(error) => return self.print_read_error(error).await,
            }
        }
        match verification.verdict() {
            Verdict::Sound => self.terminal.print("Verified: every byte is as it was received.").await,
            Verdict::Damaged { files } => {
                self.terminal.print(format_args!("Damaged: {}. Send the folder again.", Files(files))).await;
            }
            Verdict::Manifest => self.terminal.print("Damaged: the list of names. Send the folder again.").await,
        }
    }

    async fn show_file(&mut self, path: &str) {
        let Some(folder) = self.control.slots().folder() else { return self.print_no_folder().await };
        if let Err(error) = self.show_content(&folder, path).await {
            self.print_read_error(error).await;
        }
    }

    async fn show_content(&mut self, folder: &Folder<'_, B::Mutex, B::Flash>, path: &str) -> Result<(), ReadError> {
        let file = folder.open(path).await?;
        if file.size() == 0 {
            self.terminal.print("It is empty.").await;
        }
        let (mut at, mut piece) = (0, [0; PIECE + 1]);
        while at < file.size().min(SHOWN) {
            let read = file.read_at(at, &mut piece).await?;
            let line = piece[..read].iter().position(|byte| *byte == b'\n');
            let text = &piece[..line.unwrap_or_else(|| whole(&piece[..read]))];
            let shown = if line.is_some() { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
            self.terminal.add_untrusted(shown).await;
            at += text.len() as u32 + u32::from(line.is_some());
            if line.is_some() || at >= file.size().min(SHOWN) {
                self.terminal.end().await;
            }
        }
        if file.size() > SHOWN {
            self.terminal.print(format_args!("... {} in all", Bytes(file.size().into()))).await;
        }
        Ok(())
    }

    async fn hold(&mut self) {
        self.held = self.control.slots().folder();
        match &self.held {
            None => self.print_no_folder().await,
            Some(folder) => {
                let generation = folder.generation();
                self.terminal.print(format_args!("Generation {generation} is held.")).await;
            }
        }
    }

    async fn release(&mut self) {
        let text = match self.held.take() {
            Some(_) => "The folder is no longer held.",
            None => "Nothing is held.",
        };
        self.terminal.print(text).await;
    }

    async fn decline(&mut self) {
        if !self.control.decline() {
            let is_closed = self.control.end_pairing();
            self.terminal.print(if is_closed { "Pairing is closed." } else { "Nothing is offered." }).await;
        }
    }

    async fn forget(&mut self) {
        let done = self.control.forget().await;
        self.print_change(done, "The folder is forgotten.").await;
    }

    async fn reset_guard(&mut self) {
        let done = self.control.reset_guard().await;
        self.print_change(done, "Each sender may send an older folder now.").await;
    }

    /// Changes the settings.
    async fn change(&mut self, change: Change) {
        let changed = self.control.change_settings(change).await;
        let text = match (changed, change) {
            (Ok(()), Change::Policy(_)) => return self.print_policy().await,
            (Ok(()), Change::Reset) if self.control.has_own_identity() => text::WIPED_OWN,
            (Ok(()), Change::Reset) => text::WIPED,
            (Err(error), _) => self.change_error(error),
        };
        self.terminal.print(text).await;
        if changed.is_ok() {
            self.terminal.flush().await;
            // The board does not come back with the same identity.
            #[cfg(feature = "announce")]
            self.control.clock().sleep_until(self.control.clock().now() + WITHDRAWN_MS).await;
            self.control.restart();
        }
    }

    /// Prints what the board requires of senders.
    async fn print_policy(&mut self) {
        let Some(policy) = self.control.policy() else {
            return self.terminal.print("None: this board cannot receive.").await;
        };
        let code = if policy.code { "asked for" } else { "not asked for" };
        let key = match policy.key {
            KeyPolicy::Typed => "typed here",
            KeyPolicy::Sealed => "sealed to this board",
            KeyPolicy::Either => "typed here or sealed to this board, as the sender wants",
        };
        let announced = match (cfg!(feature = "announce"), policy.announce) {
            (false, _) => "",
            (true, true) => "; announced on the network",
            (true, false) => "; not announced on the network",
        };
        self.terminal.print(format_args!("Keys: {key}; code: {code}{announced}")).await;
    }

    async fn pair(&mut self) {
        let text = match self.control.pair() {
            Ok(()) => return,
            Err(PairError::NotStored) => text::NOT_STORED,
            Err(PairError::Busy) => BUSY,
            Err(PairError::Full) => {
                "As many senders are trusted as can be: take that right from one with `untrust NAME`."
            }
            Err(PairError::Settings(error)) => text::settings_error(error),
        };
        self.terminal.print(text).await;
    }

    async fn trusted(&mut self) {
        match self.control.identity() {
            Ok(identity) => self.print_trusted(identity).await,
            Err(error) => self.explain(error).await,
        }
    }

    async fn untrust(&mut self, name: &str) {
        let text = match self.control.untrust(name).await {
            Ok(()) => "It is no longer trusted, and its transfers are forgotten.",
            Err(UntrustError::NotFound) => "No sender of that name is trusted. `trusted` lists the names.",
            Err(UntrustError::NotStored) => text::NOT_STORED,
            Err(UntrustError::Settings(error)) => self.change_error(error),
        };
        self.terminal.print(text).await;
    }

    /// Why a change of the settings failed: now, or already when they were read.
    pub(super) fn change_error(&self, error: SettingsError) -> &'static str {
        if self.control.settings_error() == Some(error) {
            return text::settings_error(error);
        }
        text::change_error(error)
    }

    async fn print_change(&mut self, done: Result<(), ChangeError>, success: &'static str) {
        let text = match done {
            Ok(()) => success,
            Err(ChangeError::Busy) => BUSY,
            Err(ChangeError::Flash) => "The flash failed.",
        };
        self.terminal.print(text).await;
    }

    async fn print_no_folder(&mut self) {
        let error = self.control.slots().journal_error();
        self.terminal.print(error.map_or("There is no folder.", text::journal_error)).await;
    }

    async fn print_read_error(&mut self, error: ReadError) {
        let text = match error {
            ReadError::NotFound => "The folder has no such file.",
            ReadError::IsDirectory => "That is a directory.",
            ReadError::Flash => "The flash cannot be read.",
            ReadError::Damaged => "The folder is damaged. Send it again.",
        };
        self.terminal.print(text).await;
    }
}

/// The policy after a change that the user typed, or `None` if there is no such change.
fn changed(mut policy: Policy, words: &str) -> Option<Policy> {
    match words {
        "code on" => policy.code = true,
        "code off" => policy.code = false,
        "key typed" => policy.key = KeyPolicy::Typed,
        "key sealed" => policy.key = KeyPolicy::Sealed,
        "key either" => policy.key = KeyPolicy::Either,
        "announce on" if cfg!(feature = "announce") => policy.announce = true,
        "announce off" if cfg!(feature = "announce") => policy.announce = false,
        _ => return None,
    }
    Some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_distinguished_from_keys() {
        assert_eq!(Command::parse("show a b/c d.txt"), Some(Command::Show("a b/c d.txt")));
        assert_eq!(Command::parse("forget"), Some(Command::Forget { sure: false }));
        assert_eq!(Command::parse("forget yes"), Some(Command::Forget { sure: true }));
        #[cfg(feature = "wifi")]
        assert_eq!(Command::parse("wifi  my network "), Some(Command::Wifi("my network")));
        #[cfg(feature = "wifi")]
        assert_eq!(Command::parse("wifi-open my network"), Some(Command::WifiOpen("my network")));
        for line in ["", "0123-4567-89AB-CDEF", "list all", "STATUS"] {
            assert_eq!(Command::parse(line), None, "{line}");
        }
    }
}
