//! Power goes at every operation of a transfer, with every tear, at every level: what is there afterwards is the old
//! folder or the new one, never goes back, and the transfer can be finished.

use embassy_sync::mutex::Mutex;

use crate::archive::{Archive, Tree, archive, tree};
use crate::bench::{boot, send, shown};
use crate::nor::{LEVELS, Level, Nor, Reads, TEARS, Tear};

pub(crate) struct Sweep {
    pub(crate) old: Option<Archive>,
    pub(crate) new: Archive,
    /// Whether the old folder was committed in the same boot.
    pub(crate) same_boot: bool,
    pub(crate) blocks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Shown {
    Old,
    New,
}

impl Shown {
    /// What has to be shown.
    pub(crate) fn of(acknowledged: bool) -> Self {
        if acknowledged { Self::New } else { Self::Old }
    }
}

/// Says where a sweep was when it failed.
struct Point(Level, Tear, u64);

impl Drop for Point {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("power went at operation {}: {:?}, {:?}", self.2, self.1, self.0);
        }
    }
}

pub(crate) type Flash<const W: usize, const E: usize> =
    Mutex<embassy_sync::blocking_mutex::raw::NoopRawMutex, Nor<W, E>>;

impl Sweep {
    pub(crate) fn new(erase: usize, with_old: bool, same_boot: bool) -> Self {
        let old = with_old.then(|| archive(tree(7, &[100, 0, erase + 5]), 10));
        Self { old, new: archive(tree(9, &[33, erase, 500, erase / 2]), 20), same_boot, blocks: 10 }
    }

    /// The flash before the boot in which power goes.
    pub(crate) fn before<const W: usize, const E: usize>(&self, level: Level) -> Nor<W, E> {
        let flash = Mutex::new(Nor::new(self.blocks, level));
        if let Some(old) = &self.old
            && !self.same_boot
        {
            boot(&flash, async |_, store| send(store, old).await).unwrap().unwrap();
        }
        flash.into_inner()
    }

    /// Transfers until the end, or until power goes; whether the commit was acknowledged.
    pub(crate) fn transfer<const W: usize, const E: usize>(
        &self,
        flash: &Flash<W, E>,
        cut: Option<(u64, Tear)>,
    ) -> bool {
        boot(flash, async |_, store| {
            if let Some(old) = &self.old
                && self.same_boot
            {
                send(store, old).await.unwrap();
            }
            let before = flash.lock().await.operations;
            flash.lock().await.cut = cut.map(|(at, tear)| (before + at, tear));
            send(store, &self.new).await.is_ok()
        })
        .unwrap()
    }

    /// What a boot shows; anything but the old folder and the new one fails.
    fn look<const W: usize, const E: usize>(&self, flash: &Flash<W, E>) -> Option<Shown> {
        let found = boot(flash, async |slots, _| shown(slots).await)?;
        Some(self.which(found))
    }

    pub(crate) fn which(&self, found: Option<(u64, Tree)>) -> Shown {
        let old = self.old.as_ref().map(|old| (1, &old.tree));
        let new = (old.is_some() as u64 + 1, &self.new.tree);
        match found.as_ref().map(|(generation, tree)| (*generation, tree)) {
            found if found == Some(new) => Shown::New,
            found if found == old => Shown::Old,
            found => panic!("neither: generation {:?}", found.map(|(generation, _)| generation)),
        }
    }

    /// Boots after a cut, which shows no less than `last`, finishes the transfer, and boots again.
    fn recover<const W: usize, const E: usize>(&self, flash: &mut Flash<W, E>, acknowledged: bool) {
        self.recover_from(flash, Shown::of(acknowledged), Reads::Anew);
    }

    /// The same, where `last` was shown already, and the first boot reads torn units so.
    pub(crate) fn recover_from<const W: usize, const E: usize>(
        &self,
        flash: &mut Flash<W, E>,
        mut last: Shown,
        reads: Reads,
    ) {
        for reads in [reads, Reads::Anew] {
            flash.get_mut().revive();
            flash.get_mut().reads = reads;
            let shown = self.look(flash).expect("it mounts");
            assert!(shown >= last, "the new folder is gone again");
            last = shown;
        }
        let (_, receipt) = boot(flash, async |_, store| send(store, &self.new).await).unwrap().expect("not stuck");
        assert_eq!((receipt.digest, receipt.generation), (self.new.root, self.old.is_some() as u64 + 1));
        assert_eq!(self.look(flash), Some(Shown::New));
    }

    fn run<const W: usize, const E: usize>(&self) -> u64 {
        let mut points = 0;
        for level in LEVELS {
            let before = self.before::<W, E>(level);
            for tear in TEARS {
                for at in 0.. {
                    let _point = Point(level, tear, at);
                    let mut flash = Mutex::new(before.clone());
                    let acknowledged = self.transfer(&flash, Some((at, tear)));
                    let cut = flash.get_mut().dead;
                    self.recover(&mut flash, acknowledged);
                    if !cut {
                        break;
                    }
                    points += 1;
                }
            }
        }
        points
    }

    fn run_all<const W: usize, const E: usize>() {
        let mut points = 0;
        for (with_old, same_boot) in [(true, false), (true, true), (false, false)] {
            points += Self::new(E, with_old, same_boot).run::<W, E>();
        }
        eprintln!("write unit {W}, erase block {E}: {points} cuts survived");
    }
}

#[test]
fn every_cut_leaves_old_or_new_1_4k() {
    Sweep::run_all::<1, 4096>();
}

#[test]
fn every_cut_leaves_old_or_new_4_4k() {
    Sweep::run_all::<4, 4096>();
}

#[test]
fn every_cut_leaves_old_or_new_16_4k() {
    Sweep::run_all::<16, 4096>();
}

#[test]
fn every_cut_leaves_old_or_new_16_8k() {
    Sweep::run_all::<16, 8192>();
}

/// So many erase blocks that the journal has to rotate in the middle of the transfer.
#[test]
fn every_cut_leaves_old_or_new_while_the_journal_is_full() {
    let new = archive(tree(9, &[100, 60_000, 60_000]), 20);
    let points = Sweep { new, blocks: 130, ..Sweep::new(2048, true, false) }.run::<32, 2048>();
    eprintln!("write unit 32, erase block 2048, journal full: {points} cuts survived");
}

/// Cuts follow one another, in boots, in transfers, anywhere; in between the board boots and looks.
#[test]
fn storms_of_cuts_leave_old_or_new() {
    let sweep = Sweep::new(2048, true, false);
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for round in 0..400 {
        let level = LEVELS[random() as usize % LEVELS.len()];
        let mut flash = Mutex::new(sweep.before::<4, 2048>(level));
        let mut acknowledged = sweep.transfer(&flash, Some((random() % 60, TEARS[random() as usize % TEARS.len()])));
        let mut last = Shown::Old;
        for _ in 0..12 {
            let nor = flash.get_mut();
            nor.revive();
            nor.cut = Some((nor.operations + random() % 25, TEARS[random() as usize % TEARS.len()]));
            let (writes, before) = (random() % 2 == 0, last);
            let result = boot(&flash, async |slots, store| {
                if flash.lock().await.dead {
                    return (before, false);
                }
                let shown = sweep.which(shown(slots).await);
                assert!(shown >= before, "{round}: the new folder is gone again");
                (shown, writes && send(store, &sweep.new).await.is_ok())
            });
            if let Some((shown, sent)) = result {
                acknowledged |= sent;
                last = if acknowledged { Shown::New } else { shown };
            }
        }
        sweep.recover(&mut flash, acknowledged || last == Shown::New);
    }
}

/// The mock itself: what is torn at the hardest levels does not read well by chance only.
#[test]
fn a_marginal_word_reads_differently_from_time_to_time() {
    use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};
    embassy_futures::block_on(async {
        let mut nor = Nor::<4, 2048>::new(1, Level::Marginal);
        nor.erase(0, 2048).await.unwrap();
        nor.cut = Some((nor.operations, Tear::All));
        nor.write(0, &[1, 2, 3, 4]).await.unwrap_err();
        nor.revive();
        let mut found = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let mut bytes = [0; 4];
            nor.read(0, &mut bytes).await.unwrap();
            found.insert(bytes);
        }
        assert!(found.contains(&[0xff; 4]) && found.contains(&[1, 2, 3, 4]) && found.len() > 2);
    });
}
