//! The network settings of a board: a part of the identity image.

use core::fmt;

use heapless::{String, Vec};
use zeroize::Zeroize;

use super::{IdentityError, NAME_MAX, is_name};

/// The network settings of a board.
#[derive(Debug)]
pub struct Network {
    /// The host name that the board sends to the DHCP server.
    pub hostname: String<NAME_MAX>,
    /// The IP address, or how to get one.
    pub address: Address,
    /// The Wi-Fi network, for a board with Wi-Fi.
    pub wifi: Option<Wifi>,
}

impl Network {
    pub(super) fn check(&self) -> Result<(), IdentityError> {
        let has_valid_wifi = self.wifi.as_ref().is_none_or(|wifi| wifi.check().is_ok());
        match self.address {
            Address::Static { prefix, .. } if prefix > 32 => Err(IdentityError::Network),
            _ if has_valid_wifi && is_name(&self.hostname) => Ok(()),
            _ => Err(IdentityError::Network),
        }
    }
}

/// How a board gets its IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// From the network's DHCP server.
    Dhcp,
    /// A fixed address.
    Static {
        /// IPv4 address.
        address: [u8; 4],
        /// The length of the subnet prefix, in bits.
        prefix: u8,
        /// The default gateway.
        gateway: Option<[u8; 4]>,
        /// The name server.
        dns: Option<[u8; 4]>,
    },
}

/// The longest name of a Wi-Fi network, in bytes.
pub const SSID_MAX: usize = 32;

/// Digits of a key that is given itself, and not derived from a passphrase.
const KEY_DIGITS: usize = 64;

/// The name and passphrase of a Wi-Fi network. [`check`](Self::check) says whether they are valid.
#[cfg_attr(feature = "wifi", derive(PartialEq, Eq))]
pub struct Wifi {
    /// The network's name.
    pub ssid: String<SSID_MAX>,
    /// The passphrase, in printable ASCII, or the key itself in 64 hexadecimal digits. An open network has none.
    pub passphrase: Vec<u8, KEY_DIGITS>,
}

/// Why a network is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WifiError {
    /// The name is empty, longer than [`SSID_MAX`], or contains control characters.
    Ssid,
    /// The passphrase is neither empty nor has 8 to 63 characters, nor is it a key of 64 hexadecimal digits.
    Length,
    /// The passphrase contains other characters than those of printable ASCII.
    Character,
}

impl fmt::Display for WifiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssid => "the name of a network has 1 to 32 bytes",
            Self::Length => {
                "a passphrase has 8 to 63 characters, or is a key of 64 hexadecimal digits; an open network has none"
            }
            Self::Character => "a passphrase consists of letters, digits, spaces and signs of ASCII",
        })
    }
}

impl core::error::Error for WifiError {}

impl Wifi {
    /// A network with a passphrase of 8 to 63 characters of printable ASCII, as in IEEE 802.11, or with a key of 64
    /// hexadecimal digits, or an open one, whose passphrase is empty.
    pub fn new(ssid: &str, passphrase: &[u8]) -> Result<Self, WifiError> {
        let ssid = check_ssid(ssid)?.try_into().map_err(|_| WifiError::Ssid)?;
        check_passphrase(passphrase)?;
        let passphrase = Vec::from_slice(passphrase).map_err(|_| WifiError::Length)?;
        Ok(Self { ssid, passphrase })
    }

    /// Whether name and passphrase are valid, as those of [`new`](Self::new) are.
    pub fn check(&self) -> Result<(), WifiError> {
        check_ssid(&self.ssid)?;
        check_passphrase(&self.passphrase)
    }

    /// Another copy of the passphrase, which is wiped when it is dropped.
    #[cfg(feature = "wifi")]
    pub(crate) fn copy(&self) -> Self {
        Self { ssid: self.ssid.clone(), passphrase: self.passphrase.clone() }
    }
}

/// Checks the name of a network.
pub(crate) fn check_ssid(ssid: &str) -> Result<&str, WifiError> {
    match ssid.len() {
        1..=SSID_MAX if !ssid.contains(char::is_control) => Ok(ssid),
        _ => Err(WifiError::Ssid),
    }
}

fn check_passphrase(passphrase: &[u8]) -> Result<(), WifiError> {
    if !passphrase.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(WifiError::Character);
    }
    match passphrase.len() {
        0 | 8..KEY_DIGITS => Ok(()),
        KEY_DIGITS if passphrase.iter().all(u8::is_ascii_hexdigit) => Ok(()),
        _ => Err(WifiError::Length),
    }
}

impl Drop for Wifi {
    fn drop(&mut self) {
        self.passphrase.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for Wifi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wifi").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}
