//! The questions that a command may ask its user, the environment variables that answer where no user is present, and the
//! formats of codes and keys: parsing what a user types, and showing them to a user.

use std::fmt;

use rand_core::OsRng;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::pairing::PairingCode;
use zeroize::Zeroizing;

use crate::cli::ui::text::from_utf8_lossy;
use crate::cli::ui::{Ui, secret};
use crate::error::{Class, Error};

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The 4-digit code.
    Code,
    /// The code that another machine shows for pairing.
    PairingCode,
    /// The transfer key.
    Key,
    /// A folder to send.
    Folder,
    /// A receiver.
    Receiver,
    /// Which of the machines that wait for a pairing.
    Machine,
    /// A name for another machine.
    Name,
    /// The passphrase of a Wi-Fi network.
    Passphrase,
    /// Whether to renew the identity.
    Renewal,
    /// Whether to flash a board.
    Confirmation,
}

impl Question {
    /// The name of this input in events and texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::PairingCode => "pairing-code",
            Self::Key => "key",
            Self::Folder => "folder",
            Self::Receiver => "receiver",
            Self::Machine => "machine",
            Self::Name => "name",
            Self::Passphrase => "passphrase",
            Self::Renewal => "renewal",
            Self::Confirmation => "confirmation",
        }
    }

    /// The answer from the environment, if its variable is set. A value that is not UTF-8 is converted lossily, so
    /// that the parser rejects its format.
    pub(crate) fn in_environment(self) -> Option<Zeroizing<String>> {
        let name = match self {
            Self::Code => "WAFT_AUTH_CODE",
            Self::PairingCode => "WAFT_PAIRING_CODE",
            Self::Key => "WAFT_KEY",
            Self::Passphrase => "WAFT_WIFI_PASSPHRASE",
            Self::Folder | Self::Receiver | Self::Machine | Self::Name | Self::Renewal | Self::Confirmation => {
                return None;
            }
        };
        let value = Zeroizing::new(std::env::var_os(name)?.into_encoded_bytes());
        Some(from_utf8_lossy(&value))
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// Standard input ended or is not available.
    NoAnswer(Question),
    /// The answer has a wrong format, for this reason.
    Malformed(Question, String),
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoAnswer(question) => no_answer(question),
            AskError::Malformed(Question::Code, why) => Self::new(
                Class::Code,
                format!("That is not a code: {why}."),
                "A code is the four digits that the receiver shows.",
            ),
            AskError::Malformed(Question::PairingCode, why) => Self::new(
                Class::Code,
                format!("That is not a pairing code: {why}."),
                "A pairing code is the six or more digits that the other machine shows.",
            ),
            AskError::Malformed(Question::Key, why) => Self::new(
                Class::Key,
                format!("That is not a key: {why}."),
                "Take it as the sender, or `waft seal`, showed it: four groups of four.",
            ),
            AskError::Malformed(_, why) => Self::usage(why),
        }
    }
}

fn no_answer(question: Question) -> Error {
    let class = match question {
        Question::Code | Question::PairingCode => Class::Code,
        Question::Key => Class::Key,
        Question::Folder | Question::Receiver | Question::Machine | Question::Name => Class::Usage,
        Question::Passphrase | Question::Renewal | Question::Confirmation => Class::Usage,
    };
    let advice = match question {
        Question::Code => {
            "Run it on a terminal, write the code as a line to its standard input, or set WAFT_AUTH_CODE."
        }
        Question::PairingCode => {
            "Run it on a terminal, write the code as a line to its standard input, or set WAFT_PAIRING_CODE."
        }
        Question::Key => {
            "Run it on a terminal, write the key as a line to its standard input, or set WAFT_KEY. `waft receive --sealed-key` \
             asks for none."
        }
        Question::Passphrase => {
            "Run it on a terminal, write the passphrase as a line to its standard input, or set WAFT_WIFI_PASSPHRASE."
        }
        Question::Renewal => {
            "The identity is as it was. Run it on a terminal, or renew without a question: `waft id --renew --yes`."
        }
        Question::Confirmation => {
            "Nothing was flashed. Run it on a terminal, or flash without a question: `waft flash NAME --yes`."
        }
        Question::Machine | Question::Name => "Give it as an argument: `waft pair NAME@ADDRESS`.",
        Question::Folder | Question::Receiver => "Give it as an argument: `waft send FOLDER TO`.",
    };
    Error::new(class, format!("No answer was given for the {}.", question.name()), advice)
}

/// Parses a key. The error text says what is wrong with the format. Keys are boxed, because a key that is moved leaves
/// copies on the stack, and futures that are moved to the heap take such copies with them.
pub(crate) fn key_form(text: &str) -> Result<Box<TransferKey>, String> {
    let mut key = Box::new(TransferKey::empty());
    key.read(text).map_err(|error| error.to_string())?;
    Ok(key)
}

/// Makes a fresh key for a run or a sealed file.
pub(crate) fn new_key() -> Box<TransferKey> {
    let mut key = Box::new(TransferKey::empty());
    key.randomize(&mut OsRng);
    key
}

/// Parses a code. The error text says what is wrong with the format.
pub(crate) fn code_form(text: &str) -> Result<AuthCode, String> {
    AuthCode::parse(text.trim()).map_err(|_| "it does not have just four digits".into())
}

/// Parses a pairing code. The error text says what is wrong with the format.
pub(crate) fn pairing_code_form(text: &str) -> Result<PairingCode, String> {
    PairingCode::parse(text).map_err(|error| error.to_string())
}

/// Parses the answer to a question of yes or no. An empty one is no.
pub(crate) fn yes_or_no(answer: &str) -> Result<bool, String> {
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" | "" => Ok(false),
        _ => Err("type yes or no".to_owned()),
    }
}

/// Shows a key in groups; under `--verbose` also in words of a spelling alphabet.
pub(crate) fn show_key(ui: &Ui, key: &TransferKey) {
    show_labelled_key(ui, "Key", key);
}

/// Shows the key for one of several receivers.
pub(crate) fn show_key_for(ui: &Ui, peer: &str, key: &TransferKey) {
    show_labelled_key(ui, &format!("Key for {peer}"), key);
}

fn show_labelled_key(ui: &Ui, label: &str, key: &TransferKey) {
    let shown = secret(key.display());
    let groups = fmt::from_fn(|f| shown.split('-').try_for_each(|group| write!(f, "  {group}")));
    ui.must(secret(format_args!("{label}: {groups}")).as_str());
    if ui.is_verbose() {
        for group in shown.split('-') {
            ui.detail(secret(format_args!("  {group}  {}", spoken(group))).as_str());
        }
    }
}

/// Shows a code with spaces between its digits, so that it is easy to read from a distance.
pub(crate) fn show_code(ui: &Ui, what: &str, code: &AuthCode) {
    let wide = fmt::from_fn(|f| code.digits().iter().try_for_each(|digit| write!(f, " {}", char::from(*digit))));
    ui.must(secret(format_args!("{what}: {wide}")).as_str());
}

/// One word per character of a group, from the ICAO spelling alphabet, each with a leading space.
fn spoken(group: &str) -> impl fmt::Display {
    fmt::from_fn(|f| group.chars().try_for_each(|character| write!(f, " {}", word(character))))
}

fn word(character: char) -> &'static str {
    const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    const LETTERS: [&str; 26] = [
        "Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima",
        "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey",
        "X-ray", "Yankee", "Zulu",
    ];
    match character {
        '0'..='9' => DIGITS[character as usize - '0' as usize],
        'A'..='Z' => LETTERS[character as usize - 'A' as usize],
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_can_be_read_out() {
        assert_eq!(spoken("0AZ9").to_string(), " zero Alfa Zulu nine");
    }
}
