//! What a command may have to ask its person for, and what answers instead where nobody sits: the environment.
//!
//! [`crate::ui`] asks; [`crate::error`] says what was missing.

use zeroize::Zeroizing;

/// What a question asks for.
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
    /// Whether the identity is to be renewed.
    Renewal,
}

impl Asked {
    /// Its name in events and texts.
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

    /// What the environment answers. A value that is not UTF-8 is kept, to be refused for its form.
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
