//! Tests of what an application does to folders: it rejects one, goes back to the previous one, or pauses receiving.

use waft::preface::PrefaceError;
use waft_core::session::SessionError;
use waft_core::wire::message::Refusal;
use waft_core::wire::preface::ClearRefusal;
use waft_receiver::events::Event;
use waft_receiver::identity::{Identity, KeyPolicy};
use waft_receiver::slots::Rejection;

use crate::board::{Decision, Powered};
use crate::laptop::{Laptop, Outcome};
use crate::transfers::{folder, laptop_and_board};

/// A laptop, and a board that asks for nothing.
fn unattended() -> (Laptop, Identity) {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    (laptop, identity)
}

#[tokio::test]
async fn a_sender_sees_the_number_with_which_its_folder_is_rejected() {
    let (laptop, identity) = unattended();
    let mut powered = Powered::new(16);
    powered.decision = Decision::Reject(Rejection(404));
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let outcome = laptop.send(fixture.address, &folder(1), "", None).await;
            let rejected = SessionError::Refused(Refusal::Rejected { code: 404 });
            assert!(matches!(outcome, Outcome::Ended(error) if error == rejected), "{outcome:?}");
            fixture.user.sees("No new folder from laptop0: the application rejected it.").await;
            assert!(fixture.slots.folder().is_none());
        })
        .await;
}

#[tokio::test]
async fn a_review_that_takes_too_long_rejects_the_folder() {
    let (laptop, identity) = unattended();
    let mut powered = Powered::new(16);
    powered.decision = Decision::None;
    powered
        .boot(Ok(&identity), async |fixture| {
            let outcome = laptop.send(fixture.address, &folder(1), "", None).await;
            let rejected = SessionError::Refused(Refusal::Rejected { code: 0 });
            assert!(matches!(outcome, Outcome::Ended(error) if error == rejected), "{outcome:?}");
        })
        .await;
}

/// After a folder was reverted, the receipts of its run are forgotten: the same run sends it again, and gets a new
/// receipt.
#[tokio::test]
async fn the_reverted_folder_can_be_sent_again() {
    let (mut laptop, identity) = unattended();
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            laptop.send(fixture.address, &folder(1), "", None).await.receipt();
            laptop.salt[0] ^= 1;
            let receipt = laptop.send(fixture.address, &folder(2), "", None).await.receipt();
            assert_eq!(laptop.send(fixture.address, &folder(2), "", None).await.receipt(), receipt, "it is remembered");
            fixture.slots.revert().await.unwrap();
            let reverted = fixture.slots.changed(2).await;
            assert_eq!((reverted.generation(), reverted.digest()), (1, folder(1).root));
            let receipt = laptop.send(fixture.address, &folder(2), "", None).await.receipt();
            assert_eq!((receipt.generation, fixture.slots.changed(1).await.generation()), (3, 3));
        })
        .await;
}

#[tokio::test]
async fn senders_hear_that_a_paused_receiver_is_busy() {
    let (laptop, identity) = unattended();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            assert_eq!(fixture.events.next().await, Event::Mounted);
            let pause = fixture.slots.pause();
            pause.idle().await;
            for _ in 0..2 {
                let outcome = laptop.send(fixture.address, &folder(1), "", None).await;
                let busy = PrefaceError::Refused(ClearRefusal::Busy);
                assert!(matches!(outcome, Outcome::NotAccepted(error) if error == busy), "{outcome:?}");
            }
            drop(pause);
            laptop.send(fixture.address, &folder(1), "", None).await.receipt();
        })
        .await;
}
