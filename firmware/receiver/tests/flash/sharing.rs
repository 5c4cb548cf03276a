//! Several tasks use one flash at once: a transfer, a reader of the folder, and a change of the settings. Each operation of
//! the flash waits once, so that others want the flash while it is locked.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embassy_futures::join::join;
use embassy_futures::{block_on, yield_now};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use waft_core::session::Store;
use waft_receiver::entropy::Trng;
use waft_receiver::settings::Settings;
use waft_receiver::slots::{SlotStore, Slots, Transfer};

use crate::archive::{Archive, archive, seen, tree};
use crate::bench::{begin, boot, listed, send, shown, update};
use crate::cases::{ERASE, flash};
use crate::nor::{Level, Nor, NorError};
use crate::power::settings::{identity, sender};

/// A flash whose operations wait once.
struct Waiting(Nor<4, ERASE>);

impl ErrorType for Waiting {
    type Error = NorError;
}

impl ReadNorFlash for Waiting {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        yield_now().await;
        self.0.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Waiting {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = ERASE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        yield_now().await;
        self.0.erase(from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        yield_now().await;
        self.0.write(offset, bytes).await
    }
}

const BLOCKS: u32 = 20;

/// A flash with settings in its first two blocks, and slots in the others.
fn waiting() -> Mutex<NoopRawMutex, Waiting> {
    let mut nor = Nor::new(BLOCKS as usize, Level::Bits);
    nor.bytes[..2 * ERASE].fill(0xFF);
    Mutex::new(Waiting(nor))
}

fn first() -> Archive {
    archive(tree(1, &[10, 0, 9000, 300]), 100)
}

/// The first folder with another file, which is the base for the rest.
fn second() -> Archive {
    archive(tree(1, &[10, 0, 9000, 300, 5000]), 200)
}

#[test]
fn a_folder_is_read_while_another_is_stored_and_the_settings_change() {
    let flash = waiting();
    let (first, second) = (first(), second());
    let (mut buffer, mut transfer) = ([0; 200], Transfer::new());
    block_on(async {
        let slots = Slots::new(&flash, 2 * ERASE as u32..BLOCKS * ERASE as u32).await.unwrap();
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.unwrap();
        send(&mut store, &first).await.unwrap();
        let settings = Settings::new(&flash, [0, ERASE as u32]);
        let identity = identity();
        settings.mount(Some(&identity), Some(&slots)).await.unwrap();

        let folder = slots.folder().unwrap();
        let (is_stored, reads, changes) = (Cell::new(false), Cell::new(0), Cell::new(0));
        let store = async {
            update(&mut store, &second).await.unwrap();
            store.commit().await.unwrap();
            is_stored.set(true);
        };
        let read = async {
            while !is_stored.get() {
                assert_eq!(seen(&folder).await, first.tree);
                reads.set(reads.get() + 1);
                // A mutex is not fair: a task that never waits for anything else keeps the flash.
                yield_now().await;
            }
        };
        let change = async {
            while !is_stored.get() {
                settings.trust(&identity.senders, sender('b')).await.unwrap();
                settings.untrust(&identity.senders, &sender('b').hash).await.unwrap();
                changes.set(changes.get() + 1);
                yield_now().await;
            }
        };
        join(store, join(read, change)).await;
        assert!(reads.get() > 0 && changes.get() > 0, "{reads:?} {changes:?}");
        assert_eq!(shown(&slots).await, Some((2, second.tree)));
        assert_eq!(settings.mount(Some(&identity), Some(&slots)).await, Ok(()));
        assert_eq!(identity.senders.len(), 1);
    });
}

/// A generator that needs the flash.
struct InFlash<'f>(&'f Mutex<NoopRawMutex, Waiting>);

impl Trng for InFlash<'_> {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let free = self.0.try_lock().is_ok();
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at as u32).wrapping_mul(0x9E37_79B9) >> 24) as u8);
        free
    }
}

#[test]
fn the_flash_is_free_while_random_numbers_are_drawn() {
    let flash = waiting();
    let settings = Settings::new(&flash, [0, ERASE as u32]);
    let mut place = None;
    assert!(block_on(settings.own_identity(&mut InFlash(&flash), &mut place)).is_ok());
}

/// The search for files that two folders have in common takes long if they have none.
#[test]
fn a_long_search_of_the_base_lets_other_tasks_run() {
    const FILES: usize = 600;
    let named = |folder: &str, created| {
        let files = (0..FILES).map(|index| (format!("{folder}/{index:03}"), Some(vec![1])));
        archive([(folder.into(), None)].into_iter().chain(files).collect(), created)
    };
    let (first, second) = (named("a", 100), named("b", 200));
    boot(&flash(64), async |_, store| {
        send(store, &first).await.unwrap();
        begin(store, &second).await.unwrap();
        store.write(&second.bytes[..second.offered.shape.manifest as usize]).await.unwrap();
        let mut listing = pin!(listed(store));
        let mut waits = 0;
        let files = loop {
            match listing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(files) => break files.unwrap(),
                Poll::Pending => waits += 1,
            }
        };
        assert_eq!((files, waits), (vec![], FILES / 256));
    })
    .unwrap();
}
