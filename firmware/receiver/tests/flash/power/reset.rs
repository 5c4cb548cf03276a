//! Power cuts while a board makes its identity, and during a factory reset. Each boot shows everything as it was before,
//! or nothing of it, and never the former again once a boot showed the latter. The identity of a board that was never
//! provisioned is the same in all boots up to a factory reset, and another one afterwards. After a factory reset, nothing
//! of what was before is in the flash.

use std::cell::RefCell;

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_receiver::entropy::Trng;
use waft_receiver::identity::{Identity, KeyPolicy, Policy, TrustedSenders};
use waft_receiver::settings::Settings;
use waft_receiver::slots::{SlotStore, Slots, Transfer};

use super::change::Cut;
use super::damage::Damage;
use super::settings::{cuts, identity, network, passphrase, sender, shown};
use super::table::{Harm, Tally};
use crate::archive::{archive, tree};
use crate::bench::send;
use crate::nor::{Failing, Level, Nor, Operation, Random, Reads, TEARS};

/// The erase blocks of journal and slots. Those of the settings follow.
const BLOCKS: usize = 4;

/// The policy that a user sets before the factory reset.
const POLICY: Policy = Policy { code: false, key: KeyPolicy::Sealed, allow_older: false, announce: true };

/// What happens at the end of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    /// A user changes everything that a factory reset wipes: a sender is trusted, the policy, the Wi-Fi network, and a folder
    /// is received.
    Use,
    Reset,
}

/// What a boot shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// The secret of the identity that the board made itself.
    own: Option<[u8; 32]>,
    /// The names of the trusted senders.
    senders: String,
    policy: Option<Policy>,
    /// Whether a network was set at the board.
    has_network: bool,
    has_folder: bool,
}

/// A board.
pub(crate) struct Board<'i, const W: usize, const E: usize> {
    flash: Nor<W, E>,
    /// The identity that is used in all boots, because making one takes long. Only its list of senders differs.
    identity: &'i RefCell<Identity>,
    is_provisioned: bool,
    /// The number of secrets that were drawn.
    drawn: u64,
}

impl<const W: usize, const E: usize> Clone for Board<'_, W, E> {
    fn clone(&self) -> Self {
        Self { flash: self.flash.clone(), ..*self }
    }
}

/// A generator whose output never repeats.
struct Counting<'a>(&'a mut u64);

impl Trng for Counting<'_> {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        *self.0 += 1;
        let mut random = Random(*self.0);
        bytes.fill_with(|| random.next() as u8);
        true
    }
}

impl<'i, const W: usize, const E: usize> Board<'i, W, E> {
    fn new(level: Level, identity: &'i RefCell<Identity>, is_provisioned: bool) -> Self {
        let mut flash = Nor::new(BLOCKS + 2, level);
        block_on(flash.erase((BLOCKS * E) as u32, ((BLOCKS + 2) * E) as u32)).unwrap();
        flash.completes_zeros = true;
        Self { flash, identity, is_provisioned, drawn: 0 }
    }

    /// Boots, and makes the change. Returns what the boot shows before the change, unless power fails before that, and
    /// whether the change succeeded.
    fn boot(&mut self, reads: Reads, cut: Option<Cut>, change: Change, later: Option<Cut>) -> (Option<Shown>, bool) {
        self.flash.revive();
        self.flash.reads = reads;
        self.flash.cut = cut.map(|(at, tear)| (self.flash.operations + at, tear));
        let flash = Mutex::<NoopRawMutex, _>::new(&mut self.flash);
        let (end, mut buffer, mut transfer) = ((BLOCKS * E) as u32, [0; 128], Transfer::new());
        let settings = Settings::new(&flash, [end, end + E as u32]);
        let mut identity = self.identity.borrow_mut();
        identity.senders = TrustedSenders::new();
        if self.is_provisioned {
            identity.senders.push(sender('a')).unwrap();
        }
        let identity = &*identity;
        block_on(async {
            let slots = Slots::new(&flash, 0..end).await.unwrap();
            let mut own = None;
            if !self.is_provisioned {
                match settings.own_secret(&mut Counting(&mut self.drawn)).await {
                    Ok(secret) => own = Some(*secret),
                    // As `Receiver::run` does.
                    Err(_) => {
                        let _ = settings.mount(None, Some(&slots)).await;
                        return (None, false);
                    }
                }
            }
            if settings.mount(Some(identity), Some(&slots)).await.is_err() {
                return (None, false);
            }
            let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.unwrap();
            let has_folder = slots.folder().is_some();
            let has_network = settings.network().await.is_some();
            let seen = Shown { own, senders: shown(identity), policy: settings.policy(), has_network, has_folder };
            let seen = (!flash.lock().await.is_off).then_some(seen);
            if later.is_some() {
                let mut flash = flash.lock().await;
                flash.cut = later.map(|(at, tear)| (flash.operations + at, tear));
            }
            let is_done = match change {
                Change::None => false,
                Change::Use => {
                    settings.trust(&identity.senders, sender('b')).await.unwrap();
                    settings.set_policy(&identity.senders, POLICY).await.unwrap();
                    settings.set_network(&identity.senders, Some(network('H'))).await.unwrap();
                    send(&mut store, &archive(tree(3, &[100, E / 2]), 1)).await.unwrap();
                    true
                }
                Change::Reset => settings.reset(Some(&identity.senders)).await.is_ok(),
            };
            (seen, is_done)
        })
    }

    /// The number of operations up to what a boot shows, and after that.
    fn operations(&self, change: Change) -> (u64, u64) {
        let count = |change| {
            let mut board = self.clone();
            board.boot(Reads::PerRead, None, change, None);
            board.flash.operations - self.flash.operations
        };
        let start = count(Change::None);
        (start, count(change) - start)
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.flash.bytes.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// What boots may show, after a board that was used is reset, or before it is used at all.
#[derive(Clone)]
struct Trial {
    /// What was shown before the reset.
    before: Option<Shown>,
    /// What a boot has shown after it.
    after: Option<Shown>,
    /// Whether the reset was acknowledged.
    is_done: bool,
}

impl Trial {
    fn check<const W: usize, const E: usize>(
        &mut self,
        board: &Board<'_, W, E>,
        seen: Option<Shown>,
    ) -> Result<(), Harm> {
        let Some(seen) = seen else { return if board.flash.is_off { Ok(()) } else { Err(Harm::Lost) } };
        if self.before.as_ref() == Some(&seen) {
            return if self.is_done || self.after.is_some() { Err(Harm::Wrong) } else { Ok(()) };
        }
        let senders = if board.is_provisioned { "a" } else { "" };
        if seen.senders != senders || seen.policy.is_some() || seen.has_network || seen.has_folder {
            return Err(Harm::Mixed);
        }
        if self.after.as_ref().is_some_and(|after| *after != seen) {
            return Err(Harm::Wrong);
        }
        if let Some(before) = &self.before {
            let content = &archive(tree(3, &[100, E / 2]), 1).bytes[300..332];
            let is_left = before.own.is_some_and(|secret| board.holds(&secret))
                || board.holds(&sender('b').hash.0)
                || board.holds(passphrase('H').as_bytes())
                || board.holds(content);
            if is_left || before.own.is_some() && before.own == seen.own {
                return Err(Harm::Mixed);
            }
        }
        self.after = Some(seen);
        Ok(())
    }

    /// The board can be used and reset afterwards.
    fn works<const W: usize, const E: usize>(&self, mut board: Board<'_, W, E>) -> Result<(), Harm> {
        let (Some(seen), true) = board.boot(Reads::PerRead, None, Change::Use, None) else { return Err(Harm::Lost) };
        let (used, true) = board.boot(Reads::PerRead, None, Change::Reset, None) else { return Err(Harm::Lost) };
        let mut trial = Self { before: used, after: None, is_done: true };
        let is_used =
            trial.before.as_ref().is_some_and(|used| used.has_folder && used.has_network && used.own == seen.own);
        let (seen, _) = board.boot(Reads::PerRead, None, Change::None, None);
        if is_used { trial.check(&board, seen) } else { Err(Harm::Wrong) }
    }
}

/// Calls `trial` for each cut of the first start of a board, of a reset, and of the start that completes it. The flash is in
/// the state after the cut.
fn each_cut<const W: usize, const E: usize>(
    damage: Damage,
    mut trial: impl FnMut(&Board<'_, W, E>, &Trial, &dyn std::fmt::Debug),
) {
    let identity = RefCell::new(identity());
    for is_provisioned in [false, true] {
        let new = Board::<W, E>::new(damage.level(), &identity, is_provisioned);
        let mut used = new.clone();
        used.boot(Reads::PerRead, None, Change::Use, None);
        let before = used.clone().boot(Reads::PerRead, None, Change::None, None).0;
        let mut reset = used.clone();
        reset.boot(Reads::PerRead, None, Change::Reset, None);
        let first = Trial { before: None, after: None, is_done: false };
        let later = Trial { before, ..first.clone() };
        for (board, expected, change) in [(&new, &first, Change::None), (&used, &later, Change::Reset)] {
            let (start, end) = board.operations(change);
            for (cut, is_late) in cuts(start).map(|cut| (cut, false)).chain(cuts(end).map(|cut| (cut, true))) {
                let (mut board, mut expected) = (board.clone(), expected.clone());
                let (cut_at_start, cut_later) = if is_late { (None, Some(cut)) } else { (Some(cut), None) };
                let (seen, is_done) = board.boot(Reads::PerRead, cut_at_start, change, cut_later);
                let name = (is_provisioned, change, cut, is_late);
                assert!(!is_done || !board.flash.is_off, "reset reports success after {name:?}");
                assert_eq!(expected.check(&board, seen), Ok(()), "{name:?}");
                trial(&board, &expected, &name);
            }
        }
        let (start, _) = reset.operations(Change::None);
        for cut in cuts(start) {
            let (mut board, mut expected) = (reset.clone(), Trial { is_done: true, ..later.clone() });
            let (seen, _) = board.boot(Reads::PerRead, Some(cut), Change::None, None);
            let name = (is_provisioned, "completion", cut);
            assert_eq!(expected.check(&board, seen), Ok(()), "{name:?}");
            trial(&board, &expected, &name);
        }
    }
}

/// One cut, at every operation.
pub(crate) fn one_cut<const W: usize, const E: usize>(damage: Damage) -> Tally {
    let mut tally = Tally::default();
    each_cut::<W, E>(damage, |left, expected, name| {
        for reads in damage.reads() {
            let (mut board, mut trial, mut outcome) = (left.clone(), expected.clone(), Ok(()));
            for reads in reads {
                let (seen, _) = board.boot(*reads, None, Change::None, None);
                outcome = outcome.and_then(|()| trial.check(&board, seen));
            }
            tally.count(outcome.and_then(|()| trial.works(board)), &(name, reads));
        }
    });
    tally
}

/// One cut at every operation, and another one at every operation of the following boot. Runs one in `stride` of all
/// trials.
pub(crate) fn two_cuts<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    each_cut::<W, E>(damage, |left, expected, name| {
        for reads in damage.reads() {
            for second in cuts(left.operations(Change::None).0) {
                turn += 1;
                if !turn.is_multiple_of(stride) {
                    continue;
                }
                let (mut board, mut trial) = (left.clone(), expected.clone());
                let (seen, _) = board.boot(reads[0], Some(second), Change::None, None);
                let is_met = board.flash.is_off;
                let mut outcome = trial.check(&board, seen);
                for reads in &reads[1..] {
                    let (seen, _) = board.boot(*reads, None, Change::None, None);
                    outcome = outcome.and_then(|()| trial.check(&board, seen));
                }
                tally.count_if_met((is_met, outcome.and_then(|()| trial.works(board))), &(name, second, reads));
            }
        }
    });
    tally
}

/// One cut at random, and then 1 to `most` boots that are cut at random.
pub(crate) fn random_cuts<const W: usize, const E: usize>(damage: Damage, rounds: u64, most: u64) -> Tally {
    let (mut tally, mut random) = (Tally::default(), Random(most));
    let mut left = Vec::new();
    each_cut::<W, E>(damage, |board, expected, _| {
        // The identity that the board borrows ends with the call.
        let board = (board.flash.clone(), board.is_provisioned, board.drawn);
        left.push((board, expected.clone()));
    });
    let identity = RefCell::new(identity());
    for round in 0..rounds {
        let ((flash, is_provisioned, drawn), mut trial) = random.one_of(&left);
        let mut board = Board { flash, identity: &identity, is_provisioned, drawn };
        board.flash.chance = Random(random.next());
        let mut outcome = Ok(());
        for _ in 0..random.below(most) {
            let cut = (random.below(20), random.one_of(&TEARS));
            let (seen, _) = board.boot(random.one_of(damage.choice()), Some(cut), Change::None, None);
            outcome = outcome.and_then(|()| trial.check(&board, seen));
        }
        for _ in 0..3 {
            let (seen, _) = board.boot(random.one_of(damage.choice()), None, Change::None, None);
            outcome = outcome.and_then(|()| trial.check(&board, seen));
        }
        tally.count(outcome.and_then(|()| trial.works(board)), &round);
    }
    tally
}

/// The flash fails once or several times, with the power on. The identity is always one that was drawn, and the former
/// one is not used again after a reset.
#[test]
fn a_flash_that_fails_gives_no_identity_that_is_known() {
    let identity = RefCell::new(identity());
    let new = Board::<4, 4096>::new(Level::Before, &identity, false);
    let mut used = new.clone();
    let first = used.boot(Reads::PerRead, None, Change::Use, None).0.and_then(|seen| seen.own);
    let mut reset = used.clone();
    reset.boot(Reads::PerRead, None, Change::Reset, None);
    // Whether a board still has its first identity, if it had one.
    for (board, stays) in [(&new, None), (&used, Some(true)), (&reset, Some(false))] {
        for what in [Operation::Read, Operation::Write, Operation::Erase] {
            for (after, times) in (0..60).flat_map(|after| [1, 2, 3, 9].map(|times| (after, times))) {
                let mut board = board.clone();
                board.flash.failing = Some(Failing { what, range: 0..u32::MAX, after, times });
                board.boot(Reads::PerRead, None, Change::None, None);
                board.flash.failing = None;
                let seen =
                    [(); 2].map(|()| board.boot(Reads::PerRead, None, Change::None, None).0.and_then(|seen| seen.own));
                let name = (what, after, times);
                assert!(seen[0].is_some() && seen[0] == seen[1], "{name:?}: {seen:?}");
                assert!(stays.is_none_or(|stays| stays == (seen[0] == first)), "{name:?}: {seen:?}");
                assert!(seen[0] != Some([0; 32]) && seen[0] != Some([0xFF; 32]), "{name:?}");
            }
        }
    }
}
