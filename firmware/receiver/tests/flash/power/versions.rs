//! The bytes of the settings in flash, of each version, and what becomes of bytes that no version has.

use waft_receiver::settings::SettingsError;

use super::settings::{Board, Change, OPEN, identity, sender};
use crate::nor::{Level, Reads};

#[test]
fn another_version_is_left_alone() {
    let identity = identity();
    let mut board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::Trust('b')]);
    board.flash.bytes[4096 + 8] = 4;
    // The CRC-32 of the prefix with version 4.
    let crc = crc32(&board.flash.bytes[4096..4096 + 12]).to_be_bytes();
    board.flash.bytes[4096 + 12..4096 + 16].copy_from_slice(&crc);
    let before = board.flash.bytes.clone();
    let booted = board.boot(Reads::PerRead, None, Change::Trust('c'), None);
    assert_eq!((booted.mounted, booted.changed), (Err(SettingsError::OtherVersion), Err(SettingsError::OtherVersion)));
    assert!(board.flash.bytes == before);
}

/// Boards in use hold copies of this version. If this test fails, do not change the test.
#[test]
fn version_1_is_read() {
    let identity = identity();
    let mut board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::Trust('b')]);
    let copy = &mut board.flash.bytes[4096..];
    copy[8..16].copy_from_slice(b"\x01\0\0\0\xB7\x40\x3E\x2A");
    let crc = crc32(&[&copy[..28], &copy[32..320]].concat()).to_be_bytes();
    copy[28..32].copy_from_slice(&crc);
    assert_eq!(copy[..24], *b"WAFTSETT\x01\0\0\0\xB7\x40\x3E\x2A\0\0\0\x02\x02\0\0\0");
    let booted = board.boot(Reads::PerRead, None, Change::Policy(OPEN), None);
    assert_eq!((booted.mounted, booted.changed), (Ok("ab".to_owned()), Ok(())));
    assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("ab!".to_owned()));
}

/// Boards in use hold copies of this version. If this test fails, do not change the test.
#[test]
fn version_2_is_frozen() {
    let identity = identity();
    let board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::None]);
    let copy = &board.flash.bytes[..192];
    assert_eq!(copy[..24], *b"WAFTSETT\x02\0\0\0\xA5\xF5\x91\xC4\0\0\0\x01\x01\0\0\0");
    assert_eq!(copy[64..96], *b"a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(copy[96..128], sender('a').hash.0);
    assert_eq!(copy[128..192], sender('a').point[1..]);
    assert_eq!(copy[28..32], [0xD7, 0x1D, 0x97, 0x54], "the checksum");
    assert!(board.flash.bytes[192..1088].iter().all(|byte| *byte == 0xFF));
    assert_eq!(board.flash.bytes[1088..1120], [0; 32], "LIVE");
    assert!(board.flash.bytes[1120..4096].iter().all(|byte| *byte == 0xFF));
    assert_eq!(board.flash.bytes[4096..4128], [0; 32], "the other sector was erased");
}

/// Boards in use hold copies of this version. If this test fails, do not change the test.
#[test]
fn version_3_is_frozen() {
    let identity = identity();
    let mut board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::Network(Some('H'))]);
    let copy = &board.flash.bytes[4096..];
    assert_eq!(copy[..24], *b"WAFTSETT\x03\0\0\0\x1D\x49\xF6\xA1\0\0\0\x02\x01\0\0\0");
    assert_eq!(copy[96..128], sender('a').hash.0);
    assert_eq!(copy[28..32], [0x64, 0x65, 0xD2, 0xA2], "the checksum");
    assert!(copy[192..1088].iter().all(|byte| *byte == 0xFF));
    assert_eq!(copy[1088..1120], [0; 32], "LIVE");
    assert!(copy[1120..1216].iter().all(|byte| *byte == 0xFF));
    assert_eq!(copy[1216..1248], *b"H\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(copy[1248..1312], *[&[b'H'; 63][..], &[0]].concat());
    assert!(copy[1312..].iter().all(|byte| *byte == 0xFF));
    // Without a network, the board goes back to version 2, which a board without Wi-Fi can read.
    assert_eq!(board.boot(Reads::PerRead, None, Change::Network(None), None).changed, Ok(()));
    assert_eq!(board.flash.bytes[8], 2);
}

/// A network that this firmware would not have stored, in a copy with valid checksums.
#[test]
fn an_invalid_network_is_a_loss() {
    let identity = identity();
    for (at, byte) in [(1216, 0), (1217, 0x1B), (1218, b'x'), (1250, 0), (1250, 0x80), (1311, b'x')] {
        let mut board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::Network(Some('H'))]);
        let copy = &mut board.flash.bytes[4096..];
        copy[at] = byte;
        let crc = crc32(&[&copy[..28], &copy[32..192], &copy[1216..1312]].concat()).to_be_bytes();
        copy[28..32].copy_from_slice(&crc);
        let booted = board.boot(Reads::PerRead, None, Change::Network(Some('O')), None);
        assert_eq!((booted.mounted, booted.changed), (Err(SettingsError::Lost), Ok(())), "{at}: {byte}");
        assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("O".to_owned()));
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
