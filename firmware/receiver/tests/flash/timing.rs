//! How long a transfer takes on a flash with the times of a data sheet, in virtual time: with sectors that are erased one by
//! one, and with larger blocks that are erased at once.
//!
//! `cargo test --package waft-receiver --test flash -- --nocapture timing` prints the figures that are in
//! `firmware/boards/README.md`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use waft_core::session::Store;
use waft_receiver::slots::{SlotStore, Slots, Transfer};

use crate::archive::{Archive, archive, tree};
use crate::nor::{Level, Nor, NorError};

/// The times of a W25Q16JV, in microseconds (data sheet, revision H, section 9.6, typical): erasing a sector of 4 KiB, a
/// block of 32 KiB, and one of 64 KiB, and programming a page of 256 bytes.
const ERASE: [(u32, u64); 3] = [(64 << 10, 150_000), (32 << 10, 120_000), (4 << 10, 45_000)];
const PAGE: (usize, u64) = (256, 400);
/// A chunk of the archive, and the time that a Cortex-M at 100 MHz takes for it, without the flash: 95 instructions a byte.
const CHUNK: usize = 4 << 10;
const WORK: u64 = (CHUNK * 95 / 100) as u64;
/// The number of chunks that a TCP window takes.
const WINDOW: usize = 2;

/// Microseconds of virtual time.
#[derive(Clone, Default)]
struct Clock(Rc<(Cell<u64>, RefCell<BTreeSet<u64>>)>);

impl Clock {
    fn now(&self) -> u64 {
        self.0.0.get()
    }

    /// The processor is busy for this time.
    fn spend(&self, time: u64) {
        self.0.0.set(self.now() + time);
    }

    async fn sleep_until(&self, at: u64) {
        poll_fn(|_| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            self.0.1.borrow_mut().insert(at);
            Poll::Pending
        })
        .await
    }

    /// Runs a future. When it waits, time goes on to the next moment for which something waits.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return output;
            }
            let next = self.0.1.borrow_mut().pop_first().expect("the future waits for a moment");
            self.0.0.set(next.max(self.now()));
        }
    }
}

/// A flash that takes its time, and erases a range with the fewest commands.
struct Timed {
    nor: Nor<4, 4096>,
    clock: Clock,
}

impl ErrorType for Timed {
    type Error = NorError;
}

impl ReadNorFlash for Timed {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        self.nor.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.nor.capacity()
    }
}

impl NorFlash for Timed {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let mut at = from;
        while at < to {
            let fits = |&&(length, _): &&(u32, u64)| at.is_multiple_of(length) && at + length <= to;
            let (length, time) = ERASE.iter().find(fits).expect("whole sectors");
            self.clock.sleep_until(self.clock.now() + time).await;
            at += length;
        }
        self.nor.erase(from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        let pages = (offset as usize % PAGE.0 + bytes.len()).div_ceil(PAGE.0) as u64;
        self.clock.sleep_until(self.clock.now() + pages * PAGE.1).await;
        self.nor.write(offset, bytes).await
    }
}

/// Transfers an archive over a network with this number of bytes a second, as a session does. Returns the bytes a second
/// until the last one is written.
fn speed(archive: &Archive, network: u64, erased_at_once: u32) -> u64 {
    let clock = Clock::default();
    let flash = Mutex::<NoopRawMutex, _>::new(Timed { nor: Nor::new(1 << 9, Level::Before), clock: clock.clone() });
    let (mut buffer, mut transfer) = ([0; 1024], Transfer::new());
    clock.run(async {
        let slots = Slots::new(&flash, 0..2 << 20).await.unwrap().erase_at_once(erased_at_once);
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.unwrap();
        store.begin(&archive.offered, &|_| true).await.unwrap();
        let start = clock.now();
        // When the last chunks were taken from the window, and when the last one arrived.
        let (mut taken, mut arrived) = ([start; WINDOW], start);
        for (index, chunk) in archive.bytes.chunks(CHUNK).enumerate() {
            arrived = arrived.max(taken[index % WINDOW]) + chunk.len() as u64 * 1_000_000 / network;
            clock.sleep_until(arrived).await;
            taken[index % WINDOW] = clock.now();
            clock.spend(WORK);
            store.write(chunk).await.unwrap();
        }
        archive.bytes.len() as u64 * 1_000_000 / (clock.now() - start)
    })
}

#[test]
fn blocks_that_are_erased_at_once_are_faster() {
    let archive = archive(tree(1, &[900 << 10]), 1);
    println!("KB/s: network | sector by sector | 64 KiB at once");
    for (network, gain) in [(50_000, 95), (100_000, 115), (200_000, 180), (1_000_000, 240)] {
        let [before, after] = [0, 64 << 10].map(|bytes| speed(&archive, network, bytes));
        println!("{:>4} | {:>4} | {:>4}", network / 1000, before / 1000, after / 1000);
        // Not a measurement: virtual time is the same in every run.
        assert!(after * 100 >= before * gain, "{network}: {before} {after}");
    }
}
