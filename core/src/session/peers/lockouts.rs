//! Wrong codes: each sender's, the pauses that follow, and the bytes in which a board keeps them through a reset.
//!
//! ```text
//! 0    pause of every sender, seconds      2
//! 2    eight rows, unused ones all zero    8 * 36:   sender 32, wrong codes 1, pauses so far 1, pause left in seconds 2
//! 290  BLAKE3 of all before                8         its first bytes
//! ```
//!
//! Numbers are big-endian. PROTOCOL.md, section 6, step 3.

use heapless::Vec;

use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::limits::{CODE_TRIES, LOCK_FIRST_S, LOCK_MAX_S};

/// Senders whose wrong tries are counted at once; past that the one with the least to answer for is forgotten.
const SENDERS: usize = 8;

/// How often a pause doubles: then it is the longest.
const DOUBLINGS: u8 = 7;

/// Bytes of a row.
const ROW: usize = 32 + 1 + 1 + 2;
/// Bytes before the checksum.
const COVERED: usize = 2 + SENDERS * ROW;
const CHECKSUM: usize = 8;

/// Wrong codes and pauses as bytes, for memory that survives a reset. Holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct LockoutSnapshot(pub [u8; Self::LEN]);

impl LockoutSnapshot {
    /// How many bytes they are.
    pub const LEN: usize = COVERED + CHECKSUM;
    /// What memory holds before anything was kept there.
    pub const NONE: Self = Self([0; Self::LEN]);

    fn sealed(mut self) -> Self {
        let checksum = self.checksum();
        self.0[COVERED..].copy_from_slice(&checksum);
        self
    }

    fn is_sound(&self) -> bool {
        self.0[COVERED..] == self.checksum()
    }

    fn checksum(&self) -> [u8; CHECKSUM] {
        *Digest::of(&self.0[..COVERED]).0.first_chunk().expect("a digest has 32 bytes")
    }
}

/// The book of wrong codes.
#[derive(Default)]
pub(super) struct Lockouts {
    series: Vec<Series, SENDERS>,
    /// Until then no sender may try.
    all_locked_until: u64,
}

/// Wrong codes of one sender.
struct Series {
    sender: CertificateHash,
    wrong: u8,
    locks: u8,
    locked_until: u64,
}

impl Lockouts {
    /// A book in which every sender has to pause first.
    pub(super) fn locked(now: u64) -> Self {
        Self { series: Vec::new(), all_locked_until: after(now, LOCK_FIRST_S) }
    }

    /// What was kept. `None`: it is damaged, or nothing was.
    pub(super) fn read(tries: &LockoutSnapshot, now: u64) -> Option<Self> {
        if !tries.is_sound() {
            return None;
        }
        let (all, rows) = tries.0[..COVERED].split_first_chunk()?;
        let rows = rows.chunks_exact(ROW).filter_map(|row| Series::read(row, now));
        Some(Self { series: rows.collect(), all_locked_until: after(now, u16::from_be_bytes(*all).into()) })
    }

    /// As bytes. The time that passes until they are read counts for nobody.
    pub(super) fn write(&self, now: u64) -> LockoutSnapshot {
        let mut tries = LockoutSnapshot::NONE;
        let (all, rows) = tries.0.split_at_mut(2);
        all.copy_from_slice(&left(self.all_locked_until, now).to_be_bytes());
        for (row, series) in rows.chunks_exact_mut(ROW).zip(&self.series) {
            series.write(row, now);
        }
        tries.sealed()
    }

    /// Whole seconds, rounded up, for which `sender` has to pause.
    pub(super) fn pause(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        let own = self.series.iter().find(|series| series.sender == *sender).map_or(0, |series| series.locked_until);
        let seconds = left(own.max(self.all_locked_until), now);
        (seconds > 0).then_some(seconds.into())
    }

    /// A right code ends the series.
    pub(super) fn clear(&mut self, sender: &CertificateHash) {
        self.series.retain(|series| series.sender != *sender);
    }

    /// Counts a wrong code. Gives the tries that are left, or else the seconds of the pause that follows: twice as long
    /// as the last.
    pub(super) fn wrong(&mut self, sender: &CertificateHash, now: u64) -> Result<u8, u32> {
        let series = self.series_of(sender);
        series.wrong += 1;
        if series.wrong < CODE_TRIES {
            return Ok(CODE_TRIES - series.wrong);
        }
        let seconds = (LOCK_FIRST_S << series.locks.min(DOUBLINGS)).min(LOCK_MAX_S);
        series.locks = series.locks.saturating_add(1);
        series.wrong = 0;
        series.locked_until = after(now, seconds);
        Err(seconds)
    }

    fn series_of(&mut self, sender: &CertificateHash) -> &mut Series {
        let at = match self.series.iter().position(|series| series.sender == *sender) {
            Some(at) => at,
            None => {
                if self.series.is_full() {
                    let least = (0..SENDERS).min_by_key(|&at| self.series[at].weight()).expect("a full table has rows");
                    self.series.swap_remove(least);
                }
                let fresh = Series { sender: *sender, wrong: 0, locks: 0, locked_until: 0 };
                assert!(self.series.push(fresh).is_ok(), "a full table was just made shorter");
                self.series.len() - 1
            }
        };
        &mut self.series[at]
    }
}

impl Series {
    fn read(row: &[u8], now: u64) -> Option<Self> {
        let (sender, [wrong, locks, high, low]) = row.split_first_chunk::<32>()? else { return None };
        let used = row.iter().any(|byte| *byte != 0);
        used.then(|| Self {
            sender: CertificateHash(*sender),
            // One more wrong code must not overflow it, whatever was kept.
            wrong: (*wrong).min(CODE_TRIES - 1),
            locks: *locks,
            locked_until: after(now, u16::from_be_bytes([*high, *low]).into()),
        })
    }

    fn write(&self, row: &mut [u8], now: u64) {
        row[..32].copy_from_slice(&self.sender.0);
        row[32] = self.wrong;
        row[33] = self.locks;
        row[34..].copy_from_slice(&left(self.locked_until, now).to_be_bytes());
    }

    fn weight(&self) -> (u8, u64, u8) {
        (self.locks, self.locked_until, self.wrong)
    }
}

fn after(now: u64, seconds: u32) -> u64 {
    now.saturating_add(u64::from(seconds) * 1_000)
}

/// Whole seconds until then, rounded up.
fn left(until: u64, now: u64) -> u16 {
    u16::try_from(until.saturating_sub(now).div_ceil(1_000)).unwrap_or(LOCK_MAX_S as u16)
}

const _: () = assert!(LOCK_FIRST_S << DOUBLINGS >= LOCK_MAX_S);
// A pause fits its two bytes.
const _: () = assert!(LOCK_MAX_S <= u16::MAX as u32);

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: CertificateHash = CertificateHash([1; 32]);
    const BERT: CertificateHash = CertificateHash([2; 32]);

    #[test]
    fn pauses_survive_a_reset_and_do_not_pass_in_it() {
        let mut book = Lockouts::default();
        let _ = book.wrong(&BERT, 0);
        for now in [0, 0, 0] {
            let _ = book.wrong(&ANNA, now);
        }
        let kept = book.write(10_000);
        let mut book = Lockouts::read(&kept, 500).unwrap();
        assert_eq!(book.pause(&ANNA, 500), Some(20));
        assert_eq!(book.pause(&BERT, 500), None);
        assert_eq!(book.wrong(&BERT, 500), Ok(1), "the wrong code before the reset counts");
        assert_eq!([book.wrong(&ANNA, 30_000), book.wrong(&ANNA, 30_000)], [Ok(2), Ok(1)]);
        assert_eq!(book.wrong(&ANNA, 30_000), Err(60), "and so does the pause before it");
    }

    #[test]
    fn however_many_pauses_there_were_another_follows() {
        for locks in 0..=u8::MAX {
            let mut kept = LockoutSnapshot::NONE;
            kept.0[2..34].fill(1);
            kept.0[35] = locks;
            let mut book = Lockouts::read(&kept.sealed(), 0).unwrap();
            let told = [(); 3].map(|()| book.wrong(&ANNA, 0));
            let [Ok(2), Ok(1), Err(seconds)] = told else { panic!("{locks}: {told:?}") };
            assert_eq!(seconds, [30, 60, 120, 240, 480, 960, 1_920].get(usize::from(locks)).copied().unwrap_or(3_600));
        }
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        assert!(Lockouts::read(&LockoutSnapshot::NONE, 0).is_none());
        let kept = Lockouts::default().write(0);
        assert!(Lockouts::read(&kept, 0).is_some());
        for at in 0..LockoutSnapshot::LEN {
            let mut damaged = kept;
            damaged.0[at] ^= 0x10;
            assert!(Lockouts::read(&damaged, 0).is_none(), "{at}");
        }
    }

    #[test]
    fn where_nothing_is_known_everybody_pauses() {
        let book = Lockouts::locked(1_000);
        assert_eq!(book.pause(&ANNA, 1_000), Some(30));
        let again = Lockouts::read(&book.write(11_000), 0).unwrap();
        assert_eq!((again.pause(&BERT, 0), again.pause(&BERT, 20_000)), (Some(20), None));
    }

    #[test]
    fn a_full_table_keeps_those_with_the_most_to_answer_for() {
        let mut book = Lockouts::default();
        for _ in 0..3 {
            let _ = book.wrong(&ANNA, 0);
        }
        for sender in 10..10 + 2 * SENDERS as u8 {
            let _ = book.wrong(&CertificateHash([sender; 32]), 0);
        }
        assert_eq!(book.pause(&ANNA, 0), Some(30));
        assert_eq!(Lockouts::read(&book.write(0), 0).unwrap().pause(&ANNA, 0), Some(30));
    }

    #[test]
    fn however_many_wrong_codes_were_kept_the_next_one_is_counted() {
        for wrong in 0..=u8::MAX {
            let mut kept = LockoutSnapshot::NONE;
            kept.0[2..34].fill(1);
            kept.0[34] = wrong;
            let mut book = Lockouts::read(&kept.sealed(), 0).unwrap();
            let expected = [Ok(2), Ok(1), Err(30)];
            assert_eq!(book.wrong(&ANNA, 0), expected[usize::from(wrong).min(2)], "{wrong}");
        }
    }
}
