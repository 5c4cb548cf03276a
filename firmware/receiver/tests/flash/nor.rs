//! A simulated NOR flash that enforces the rules of real ones, and simulates power cuts and failures.
//!
//! Every write unit tracks what happened to it since its block was erased. A write to a unit that is not erased fails
//! the test, because the store must not do that. What a unit reads after a power cut during its write depends on the
//! level.

use std::ops::Range;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// How torn units behave. Each level is harder to handle than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The unit reads as before.
    Before,
    /// The unit reads as intended.
    Intended,
    /// Some of the bits changed.
    Bits,
    /// The unit contains garbage, and must not be written again.
    Words,
    /// The unit reads as before, as intended, or in between, and may differ at each read.
    Marginal,
    /// The unit is unreadable.
    Unreadable,
}

/// How much of an operation was done when power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tear {
    /// Nothing.
    Nothing,
    /// The first unit is torn.
    First,
    /// The units before the middle one are done, and the middle one is torn.
    Middle,
    /// All units are done except the last one, which is torn.
    Last,
    /// Every unit is torn.
    All,
    /// Some units are done, some torn, and some unchanged, because the units of a block are erased together.
    Scattered,
    /// The operation is complete, but was not acknowledged.
    Unacknowledged,
}

pub(crate) const TEARS: [Tear; 7] =
    [Tear::Nothing, Tear::First, Tear::Middle, Tear::Last, Tear::All, Tear::Scattered, Tear::Unacknowledged];

/// What torn units read at the marginal level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Their content before the operation.
    Before,
    /// Their intended content.
    Intended,
    /// Nothing: the read fails.
    Error,
    /// Either of both or something in between, chosen at each read.
    PerRead,
    /// Each unit reads as before, as intended, as garbage, or not at all, chosen once per boot.
    PerBoot,
}

/// What a torn unit reads.
enum Reading {
    Stored,
    Intended,
    Garbage(u64),
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Erase,
}

/// Operations that fail while the power stays on. Failed writes and erasures leave units half done.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) what: Operation,
    /// Operations that touch this range are affected.
    pub(crate) range: Range<u32>,
    /// The number of them that succeed first.
    pub(crate) after: u32,
    /// The number of them that fail afterwards.
    pub(crate) times: u32,
}

impl Failing {
    pub(crate) const ALWAYS: u32 = u32::MAX;

    /// Whether an operation fails.
    fn meets(&mut self, what: Operation, range: Range<u32>) -> bool {
        if what != self.what || range.end <= self.range.start || range.start >= self.range.end {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        let fails = self.times > 0;
        self.times -= u32::from(fails && self.times != Self::ALWAYS);
        fails
    }
}

/// Random numbers that are the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Erased,
    Written,
    Torn,
}

#[derive(Clone)]
pub(crate) struct Nor<const WRITE: usize, const ERASE: usize> {
    pub(crate) bytes: Vec<u8>,
    /// The intended content of torn units.
    meant: Vec<u8>,
    units: Vec<Unit>,
    pub(crate) level: Level,
    pub(crate) reads: Reads,
    /// Power fails during the operation with this number.
    pub(crate) cut: Option<(u64, Tear)>,
    pub(crate) is_off: bool,
    pub(crate) failing: Option<Failing>,
    /// This byte stays erased whatever is written to it, without an error.
    pub(crate) stuck: Option<usize>,
    /// Whether zeros may be written to a torn unit, which completes it unless it is unreadable. The seed does that. The
    /// slots must not.
    pub(crate) completes_zeros: bool,
    boots: u64,
    /// The number of writes and erasures so far.
    pub(crate) operations: u64,
    pub(crate) erased: Vec<u32>,
    pub(crate) written: u64,
    pub(crate) chance: Random,
}

#[derive(Debug)]
pub(crate) struct NorError;

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WRITE: usize, const ERASE: usize> Nor<WRITE, ERASE> {
    /// A flash of `blocks` blocks with arbitrary previous content.
    pub(crate) fn new(blocks: usize, level: Level) -> Self {
        let length = blocks * ERASE;
        Self {
            bytes: (0..length).map(|at| (at * 31) as u8).collect(),
            meant: vec![0; length],
            units: vec![Unit::Written; length / WRITE],
            level,
            reads: Reads::PerRead,
            cut: None,
            is_off: false,
            failing: None,
            stuck: None,
            completes_zeros: false,
            boots: 0,
            operations: 0,
            erased: vec![0; blocks],
            written: 0,
            chance: Random(1),
        }
    }

    /// Restores power. From now on torn units read as [`Reads::PerRead`].
    pub(crate) fn revive(&mut self) {
        (self.is_off, self.cut, self.reads) = (false, None, Reads::PerRead);
        self.boots += 1;
    }

    /// Chooses what a torn unit reads now.
    fn reading(&mut self, unit: usize) -> Reading {
        let random = self.chance.next();
        match (self.level, self.reads) {
            (Level::Before | Level::Bits | Level::Words, _) | (Level::Marginal, Reads::Before) => Reading::Stored,
            (Level::Unreadable, _) | (Level::Marginal, Reads::Error) => Reading::Error,
            (Level::Intended, _) | (Level::Marginal, Reads::Intended) => Reading::Intended,
            (Level::Marginal, Reads::PerRead) => match random % 3 {
                0 => Reading::Intended,
                1 => Reading::Garbage(random >> 8),
                _ => Reading::Stored,
            },
            (Level::Marginal, Reads::PerBoot) => {
                let random = Random((self.boots + 1) << 32 | unit as u64).next();
                match random % 4 {
                    0 => Reading::Intended,
                    1 => Reading::Garbage(random >> 8),
                    2 => Reading::Error,
                    _ => Reading::Stored,
                }
            }
        }
    }

    fn fails(&mut self, what: Operation, from: u32, length: usize) -> bool {
        self.failing.as_mut().is_some_and(|failing| failing.meets(what, from..from + length as u32))
    }

    /// Counts an operation, and returns how it is torn, if it is.
    fn operate(&mut self, what: Operation, from: u32, length: usize) -> Result<Option<Tear>, NorError> {
        if self.is_off {
            return Err(NorError);
        }
        self.operations += 1;
        if self.fails(what, from, length) {
            return Ok(Some(Tear::Scattered));
        }
        match self.cut {
            Some((at, tear)) if at + 1 == self.operations => {
                self.is_off = true;
                Ok(Some(tear))
            }
            _ => Ok(None),
        }
    }

    /// Changes `units` units from `first` on to their content in `meant`, as far as the tear permits.
    fn change<'b>(
        &mut self,
        tear: Option<Tear>,
        first: usize,
        units: usize,
        state: Unit,
        meant: impl Fn(usize) -> &'b [u8],
    ) {
        for index in 0..units {
            let torn = match tear {
                None | Some(Tear::Unacknowledged) => false,
                Some(Tear::Nothing) => return,
                Some(Tear::First) => index == 0,
                Some(Tear::Middle) => index == units / 2,
                Some(Tear::Last) => index + 1 == units,
                Some(Tear::All) => true,
                Some(Tear::Scattered) => match self.chance.next() % 3 {
                    0 => continue,
                    state => state == 1,
                },
            };
            if torn {
                self.tear(first + index, meant(index))
            } else {
                self.set(first + index, meant(index), state)
            }
            if torn && !matches!(tear, Some(Tear::All | Tear::Scattered)) {
                return;
            }
        }
    }

    fn tear(&mut self, unit: usize, meant: &[u8]) {
        for (at, meant) in (unit * WRITE..).zip(meant) {
            let old = self.bytes[at];
            let random = self.chance.next() as u8;
            self.meant[at] = *meant;
            self.bytes[at] = match self.level {
                // Bits that differ may have either value.
                Level::Bits => (old & meant) | ((old ^ meant) & random),
                Level::Words => random,
                Level::Before | Level::Intended | Level::Marginal | Level::Unreadable => old,
            };
        }
        // Torn units must not be written again at any level.
        self.units[unit] = Unit::Torn;
    }

    fn set(&mut self, unit: usize, bytes: &[u8], state: Unit) {
        self.bytes[unit * WRITE..][..WRITE].copy_from_slice(bytes);
        if let Some(stuck) = self.stuck.filter(|stuck| stuck / WRITE == unit) {
            self.bytes[stuck] = 0xff;
        }
        self.units[unit] = state;
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for Nor<WRITE, ERASE> {
    type Error = NorError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for Nor<WRITE, ERASE> {
    const READ_SIZE: usize = if WRITE > 4 { 4 } else { WRITE };

    async fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorError> {
        assert!((offset as usize).is_multiple_of(Self::READ_SIZE) && out.len().is_multiple_of(Self::READ_SIZE));
        if self.is_off || self.fails(Operation::Read, offset, out.len()) {
            return Err(NorError);
        }
        out.copy_from_slice(&self.bytes[offset as usize..][..out.len()]);
        for unit in offset as usize / WRITE..(offset as usize + out.len()).div_ceil(WRITE) {
            if self.units[unit] != Unit::Torn {
                continue;
            }
            let reading = self.reading(unit);
            let first = (unit * WRITE).max(offset as usize);
            let last = ((unit + 1) * WRITE).min(offset as usize + out.len());
            for at in first..last {
                let byte = &mut out[at - offset as usize];
                match reading {
                    Reading::Stored => {}
                    Reading::Intended => *byte = self.meant[at],
                    Reading::Garbage(bits) => *byte = (*byte & self.meant[at]) | (bits >> (at % 48)) as u8,
                    Reading::Error => return Err(NorError),
                }
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for Nor<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        assert!(from.is_multiple_of(ERASE as u32) && to.is_multiple_of(ERASE as u32) && from < to);
        let tear = self.operate(Operation::Erase, from, (to - from) as usize)?;
        (from..to).step_by(ERASE).for_each(|at| self.erased[at as usize / ERASE] += 1);
        let (first, count) = (from as usize / WRITE, (to - from) as usize / WRITE);
        self.change(tear, first, count, Unit::Erased, |_| &[0xff; WRITE]);
        if tear.is_some() { Err(NorError) } else { Ok(()) }
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        assert!((offset as usize).is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE));
        let tear = self.operate(Operation::Write, offset, bytes.len())?;
        self.written += bytes.len() as u64;
        let (first, count) = (offset as usize / WRITE, bytes.len() / WRITE);
        for unit in first..first + count {
            let completes = self.completes_zeros
                && self.units[unit] == Unit::Torn
                && bytes[(unit - first) * WRITE..][..WRITE].iter().all(|byte| *byte == 0);
            assert!(self.units[unit] == Unit::Erased || completes, "writes at {offset}, where nothing was erased");
            if completes && self.level == Level::Unreadable && self.chance.next().is_multiple_of(2) {
                return Err(NorError);
            }
        }
        self.change(tear, first, count, Unit::Written, |index| &bytes[index * WRITE..][..WRITE]);
        if tear.is_some() { Err(NorError) } else { Ok(()) }
    }
}
