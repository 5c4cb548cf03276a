//! What a user changes at the console and the board stores: the policy, a factory reset, and the identity that a board
//! makes itself.

use tokio::join;
use waft::identity::Identity as Keys;
use waft_core::session::SessionError;
use waft_receiver::identity::IdentityError;

use crate::archive::{archive, tree};
use crate::board::{ERASE, Fixture, Powered, SETTINGS};
use crate::laptop::{Laptop, Outcome};
use crate::pairing::{begin, open_identity, pair};
use crate::support::board;
use crate::transfers::{folder, laptop_and_board};

/// A board that was never provisioned.
fn unprovisioned() -> Powered {
    Powered { makes_identity: true, ..Powered::new(16) }
}

/// Reads the name and the fingerprint from the banner.
async fn read_banner(fixture: &mut Fixture<'_, '_>) -> String {
    fixture.user.sees("fingerprint ").await.trim().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_policy_that_was_set_at_the_console_holds_from_the_next_session_on() {
    let (mut laptop, identity) = laptop_and_board();
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            fixture.user.types("policy").await;
            let seen = fixture.user.sees("Keys: ").await;
            assert!(seen.contains("Keys: typed here; code: asked for; announced on the network\r\n"), "{seen}");
            fixture.user.types("policy code of").await;
            fixture.user.sees("It is `policy code on|off`").await;
            fixture.user.types("policy code off").await;
            fixture.user.sees("No code is asked for.").await;
            fixture.user.types("policy key either").await;
            fixture.user.sees("Keys: typed here or sealed to this board").await;
            fixture.user.types("policy key sealed").await;
            let seen = fixture.user.sees("Keys: sealed to this board").await;
            assert!(seen.contains("code: not asked for"), "{seen}");
            laptop.send(fixture.address, &folder(1), "", None).await.receipt();
            fixture.user.types("policy code on").await;
            assert_eq!(fixture.user.reads_code().await, code, "it was not used");
            fixture.user.types("policy code off").await;
            fixture.user.sees("code: not asked for").await;
        })
        .await;
    laptop.salt[0] ^= 1;
    let (_, again) = laptop_and_board();
    assert_ne!(again.certificate, identity.certificate);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("status").await;
            let seen = fixture.user.sees("No code is asked for.").await;
            assert!(seen.contains("Keys: sealed to this board") && !seen.contains("Code: "), "{seen}");
            laptop.send(fixture.address, &folder(2), "", None).await.receipt();
        })
        .await;
    // Another identity begins with its own policy.
    powered
        .boot(Ok(&again), async |mut fixture| {
            fixture.user.types("policy").await;
            fixture.user.sees("code: asked for").await;
        })
        .await;
}

#[tokio::test]
async fn a_board_without_settings_says_so() {
    let (_, identity) = laptop_and_board();
    let mut powered = Powered { has_settings: false, ..Powered::new(16) };
    powered
        .boot(Ok(&identity), async |mut fixture| {
            for command in ["policy code off", "factory-reset yes"] {
                fixture.user.types(command).await;
                fixture.user.sees("This board keeps no settings").await;
            }
            fixture.user.types("policy").await;
            fixture.user.sees("code: asked for").await;
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: laptop0").await;
        })
        .await;
}

/// The provisioned identity stays, with the sender and the policy in it.
#[tokio::test]
async fn a_factory_reset_goes_back_to_what_was_provisioned() {
    let (kitchen, first) = (Keys::generate(), Keys::generate());
    let identity = || open_identity(&kitchen, &[&first]);
    let anna = Laptop::new(Keys::generate(), &kitchen);
    let mut powered = Powered::new(16);
    let content = folder(1).bytes[60..100].to_vec();
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            let code = begin(&mut fixture).await;
            pair(fixture.address, &code, &anna.keys).await;
            fixture.user.types("policy code on").await;
            fixture.user.sees("code: asked for").await;
            fixture.user.types("policy code off").await;
            fixture.user.sees("code: not asked for").await;
            anna.send(fixture.address, &folder(1), "", None).await.receipt();
            fixture.user.types("policy code on").await;
            fixture.user.sees("code: asked for").await;
            fixture.user.types("factory-reset").await;
            fixture.user.sees("If you are sure, type `factory-reset yes`.").await;
            assert!(fixture.slots.folder().is_some());
            fixture.user.types("factory-reset yes").await;
            fixture.user.sees("Wiped: settings").await;
            for command in ["pair", "policy code off"] {
                fixture.user.types(command).await;
                fixture.user.sees("A factory reset has begun").await;
            }
            let refused = anna.send(fixture.address, &folder(1), "", None).await;
            assert!(matches!(refused, Outcome::Unsecured), "{refused:?}");
            // Without a restart nothing goes on.
            fixture.restart.notify_one();
            fixture.user.sees("a factory reset is not complete").await;
        })
        .await;
    let holds = |powered: &mut Powered, bytes: &[u8]| {
        powered.flash.get_mut().bytes.windows(bytes.len()).any(|window| window == bytes)
    };
    assert!(holds(&mut powered, &content), "the next start erases it");
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            fixture.user.sees("The factory reset is complete.").await;
            fixture.user.types("status").await;
            let seen = fixture.user.sees("Trusts: laptop0").await;
            assert!(seen.contains("Folder: none") && !seen.contains("anna") && seen.contains("No code"), "{seen}");
        })
        .await;
    assert!(!holds(&mut powered, &content) && !holds(&mut powered, &anna.keys.certificate().hash().0));
    powered
        .boot(Ok(&identity()), async |mut fixture| {
            let seen = fixture.user.sees("Type `help`").await;
            assert!(!seen.contains("reset"), "{seen}");
            let laptop = Laptop::new(first, &kitchen);
            laptop.send(fixture.address, &folder(2), "", None).await.receipt();
        })
        .await;
}

#[tokio::test]
async fn a_factory_reset_ends_the_session() {
    let (keys, kitchen) = (Keys::generate(), Keys::generate());
    let mut identity = board(&kitchen, &[&keys]);
    identity.policy.code = false;
    let mut laptop = Laptop::new(keys, &kitchen);
    laptop.stalls_at = Some(30_000);
    let large = archive(tree(2, &[60_000]), 200);
    Powered::new(32)
        .boot(Ok(&identity), async |mut fixture| {
            let user = async {
                fixture.user.sees("Type the key that").await;
                fixture.user.types(&laptop.key.display().to_string()).await;
                fixture.user.sees("Receiving.").await;
                fixture.user.types("factory-reset yes").await;
                fixture.user.sees("Wiped: ").await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &large, "", None), user);
            assert!(matches!(outcome, Outcome::Ended(SessionError::Disconnected)), "{outcome:?}");
        })
        .await;
}

#[tokio::test]
async fn a_board_that_was_never_provisioned_makes_its_identity_and_is_paired() {
    let mut powered = unprovisioned();
    let missing = || Err(IdentityError::Missing);
    let keys = Keys::generate();
    let (banner, laptop) = powered
        .boot(missing(), async |mut fixture| {
            let banner = read_banner(&mut fixture).await;
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: nobody").await;
            let code = begin(&mut fixture).await;
            let paired = pair(fixture.address, &code, &keys).await;
            let fingerprint = paired.certificate.fingerprint().to_string();
            assert_eq!(banner, format!("{}, fingerprint {fingerprint}", paired.name));
            assert!(paired.name.as_str().starts_with("board-") && paired.certificate.hpke().is_some());
            fixture.user.sees("Paired: anna is trusted").await;
            fixture.user.types("policy key sealed").await;
            fixture.user.sees("Keys: sealed").await;
            let laptop = Laptop::trusting(keys, paired.certificate);
            fixture.user.types("code").await;
            let code = fixture.user.reads_code().await;
            laptop.send(fixture.address, &folder(1), &code, None).await.receipt();
            (banner, laptop)
        })
        .await;
    powered
        .boot(missing(), async |mut fixture| {
            assert_eq!(read_banner(&mut fixture).await, banner);
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: anna").await;
            fixture.user.types("factory-reset yes").await;
            fixture.user.sees("Wiped: ").await;
        })
        .await;
    let other = powered
        .boot(missing(), async |mut fixture| {
            let other = read_banner(&mut fixture).await;
            fixture.user.sees("The factory reset is complete.").await;
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: nobody").await;
            let refused = laptop.send(fixture.address, &folder(2), "", None).await;
            assert!(matches!(refused, Outcome::Unsecured), "{refused:?}");
            other
        })
        .await;
    assert_ne!(other, banner);
    // A provisioned identity always wins, and the other one does not come back.
    let (_, identity) = laptop_and_board();
    powered
        .boot(Ok(&identity), async |mut fixture| {
            assert!(read_banner(&mut fixture).await.starts_with("kitchen, "));
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: laptop0").await;
        })
        .await;
    let last = powered.boot(missing(), async |mut fixture| read_banner(&mut fixture).await).await;
    assert!(last != other && last != banner);
}

#[tokio::test]
async fn no_identity_is_made_without_random_numbers_or_beside_a_damaged_one() {
    let mut powered = Powered { noise: false, ..unprovisioned() };
    let refuses = async |powered: &mut Powered, error, why: &str| {
        let before = powered.flash.get_mut().bytes.clone();
        powered
            .boot(Err(error), async |mut fixture| {
                let seen = fixture.user.sees("This board cannot receive: ").await;
                assert!(seen.contains(why) && !seen.contains("fingerprint"), "{seen}");
            })
            .await;
        let settings = before.len() - SETTINGS as usize;
        assert!(powered.flash.get_mut().bytes[settings..] == before[settings..]);
    };
    refuses(&mut powered, IdentityError::Missing, "it has no random numbers").await;
    powered.noise = true;
    refuses(&mut powered, IdentityError::Checksum, "its identity is damaged").await;
    let one = powered.boot(Err(IdentityError::Missing), async |mut fixture| read_banner(&mut fixture).await).await;
    // A generator that fails later does no harm.
    powered.noise = false;
    let same = powered.boot(Err(IdentityError::Missing), async |mut fixture| read_banner(&mut fixture).await).await;
    assert_eq!(one, same);
    powered.noise = true;
    let end = powered.flash.get_mut().bytes.len();
    powered.flash.get_mut().bytes[end - 2 * ERASE + 40] ^= 1;
    refuses(&mut powered, IdentityError::Missing, "`factory-reset yes` makes another").await;
    powered
        .boot(Err(IdentityError::Missing), async |mut fixture| {
            fixture.user.types("factory-reset yes").await;
            fixture.user.sees("Wiped: ").await;
        })
        .await;
    let other = powered.boot(Err(IdentityError::Missing), async |mut fixture| read_banner(&mut fixture).await).await;
    assert_ne!(one, other);
}
