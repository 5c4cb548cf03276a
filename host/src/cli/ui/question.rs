//! The questions that a command may ask its user, and the environment variables that answer where no user is present.

use zeroize::Zeroizing;

use crate::cli::ui::text::from_utf8_lossy;
use crate::error::{Class, Error};

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The 4-digit code.
    Code,
    /// The transfer key.
    Key,
    /// A folder to send.
    Folder,
    /// A receiver.
    Receiver,
    /// The passphrase of a Wi-Fi network.
    Passphrase,
    /// Whether to renew the identity.
    Renewal,
}

impl Question {
    /// The name of this input in events and texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Key => "key",
            Self::Folder => "folder",
            Self::Receiver => "receiver",
            Self::Passphrase => "passphrase",
            Self::Renewal => "renewal",
        }
    }

    /// The answer from the environment, if its variable is set. A value that is not UTF-8 is converted lossily, so
    /// that the parser rejects its format.
    pub(crate) fn in_environment(self) -> Option<Zeroizing<String>> {
        let name = match self {
            Self::Code => "WAFT_AUTH_CODE",
            Self::Key => "WAFT_KEY",
            Self::Passphrase => "WAFT_WIFI_PASSPHRASE",
            Self::Folder | Self::Receiver | Self::Renewal => return None,
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
        Question::Code => Class::Code,
        Question::Key => Class::Key,
        Question::Folder | Question::Receiver | Question::Passphrase | Question::Renewal => Class::Usage,
    };
    let advice = match question {
        Question::Code => {
            "Run it on a terminal, write the code as a line to its standard input, or set WAFT_AUTH_CODE."
        }
        Question::Key => {
            "Run it on a terminal, write the key as a line to its standard input, or set WAFT_KEY. `waft receive --no-key` \
             asks for none."
        }
        Question::Passphrase => {
            "Run it on a terminal, write the passphrase as a line to its standard input, or set WAFT_WIFI_PASSPHRASE."
        }
        Question::Renewal => {
            "The identity is as it was. Run it on a terminal, or renew without a question: `waft id --renew --yes`."
        }
        Question::Folder | Question::Receiver => "Give it as an argument: `waft send FOLDER TO`.",
    };
    Error::new(class, format!("No answer was given for the {}.", question.name()), advice)
}
