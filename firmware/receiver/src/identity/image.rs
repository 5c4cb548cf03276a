//! Encoding and parsing of an identity image. The byte picture is in the parent module.

use heapless::{String, Vec};
use waft_core::certificate::CertificateHash;
use zeroize::Zeroizing;

use super::{
    Address, CERTIFICATE_MAX, Identity, IdentityError, KeyPolicy, Network, Policy, TrustedSender, TrustedSenders, Wifi,
    private_keys,
};
use crate::crc::crc32;

const MAGIC: [u8; 4] = *b"WFID";
const VERSION: u8 = 1;
/// Bytes of magic, version and length.
const HEADER: usize = 7;
const CRC: usize = 4;

const CODE: u8 = 1;
const SEALED: u8 = 2;
const ALLOW_OLDER: u8 = 4;
const EITHER: u8 = 8;
const NOT_ANNOUNCED: u8 = 16;

pub(super) fn parse_into<'p>(
    sector: &[u8],
    place: &'p mut Option<Identity>,
) -> Result<&'p mut Identity, IdentityError> {
    let mut reader = Reader(check_frame(sector)?);
    let name = reader.text()?;
    let [tls, hpke, seed] = [reader.key()?, reader.key()?, reader.key()?];
    let policy = reader.policy()?;
    let (mut certificate, senders) = (Vec::new(), TrustedSenders::new());
    reader.certificate(&mut certificate)?;
    reader.senders(&senders)?;
    let network = reader.network()?;
    if !reader.0.is_empty() {
        return Err(IdentityError::Length);
    }
    let seed = Zeroizing::new(*seed);
    let (tls, hpke) = private_keys(tls, hpke)?;
    let identity = place.insert(Identity { name, tls, hpke, seed, policy, certificate, senders, network });
    if let Err(error) = identity.check() {
        *place = None;
        return Err(error);
    }
    Ok(place.as_mut().expect("it was just inserted"))
}

/// The bytes between header and CRC, after both were checked.
fn check_frame(sector: &[u8]) -> Result<&[u8], IdentityError> {
    if Identity::is_missing(sector) {
        return Err(IdentityError::Missing);
    }
    let header = sector.first_chunk::<HEADER>().ok_or(IdentityError::Length)?;
    let [m0, m1, m2, m3, version, high, low] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(IdentityError::NotAnIdentity);
    }
    if version != VERSION {
        return Err(IdentityError::Version);
    }
    let image = sector.get(..usize::from(u16::from_be_bytes([high, low]))).ok_or(IdentityError::Length)?;
    let (covered, crc) = image.split_last_chunk::<CRC>().ok_or(IdentityError::Length)?;
    if crc32(covered) != u32::from_be_bytes(*crc) {
        return Err(IdentityError::Checksum);
    }
    covered.get(HEADER..).ok_or(IdentityError::Length)
}

/// The bytes that were not parsed yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IdentityError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(IdentityError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IdentityError> {
        self.take(N).map(|taken| taken.try_into().expect("`take` returned N bytes"))
    }

    fn byte(&mut self) -> Result<u8, IdentityError> {
        self.array().map(|[byte]| byte)
    }

    /// A private key. It is not copied.
    fn key(&mut self) -> Result<&'a [u8; 32], IdentityError> {
        self.take(32).map(|taken| taken.try_into().expect("`take` returned 32 bytes"))
    }

    fn short_bytes(&mut self) -> Result<&'a [u8], IdentityError> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn text<const N: usize>(&mut self) -> Result<String<N>, IdentityError> {
        let text = core::str::from_utf8(self.short_bytes()?).map_err(|_| IdentityError::Name)?;
        String::try_from(text).map_err(|_| IdentityError::Name)
    }

    fn policy(&mut self) -> Result<Policy, IdentityError> {
        Policy::from_bits(self.byte()?).ok_or(IdentityError::Policy)
    }

    fn certificate(&mut self, certificate: &mut Vec<u8, CERTIFICATE_MAX>) -> Result<(), IdentityError> {
        let length = u16::from_be_bytes(self.array()?);
        certificate.extend_from_slice(self.take(length.into())?).map_err(|_| IdentityError::Certificate)
    }

    fn senders(&mut self, senders: &TrustedSenders) -> Result<(), IdentityError> {
        (0..self.byte()?).try_for_each(|_| senders.add(self.sender()?))
    }

    /// Not inlined, so that no caller has the sender on its stack.
    #[inline(never)]
    fn sender(&mut self) -> Result<TrustedSender, IdentityError> {
        Ok(TrustedSender { name: self.text()?, hash: CertificateHash(self.array()?), point: self.array()? })
    }

    #[inline(never)]
    fn network(&mut self) -> Result<Network, IdentityError> {
        Ok(Network { hostname: self.text()?, address: self.address()?, wifi: self.wifi()? })
    }

    fn address(&mut self) -> Result<Address, IdentityError> {
        match self.byte()? {
            0 => Ok(Address::Dhcp),
            1 => Ok(Address::Static {
                address: self.array()?,
                prefix: self.byte()?,
                gateway: self.ipv4()?,
                dns: self.ipv4()?,
            }),
            _ => Err(IdentityError::Network),
        }
    }

    fn ipv4(&mut self) -> Result<Option<[u8; 4]>, IdentityError> {
        self.array().map(|address| (address != [0; 4]).then_some(address))
    }

    fn wifi(&mut self) -> Result<Option<Wifi>, IdentityError> {
        match self.byte()? {
            0 => Ok(None),
            1 => {
                let ssid = self.text()?;
                let passphrase = Vec::from_slice(self.short_bytes()?).map_err(|_| IdentityError::Network)?;
                Ok(Some(Wifi { ssid, passphrase }))
            }
            _ => Err(IdentityError::Network),
        }
    }
}

pub(super) fn encode(identity: &Identity, out: &mut [u8]) -> Result<usize, IdentityError> {
    identity.check()?;
    let mut writer = Writer { out, at: 0 };
    writer.write(&MAGIC)?;
    writer.write(&[VERSION, 0, 0])?;
    writer.short_bytes(identity.name.as_bytes())?;
    writer.write(&Zeroizing::new(<[u8; 32]>::from(identity.tls.to_bytes()))[..])?;
    writer.write(&identity.hpke.to_bytes()[..])?;
    writer.write(&identity.seed[..])?;
    writer.write(&[identity.policy.bits()])?;
    writer.write(&(identity.certificate.len() as u16).to_be_bytes())?;
    writer.write(&identity.certificate)?;
    writer.write(&[identity.senders.len() as u8])?;
    identity.senders.try_for_each(|sender| writer.sender(sender))?;
    writer.network(&identity.network)?;
    writer.finish()
}

impl Policy {
    /// The policy with these bits, unless they are unknown.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        if bits & !(CODE | SEALED | ALLOW_OLDER | EITHER | NOT_ANNOUNCED) != 0 {
            return None;
        }
        let key = match bits & (SEALED | EITHER) {
            0 => KeyPolicy::Typed,
            SEALED => KeyPolicy::Sealed,
            EITHER => KeyPolicy::Either,
            _ => return None,
        };
        let is = |bit| bits & bit != 0;
        Some(Self { code: is(CODE), key, allow_older: is(ALLOW_OLDER), announce: !is(NOT_ANNOUNCED) })
    }

    /// The bits of the policy, as in the image.
    pub(crate) fn bits(self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        let key = match self.key {
            KeyPolicy::Typed => 0,
            KeyPolicy::Sealed => SEALED,
            KeyPolicy::Either => EITHER,
        };
        bit(self.code, CODE) | key | bit(self.allow_older, ALLOW_OLDER) | bit(!self.announce, NOT_ANNOUNCED)
    }
}

/// A buffer, and the number of bytes that were written to it.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IdentityError> {
        let target = self.out.get_mut(self.at..self.at + bytes.len()).ok_or(IdentityError::Length)?;
        target.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    /// Writes at most 64 bytes after their length. The types of the fields limit the length.
    fn short_bytes(&mut self, bytes: &[u8]) -> Result<(), IdentityError> {
        self.write(&[bytes.len() as u8])?;
        self.write(bytes)
    }

    fn sender(&mut self, sender: &TrustedSender) -> Result<(), IdentityError> {
        self.short_bytes(sender.name.as_bytes())?;
        self.write(&sender.hash.0)?;
        self.write(&sender.point)
    }

    fn network(&mut self, network: &Network) -> Result<(), IdentityError> {
        self.short_bytes(network.hostname.as_bytes())?;
        match network.address {
            Address::Dhcp => self.write(&[0])?,
            Address::Static { address, prefix, gateway, dns } => {
                self.write(&[1])?;
                self.write(&address)?;
                self.write(&[prefix])?;
                self.write(&gateway.unwrap_or_default())?;
                self.write(&dns.unwrap_or_default())?;
            }
        }
        match &network.wifi {
            None => self.write(&[0]),
            Some(Wifi { ssid, passphrase }) => {
                self.write(&[1])?;
                self.short_bytes(ssid.as_bytes())?;
                self.short_bytes(passphrase)
            }
        }
    }

    fn finish(mut self) -> Result<usize, IdentityError> {
        let length = self.at + CRC;
        self.out[HEADER - 2..HEADER].copy_from_slice(&(length as u16).to_be_bytes());
        let crc = crc32(&self.out[..self.at]);
        self.write(&crc.to_be_bytes())?;
        Ok(length)
    }
}

// The longest image, with all fields at their limits, fits.
const _: () = {
    use super::{IMAGE_MAX, NAME_MAX, SENDERS_MAX};
    const SENDER: usize = 1 + NAME_MAX + 32 + 65;
    const NETWORK: usize = 1 + NAME_MAX + 14 + 1 + 33 + 65;
    assert!(
        HEADER + 1 + NAME_MAX + 3 * 32 + 1 + 2 + CERTIFICATE_MAX + 1 + SENDERS_MAX * SENDER + NETWORK + CRC
            <= IMAGE_MAX
    );
};
