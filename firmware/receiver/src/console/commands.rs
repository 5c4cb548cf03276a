//! The commands of the console: parsing and execution.

use core::fmt::Display;
use core::pin::pin;

use embedded_io_async::{Read, Write};
use waft_core::session::Clock;
use waft_core::session::own_frame::own_frame;

use super::Dialogue;
use super::terminal::{PIECE, whole};
use super::text::{self, Bytes, Code, Files};
#[cfg(feature = "announce")]
use crate::announce::WITHDRAWN_MS;
use crate::board::{Board, Load, Stack};
use crate::identity::{KeyPolicy, Policy};
use crate::operator::{Change, ChangeError, PairError, UntrustError};
use crate::settings::SettingsError;
use crate::slots::{Folder, Listed, ReadError, SlotChange, Verdict};

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
        let space = line.bytes().position(|byte| byte == b' ').unwrap_or(line.len());
        // Checked, because `split_at` would bring the text of its panic into the image.
        let (word, rest) = line.split_at_checked(space)?;
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

const HELP: &[&str] = &[
    "status       name, address, folder, room, trusted senders",
    "code         the code that a sender has to enter",
    "list         the folder's entries",
    "show PATH    the beginning of a file, as text",
    "digest       the folder's digest, as in the sender's receipt",
    "verify       reads everything back, and names every damaged file",
    "hold         keeps the folder: a transfer that needs its slot is refused",
    "release      ends `hold`",
    "decline      declines the offered folder, or ends pairing",
    "forget       forgets the folder",
    "reset-guard  lets each sender send an older folder than its last one",
    "pair         shows a code, with which a computer becomes a trusted sender",
    "trusted      who may send to this board",
    "untrust NAME takes that right from a sender, and ends its transfer",
    "policy       what senders need; `policy code on|off`, `policy key typed|sealed|either` change it",
    #[cfg(feature = "announce")]
    "`policy announce on|off` sets whether senders find this board by `waft find`",
    "factory-reset  wipes settings and folder",
    "While a key is asked for, type the key.",
];

/// What a command has done to the text of the terminal.
pub(super) enum Answer {
    /// It composed the last line, or the only one.
    Line,
    /// It has printed everything.
    Printed,
}

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    pub(super) async fn execute(&mut self, command: Command<'_>) {
        let answer = match command {
            Command::List => own_frame(pin!(self.list())).await,
            Command::Verify => own_frame(pin!(self.verify())).await,
            Command::Show(path) if !path.is_empty() => own_frame(pin!(self.show_file(path))).await,
            Command::Forget { sure: true } => own_frame(pin!(self.change_slots(SlotChange::Forget))).await,
            Command::ResetGuard => own_frame(pin!(self.change_slots(SlotChange::ResetGuard))).await,
            Command::FactoryReset { sure: true } => own_frame(pin!(self.change(Change::Reset))).await,
            Command::Policy(words) if !words.is_empty() => {
                match self.control.policy().and_then(|policy| changed(policy, words)) {
                    Some(policy) => own_frame(pin!(self.change(Change::Policy(policy)))).await,
                    None => self.compose(text::POLICY_CHANGES),
                }
            }
            Command::Untrust(name) if !name.is_empty() => own_frame(pin!(self.untrust(name))).await,
            #[cfg(feature = "wifi")]
            Command::WifiOpen(name) => own_frame(pin!(self.open_wifi(name))).await,
            #[cfg(feature = "wifi")]
            Command::ForgetWifi => own_frame(pin!(self.forget_wifi())).await,
            _ => return self.print_lines(&|dialogue, index| dialogue.answer_line(command, index)).await,
        };
        if let Answer::Line = answer {
            self.terminal.put_line().await;
        }
    }

    /// Prints lines that a function composes, from index 0 on until it returns `None`. Those for which it returns `false`
    /// do not apply.
    pub(super) async fn print_lines(&mut self, line: &dyn Fn(&mut Self, usize) -> Option<bool>) {
        let mut index = 0;
        while let Some(applies) = line(self, index) {
            if applies {
                self.terminal.put_line().await;
            }
            index += 1;
        }
    }

    /// Composes a line of the answer to a command that waits for nothing, and executes the command at the first line. Most
    /// answers have one line: the others are those before the arm for an index above 0.
    fn answer_line(&mut self, command: Command<'_>, index: usize) -> Option<bool> {
        match command {
            Command::Help => return self.help_line(index),
            Command::Status => return self.status_line(index),
            Command::Trusted => return self.trusted_line(index),
            _ if index > 0 => return None,
            Command::Code => self.compose_code(),
            Command::Policy(_) => self.compose_policy(),
            Command::Digest => match self.control.slots().folder() {
                None => self.compose_no_folder(),
                Some(folder) => self.compose(format_args!("Digest: {}", folder.digest())),
            },
            Command::Hold => {
                self.held = self.control.slots().folder();
                match self.held.as_ref().map(Folder::generation) {
                    None => self.compose_no_folder(),
                    Some(generation) => self.compose(format_args!("Generation {generation} is held.")),
                }
            }
            Command::Release => {
                let was_held = self.held.take().is_some();
                self.compose(if was_held { "The folder is no longer held." } else { "Nothing is held." })
            }
            // The session reports it.
            Command::Decline if self.control.decline() => return None,
            Command::Decline => {
                let is_closed = self.control.end_pairing();
                self.compose(if is_closed { "Pairing is closed." } else { "Nothing is offered." })
            }
            Command::Pair => match self.control.pair() {
                Ok(()) => return None,
                Err(error) => self.compose(pair_error(error)),
            },
            Command::Show(_) => self.compose("Which file? `list` lists them."),
            Command::Forget { .. } => self.compose("If you are sure, type `forget yes`."),
            Command::FactoryReset { .. } => self.compose(text::NOT_SURE),
            Command::Untrust(_) => self.compose("Whom? `trusted` lists the names."),
            #[cfg(feature = "wifi")]
            Command::Wifi("") => self.compose_wifi(),
            #[cfg(feature = "wifi")]
            Command::Wifi(name) => self.ask_passphrase(name),
            _ => return None,
        };
        Some(true)
    }

    /// Composes text in the terminal's line, which `put_line` or `put_untrusted` prints.
    pub(super) fn compose(&mut self, text: impl Display) -> Answer {
        self.terminal.compose(format_args!("{text}"));
        Answer::Line
    }

    fn help_line(&mut self, index: usize) -> Option<bool> {
        #[cfg(feature = "wifi")]
        let more = if self.control.wifi().is_some() { super::wifi::HELP } else { &[] };
        #[cfg(not(feature = "wifi"))]
        let more: &[&str] = &[];
        let line = HELP.iter().chain(more).nth(index)?;
        self.compose(line);
        Some(true)
    }

    fn status_line(&mut self, index: usize) -> Option<bool> {
        let control = self.control;
        match (index, control.identity()) {
            (0, Err(error)) => self.compose_startup_error(error),
            (0, Ok(identity)) => {
                let fingerprint = identity.certificate_hash();
                self.compose(format_args!("Name: {}, fingerprint {fingerprint}", identity.name))
            }
            (..=4, Err(_)) => return Some(false),
            (1, _) => match control.address() {
                Some(address) => self.compose(format_args!("Address: {address}")),
                None => self.compose("Address: none yet"),
            },
            (2, _) => self.compose_policy(),
            (3, _) => self.compose(format_args!("Random numbers from: {}", text::sources(control.sources()))),
            (4, _) => self.compose_code(),
            #[cfg(feature = "wifi")]
            (5, _) if control.wifi().is_some() => self.compose_wifi(),
            (6, _) => match control.slots().folder() {
                None => self.compose(control.slots().journal_error().map_or("Folder: none", text::journal_error)),
                Some(folder) => {
                    let (files, bytes) = (Files(folder.files()), Bytes(folder.bytes().into()));
                    self.compose(format_args!("Folder: {files}, {bytes}, generation {}", folder.generation()))
                }
            },
            (7, _) => self.compose(format_args!("Room: {}", Bytes(control.slots().capacity().into()))),
            (8, _) => {
                let Some(Stack { peak, size }) = B::stack() else { return Some(false) };
                self.compose(format_args!("Stack: at most {peak} of {size} bytes so far"))
            }
            (9, _) => {
                let Some(Load { longest, long, all }) = B::load() else { return Some(false) };
                let (now, most) = (control.clock().now(), Load::LONG_MS);
                self.compose(format_args!(
                    "Processor: {all} of {now} ms, at most {longest} at once, {long} times more than {most}"
                ))
            }
            (10, _) => self.compose(format_args!("Started: {}", text::start(control.start()))),
            (11.., Ok(_)) => return self.trusted_line(index - 11),
            (11.., Err(_)) => return None,
            _ => return Some(false),
        };
        Some(true)
    }

    /// Composes a line about a trusted sender, or why there are none.
    fn trusted_line(&mut self, index: usize) -> Option<bool> {
        match (self.control.identity(), index) {
            (Ok(identity), _) => match identity.senders.get(index) {
                Some(sender) => self.compose(format_args!("Trusts: {}, fingerprint {}", sender.name, sender.hash)),
                None if index == 0 => {
                    let error = self.control.settings_error();
                    self.compose(error.map_or("Trusts: nobody", text::settings_error))
                }
                None => return None,
            },
            (Err(error), 0) => self.compose_startup_error(error),
            (Err(_), _) => return None,
        };
        Some(true)
    }

    pub(super) fn compose_code(&mut self) -> Answer {
        let code = Code(self.control.code());
        self.compose(code)
    }

    async fn list(&mut self) -> Answer {
        let Some(folder) = self.control.slots().folder() else { return self.compose_no_folder() };
        let mut entries = folder.entries();
        loop {
            match entries.next().await {
                Ok(None) => return Answer::Printed,
                Ok(Some(Listed { entry, file })) => {
                    match file {
                        Some(file) => self.compose(format_args!("{:>9}  ", file.size())),
                        None => self.compose("directory  "),
                    };
                    self.terminal.put_untrusted(entry.path.as_str()).await;
                }
                Err(error) => return self.compose(read_error(error)),
            }
        }
    }

    async fn verify(&mut self) -> Answer {
        let Some(folder) = self.control.slots().folder() else { return self.compose_no_folder() };
        let Some(mut memory) = self.control.borrow_memory().await else { return self.compose(BUSY) };
        let mut verification = folder.verify(&mut memory).await;
        loop {
            match verification.next().await {
                Ok(Some((_, true))) => {}
                Ok(Some((path, false))) => {
                    self.compose("Damaged: ");
                    self.terminal.put_untrusted(path.as_str()).await;
                }
                Ok(None) => break,
                Err(error) => return self.compose(read_error(error)),
            }
        }
        match verification.verdict() {
            Verdict::Sound => self.compose("Verified: every byte is as it was received."),
            Verdict::Damaged { files } => {
                self.compose(format_args!("Damaged: {}. Send the folder again.", Files(files)))
            }
            Verdict::Manifest => self.compose("Damaged: the list of names. Send the folder again."),
        }
    }

    async fn show_file(&mut self, path: &str) -> Answer {
        let Some(folder) = self.control.slots().folder() else { return self.compose_no_folder() };
        match self.show_content(&folder, path).await {
            Ok(answer) => answer,
            Err(error) => self.compose(read_error(error)),
        }
    }

    async fn show_content(&mut self, folder: &Folder<'_, B::Mutex, B::Flash>, path: &str) -> Result<Answer, ReadError> {
        let file = folder.open(path).await?;
        if file.size() == 0 {
            return Ok(self.compose("It is empty."));
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
        match file.size() > SHOWN {
            true => Ok(self.compose(format_args!("... {} in all", Bytes(file.size().into())))),
            false => Ok(Answer::Printed),
        }
    }

    /// Changes the settings.
    async fn change(&mut self, change: Change) -> Answer {
        match (self.control.change_settings(change).await, change) {
            (Err(error), _) => self.compose(self.change_error(error)),
            (Ok(()), Change::Policy(_)) => self.compose_policy(),
            (Ok(()), Change::Reset) => {
                self.compose(if self.control.has_own_identity() { text::WIPED_OWN } else { text::WIPED });
                self.terminal.put_line().await;
                self.terminal.flush().await;
                // The board does not come back with the same identity.
                #[cfg(feature = "announce")]
                self.control.clock().sleep_until(self.control.clock().now() + WITHDRAWN_MS).await;
                self.control.restart();
                Answer::Printed
            }
        }
    }

    /// Composes what the board requires of senders.
    fn compose_policy(&mut self) -> Answer {
        let Some(policy) = self.control.policy() else {
            return self.compose("None: this board cannot receive.");
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
        self.compose(format_args!("Keys: {key}; code: {code}{announced}"))
    }

    async fn untrust(&mut self, name: &str) -> Answer {
        let text = match self.control.untrust(name).await {
            Ok(()) => "It is no longer trusted, and its transfers are forgotten.",
            Err(UntrustError::NotFound) => "No sender of that name is trusted. `trusted` lists the names.",
            Err(UntrustError::NotStored) => text::NOT_STORED,
            Err(UntrustError::Settings(error)) => self.change_error(error),
        };
        self.compose(text)
    }

    /// Why a change of the settings failed: now, or already when they were read.
    pub(super) fn change_error(&self, error: SettingsError) -> &'static str {
        if self.control.settings_error() == Some(error) {
            return text::settings_error(error);
        }
        text::change_error(error)
    }

    async fn change_slots(&mut self, change: SlotChange<'_>) -> Answer {
        let text = match (self.control.change_slots(change).await, change) {
            (Ok(()), SlotChange::Forget) => "The folder is forgotten.",
            (Ok(()), _) => "Each sender may send an older folder now.",
            (Err(ChangeError::Busy), _) => BUSY,
            (Err(ChangeError::Flash), _) => "The flash failed.",
        };
        self.compose(text)
    }

    fn compose_no_folder(&mut self) -> Answer {
        let error = self.control.slots().journal_error();
        self.compose(error.map_or("There is no folder.", text::journal_error))
    }
}

/// Why pairing is not opened.
fn pair_error(error: PairError) -> &'static str {
    match error {
        PairError::NotStored => text::NOT_STORED,
        PairError::Busy => BUSY,
        PairError::Full => "No more senders can be trusted. Take that right from one with `untrust NAME`.",
        PairError::Settings(error) => text::settings_error(error),
    }
}

/// Why the folder cannot be read.
fn read_error(error: ReadError) -> &'static str {
    match error {
        ReadError::NotFound => "The folder has no such file.",
        ReadError::IsDirectory => "That is a directory.",
        ReadError::Flash => "The flash cannot be read.",
        ReadError::Damaged => "The folder is damaged. Send it again.",
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
