//! Tests of the identity image: round trip, frozen bytes, and damage to every byte.

use std::format;
use std::vec::Vec;

use p256::elliptic_curve::sec1::ToEncodedPoint;

use super::*;

fn point(scalar: u8) -> [u8; POINT] {
    let key = p256::SecretKey::from_slice(&[scalar; 32]).unwrap();
    key.public_key().to_encoded_point(false).as_bytes().try_into().unwrap()
}

fn sender(name: &str, scalar: u8) -> TrustedSender {
    TrustedSender { name: name.try_into().unwrap(), hash: CertificateHash([scalar; 32]), point: point(scalar) }
}

fn example() -> Identity {
    Identity {
        name: "kitchen".try_into().unwrap(),
        tls: SigningKey::from_slice(&[1; 32]).unwrap(),
        hpke: HpkeSecret::from_bytes(&[2; 32]).unwrap(),
        seed: [3; 32].into(),
        policy: Policy { code: true, key: KeyPolicy::Sealed, allow_older: false, announce: true },
        certificate: Vec::from_iter([b"certificate", &point(1)[..], &point(2)].concat()).as_slice().try_into().unwrap(),
        senders: [sender("laptop", 4), sender("ci", 5)].as_slice().try_into().unwrap(),
        network: Network {
            hostname: "kitchen-1".try_into().unwrap(),
            address: Address::Static { address: [10, 0, 0, 9], prefix: 24, gateway: Some([10, 0, 0, 1]), dns: None },
            wifi: Some(Wifi {
                ssid: "home".try_into().unwrap(),
                passphrase: b"open sesame".as_slice().try_into().unwrap(),
            }),
        },
    }
}

fn encoded(identity: &Identity) -> Vec<u8> {
    let mut image = std::vec![0; IMAGE_MAX];
    let length = identity.encode(&mut image).unwrap();
    image.truncate(length);
    image
}

/// The image with a new checksum.
fn with_checksum(mut image: Vec<u8>) -> Vec<u8> {
    let at = image.len() - 4;
    let crc = crate::crc::crc32(&image[..at]).to_be_bytes();
    image[at..].copy_from_slice(&crc);
    image
}

#[test]
fn a_trusted_sender_is_made_from_its_certificate() {
    let certificate = [b"certificate", &point(4)[..]].concat();
    let made = TrustedSender::new("laptop", &certificate, point(4)).unwrap();
    assert_eq!((made.hash, made.point), (CertificateHash::of(&certificate), point(4)));
    assert_eq!(TrustedSender::new("a name", &certificate, point(4)).err(), Some(IdentityError::Name));
    assert_eq!(TrustedSender::new("laptop", &certificate, point(5)).err(), Some(IdentityError::CertificateMismatch));
    assert_eq!(TrustedSender::new("laptop", &[4; POINT], [4; POINT]).err(), Some(IdentityError::Senders));
}

#[test]
fn an_application_makes_an_identity_without_an_image() {
    let Identity { certificate, senders, policy, .. } = example();
    let make = |name: &str, tls: u8, senders: &[TrustedSender]| {
        Identity::new(name, &[tls; 32], &[2; 32], &certificate, senders, policy)
    };
    let list = senders.clone();
    let senders: Vec<_> = (0..).map_while(|index| senders.get(index)).collect();
    let identity = make("kitchen", 1, &senders).unwrap();
    assert_eq!((identity.certificate_hash(), identity.senders), (CertificateHash::of(&certificate), list));
    assert_eq!(make("a name", 1, &senders).err(), Some(IdentityError::Name));
    assert_eq!(make("kitchen", 0, &senders).err(), Some(IdentityError::TlsKey));
    assert_eq!(make("kitchen", 9, &senders).err(), Some(IdentityError::CertificateMismatch));
    assert_eq!(make("kitchen", 1, &[]).err(), Some(IdentityError::Senders));
}

#[test]
fn an_image_is_read_back() {
    let image = encoded(&example());
    let sector = [&image[..], &[0xFF; 100]].concat();
    let (read, wrote) = (Identity::parse(&sector).unwrap(), example());
    assert_eq!(encoded(&read), image);
    assert_eq!((read.name, read.policy, read.senders), (wrote.name, wrote.policy, wrote.senders));
    assert_eq!((read.tls, read.hpke.public(), read.seed), (wrote.tls, wrote.hpke.public(), wrote.seed));
    assert_eq!(read.certificate, wrote.certificate);
    assert_eq!((&read.network.hostname, read.network.address), (&wrote.network.hostname, wrote.network.address));
    let wifi = read.network.wifi.unwrap();
    assert_eq!((wifi.ssid.as_str(), &wifi.passphrase[..]), ("home", &b"open sesame"[..]));

    let mut plain = example();
    plain.policy = Policy { code: false, key: KeyPolicy::Typed, allow_older: true, announce: false };
    plain.network = Network { address: Address::Dhcp, wifi: None, ..plain.network };
    let read = Identity::parse(&encoded(&plain)).unwrap();
    assert_eq!((read.policy, read.network.address, read.network.wifi.is_none()), (plain.policy, Address::Dhcp, true));

    plain.policy.key = KeyPolicy::Either;
    assert_eq!(Identity::parse(&encoded(&plain)).unwrap().policy, plain.policy);
}

#[test]
fn an_invalid_image_leaves_its_place_empty() {
    let image = encoded(&example());
    let mut place = None;
    assert_eq!(Identity::parse_into(&image, &mut place).unwrap().name, "kitchen");
    let mut other = image;
    let key = other.windows(POINT).position(|window| window == point(1)).unwrap();
    other[key + 1] ^= 1;
    let error = Identity::parse_into(&with_checksum(other), &mut place).err();
    assert_eq!((error, place.is_none()), (Some(IdentityError::CertificateMismatch), true));
}

/// Boards in use hold images of this version. If this test fails, do not change the test.
#[test]
fn version_1_is_frozen() {
    let image = encoded(&example());
    assert_eq!(image[..16], *b"WFID\x01\x01\xFA\x07kitchen\x01");
    let end = image.len() - 4;
    assert_eq!(image[end..], [0x3A, 0xBE, 0xA5, 0x36], "{image:02x?}");

    // An image with a passphrase that is too short for any network. No release of `waft provision` wrote one.
    let mut short = [&image[..end - 12], &b"\x06sesame"[..], &[0; 4]].concat();
    short[5..7].copy_from_slice(&[0x01, 0xF5]);
    let short = with_checksum(short);
    assert_eq!(short[short.len() - 4..], [0xE1, 0x01, 0x6D, 0x8D], "{short:02x?}");
    assert_eq!(Identity::parse(&short).map(drop), Err(IdentityError::Network));
}

#[test]
fn damage_to_any_byte_is_detected() {
    let image = encoded(&example());
    for at in 0..image.len() {
        let mut damaged = image.clone();
        damaged[at] ^= 1;
        let expected = match at {
            0..4 => &[IdentityError::NotAnIdentity][..],
            4 => &[IdentityError::Version],
            5..7 => &[IdentityError::Length, IdentityError::Checksum],
            _ => &[IdentityError::Checksum],
        };
        let error = Identity::parse(&damaged).map(drop).unwrap_err();
        assert!(expected.contains(&error), "{at}: {error:?}");
        assert_eq!(Identity::parse(&image[..at]).map(drop), Err(IdentityError::Length), "{at}");
    }
}

/// No content with a valid checksum causes a panic.
#[test]
fn invalid_content_is_rejected_with_its_reason() {
    let image = encoded(&example());
    for at in 7..image.len() - 4 {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut strange = image.clone();
            strange[at] = value;
            let _ = Identity::parse(&with_checksum(strange));
        }
    }
    assert_eq!(Identity::parse(&[0xFF; 4096]).map(drop), Err(IdentityError::Missing));
    assert_eq!(Identity::parse(&[0; 4096]).map(drop), Err(IdentityError::NotAnIdentity));
    assert_eq!(Identity::parse(&[]).map(drop), Err(IdentityError::Length));
    for (at, value, error) in [
        (8, b' ', IdentityError::Name),
        (8, 0xFF, IdentityError::Name),
        (7, 40, IdentityError::Name),
        (15, 2, IdentityError::CertificateMismatch),
        (47, 3, IdentityError::CertificateMismatch),
        (111, 10, IdentityError::Policy),
        (111, 32, IdentityError::Policy),
        (112, 9, IdentityError::Length),
        (257, b' ', IdentityError::Name),
    ] {
        let mut strange = image.clone();
        strange[at] = value;
        assert_eq!(Identity::parse(&with_checksum(strange)).map(drop), Err(error), "{at}");
    }
    for (at, error) in [(15, IdentityError::TlsKey), (47, IdentityError::HpkeKey)] {
        let mut strange = image.clone();
        strange[at..at + 32].fill(0);
        assert_eq!(Identity::parse(&with_checksum(strange)).map(drop), Err(error));
    }
    let longer = [&image[..image.len() - 4], &[0; 5]].concat();
    let mut longer = longer;
    let length = longer.len() as u16;
    longer[5..7].copy_from_slice(&length.to_be_bytes());
    assert_eq!(Identity::parse(&with_checksum(longer)).map(drop), Err(IdentityError::Length));
}

#[test]
fn an_identity_that_no_board_could_use_is_not_encoded() {
    let mut out = [0; IMAGE_MAX];
    let mut refused = |change: &dyn Fn(&mut Identity)| {
        let mut identity = example();
        change(&mut identity);
        identity.encode(&mut out).unwrap_err()
    };
    assert_eq!(refused(&|identity: &mut Identity| identity.senders.clear()), IdentityError::Senders);
    let change = |identity: &mut Identity, change: fn(&mut TrustedSender)| {
        let mut sender = identity.senders.get(0).unwrap();
        change(&mut sender);
        identity.senders = [sender].as_slice().try_into().unwrap();
    };
    assert_eq!(refused(&|identity: &mut Identity| change(identity, |it| it.point[64] ^= 1)), IdentityError::Senders);
    assert_eq!(refused(&|identity: &mut Identity| change(identity, |it| it.name.clear())), IdentityError::Name);
    assert_eq!(refused(&|identity: &mut Identity| identity.name = "-x".try_into().unwrap()), IdentityError::Name);
    assert_eq!(refused(&|identity: &mut Identity| identity.name = ".x".try_into().unwrap()), IdentityError::Name);
    assert_eq!(refused(&|identity: &mut Identity| identity.network.hostname.clear()), IdentityError::Network);
    for passphrase in ["sesame", "open\tsesame", "s\u{e9}same ouvre", &"x".repeat(64)] {
        let passphrase = passphrase.as_bytes().try_into().unwrap();
        let network = Wifi { ssid: "home".try_into().unwrap(), passphrase };
        let network = core::cell::Cell::new(Some(network));
        assert_eq!(refused(&|it: &mut Identity| it.network.wifi = network.take()), IdentityError::Network);
    }
    assert_eq!(
        refused(&|identity: &mut Identity| identity.tls = SigningKey::from_slice(&[9; 32]).unwrap()),
        IdentityError::CertificateMismatch
    );
    let image = encoded(&example());
    for length in 0..image.len() {
        assert_eq!(example().encode(&mut std::vec![0; length]), Err(IdentityError::Length), "{length}");
    }
}

#[test]
fn no_key_is_printed() {
    let printed = format!("{:?}", example());
    assert!(printed.contains("kitchen") && !printed.contains("sesame"), "{printed}");
    for secret in ["[1, 1", "[2, 2", "[3, 3", "0101", "0202", "0303"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!format!("{:?}", example().network).contains("sesame"));
}
