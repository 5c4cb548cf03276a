//! The flash fails while the power stays on: single operations or a range of it, temporarily or permanently. No
//! committed folder is lost.

use std::ops::Range;

use embassy_sync::mutex::Mutex;
use waft_core::session::{Store, StoreError};
use waft_receiver::slots::{ReadError, Transfer, Verdict};

use crate::archive::{Archive, archive, tree};
use crate::bench::{begin, boot, send, shown};
use crate::cases::{ERASE, Flash, first, flash, second};
use crate::nor::{Failing, Level, Nor, Operation, Reads, TEARS, Tear};

const BLOCK: u32 = ERASE as u32;
const JOURNAL: Range<u32> = 0..2 * BLOCK;
const EVERYTHING: Range<u32> = 0..12 * BLOCK;

fn third() -> Archive {
    archive(tree(3, &[9000]), 300)
}

fn reads_fail(flash: &Flash, range: Range<u32>, after: u32, times: u32) {
    flash.try_lock().unwrap().failing = Some(Failing { what: Operation::Read, range, after, times });
}

fn works_again(flash: &Flash) {
    flash.try_lock().unwrap().failing = None;
}

fn copy(flash: &Flash) -> Flash {
    Mutex::new(flash.try_lock().unwrap().clone())
}

/// Flashes on which `second` is committed, and `third` is not complete.
fn histories() -> Vec<(&'static str, Flash)> {
    let broken_off = async |store: &mut crate::bench::Board<'_, Nor<4, ERASE>>| {
        begin(store, &third()).await.unwrap();
        store.write(&third().bytes[..5000]).await.unwrap();
    };
    let alone = flash(12);
    boot(&alone, async |_, store| send(store, &second()).await.unwrap());
    let apart = flash(12);
    boot(&apart, async |_, store| send(store, &first()).await.unwrap());
    boot(&apart, async |_, store| send(store, &second()).await.unwrap());
    let in_one_boot = flash(12);
    boot(&in_one_boot, async |_, store| {
        send(store, &first()).await.unwrap();
        send(store, &second()).await.unwrap();
        broken_off(store).await;
    });
    let in_three = copy(&apart);
    boot(&in_three, async |_, store| broken_off(store).await);
    vec![("alone", alone), ("apart", apart), ("in one boot", in_one_boot), ("in three", in_three)]
}

/// Boots and transfers while reads of `range` always fail. Returns the result, and the generation that the next boot
/// shows.
fn boot_half_blind(flash: &Flash, range: Range<u32>) -> (Result<(), StoreError>, u64) {
    reads_fail(flash, range.clone(), 0, Failing::ALWAYS);
    let sent = boot(flash, async |_, store| send(store, &third()).await.map(drop)).unwrap_or(Err(StoreError::Io));
    works_again(flash);
    let (generation, tree) = boot(flash, async |slots, _| shown(slots).await).unwrap().expect("a folder is shown");
    // COMMIT may be in the journal even if it could not be read back.
    assert!(tree == third().tree || sent.is_err() && tree == second().tree, "{range:?}");
    (sent, generation)
}

/// Each block of the journal, both, and each half block; each slot; the whole flash.
#[test]
fn a_part_that_cannot_be_read_costs_no_folder() {
    for (history, before) in histories() {
        let halves = (0..24).map(|half| half * BLOCK / 2..(half + 1) * BLOCK / 2);
        let others = [0..BLOCK, BLOCK..2 * BLOCK, JOURNAL, 2 * BLOCK..7 * BLOCK, 7 * BLOCK..12 * BLOCK, EVERYTHING];
        for range in halves.chain(others) {
            let flash = copy(&before);
            let (sent, _) = boot_half_blind(&flash, range.clone());
            assert!(matches!(sent, Ok(()) | Err(StoreError::Io)), "{history}: {range:?}: {sent:?}");
            if range == JOURNAL || range == EVERYTHING {
                assert_eq!(sent, Err(StoreError::Io), "{history}: {range:?}");
            }
            boot(&flash, async |_, store| send(store, &archive(tree(4, &[9000]), 400)).await.unwrap());
        }
    }
}

/// Each cell of the journal, and each range of cells as long as a COMMIT.
#[test]
fn a_cell_of_the_journal_that_cannot_be_read_costs_no_folder() {
    for (_, before) in histories() {
        for (cell, cells) in (0..2 * BLOCK / 32).flat_map(|cell| [1, 5, 6].map(|cells| (cell, cells))) {
            let _ = boot_half_blind(&copy(&before), cell * 32..(cell + cells) * 32);
        }
    }
}

/// The live block is unreadable. The board refuses transfers only until it is readable again, or until the user forgets
/// the folder.
#[test]
fn a_journal_that_cannot_be_read_holds_up_transfers_until_it_can_or_is_given_up() {
    for (history, before) in histories() {
        let live = [0, BLOCK].map(|at| at..at + BLOCK).into_iter().find(|range| {
            let flash = copy(&before);
            reads_fail(&flash, range.clone(), 0, Failing::ALWAYS);
            boot(&flash, async |slots, _| slots.folder().is_none()) == Some(true)
        });
        let live = live.expect("one of them holds the COMMIT");
        let flash = copy(&before);
        let operations = flash.try_lock().unwrap().operations;
        let (sent, generation) = boot_half_blind(&flash, live.clone());
        assert_eq!(sent, Err(StoreError::Io), "{history}");
        assert_eq!(flash.try_lock().unwrap().operations, operations, "{history}: something was written");
        reads_fail(&flash, live.clone(), 0, Failing::ALWAYS);
        boot(&flash, async |_, store| {
            assert_eq!(store.reset_guard().await, Err(StoreError::Io));
            assert_eq!(begin(store, &third()).await, Err(StoreError::Io));
        });
        works_again(&flash);
        assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap(), Some((generation, second().tree)));

        // Once the block is erased, it is readable again.
        reads_fail(&flash, live, 0, 200);
        boot(&flash, async |slots, store| {
            assert_eq!(begin(store, &third()).await, Err(StoreError::Io));
            works_again(&flash);
            store.forget().await.unwrap();
            assert!(slots.folder().is_none());
            send(store, &third()).await.unwrap();
            assert_eq!(shown(slots).await.unwrap().1, third().tree);
        });
        assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap().unwrap().1, third().tree);
    }
}

/// The first reads of a boot fail, and then the flash works. The bytes that were not read may be the decisive ones.
#[test]
fn a_boot_whose_first_reads_fail_costs_no_folder_and_shows_no_older_one() {
    for (history, before) in histories() {
        for times in 0..60 {
            let flash = copy(&before);
            reads_fail(&flash, EVERYTHING, 0, times);
            boot(&flash, async |slots, store| {
                let shown = shown(slots).await;
                assert!(shown.is_none_or(|(_, tree)| tree == second().tree), "{history}: {times}: an older folder");
                if let Ok(offset) = begin(store, &third()).await {
                    store.write(&third().bytes[offset..8000]).await.unwrap();
                }
            });
            works_again(&flash);
            let found = boot(&flash, async |slots, _| shown(slots).await).unwrap();
            assert!(found.is_some_and(|(_, tree)| tree == second().tree), "{history}: {times}: the folder is lost");
        }
    }
}

/// Each cell of the journal is unreadable in one boot, which shows the latest folder or none.
#[test]
fn a_boot_that_cannot_read_a_cell_of_the_journal_shows_no_older_folder() {
    for (history, before) in histories() {
        for cell in 0..2 * BLOCK / 32 {
            let flash = copy(&before);
            reads_fail(&flash, cell * 32..(cell + 1) * 32, 0, Failing::ALWAYS);
            let shown = boot(&flash, async |slots, _| shown(slots).await).unwrap();
            assert!(shown.is_none_or(|(_, tree)| tree == second().tree), "{history}: {cell}: an older folder");
            // The sender of the older folder does not learn that it exists, either.
            boot(&flash, async |_, store| {
                assert!(begin(store, &first()).await.is_err() || store.durable() == 0, "{history}: {cell}");
            });
        }
    }
}

/// The head of a block is stored twice, in the block and as a copy in the other one. One of them is sufficient.
#[test]
fn a_head_that_cannot_be_read_hides_no_folder() {
    for (history, before) in histories() {
        let is_head = |cell: &u32| before.try_lock().unwrap().bytes[*cell as usize..].starts_with(b"WAFTSLOT");
        let heads: Vec<u32> = (0..2 * BLOCK).step_by(32).filter(is_head).collect();
        assert!(heads.len() > 1, "{history}: {heads:?}");
        for head in heads {
            let flash = copy(&before);
            reads_fail(&flash, head..head + 32, 0, Failing::ALWAYS);
            let shown = boot(&flash, async |slots, _| shown(slots).await).unwrap();
            assert!(shown.is_some_and(|(_, tree)| tree == second().tree), "{history}: {head}");
        }
    }
}

/// Power failed between COMMIT and ACK. The next boot tries to move the journal, and cannot.
#[test]
fn a_journal_that_cannot_be_moved_hides_no_folder() {
    for what in [Operation::Write, Operation::Erase] {
        let flash = flash(12);
        boot(&flash, async |_, store| send(store, &first()).await.unwrap());
        boot(&flash, async |_, store| {
            begin(store, &second()).await.unwrap();
            store.write(&second().bytes).await.unwrap();
            let mut nor = flash.lock().await;
            // The rest of the archive is written first, so COMMIT is the second operation from here.
            nor.cut = Some((nor.operations + 1, Tear::Unacknowledged));
            drop(nor);
            store.commit().await.unwrap_err();
        });
        flash.try_lock().unwrap().revive();
        flash.try_lock().unwrap().failing = Some(Failing { what, range: EVERYTHING, after: 0, times: Failing::ALWAYS });
        let shown_then = boot(&flash, async |slots, store| {
            assert_eq!(send(store, &third()).await, Err(StoreError::Io));
            shown(slots).await
        });
        assert!(shown_then == Some(Some((2, second().tree))), "{what:?}");
        works_again(&flash);
        assert!(boot(&flash, async |slots, _| shown(slots).await) == Some(Some((2, second().tree))), "{what:?}");
    }
}

/// If FORGET fails, the folder stays readable.
#[test]
fn a_folder_that_cannot_be_forgotten_is_still_shown() {
    let flash = flash(12);
    boot(&flash, async |_, store| send(store, &first()).await.unwrap());
    boot(&flash, async |slots, store| {
        let what = Operation::Write;
        flash.lock().await.failing = Some(Failing { what, range: JOURNAL, after: 0, times: Failing::ALWAYS });
        assert_eq!(store.forget().await, Err(StoreError::Io));
        assert!(shown(slots).await == Some((1, first().tree)));
    });
    works_again(&flash);
    assert!(boot(&flash, async |slots, _| shown(slots).await) == Some(Some((1, first().tree))));
}

/// Power fails at each operation of FORGET and of CLEAR. The following boots alternately read the torn cells as before
/// and as intended. Once a boot read that something is forgotten, no later boot may show it again.
#[test]
fn a_torn_record_means_the_same_in_every_later_boot() {
    let orders = [[Reads::Intended, Reads::Before, Reads::PerRead], [Reads::Before, Reads::Intended, Reads::Before]];
    for (tear, reads) in TEARS.into_iter().flat_map(|tear| orders.map(|reads| (tear, reads))) {
        for clear in [false, true] {
            for at in 0.. {
                let flash = flash(12);
                flash.try_lock().unwrap().level = Level::Marginal;
                boot(&flash, async |_, store| send(store, &second()).await.unwrap());
                let done = boot(&flash, async |_, store| {
                    let mut nor = flash.lock().await;
                    nor.cut = Some((nor.operations + at, tear));
                    drop(nor);
                    if clear { store.reset_guard().await.is_ok() } else { store.forget().await.is_ok() }
                });
                let cut = flash.try_lock().unwrap().is_off;
                let mut gone = done == Some(true);
                for reads in reads {
                    flash.try_lock().unwrap().revive();
                    flash.try_lock().unwrap().reads = reads;
                    let now = boot(&flash, async |slots, store| match clear {
                        true => store.check(&first().offered).await.is_ok(),
                        false => slots.folder().is_none(),
                    });
                    assert!(now == Some(true) || !gone, "{tear:?} at {at}, clear: {clear}: it came back");
                    gone = now == Some(true);
                }
                if !cut {
                    break;
                }
            }
        }
    }
}

/// Each read of a boot and a transfer fails in turn, together with the next one.
#[test]
fn a_read_error_that_passes_changes_nothing() {
    for (history, before) in histories() {
        for after in 0.. {
            let flash = copy(&before);
            reads_fail(&flash, EVERYTHING, after, 2);
            boot(&flash, async |slots, store| {
                assert_eq!(shown(slots).await.unwrap().1, second().tree, "{history}: {after}");
                send(store, &third()).await.unwrap();
                assert_eq!(shown(slots).await.unwrap().1, third().tree, "{history}: {after}");
            })
            .expect("it mounts");
            if flash.try_lock().unwrap().failing.as_ref().unwrap().times > 0 {
                break;
            }
        }
    }
}

/// A flash with a torn record after the committed folder: a boot verifies the folder before it shows it.
fn doubtful() -> Flash {
    let flash = flash(12);
    boot(&flash, async |_, store| send(store, &first()).await.unwrap());
    flash.try_lock().unwrap().level = Level::Words;
    boot(&flash, async |_, store| {
        send(store, &second()).await.unwrap();
        let mut nor = flash.lock().await;
        nor.cut = Some((nor.operations, Tear::All));
        drop(nor);
        begin(store, &third()).await.unwrap();
        store.write(&third().bytes[..100]).await.unwrap_err();
    });
    flash.try_lock().unwrap().revive();
    flash
}

/// Reads fail from each read of the boot on, for three reads or until the boot ends.
#[test]
fn a_doubtful_boot_disowns_nothing_that_it_cannot_read() {
    for times in [3, Failing::ALWAYS] {
        for after in 0.. {
            let flash = doubtful();
            reads_fail(&flash, EVERYTHING, after, times);
            let sent = boot(&flash, async |slots, store| {
                let shows = slots.folder().is_some();
                let sent = send(store, &third()).await.is_ok();
                assert!(shows || !sent, "{after}: the folder was given up");
                sent
            });
            let sent = sent.unwrap_or(false);
            let over = flash.try_lock().unwrap().failing.as_ref().unwrap().after > 0;
            works_again(&flash);
            let (_, tree) = boot(&flash, async |slots, _| shown(slots).await).unwrap().expect("a folder is shown");
            // COMMIT may be in the journal even if it could not be read back.
            assert!(tree == third().tree || !sent && tree == second().tree, "{after}");
            if over {
                break;
            }
        }
    }
}

/// Each write and each erasure of a transfer fails in turn, once or permanently.
#[test]
fn a_write_or_an_erasure_that_fails_costs_no_folder() {
    for (what, times) in
        [Operation::Write, Operation::Erase].into_iter().flat_map(|what| [(what, 1), (what, Failing::ALWAYS)])
    {
        for (level, (history, before)) in [Level::Bits, Level::Marginal, Level::Unreadable]
            .into_iter()
            .flat_map(|level| histories().into_iter().map(move |history| (level, history)))
        {
            for after in 0.. {
                let flash = copy(&before);
                flash.try_lock().unwrap().level = level;
                flash.try_lock().unwrap().failing = Some(Failing { what, range: EVERYTHING, after, times });
                let sent = boot(&flash, async |slots, store| {
                    let sent = send(store, &third()).await;
                    let is = if sent.is_ok() { third().tree } else { second().tree };
                    assert_eq!(shown(slots).await.unwrap().1, is, "{history}: {what:?} {after}");
                    store.suspend().await;
                    // After a single failure the flash works again.
                    if times == 1 {
                        send(store, &third()).await.unwrap();
                        assert_eq!(shown(slots).await.unwrap().1, third().tree, "{history}: {what:?} {after}");
                    }
                    sent.is_ok() || times == 1
                })
                .expect("it mounts");
                let over = flash.try_lock().unwrap().failing.as_ref().unwrap().after > 0;
                works_again(&flash);
                let is = if sent { third().tree } else { second().tree };
                assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap().unwrap().1, is, "{history}");
                boot(&flash, async |_, store| send(store, &third()).await.unwrap());
                if over {
                    break;
                }
            }
        }
    }
}

/// The last PROGRESS is unreadable, and becomes readable in a later boot. Meanwhile the transfer resumed before it.
#[test]
fn a_progress_that_comes_back_does_not_count() {
    let flash = flash(12);
    boot(&flash, async |_, store| {
        begin(store, &second()).await.unwrap();
        store.write(&second().bytes[..2 * ERASE]).await.unwrap();
    });
    // The cell after the head, FORGET, CLEAR, ACK twice, BEGIN, and the first PROGRESS.
    reads_fail(&flash, 8 * 32..9 * 32, 0, Failing::ALWAYS);
    boot(&flash, async |_, store| {
        assert_eq!(begin(store, &second()).await, Ok(ERASE));
        store.write(&second().bytes[ERASE..][..300]).await.unwrap();
    });
    works_again(&flash);
    assert_eq!(boot(&flash, async |_, store| begin(store, &second()).await).unwrap(), Ok(ERASE));
}

/// PROGRESS was written, but could not be read back.
#[test]
fn what_was_discarded_is_not_held_where_the_flash_failed() {
    let flash = flash(12);
    boot(&flash, async |_, store| {
        begin(store, &second()).await.unwrap();
        store.write(&second().bytes[..100]).await.unwrap();
        reads_fail(&flash, JOURNAL, 0, 3);
        assert_eq!(store.write(&second().bytes[100..5000]).await, Err(StoreError::Io));
        store.discard().await;
    });
    assert_eq!(boot(&flash, async |_, store| begin(store, &second()).await).unwrap(), Ok(0));
}

/// A byte of the journal or of the slot never changes. If the transfer succeeds nevertheless, the next boot shows its
/// folder.
#[test]
fn a_write_that_is_not_kept_costs_no_folder() {
    for (_, before) in histories() {
        for stuck in (0..2 * ERASE).step_by(29).chain((2 * ERASE..12 * ERASE).step_by(2003)) {
            let flash = copy(&before);
            flash.try_lock().unwrap().stuck = Some(stuck);
            let sent = boot(&flash, async |_, store| send(store, &third()).await.is_ok()).unwrap();
            let is = if sent { third().tree } else { second().tree };
            assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap().unwrap().1, is, "{stuck}");
        }
    }
}

/// The sender must not get the error for an invalid archive.
#[test]
fn a_slot_that_cannot_be_read_before_the_commit_is_the_flashs_fault() {
    let content = second().offered.shape.manifest + 5;
    // The manifest is read first, and then each of its entries again.
    for (from, length, after) in [(3, 1, 0), (3, 1, 1), (content, 1, 0), (BLOCK, BLOCK, 0), (0, 5 * BLOCK, 0)] {
        let flash = flash(12);
        boot(&flash, async |slots, store| {
            begin(store, &second()).await.unwrap();
            store.write(&second().bytes).await.unwrap();
            let range = 2 * BLOCK + from..2 * BLOCK + from + length;
            flash.lock().await.failing = Some(Failing { what: Operation::Read, range, after, times: Failing::ALWAYS });
            assert!(matches!(store.commit().await, Err(StoreError::Io)), "{from}");
            assert!(slots.folder().is_none());
            store.suspend().await;
            flash.lock().await.failing = None;
            send(store, &second()).await.unwrap();
            assert_eq!(shown(slots).await, Some((1, second().tree)));
        });
    }
}

#[test]
fn a_reader_is_told_what_cannot_be_read_and_reads_the_rest() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        send(store, &second()).await.unwrap();
        let folder = slots.folder().unwrap();
        let [one, two] = [folder.open("d/001").await.unwrap(), folder.open("d/002").await.unwrap()];
        let blind = async |range| {
            flash.lock().await.failing =
                Some(Failing { what: Operation::Read, range, after: 0, times: Failing::ALWAYS });
        };
        let mut bytes = [0; 3000];
        blind(one.range().start + 100..one.range().start + 104).await;
        assert_eq!(one.read_at(0, &mut bytes).await, Err(ReadError::Flash));
        assert_eq!(one.read_at(0, &mut bytes[..96]).await, Ok(96));
        assert_eq!(two.read_at(0, &mut bytes).await, Ok(3000));
        let mut transfer = Transfer::new();
        let mut verification = folder.verify(&mut transfer).await;
        while verification.next().await.unwrap().is_some() {}
        assert_eq!(verification.verdict(), Verdict::Damaged { files: 1 });

        blind(2 * BLOCK..2 * BLOCK + 4).await;
        assert_eq!(folder.open("d/001").await.err(), Some(ReadError::Flash));
        assert_eq!(folder.entries().next().await.err(), Some(ReadError::Flash));
        assert_eq!(folder.verify(&mut transfer).await.verdict(), Verdict::Manifest);
        flash.lock().await.failing = None;
        assert_eq!(crate::archive::seen(&folder).await, second().tree);
    });
}
