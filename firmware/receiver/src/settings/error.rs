//! Why settings cannot be read or changed.

use core::fmt;

/// Why the settings cannot be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SettingsError {
    /// No copy is complete. Nobody is trusted. The next change begins new settings.
    Lost,
    /// The flash could not be read. Nobody is trusted. A later boot may find the settings, so nothing is changed, except by a
    /// factory reset.
    Unreadable,
    /// Another version of the firmware wrote the settings. Nobody is trusted, and nothing is changed.
    OtherVersion,
    /// The flash could not be erased or written, or did not keep what was written. If [`mount`] failed so, nobody is trusted,
    /// and nothing is changed until a later boot, except by a factory reset.
    ///
    /// [`mount`]: super::Settings::mount
    Flash,
    /// The Wi-Fi network is invalid: see [`Wifi::check`](crate::identity::Wifi::check). Nothing was changed.
    Network,
    /// As many senders are trusted as can be.
    Full,
    /// The settings were not mounted yet.
    NotMounted,
    /// A factory reset has begun. Nobody is trusted. The next start completes it.
    Reset,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the settings are lost",
            Self::Unreadable => "the settings cannot be read",
            Self::OtherVersion => "another version of the firmware wrote the settings",
            Self::Flash => "the flash failed",
            Self::Network => "the Wi-Fi network is invalid",
            Self::Full => "as many senders are trusted as can be",
            Self::NotMounted => "the settings were not mounted",
            Self::Reset => "a factory reset has begun, and the next start completes it",
        })
    }
}

impl core::error::Error for SettingsError {}
