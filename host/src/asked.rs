//! The inputs that a command may ask its user for, and the environment variables that answer where no user is
//! present.
//!
//! [`crate::ui`] asks the question; [`crate::error`] reports a missing answer.

use zeroize::Zeroizing;

/// The input that a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
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

impl Asked {
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
        Some(Zeroizing::new(String::from_utf8_lossy(&value).into_owned()))
    }
}
