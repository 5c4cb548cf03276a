//! The question for the passphrase of a Wi-Fi network: what is typed stays hidden, and whatever ends the question, nothing
//! but a passphrase is stored.

use std::time::Duration;

use tokio::join;
use tokio::task::yield_now;
use tokio::time::{pause, sleep};
use waft_receiver::identity::Wifi;

use crate::board::Powered;
use crate::transfers::{folder, laptop_and_board};
use crate::user::BROKEN;
use crate::wifi::{ANOTHER, Air, PASSPHRASE, flash_holds, powered, provisioned};

#[tokio::test]
async fn invalid_names_and_passphrases_change_nothing() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            for name in ["x".repeat(33), "日本語".repeat(4)] {
                for command in ["wifi", "wifi-open"] {
                    fixture.user.types(&format!("{command} {name}")).await;
                    fixture.user.sees("The name of a network has 1 to 32 bytes. Nothing was changed.").await;
                }
            }
            fixture.user.types("wifi-open").await;
            fixture.user.sees("The name of a network has 1 to 32 bytes.").await;
            // The question is asked again, and what is typed stays hidden.
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office, which is not shown.").await;
            let (length, signs) = ("A passphrase has 8 to 63 characters", "signs of ASCII only");
            for (passphrase, answer) in [
                ("1234567", length),
                (&"x".repeat(64), length),
                ("status", length),
                ("release", length),
                ("sésame ouvre", signs),
                ("日本語日本語", signs),
                (&"x".repeat(257), "That line is too long"),
            ] {
                fixture.user.types(passphrase).await;
                let seen = fixture.user.sees(answer).await;
                assert!(!seen.contains(passphrase) && !seen.contains("Stored."), "{seen:?}");
            }
            // Deleted characters and arrows are not part of the passphrase.
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

/// An empty line, and a line that fails, end the question. Afterwards the input is shown, and is no passphrase.
#[tokio::test]
async fn a_question_ends_without_a_change() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = powered(&air);
    let broken = char::from(BROKEN).to_string();
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            for (keys, why) in [
                ("\r\n", "The network stays as it is."),
                (&*broken, "The line failed, so the network stays as it is."),
                (&*format!("battery sta{broken}"), "The line failed, so the network stays as it is."),
            ] {
                fixture.user.types("wifi office").await;
                fixture.user.sees("Type the passphrase of office").await;
                fixture.user.presses(keys).await;
                fixture.user.sees(why).await;
                fixture.user.types("release").await;
                let seen = fixture.user.sees("Nothing is held.").await;
                assert!(seen.contains("> release\r\n"), "{seen:?}");
            }
            assert_eq!(air.joined().as_deref(), Some("home"));
        })
        .await;
    assert!(!flash_holds(&mut powered, "office"));
}

#[tokio::test]
async fn a_question_ends_after_two_minutes_without_an_answer() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    powered(&air)
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office").await;
            // From now on the time jumps, because all tasks are waiting.
            pause();
            sleep(Duration::from_secs(119)).await;
            // An answer that is no passphrase begins the time again.
            fixture.user.types("short").await;
            fixture.user.sees("Type it again.").await;
            fixture.user.presses("batt").await;
            sleep(Duration::from_secs(119)).await;
            fixture.user.types("ery").await;
            fixture.user.sees("Type it again.").await;
            fixture.user.presses("battery sta").await;
            sleep(Duration::from_secs(121)).await;
            fixture.user.sees("No passphrase came in two minutes, so the network stays as it is.").await;
            fixture.user.types("release").await;
            let seen = fixture.user.sees("Nothing is held.").await;
            assert!(seen.contains("> release\r\n"), "{seen:?}");
        })
        .await;
}

/// A sender asks for the key while the question is open, so what is typed next is the key.
#[tokio::test]
async fn a_key_is_never_stored_as_the_passphrase() {
    let air = Air::with("home", PASSPHRASE);
    let (laptop, mut identity) = laptop_and_board();
    identity.policy.code = false;
    identity.network.wifi = Some(Wifi::new("home", PASSPHRASE.as_bytes()).unwrap());
    let (folder, key) = (folder(1), laptop.key.display().to_string());
    let mut powered = powered(&air);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Wi-Fi: connected to home").await;
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office").await;
            fixture.user.presses("battery").await;
            let user = async {
                fixture.user.sees("A key is asked for, so the network stays as it is.").await;
                fixture.user.sees("Type the key that").await;
                fixture.user.types("wifi office").await;
                fixture.user.sees("First type the key that is asked for, or `decline`.").await;
                fixture.user.types(&key).await;
                let seen = fixture.user.sees("The key is right.").await;
                assert!(seen.contains(&format!("key> {key}\r\n")), "it is shown as a key: {seen:?}");
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, "", None), user);
            assert_eq!(outcome.receipt().digest, folder.root);
            fixture.user.types("wifi").await;
            fixture.user.sees("Wi-Fi: connected to home").await;
        })
        .await;
    assert!(!flash_holds(&mut powered, "office") && !flash_holds(&mut powered, &key));
}

/// Half a passphrase is neither shown nor the beginning of a line after the receiver was run again.
#[tokio::test]
async fn a_console_that_is_run_again_begins_anew() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    powered(&air)
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office").await;
            fixture.user.presses("battery").await;
            // The board reads what was typed.
            for _ in 0..100 {
                yield_now().await;
            }
            fixture.restart.notify_one();
            let seen = fixture.user.sees("Type `help`").await;
            fixture.user.types("release").await;
            let seen = seen + &fixture.user.sees("Nothing is held.").await;
            assert!(seen.contains("> release\r\n") && !seen.contains("battery"), "{seen:?}");
        })
        .await;
}

/// On such a terminal the board cannot hide the passphrase, and does not say that it does.
#[tokio::test]
async fn a_terminal_that_shows_its_input_is_not_said_to_hide_it() {
    let air = Air::with("home", PASSPHRASE);
    let identity = provisioned("home", PASSPHRASE);
    let mut powered = Powered { echo: false, ..powered(&air) };
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("wifi office").await;
            fixture.user.sees("Type the passphrase of office. Enter alone: the network stays.").await;
        })
        .await;
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
            fixture.user.types("wifi-open open network").await;
            fixture.user.sees("Stored.").await;
            fixture.user.sees("Wi-Fi: connected to open network").await;
        })
        .await;
}
