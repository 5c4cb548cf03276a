//! How a board gets onto its network: part of the identity image.

use core::fmt;

use heapless::{String, Vec};
use zeroize::Zeroize;

use super::{IdentityError, NAME_MAX, is_name};

/// How a board gets onto its network.
#[derive(Debug)]
pub struct Network {
    /// What it calls itself there.
    pub hostname: String<NAME_MAX>,
    /// Its address.
    pub address: Address,
    /// Where it has Wi-Fi: the network's name and passphrase.
    pub wifi: Option<Wifi>,
}

impl Network {
    pub(super) fn check(&self) -> Result<(), IdentityError> {
        let wifi = self.wifi.as_ref().is_none_or(|wifi| !wifi.ssid.is_empty());
        match self.address {
            Address::Static { prefix, .. } if prefix > 32 => Err(IdentityError::Network),
            _ if wifi && is_name(&self.hostname) => Ok(()),
            _ => Err(IdentityError::Network),
        }
    }
}

/// Where a board's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// From the network's DHCP server.
    Dhcp,
    /// It is given here.
    Static {
        /// IPv4 address.
        address: [u8; 4],
        /// Leading bits that the subnet shares.
        prefix: u8,
        /// Way out of the subnet.
        gateway: Option<[u8; 4]>,
        /// Name server.
        dns: Option<[u8; 4]>,
    },
}

/// The name and passphrase of a Wi-Fi network.
pub struct Wifi {
    /// The network's name.
    pub ssid: String<32>,
    /// Its passphrase: printable ASCII.
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
