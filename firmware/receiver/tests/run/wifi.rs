//! Wi-Fi at the console: the network is set, kept in the flash, joined, and forgotten. The passphrase is neither shown nor
//! left in the flash.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use tokio::task::yield_now;
use waft::identity::Identity as Keys;
use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError, Wifi};
use waft_receiver::wifi::{JoinError, Link, Radio, RadioFault, Station};

use crate::board::{Fixture, Powered, SETTINGS};
use crate::nor::{Failing, Operation};
use crate::pairing::{begin, pair};
use crate::support::TokioClock;
use crate::transfers::laptop_and_board;

pub(crate) const PASSPHRASE: &str = " open  sesame ";
pub(crate) const ANOTHER: &str = "battery staple";

/// The networks around the board: their names and passphrases, and the one that the board is in.
#[derive(Clone, Default)]
pub(crate) struct Air {
    networks: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    joined: Rc<RefCell<Option<String>>>,
    /// Why the radio cannot be used.
    fault: Option<RadioFault>,
}

impl Air {
    /// One network.
    pub(crate) fn with(ssid: &str, passphrase: &str) -> Self {
        let air = Self::default();
        air.add(ssid, passphrase);
        air
    }

    pub(crate) fn add(&self, ssid: &str, passphrase: &str) {
        self.networks.borrow_mut().insert(ssid.to_owned(), passphrase.into());
    }

    pub(crate) fn joined(&self) -> Option<String> {
        self.joined.borrow().clone()
    }
}

impl Radio for Air {
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        yield_now().await;
        match self.networks.borrow().get(wifi.ssid.as_str()) {
            None => Err(JoinError::NotFound),
            Some(passphrase) if **passphrase != *wifi.passphrase => Err(JoinError::WrongPassphrase),
            Some(_) => {
                *self.joined.borrow_mut() = Some(wifi.ssid.as_str().to_owned());
                Ok(())
            }
        }
    }

    async fn leave(&mut self) {
        self.joined.take();
    }
}

impl Link for Air {
    fn is_up(&self) -> bool {
        self.joined.borrow().is_some()
    }

    fn has_address(&self) -> bool {
        self.is_up()
    }
}

/// Runs the station of a board with Wi-Fi.
pub(crate) async fn run(station: &Station<NoopRawMutex>, air: Option<&Air>) {
    match air {
        None => pending().await,
        Some(Air { fault: Some(fault), .. }) => {
            station.report_fault(*fault);
            pending().await
        }
        Some(air) => station.run(air.clone(), air.clone(), TokioClock::new(), 1).await,
    }
}

/// A board with Wi-Fi among these networks.
pub(crate) fn powered(air: &Air) -> Powered {
    Powered { air: Some(air.clone()), ..Powered::new(16) }
}

/// An identity with a network.
pub(crate) fn provisioned(ssid: &str, passphrase: &str) -> Identity {
    let (_, mut identity) = laptop_and_board();
    identity.network.wifi = Some(Wifi::new(ssid, passphrase.as_bytes()).unwrap());
    identity
}

fn encoded(identity: &Identity) -> Vec<u8> {
    let mut image = vec![0; IMAGE_MAX];
    identity.encode(&mut image).unwrap();
    image
}

pub(crate) fn flash_holds(powered: &mut Powered, text: &str) -> bool {
    powered.flash.get_mut().bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Types `wifi NAME` and the passphrase. Returns what is shown from the question on.
pub(crate) async fn set(fixture: &mut Fixture<'_, '_>, ssid: &str, passphrase: &str, answer: &str) -> String {
    fixture.user.types(&format!("wifi {ssid}")).await;
    fixture.user.sees("Type the passphrase of ").await;
    fixture.user.types(passphrase).await;
    fixture.user.sees(answer).await
}

#[tokio::test]
async fn a_network_that_is_set_is_joined_at_once_and_after_a_restart() {
    let air = Air::with("home", PASSPHRASE);
    air.add("office", ANOTHER);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            let seen = set(&mut fixture, "office", ANOTHER, "Stored. This board joins that network now.").await;
            assert!(!seen.contains(ANOTHER) && seen.contains("passphrase> \r\n"), "{seen:?}");
            fixture.user.sees("Wi-Fi: connected to office").await;
            assert_eq!(air.joined().as_deref(), Some("office"));
            fixture.user.types("wifi").await;
            fixture.user.sees("Wi-Fi: connected to office").await;
            fixture.user.types("status").await;
            let seen = fixture.user.sees("Started: ").await;
            assert!(seen.contains("Wi-Fi: connected to office\r\n") && !seen.contains(ANOTHER), "{seen}");
            fixture.user.types("help").await;
            fixture.user.sees("forget-wifi  ").await;
        })
        .await;
    assert!(flash_holds(&mut powered, ANOTHER));
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to office").await;
            // Other changes of the settings keep it.
            fixture.user.types("policy code off").await;
            fixture.user.sees("code: not asked for").await;
            fixture.user.types("forget-wifi").await;
            fixture.user.sees("Forgotten.").await;
            fixture.user.sees("Wi-Fi: connected to home").await;
        })
        .await;
    assert!(!flash_holds(&mut powered, ANOTHER));
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            fixture.user.types("policy").await;
            fixture.user.sees("code: not asked for").await;
        })
        .await;
}

#[tokio::test]
async fn a_failure_says_why_and_what_to_do() {
    let air = Air::with("office", ANOTHER);
    let identity = provisioned("home", PASSPHRASE);
    powered(&air)
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: not connected to home: it was not found. This board keeps trying.").await;
            set(&mut fixture, "office", PASSPHRASE, "Stored.").await;
            let seen = fixture.user.sees("Wi-Fi: not connected to office: it rejects the passphrase.").await;
            assert!(seen.contains("`wifi office` sets another one") && !seen.contains(PASSPHRASE), "{seen}");
            fixture.user.types("wifi").await;
            let seen = fixture.user.sees("Wi-Fi: not connected to office, tries again in ").await;
            assert!(seen.contains("failures: 1, the last one: it rejects the passphrase"), "{seen}");
            set(&mut fixture, "office", ANOTHER, "Stored.").await;
            fixture.user.sees("Wi-Fi: connected to office").await;
        })
        .await;
}

#[tokio::test]
async fn a_key_in_hexadecimal_digits_is_joined_and_kept() {
    let key = "0123456789abcdefABCDEF".repeat(3)[..64].to_owned();
    let air = Air::with("office", &key);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            set(&mut fixture, "office", &key, "Stored.").await;
            fixture.user.sees("Wi-Fi: connected to office").await;
        })
        .await;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let seen = fixture.user.sees("Wi-Fi: connected to office").await;
            assert!(!seen.contains("lost"), "{seen}");
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: laptop0").await;
        })
        .await;
}

/// At a start at which the settings cannot be read, nothing is changed: the next start finds them.
#[tokio::test]
async fn settings_that_cannot_be_read_are_not_replaced() {
    let air = Air::with("office", ANOTHER);
    let image = encoded(&provisioned("home", PASSPHRASE));
    let identity = || Identity::parse(&image).unwrap();
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            set(&mut fixture, "office", ANOTHER, "Stored.").await;
            fixture.user.types("policy code off").await;
            fixture.user.sees("code: not asked for").await;
        })
        .await;
    let end = powered.flash.get_mut().bytes.len() as u32;
    let range = end - SETTINGS..end;
    powered.flash.get_mut().failing = Some(Failing { what: Operation::Read, range, after: 0, times: Failing::ALWAYS });
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            fixture.user.sees("The settings cannot be read").await;
            let wifi = ["wifi home", "wifi-open home", "forget-wifi"];
            for command in wifi.into_iter().chain(["policy code on", "pair", "untrust laptop0"]) {
                fixture.user.types(command).await;
                let seen = fixture.user.sees("The settings cannot be read, so nobody is trusted").await;
                assert!(seen.contains("Restart the board"), "{command}: {seen}");
            }
        })
        .await;
    powered.flash.get_mut().failing = None;
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to office").await;
            fixture.user.types("policy\ntrusted").await;
            fixture.user.sees("code: not asked for").await;
            fixture.user.sees("Trusts: laptop0").await;
        })
        .await;
}

#[tokio::test]
async fn a_board_that_was_never_provisioned_is_brought_into_a_network_and_paired() {
    let air = Air::with("home", PASSPHRASE);
    let mut powered = Powered { makes_identity: true, ..powered(&air) };
    let missing = || Err(IdentityError::Missing);
    powered
        .boot(missing(), async |mut fixture| {
            fixture.user.sees("Wi-Fi: no network is set; `wifi NAME` joins one").await;
            set(&mut fixture, "home", PASSPHRASE, "Stored.").await;
            fixture.user.sees("Wi-Fi: connected to home").await;
            let code = begin(&mut fixture).await;
            pair(fixture.address, &code, &Keys::generate()).await;
            fixture.user.sees("Paired: anna is trusted").await;
        })
        .await;
    powered
        .boot(missing(), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            fixture.user.types("factory-reset yes").await;
            fixture.user.sees("Wiped: ").await;
            for command in ["wifi office", "wifi-open office", "forget-wifi", "untrust anna"] {
                fixture.user.types(command).await;
                fixture.user.sees("A factory reset has begun").await;
            }
        })
        .await;
    assert!(!flash_holds(&mut powered, PASSPHRASE) && !flash_holds(&mut powered, ANOTHER));
    powered
        .boot(missing(), async |mut fixture| {
            fixture.user.sees("Wi-Fi: no network is set").await;
        })
        .await;
}

#[tokio::test]
async fn a_board_without_wi_fi_or_without_settings_says_so() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            for command in ["wifi", "wifi home", "wifi-open home", "forget-wifi"] {
                fixture.user.types(command).await;
                fixture.user.sees("This board has no Wi-Fi.").await;
            }
            fixture.user.types("help\nrelease").await;
            let seen = fixture.user.sees("Nothing is held.").await;
            assert!(!seen.contains("wifi"), "{seen}");
        })
        .await;
    let air = Air::with("home", PASSPHRASE);
    let mut without_settings = Powered { has_settings: false, ..powered(&air) };
    without_settings
        .boot(Ok(&identity), async |mut fixture| {
            for command in ["wifi home", "wifi-open home", "forget-wifi"] {
                fixture.user.types(command).await;
                fixture.user.sees("This board keeps no settings").await;
            }
        })
        .await;
    powered(&air)
        .boot(Err(IdentityError::Checksum), async |mut fixture| {
            fixture.user.sees("Type `help`").await;
            fixture.user.types("wifi home").await;
            fixture.user.sees("This board cannot receive: its identity is damaged").await;
        })
        .await;
}

#[tokio::test]
async fn a_radio_that_cannot_be_used_is_named() {
    let identity = provisioned("home", PASSPHRASE);
    for (fault, text) in [
        (RadioFault::Missing, "Wi-Fi: off: the radio is missing, or did not start"),
        (RadioFault::NoFirmware, "Wi-Fi: off: this program was linked without the firmware of the radio"),
    ] {
        let air = Air { fault: Some(fault), ..Air::default() };
        powered(&air)
            .boot(Ok(&identity), async |mut fixture| {
                fixture.user.sees(text).await;
                fixture.user.types("status").await;
                fixture.user.sees(text).await;
            })
            .await;
    }
}
