//! Wi-Fi at the console: the network is set, kept in the flash, joined, and forgotten. The passphrase is neither shown nor
//! left in the flash.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use waft::identity::Identity as Keys;
use waft_receiver::identity::{Identity, IdentityError, Wifi};
use waft_receiver::wifi::{JoinError, Link, Radio, RadioFault, Station};

use crate::board::{Fixture, Powered};
use crate::pairing::{begin, pair};
use crate::support::TokioClock;
use crate::transfers::laptop_and_board;

const PASSPHRASE: &str = " open  sesame ";
const ANOTHER: &str = "battery staple";

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
    fn with(ssid: &str, passphrase: &str) -> Self {
        let air = Self::default();
        air.add(ssid, passphrase);
        air
    }

    fn add(&self, ssid: &str, passphrase: &str) {
        self.networks.borrow_mut().insert(ssid.to_owned(), passphrase.into());
    }

    fn joined(&self) -> Option<String> {
        self.joined.borrow().clone()
    }
}

impl Radio for Air {
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        tokio::task::yield_now().await;
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
fn powered(air: &Air) -> Powered {
    Powered { air: Some(air.clone()), ..Powered::new(16) }
}

/// An identity with a network.
fn provisioned(ssid: &str, passphrase: &str) -> Identity {
    let (_, mut identity) = laptop_and_board();
    identity.network.wifi = Some(Wifi::new(ssid, passphrase.as_bytes()).unwrap());
    identity
}

fn flash_holds(powered: &mut Powered, text: &str) -> bool {
    powered.flash.get_mut().bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Types `wifi NAME` and the passphrase. Returns what is shown from the question on.
async fn set(fixture: &mut Fixture<'_, '_>, ssid: &str, passphrase: &str, answer: &str) -> String {
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
async fn invalid_names_and_passphrases_change_nothing() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            for name in ["x".repeat(33), "日本語".repeat(4)] {
                fixture.user.types(&format!("wifi {name}")).await;
                fixture.user.sees("The name of a network has 1 to 32 bytes.").await;
            }
            for passphrase in ["1234567", &"x".repeat(64), "status", "release"] {
                set(&mut fixture, "office", passphrase, "A passphrase has 8 to 63 characters").await;
            }
            for passphrase in ["sésame ouvre", "日本語日本語"] {
                set(&mut fixture, "office", passphrase, "signs of ASCII only").await;
            }
            set(&mut fixture, "office", &"x".repeat(257), "That line is too long").await;
            // The question is still open. Deleted characters and arrows are not part of the passphrase.
            fixture.user.presses("123\x7f\x7f\x7f\x1b[A1234567").await;
            fixture.user.presses("\x03").await;
            fixture.user.sees("The network stays as it is.").await;
            // After the question, the input is shown again.
            fixture.user.types("release").await;
            let seen = fixture.user.sees("Nothing is held.").await;
            assert!(seen.contains("> release\r\n"), "{seen:?}");
            fixture.user.types("wifi").await;
            fixture.user.sees("Wi-Fi: connected to home").await;
        })
        .await;
    assert!(!flash_holds(&mut powered, "office"));
}

/// While a notice is printed above the question, what was typed stays hidden, and is not lost.
#[tokio::test]
async fn a_passphrase_stays_hidden_when_a_line_appears_above_it() {
    let air = Air::with("open network", "");
    let identity = provisioned("home", PASSPHRASE);
    powered(&air)
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("not connected to home: it was not found").await;
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office, which is not shown.").await;
            let (first, last) = ANOTHER.split_at(9);
            fixture.user.presses(first).await;
            air.add("home", PASSPHRASE);
            let seen = fixture.user.sees("Wi-Fi: connected to home").await;
            fixture.user.types(last).await;
            let seen = seen + &fixture.user.sees("Stored.").await;
            assert!(!seen.contains(first) && !seen.contains(last), "{seen:?}");
            fixture.user.sees("not connected to office: it was not found").await;
            air.add("office", ANOTHER);
            fixture.user.sees("Wi-Fi: connected to office").await;
            // An open network has no passphrase.
            set(&mut fixture, "open network", "", "Stored.").await;
            fixture.user.sees("Wi-Fi: connected to open network").await;
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
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase").await;
            fixture.user.types(ANOTHER).await;
            fixture.user.sees("A factory reset has begun").await;
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
            for command in ["wifi", "wifi home", "forget-wifi"] {
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
            for command in ["wifi home", "forget-wifi"] {
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
