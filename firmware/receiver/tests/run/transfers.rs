//! Tests of transfers that succeed, and of transfers that are refused or interrupted.

use std::collections::BTreeSet;

use rand_core::RngCore;
use tokio::join;
use waft::identity::Identity as Keys;
use waft::preface::PrefaceError;
use waft_core::session::SessionError;
use waft_core::session::sender::SendError;
use waft_core::wire::message::{FromReceiver, Limit, Refusal, Stage};
use waft_core::wire::preface::ClearRefusal;
use waft_receiver::board::{StartReason, Startup};
use waft_receiver::events::Event;
use waft_receiver::identity::{Identity, IdentityError, KeyPolicy};

use crate::archive::{Archive, archive, tree};
use crate::board::{ERASE, Fixture, ITERATIONS_MAX, Powered, SEEDS};
use crate::laptop::{Laptop, Outcome};
use crate::nor::{Failing, Operation};
use crate::proxy::StallingProxy;
use crate::support::board;

/// A laptop, and the identity of a board that trusts it.
pub(crate) fn laptop_and_board() -> (Laptop, Identity) {
    let (keys, kitchen) = (Keys::generate(), Keys::generate());
    let board = board(&kitchen, &[&keys]);
    (Laptop::new(keys, &kitchen), board)
}

pub(crate) fn folder(seed: u8) -> Archive {
    archive(tree(seed, &[100, 0, 20_000, 3_000]), 100 + u64::from(seed))
}

/// Sends with the code and the key that the console requests.
pub(crate) async fn transfer(laptop: &Laptop, fixture: &mut Fixture<'_, '_>, folder: &Archive) -> Outcome {
    let code = fixture.user.reads_code().await;
    let user = async {
        fixture.user.sees("Type the key that laptop0 shows").await;
        fixture.user.types(&laptop.key.display().to_string()).await;
    };
    join!(laptop.send(fixture.address, folder, &code, None), user).0
}

#[tokio::test]
async fn folders_cross_and_the_console_tells_of_them() {
    let (mut laptop, identity) = laptop_and_board();
    let mut powered = Powered::new(16);
    let (first, second) = (folder(1), folder(2));
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let seen = fixture.user.sees("help").await;
            assert!(seen.contains("kitchen, fingerprint ") && seen.contains("Started: power-on."), "{seen}");
            let receipt = transfer(&laptop, &mut fixture, &first).await.receipt();
            assert_eq!((receipt.digest, receipt.generation), (first.root, 1));
            let seen = fixture.user.sees("Digest: ").await;
            assert!(seen.contains("4 files, 22.") && seen.contains(&first.root.to_string()), "{seen}");
            let mut last = fixture.events.next().await;
            while let Event::Mounted | Event::Receiving { .. } | Event::Offered { .. } = last {
                last = fixture.events.next().await;
            }
            assert_eq!(last, Event::Committed(receipt));
            fixture.user.types("verify").await;
            fixture.user.sees("Verified").await;
            fixture.user.types("list").await;
            fixture.user.sees("    20000  d/002").await;
        })
        .await;
    laptop.salt[0] ^= 1;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            assert_eq!(fixture.events.next().await, Event::Mounted);
            assert_eq!(fixture.slots.folder().map(|folder| folder.generation()), Some(1), "the folder is kept");
            fixture.user.sees("help").await;
            let receipt = transfer(&laptop, &mut fixture, &second).await.receipt();
            assert_eq!((receipt.digest, receipt.generation), (second.root, 2));
            fixture.user.types("forget yes").await;
            fixture.user.sees("forgotten").await;
            assert!(fixture.slots.folder().is_none());
        })
        .await;
}

/// The console reports why nothing is received, and what to do.
#[tokio::test]
async fn a_flash_that_cannot_be_read_shows_nothing_and_takes_nothing_until_that_is_given_up() {
    let (mut laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |fixture| laptop.send(fixture.address, &folder(1), "", None).await.receipt())
        .await;
    let journal = SEEDS[1] + ERASE as u32..SEEDS[1] + 3 * ERASE as u32;
    // The heads of both blocks and their copies are read three times each. Then the flash works.
    powered.flash.get_mut().failing = Some(Failing { what: Operation::Read, range: journal, after: 0, times: 12 });
    laptop.salt[0] ^= 1;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("The flash cannot be read, so nothing is received.").await;
            let refused = laptop.send(fixture.address, &folder(2), "", None).await;
            assert!(matches!(refused, Outcome::Ended(SessionError::Refused(Refusal::Storage))), "{refused:?}");
            fixture.user.types("status").await;
            fixture.user.sees("The flash cannot be read").await;
            fixture.user.types("list").await;
            fixture.user.sees("The flash cannot be read").await;
            fixture.user.types("forget yes").await;
            fixture.user.sees("The folder is forgotten.").await;
            laptop.salt[0] ^= 1;
            let receipt = laptop.send(fixture.address, &folder(2), "", None).await.receipt();
            assert_eq!(receipt.generation, 1);
        })
        .await;
}

#[tokio::test]
async fn a_key_that_is_sealed_to_the_board_needs_nobody() {
    let (laptop, mut identity) = laptop_and_board();
    identity.policy.key = KeyPolicy::Sealed;
    identity.policy.code = false;
    let folder = folder(1);
    let mut powered = Powered::new(16);
    let receipt =
        powered.boot(Ok(&identity), async |fixture| laptop.send(fixture.address, &folder, "", None).await).await;
    assert_eq!(receipt.receipt().digest, folder.root);
}

#[tokio::test]
async fn a_wrong_key_writes_nothing_and_the_right_one_still_counts() {
    let (laptop, identity) = laptop_and_board();
    let mut powered = Powered::new(16);
    let folder = folder(1);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types("0123-4567").await;
                fixture.user.sees("a key has 16 characters").await;
                fixture.user.types("0123-4567-89AB-CDEF").await;
                fixture.user.sees("The key is wrong. 2 tries left.").await;
                fixture.user.types(&laptop.key.display().to_string()).await;
                let seen = fixture.user.sees("The key is right.").await;
                assert!(!seen.contains("no longer needed"), "{seen}");
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, None), user);
            assert_eq!(outcome.receipt().digest, folder.root);
        })
        .await;
}

/// The board states its limit for the iterations of a key, and enforces it.
#[tokio::test]
async fn a_key_of_more_iterations_than_stated_is_refused() {
    let (laptop, mut identity) = laptop_and_board();
    identity.policy.code = false;
    let most = ITERATIONS_MAX;
    for (iterations, expected) in [
        (most, FromReceiver::Working(Stage::Key)),
        (most + 1, FromReceiver::Refused(Refusal::Limit { limit: Limit::Iterations })),
    ] {
        let offered = async |mut fixture: Fixture<'_, '_>| {
            let answer = laptop.offer(fixture.address, iterations).await;
            if iterations > most {
                fixture.user.sees("the iterations of its key are out of bounds here").await;
            }
            answer
        };
        let (greeting, answer) = Powered::new(16).boot(Ok(&identity), offered).await;
        assert_eq!((greeting.max_iterations, answer), (most, expected));
    }
}

#[tokio::test]
async fn a_declined_folder_is_refused() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types("decline").await;
                fixture.user.sees("No new folder from laptop0: it was declined.").await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, None), user);
            assert!(matches!(outcome, Outcome::Ended(SessionError::Refused(Refusal::Declined))), "{outcome:?}");
            assert!(fixture.slots.folder().is_none());
            assert_eq!(fixture.events.next().await, Event::Mounted);
            assert!(matches!(fixture.events.next().await, Event::Offered { .. }));
            assert_eq!(fixture.events.next().await, Event::Failed(SessionError::Refused(Refusal::Declined)));
        })
        .await;
}

#[tokio::test]
async fn a_sender_that_goes_away_takes_the_question_along() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            tokio::select! {
                _ = laptop.send(fixture.address, &folder, &code, None) => unreachable!("no_user types the key"),
                _ = fixture.user.sees("Type the key") => {}
            }
            fixture.user.sees("The key is no longer needed.").await;
            fixture.user.types(&laptop.key.display().to_string()).await;
            fixture.user.sees("No key is needed now.").await;
        })
        .await;
}

#[tokio::test]
async fn the_console_waits_for_the_store_only_so_long() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types("forget yes").await;
                fixture.user.sees("A transfer is running. Try again when it is over.").await;
                fixture.user.types(&laptop.key.display().to_string()).await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, None), user);
            assert_eq!(outcome.receipt().digest, folder.root);
        })
        .await;
}

#[tokio::test]
async fn an_older_folder_is_refused_unless_the_identity_or_the_person_allows_it() {
    let (mut laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let (older, newer) = (folder(1), folder(2));
    let mut send = async |at, folder| {
        // Each transfer is a run of its own.
        laptop.salt[0] = laptop.salt[0].wrapping_add(1);
        laptop.send(at, folder, "", None).await
    };
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            send(fixture.address, &newer).await.receipt();
            let outcome = send(fixture.address, &older).await;
            assert!(matches!(outcome, Outcome::Ended(SessionError::Refused(Refusal::Older))), "{outcome:?}");
            fixture.user.types("reset-guard").await;
            fixture.user.sees("Each sender may send an older folder now.").await;
            send(fixture.address, &older).await.receipt();
            send(fixture.address, &newer).await.receipt();
        })
        .await;
    identity.policy.allow_older = true;
    let outcome = powered.boot(Ok(&identity), async |fixture| send(fixture.address, &older).await).await;
    assert_eq!(outcome.receipt().generation, 4);
}

#[tokio::test]
async fn wrong_codes_count_through_a_reset() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let wrong = if code == "0000" { "1111" } else { "0000" };
            let outcome = laptop.send(fixture.address, &folder, &format!("{wrong} {wrong}"), None).await;
            assert!(matches!(outcome, Outcome::Ended(_)), "{outcome:?}");
        })
        .await;
    powered.start = StartReason::Watchdog;
    let outcome = powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let wrong = if code == "0000" { "1111" } else { "0000" };
            laptop.send(fixture.address, &folder, wrong, None).await
        })
        .await;
    assert!(matches!(outcome, Outcome::Ended(SessionError::Refused(Refusal::Locked { seconds: 30 }))), "{outcome:?}");
    // An unexpected reset, in which the snapshot of the lockouts is damaged.
    powered.lockouts.0[5] ^= 1;
    let outcome =
        powered.boot(Ok(&identity), async |fixture| laptop.send(fixture.address, &folder, "", None).await).await;
    assert!(matches!(outcome, Outcome::Ended(SessionError::Refused(Refusal::Locked { .. }))), "{outcome:?}");
}

#[tokio::test]
async fn a_broken_transfer_goes_on_after_a_reset() {
    let (mut laptop, identity) = laptop_and_board();
    let folder = archive(tree(1, &[100_000]), 100);
    let mut powered = Powered::new(32);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types(&laptop.key.display().to_string()).await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, Some(50_000)), user);
            assert!(matches!(outcome, Outcome::Ended(_)), "{outcome:?}");
            fixture.user.sees("No new folder from laptop0").await;
        })
        .await;
    laptop.salt[0] ^= 1;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            assert_eq!(transfer(&laptop, &mut fixture, &folder).await.receipt().digest, folder.root);
            fixture.user.sees("Resuming at ").await;
        })
        .await;
}

#[tokio::test]
async fn a_connection_that_dies_in_the_middle_of_a_record_gives_the_place_back() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let proxy = StallingProxy::new(fixture.address, 2_000).await;
            let watching = async {
                // The paused clock jumps to the next deadline as soon as all tasks wait.
                proxy.died.notified().await;
                tokio::time::pause();
                fixture.user.sees("sent nothing for too long").await;
                tokio::time::resume();
            };
            tokio::select! {
                _ = async { join!(laptop.send(proxy.address, &folder, "", None), watching) } => {}
                () = proxy.carry() => unreachable!("it holds both connections"),
            }
            let outcome = laptop.send(fixture.address, &folder, "", None).await;
            assert_eq!(outcome.receipt().digest, folder.root);
        })
        .await;
}

#[tokio::test]
async fn a_folder_that_fills_the_slot_fits_and_one_byte_more_does_not() {
    let (laptop, mut identity) = laptop_and_board();
    identity.policy.key = KeyPolicy::Sealed;
    identity.policy.code = false;
    let around = archive(tree(1, &[1]), 100).bytes.len() - 1;
    // The manifest needs one byte more for this size than for a size of one byte.
    let size = 4 * ERASE - around - 1;
    let (full, over) = (archive(tree(1, &[size]), 100), archive(tree(1, &[size + 1]), 101));
    assert_eq!(full.bytes.len(), 4 * ERASE);
    let mut powered = Powered::new(4);
    powered
        .boot(Ok(&identity), async |fixture| {
            let outcome = laptop.send(fixture.address, &over, "", None).await;
            assert!(matches!(outcome, Outcome::GaveUp(SendError::OverLimit { .. })), "{outcome:?}");
            assert_eq!(laptop.send(fixture.address, &full, "", None).await.receipt().digest, full.root);
        })
        .await;
}

/// One good source of random numbers is sufficient, and the numbers differ in each boot.
#[tokio::test]
async fn random_numbers_do_not_repeat_whatever_the_seed_does() {
    let (_, identity) = laptop_and_board();
    let mut powered = Powered::new(16);
    let next = async |powered: &mut Powered| {
        let Startup { mut random, sources, .. } = powered.startup(Ok(&identity)).await.unwrap();
        (random.next_u64(), sources.seed.is_ok())
    };
    powered.noise = false;
    let mut seen = vec![next(&mut powered).await, next(&mut powered).await];
    // The base of earlier boots reappears beside the current one, in either sector.
    for _ in 0..2 {
        let base_at = |powered: &mut Powered| {
            let bytes = &powered.flash.get_mut().bytes;
            SEEDS.map(|at| at as usize).into_iter().find(|at| bytes[*at] != 0xFF).unwrap()
        };
        let old = base_at(&mut powered);
        let mut before = Vec::new();
        while base_at(&mut powered) == old {
            before = powered.flash.get_mut().bytes.clone();
            seen.push(next(&mut powered).await);
        }
        powered.flash.get_mut().bytes[old..old + ERASE].copy_from_slice(&before[old..old + ERASE]);
        seen.push(next(&mut powered).await);
        seen.push(next(&mut powered).await);
        powered.flash.get_mut().bytes[old..old + ERASE].fill(0xFF);
    }
    assert!(seen.len() > 200 && seen.iter().all(|(_, seed)| *seed));
    // A failed read is tried again.
    let seeds = 0..2 * ERASE as u32;
    powered.flash.get_mut().failing = Some(Failing { what: Operation::Read, range: seeds.clone(), after: 0, times: 2 });
    seen.push(next(&mut powered).await);
    // If the seed is unreadable or cannot be written, it must not be taken for missing.
    for what in [Operation::Read, Operation::Write] {
        powered.flash.get_mut().failing =
            Some(Failing { what, range: seeds.clone(), after: 0, times: Failing::ALWAYS });
        powered.noise = false;
        assert!(powered.startup(Ok(&identity)).await.is_err(), "{what:?}");
        powered.noise = true;
        for _ in 0..2 {
            let (number, seed) = next(&mut powered).await;
            assert!(!seed, "{what:?}");
            seen.push((number, seed));
        }
    }
    assert_eq!(BTreeSet::from_iter(seen.iter().map(|(number, _)| *number)).len(), seen.len());
}

#[tokio::test]
async fn without_identity_or_random_numbers_nothing_is_received() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    let mut powered = Powered::new(16);
    for (error, text) in [
        (IdentityError::Missing, "This board cannot receive: it has no identity"),
        (IdentityError::Checksum, "This board cannot receive: its identity is damaged."),
    ] {
        let outcome = powered
            .boot(Err(error), async |mut fixture| {
                fixture.user.sees(text).await;
                fixture.user.types("status").await;
                fixture.user.sees("Folder: none").await;
                laptop.send(fixture.address, &folder, "", None).await
            })
            .await;
        assert!(
            matches!(outcome, Outcome::NotAccepted(PrefaceError::Refused(ClearRefusal::NotProvisioned))),
            "{outcome:?}"
        );
    }
    powered.noise = false;
    powered.flash.lock().await.bytes[..2 * ERASE].fill(0x55);
    powered.boot(Ok(&identity), async |mut fixture| fixture.user.sees("it has no random numbers").await).await;
}
