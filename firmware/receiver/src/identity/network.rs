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
        let has_valid_wifi = self.wifi.as_ref().is_none_or(|wifi| !wifi.ssid.is_empty());
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

/// The name and passphrase of a Wi-Fi network.
pub struct Wifi {
    /// The network's name.
    pub ssid: String<32>,
    /// The passphrase, in printable ASCII.
    pub passphrase: Vec<u8, 64>,
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
