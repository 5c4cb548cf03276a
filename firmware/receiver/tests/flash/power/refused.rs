//! Changes of the settings that are refused, because the next start would not find the settings otherwise.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use waft_receiver::identity::{Identity, TrustedSenders, Wifi};
use waft_receiver::settings::{Settings, SettingsError};

use super::settings::{Board, Change, OPEN, copy, identity, sender};
use crate::nor::{Failing, Level, Operation, Reads};

/// A start that cannot read the settings, or any part of them, changes nothing: the next start finds them.
#[test]
fn settings_that_cannot_be_read_are_not_replaced() {
    let (identity, history) = (identity(), [Change::Trust('b'), Change::Network(Some('H'))]);
    let board = Board::<4, 4096>::new(Level::Bits, &identity, &history);
    let expected = board.clone().boot(Reads::PerRead, None, Change::None, None).mounted;
    let changes = [
        Change::Trust('c'),
        Change::Untrust('b'),
        Change::Network(Some('I')),
        Change::Network(None),
        Change::Policy(OPEN),
    ];
    // Two cells of head and origin, two senders, the LIVE marks, and the network: each alone, and all together.
    let cells = (0..10).chain(34..41).map(|cell| cell * 32..(cell + 1) * 32);
    for range in cells.chain(core::iter::once(0..4096)) {
        for (change, sector) in changes.iter().flat_map(|change| [(*change, 0), (*change, 4096)]) {
            let mut board = board.clone();
            let range = sector + range.start..sector + range.end;
            let always = Failing::ALWAYS;
            board.flash.failing =
                Some(Failing { what: Operation::Read, range: range.clone(), after: 0, times: always });
            let booted = board.boot(Reads::PerRead, None, change, None);
            board.flash.failing = None;
            if let Err(error) = booted.mounted {
                assert_eq!((error, booted.changed), (SettingsError::Unreadable, Err(error)), "{change:?} {range:?}");
                let found = board.boot(Reads::PerRead, None, Change::None, None).mounted;
                assert_eq!(found, expected, "{change:?} {range:?}");
            }
        }
    }
}

/// The fields of a network are public, so an application may set one that no boot would accept.
#[test]
fn a_network_that_no_boot_could_read_is_not_stored() {
    let identity = identity();
    let mut board = Board::<4, 4096>::new(Level::Bits, &identity, &[Change::Trust('b')]);
    for (ssid, passphrase) in [("", "open sesame"), ("a\0", "open sesame"), ("home", "short"), ("home", "open\0sesame")]
    {
        let invalid = Wifi { ssid: ssid.try_into().unwrap(), passphrase: passphrase.as_bytes().try_into().unwrap() };
        let senders = TrustedSenders::try_from([sender('a')].as_slice()).unwrap();
        let fresh = Identity { senders, ..copy(&identity) };
        let flash = Mutex::<NoopRawMutex, _>::new(&mut board.flash);
        let settings = Settings::new(&flash, [0, 4096]);
        block_on(async {
            settings.mount(Some(&fresh), None).await.unwrap();
            let stored = settings.set_network(&fresh.senders, Some(invalid)).await;
            assert_eq!(
                (stored, settings.network().await),
                (Err(SettingsError::Network), None),
                "{ssid:?} {passphrase:?}"
            );
        });
        assert_eq!(board.boot(Reads::PerRead, None, Change::None, None).mounted, Ok("ab".to_owned()));
    }
}
