//! The list of trusted senders at the console: what `untrust` ends.

use tokio::join;
use waft::identity::Identity as Keys;

use crate::archive::{archive, tree};
use crate::board::{Powered, SETTINGS};
use crate::laptop::{Laptop, Outcome};
use crate::pairing::{open_identity, pair, read_code};
use crate::support::board;
use crate::transfers::folder;

#[tokio::test]
async fn a_sender_that_is_no_longer_trusted_is_refused_also_after_a_restart() {
    let kitchen = Keys::generate();
    let mut laptop = Laptop::new(Keys::generate(), &kitchen);
    let identity = open_identity(&kitchen, &[&laptop.keys]);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            laptop.send(fixture.address, &folder(1), "", None).await.receipt();
            fixture.user.types("untrust nobody").await;
            fixture.user.sees("No sender of that name is trusted.").await;
            fixture.user.types("untrust").await;
            fixture.user.sees("Whom?").await;
            fixture.user.types("untrust LAPTOP0").await;
            fixture.user.sees("It is no longer trusted").await;
            fixture.user.types("trusted").await;
            fixture.user.sees("Trusts: nobody").await;
            let refused = laptop.send(fixture.address, &folder(1), "", None).await;
            assert!(matches!(refused, Outcome::Unsecured), "{refused:?}");
            fixture.user.types("untrust laptop0").await;
            fixture.user.sees("No sender of that name is trusted.").await;
        })
        .await;
    let hash = laptop.keys.certificate().hash().0;
    // The journal of the slots names the sender of the folder; the settings do not.
    let bytes = &powered.flash.get_mut().bytes;
    let settings = &bytes[bytes.len() - SETTINGS as usize..];
    assert!(!settings.windows(hash.len()).any(|window| window == hash));
    laptop.salt[0] ^= 1;
    powered
        .boot(Ok(&open_identity(&kitchen, &[&laptop.keys])), async |fixture| {
            let refused = laptop.send(fixture.address, &folder(2), "", None).await;
            assert!(matches!(refused, Outcome::Unsecured), "{refused:?}");
        })
        .await;
}

/// The session of the sender ends, its key is forgotten, and it cannot resume its transfer once it is trusted again. The
/// other sender is not affected.
#[tokio::test]
async fn the_transfer_of_a_sender_ends_with_its_right_to_send() {
    let (keys, other, kitchen) = (Keys::generate(), Keys::generate(), Keys::generate());
    let mut identity = board(&kitchen, &[&keys, &other]);
    identity.policy.code = false;
    let (mut laptop, other) = (Laptop::new(keys, &kitchen), Laptop::new(other, &kitchen));
    laptop.stalls_at = Some(30_000);
    let (large, small) = (archive(tree(2, &[60_000]), 200), folder(3));
    Powered::new(32)
        .boot(Ok(&identity), async |mut fixture| {
            let key = laptop.key.display().to_string();
            let user = async {
                fixture.user.sees("Type the key that laptop0 shows").await;
                fixture.user.types(&key).await;
                fixture.user.sees("Receiving.").await;
                fixture.user.types("untrust laptop0").await;
                fixture.user.sees("It is no longer trusted").await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &large, "", None), user);
            assert!(matches!(outcome, Outcome::Ended(_)), "{outcome:?}");
            assert!(fixture.slots.folder().is_none());
            laptop.stalls_at = None;
            // It pairs again.
            fixture.user.types("pair").await;
            let code = read_code(&mut fixture).await;
            pair(fixture.address, &code, &laptop.keys).await;
            fixture.user.sees("Paired: ").await;
            let user = async {
                // The key was forgotten with the run.
                fixture.user.sees("Type the key that").await;
                fixture.user.types(&key).await;
                let seen = fixture.user.sees("The folder is in place").await;
                assert!(seen.contains("Receiving.") && !seen.contains("Resuming"), "{seen}");
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &large, "", None), user);
            outcome.receipt();
            let user = async {
                fixture.user.sees("Type the key that laptop1 shows").await;
                fixture.user.types(&other.key.display().to_string()).await;
            };
            let (outcome, ()) = join!(other.send(fixture.address, &small, "", None), user);
            outcome.receipt();
        })
        .await;
}
