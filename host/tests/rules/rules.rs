//! What a receiver remembers of a run, what it asks for, and what it refuses.

use waft_core::session::sender::SendError;
use waft_core::session::{Receipt, SessionError};
use waft_core::wire::message::Refusal;

use super::laptop::{Laptop, Running};
use super::rig::{Kind, Rig};

for_both!(
    a_lost_receipt_is_given_again,
    a_lost_receipt_for_a_folder_that_was_there_already_is_given_again,
    a_run_has_one_folder,
    a_run_whose_folder_was_there_already_has_one_folder,
    a_code_is_used_once,
    wrong_codes_lock_one_sender_out,
    a_wrong_key_is_asked_for_again,
    a_refusal_ends_the_run,
    the_same_folder_again_moves_nothing,
    a_folder_is_offered_again_to_its_own_sender_only,
);

fn refused(refusal: Refusal) -> Result<Receipt, SendError> {
    Err(SessionError::Refused(refusal).into())
}

/// Sends with code and key. Returns the receipt.
fn delivers(rig: &mut Rig, run: &Running) -> Receipt {
    let code = rig.code();
    let sending = rig.laptop.begin(&rig.address, run, &[&code]);
    rig.types(&run.key);
    let receipt = sending.ends().expect("nothing is in the way");
    rig.commits();
    receipt
}

/// Sends with code and key, without reading the receipt.
fn delivers_unheard(rig: &mut Rig, run: &Running) {
    let code = rig.code();
    let sending = rig.laptop.begin_without_receipt(&rig.address, run, &[&code]);
    rig.types(&run.key);
    sending.vanishes_after(|| rig.commits());
}

fn a_lost_receipt_is_given_again(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let run = Running::of("a", "alpha");
    delivers_unheard(&mut rig, &run);
    rig.loses_the_folder();
    // Neither code nor key is asked for.
    let receipt = rig.laptop.send(&rig.address, &run, &[]).expect("it is remembered");
    assert_eq!(receipt.digest, run.folder.root);
    rig.has_no_folder();
}

fn a_lost_receipt_for_a_folder_that_was_there_already_is_given_again(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let first = Running::of("a", "alpha");
    delivers(&mut rig, &first);
    let again = Running { folder: first.folder.clone(), ..Running::of("a", "") };
    delivers_unheard(&mut rig, &again);
    rig.loses_the_folder();
    let receipt = rig.laptop.send(&rig.address, &again, &[]).expect("it is remembered");
    assert_eq!(receipt.digest, first.folder.root);
    rig.has_no_folder();
}

fn a_run_has_one_folder(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let run = Running::of("a", "alpha");
    delivers(&mut rig, &run);
    let another = run.with(&Running::of("a", "another"));
    assert_eq!(rig.laptop.send(&rig.address, &another, &[]), refused(Refusal::Protocol));
    rig.has("a", "alpha");
}

fn a_run_whose_folder_was_there_already_has_one_folder(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let first = Running::of("a", "alpha");
    delivers(&mut rig, &first);
    let again = Running { folder: first.folder.clone(), ..Running::of("a", "") };
    delivers(&mut rig, &again);
    let another = again.with(&Running::of("a", "another"));
    assert_eq!(rig.laptop.send(&rig.address, &another, &[]), refused(Refusal::Protocol));
    rig.has("a", "alpha");
}

fn a_code_is_used_once(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let run = Running::of("a", "alpha");
    let code = rig.code();
    let sending = rig.laptop.begin(&rig.address, &run, &[&code]);
    rig.types(&run.key);
    sending.ends().expect("nothing is in the way");
    assert_ne!(rig.code(), code);
}

fn wrong_codes_lock_one_sender_out(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let code = rig.code();
    let wrong = if code == "0000" { "0001" } else { "0000" };
    let run = Running::of("a", "alpha");
    let locked = rig.laptop.send(&rig.address, &run, &[wrong; 3]);
    assert_eq!(locked, refused(Refusal::Locked { seconds: 30 }));
    let next = rig.code();
    assert_ne!(next, code, "the code is replaced");
    let early = rig.laptop.send(&rig.address, &run, &[&next]);
    assert!(
        matches!(early, Err(SendError::Session(SessionError::Refused(Refusal::Locked { seconds: 1..=30 })))),
        "{early:?}"
    );
}

fn a_wrong_key_is_asked_for_again(kind: Kind) {
    let mut rig = Rig::keyed(kind);
    let run = Running::of("a", "alpha");
    let sending = rig.laptop.begin(&rig.address, &run, &[]);
    rig.types("0000-0000-0000-0000");
    rig.types_again(&run.key);
    sending.ends().expect("the second key is right");
    let other = Running::of("a", "another");
    let sending = rig.laptop.begin(&rig.address, &other, &[]);
    rig.types("0000-0000-0000-0000");
    rig.types_again("0000-0000-0000-0001");
    rig.types_again("0000-0000-0000-0002");
    assert_eq!(sending.ends(), refused(Refusal::KeyWrong));
    rig.has("a", "alpha");
}

fn a_refusal_ends_the_run(kind: Kind) {
    let mut rig = Rig::attended(kind);
    let run = Running::of("a", "alpha");
    delivers(&mut rig, &run);
    let another = run.with(&Running::of("a", "another"));
    assert_eq!(rig.laptop.send(&rig.address, &another, &[]), refused(Refusal::Protocol));
    let asked = rig.laptop.send(&rig.address, &run, &[]);
    assert_eq!(
        asked,
        Err(SessionError::Cancelled(waft_core::wire::message::Cancel::Interrupted).into()),
        "it has no code"
    );
}

fn the_same_folder_again_moves_nothing(kind: Kind) {
    let mut rig = Rig::unattended(kind);
    let first = Running::of("a", "alpha");
    let receipt = rig.laptop.send(&rig.address, &first, &[]).expect("nothing is in the way");
    let again = Running { folder: first.folder.clone(), ..Running::of("a", "") };
    assert_eq!(rig.laptop.send(&rig.address, &again, &[]), Ok(receipt), "nor is it a new generation");
    let other = rig.laptop.send(&rig.address, &Running::of("a", "other"), &[]).expect("nothing is in the way");
    assert!(other.generation == receipt.generation + 1 || kind == Kind::Computer);
    rig.has("a", "other");
}

fn a_folder_is_offered_again_to_its_own_sender_only(kind: Kind) {
    let rig = Rig::unattended(kind);
    let run = Running::of("a", "alpha");
    let moved = |sender: &Laptop| {
        let run = Running { folder: run.folder.clone(), ..Running::of("a", "") };
        sender.begin(&rig.address, &run, &[]).moves()
    };
    let total = run.folder.archive.len() as u64;
    assert_eq!([moved(&rig.laptop), moved(&rig.laptop)], [total, 0]);
    assert_eq!([moved(&rig.attic), moved(&rig.attic)], [total, 0], "what it has is revealed only to its sender");
    assert_eq!(moved(&rig.laptop), total);
}
