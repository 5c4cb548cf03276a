//! The application's review of a folder before it is committed.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use waft_core::session::{Store, StoreError};
use waft_receiver::slots::{Folder, Rejection, Review, SlotStore, Slots, Transfer};

use crate::archive::seen;
use crate::bench::{begin, send, shown};
use crate::cases::{ERASE, first, flash, second};
use crate::nor::Nor;

/// Rejects folders without the file `d/002`, and keeps what it saw.
#[derive(Default)]
struct Reviewer(Vec<u64>);

impl Review<NoopRawMutex, Nor<4, ERASE>> for &mut Reviewer {
    async fn review(&mut self, folder: &Folder<'_, NoopRawMutex, Nor<4, ERASE>>) -> Result<(), Rejection> {
        self.0.push(folder.generation());
        assert!(!seen(folder).await.is_empty(), "the whole folder can be read");
        if folder.files() == 3 { Ok(()) } else { Err(Rejection(7)) }
    }
}

#[test]
fn a_rejected_folder_is_not_committed_and_the_old_one_stays() {
    let flash = flash(12);
    let (mut buffer, mut transfer, mut reviewer) = ([0; 256], Transfer::new(), Reviewer::default());
    let other = crate::archive::archive(crate::archive::tree(5, &[5000, 20]), 300);
    block_on(async {
        let slots = Slots::new(&flash, 0..12 * ERASE as u32).await.unwrap();
        slots.mount(&mut buffer).await.unwrap();
        let mut store = SlotStore::open(&slots, &mut buffer, &mut transfer, &mut reviewer).await;
        send(&mut store, &first()).await.unwrap();
        assert_eq!(send(&mut store, &other).await, Err(StoreError::Rejected { code: 7 }));
        assert_eq!(shown(&slots).await, Some((1, first().tree)));
        store.suspend().await;
        assert_eq!(begin(&mut store, &other).await, Ok(ERASE), "a part is held for another try");
        assert_eq!(send(&mut store, &other).await.err(), Some(StoreError::Rejected { code: 7 }));
        send(&mut store, &second()).await.unwrap();
        assert_eq!(shown(&slots).await, Some((2, second().tree)));
    });
    assert_eq!(reviewer.0, [1, 2, 2, 2]);
}
