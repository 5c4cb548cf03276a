//! Target for the settings in flash. Any content of their two sectors can be mounted and changed without a panic. A second
//! mount shows the same list and the same identity, and what was removed or reset is not in the flash.

use std::cell::RefCell;

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use waft_core::sealed::HpkeSecret;
use waft_receiver::entropy::Trng;
use waft_receiver::identity::{CertificateHash, Identity, KeyPolicy, POINT, Policy, TrustedSender, TrustedSenders};
use waft_receiver::settings::{Settings, SettingsError};

use crate::crc32;
use crate::flash::{BLOCK, Flash};

/// Bytes of a cell, of a sender, and of the prefix of a head.
const CELL: usize = 32;
const SENDER: usize = 4 * CELL;
const PREFIX: usize = 12;
/// The number of senders in each sector of the input.
const SENDERS: usize = 2;
/// The first LIVE mark.
const LIVE: usize = 2 * CELL + 8 * SENDER;
/// The network, after the marks, and its bytes.
const NETWORK: usize = LIVE + 4 * CELL;
const NETWORK_BYTES: usize = 3 * CELL;
/// Bytes of a sector in the input: a copy, and its marks.
const SECTOR: usize = 2 * CELL + SENDERS * SENDER + 4 * CELL;

/// The offsets of the two sectors.
const SECTORS: [u32; 2] = [0, BLOCK as u32];
/// The flag of a board that makes its own identity.
const OWN: u8 = 16;
/// The flag of a factory reset.
const RESET: u8 = 32;

thread_local! {
    /// The identity of a board that trusts one sender. It is made only once, because that takes long.
    static IDENTITY: RefCell<Identity> = RefCell::new(identity());
}

/// The input is a byte of flags, both sectors, each a copy with two senders and the marks, and then the networks of both.
/// Where a flag is set, a copy gets a valid head, or the origin of the identity. With another flag, the board makes its own
/// identity, and with the last one a factory reset ends the run.
pub fn run(data: &[u8]) {
    let [flags, rest @ ..] = data else { return };
    let mut flash = Flash::new();
    for (sector, content) in rest.chunks(SECTOR).take(2).enumerate() {
        let (copy, marks) = content.split_at(content.len().min(SECTOR - 4 * CELL));
        let target = &mut flash.0[sector * BLOCK..][..BLOCK];
        target[..copy.len()].copy_from_slice(copy);
        target[LIVE..LIVE + marks.len()].copy_from_slice(marks);
        let network = rest.get(2 * SECTOR + sector * NETWORK_BYTES..).unwrap_or_default();
        let network = &network[..network.len().min(NETWORK_BYTES)];
        target[NETWORK..NETWORK + network.len()].copy_from_slice(network);
        if flags >> (2 + sector) & 1 != 0 {
            target[CELL..2 * CELL].copy_from_slice(&origin());
        }
        if flags >> sector & 1 != 0 {
            correct(target);
        }
    }
    let flash = Mutex::<NoopRawMutex, _>::new(flash);
    let is_own = flags & OWN != 0;
    let own = || is_own.then(|| secret(&flash));
    let made = own();
    assert_eq!(made, own());
    let first = mount(&flash, made, None);
    let second = mount(&flash, made, None);
    assert_eq!(first, second);
    if flags & RESET != 0 {
        return reset(&flash, made);
    }
    if let Ok((senders, policy, network)) = first {
        let removed = senders.first().copied();
        if let Some(removed) = removed {
            let _ = mount(&flash, made, Some(removed));
            let (left, same, joined) = mount(&flash, made, None).expect("the flash does not fail");
            assert!(!left.contains(&removed) && same == policy && joined == network);
            let bytes = &flash.try_lock().expect("nothing uses it").0;
            assert!(!bytes.windows(CELL).any(|window| window == removed.0));
        }
        if let Some((_, passphrase)) = network.filter(|(_, passphrase)| !passphrase.is_empty()) {
            forget_network(&flash, made, &passphrase);
        }
    }
}

/// Goes back to the network of the identity. The one before is not in the flash any more.
fn forget_network(flash: &Mutex<NoopRawMutex, Flash>, made: Made, passphrase: &[u8]) {
    IDENTITY.with_borrow_mut(|identity| {
        identity.senders = TrustedSenders::new();
        block_on(async {
            let settings = Settings::new(flash, SECTORS);
            if made.is_some() {
                let _ = settings.own_secret(&mut Noise).await;
            }
            settings.mount(Some(&*identity), None).await.expect("it could be mounted before");
            settings.set_network(&identity.senders, None).await.expect("the flash does not fail");
        });
    });
    let bytes = flash.try_lock().expect("nothing uses it").0.clone();
    assert!(SECTORS.iter().all(|at| !bytes[*at as usize + NETWORK + CELL..].starts_with(passphrase)));
    let (_, _, network) = mount(flash, made, None).expect("the flash does not fail");
    assert_eq!(network, None);
}

/// Gives a copy a head of this version with valid checksums.
fn correct(sector: &mut [u8]) {
    let version = [1, 2, 3, 3][usize::from(sector[PREFIX - 1] & 3)];
    sector[..PREFIX].copy_from_slice(b"WAFTSETT\x02\0\0\0");
    sector[8] = version;
    let crc = crc32(&sector[..PREFIX]).to_be_bytes();
    sector[PREFIX..PREFIX + 4].copy_from_slice(&crc);
    let senders = usize::from(sector[PREFIX + 8]).min(SENDERS);
    sector[PREFIX + 8] = senders as u8;
    let network = if version == 3 { NETWORK_BYTES } else { 0 };
    let network = &sector[NETWORK..NETWORK + network];
    let copy = [&sector[..CELL - 4], &sector[CELL..2 * CELL + senders * SENDER], network].concat();
    sector[CELL - 4..CELL].copy_from_slice(&crc32(&copy).to_be_bytes());
}

/// The secret of the board's own identity, or `None` if it makes none.
type Made = Option<Option<[u8; CELL]>>;
/// The trusted senders, and the policy and the network that were set at the board.
type Found = Result<(Vec<CertificateHash>, Option<Policy>, Option<(String, Vec<u8>)>), SettingsError>;

/// A generator that passes the tests.
struct Noise;

impl Trng for Noise {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index as u8).wrapping_mul(151));
        true
    }
}

fn secret(flash: &Mutex<NoopRawMutex, Flash>) -> Option<[u8; CELL]> {
    block_on(Settings::new(flash, SECTORS).own_secret(&mut Noise)).ok().map(|secret| *secret)
}

/// Mounts the settings, and removes a sender. A board that makes its own identity reads its secret first.
fn mount(flash: &Mutex<NoopRawMutex, Flash>, made: Made, removed: Option<CertificateHash>) -> Found {
    let settings = Settings::new(flash, SECTORS);
    IDENTITY.with_borrow_mut(|identity| {
        identity.senders = if made.is_some() { TrustedSenders::new() } else { senders() };
        block_on(async {
            if made.is_some() {
                let secret = settings.own_secret(&mut Noise).await.ok().map(|secret| *secret);
                assert_eq!(Some(secret), made);
            }
            // As on a board: without a secret there is no identity.
            settings.mount((made != Some(None)).then_some(&*identity), None).await?;
            if let Some(removed) = removed {
                settings.untrust(&identity.senders, &removed).await?;
            }
            let senders = (0..).map_while(|index| identity.senders.get(index)).map(|sender| sender.hash).collect();
            let network = settings.network().await;
            let network = network.map(|wifi| (wifi.ssid.as_str().to_owned(), wifi.passphrase.to_vec()));
            Ok((senders, settings.policy(), network))
        })
    })
}

/// Begins a factory reset. If it succeeds, nobody is trusted, and the secret is not in the flash.
fn reset(flash: &Mutex<NoopRawMutex, Flash>, made: Made) {
    let begun = block_on(async {
        let settings = Settings::new(flash, SECTORS);
        let _ = settings.mount(None, None).await;
        settings.reset(None).await
    });
    if begun.is_ok() {
        let bytes = &flash.try_lock().expect("nothing uses it").0;
        // Zeros and ones may be those of a mark and of blank flash.
        let secret = made.flatten().filter(|secret| secret.iter().any(|byte| !matches!(byte, 0 | 0xFF)));
        assert!(secret.is_none_or(|secret| !bytes.windows(CELL).any(|window| window == secret)));
    }
    let (found, is_begun) = (mount(flash, made.map(|_| secret(flash)), None), begun.is_ok());
    assert!(!is_begun || found == Err(SettingsError::Reset), "{found:?}");
}

/// The origin in a copy that begins with this identity.
fn origin() -> [u8; CELL] {
    thread_local! {
        static ORIGIN: [u8; CELL] = {
            let flash = Mutex::new(Flash::new());
            mount(&flash, None, None).expect("a blank flash can be used");
            let bytes = &flash.try_lock().expect("nothing uses it").0;
            bytes[CELL..2 * CELL].try_into().expect("a cell")
        };
    }
    ORIGIN.with(|origin| *origin)
}

fn identity() -> Identity {
    let points = [1, 2].map(|key| HpkeSecret::from_bytes(&[key; 32]).expect("it is a scalar").public());
    let sender = senders().get(0).expect("there is one");
    let policy = Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true };
    Identity::new("kitchen", &[1; 32], &[2; 32], points.as_flattened(), &[sender], policy).expect("it is valid")
}

/// The senders of the identity.
fn senders() -> TrustedSenders {
    const GENERATOR: [u8; POINT] = [
        0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2, 0x77,
        0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42,
        0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B,
        0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
    ];
    let sender = TrustedSender::new("laptop", &GENERATOR, GENERATOR).expect("it is valid");
    [sender].as_slice().try_into().expect("there is room")
}
