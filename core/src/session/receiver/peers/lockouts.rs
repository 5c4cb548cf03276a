//! Wrong codes of each sender, the lockouts that follow them, and the snapshot that a board keeps through a reset.
//!
//! The snapshot:
//!
//! ```text
//! 0    seconds left of a lockout of all    2
//! 2    eight rows, unused ones all zero    8 * 36:   sender 32, wrong codes 1, lockouts so far 1, seconds left 2
//! 290  BLAKE3 of all before                8         its first bytes
//! ```
//!
//! Numbers are big-endian. PROTOCOL.md, section 6, step 3.

use heapless::Vec;

use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::limits::{CODE_TRIES, LOCKOUT_FIRST_S, LOCKOUT_MAX_S};

/// Number of senders whose wrong codes are counted at once. A further sender replaces the one with the fewest lockouts.
const SENDERS: usize = 8;

/// Number of times that a lockout doubles, after which it has its greatest length.
const DOUBLINGS: u8 = 7;

/// Length of a row, in bytes.
const ROW: usize = 32 + 1 + 1 + 2;
/// Number of bytes that the checksum covers.
const COVERED: usize = 2 + SENDERS * ROW;
const CHECKSUM: usize = 8;

/// Wrong codes and lockouts as bytes, for memory that survives a reset. It contains no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct LockoutSnapshot(pub [u8; Self::LEN]);

impl LockoutSnapshot {
    /// Length of a snapshot, in bytes.
    pub const LEN: usize = COVERED + CHECKSUM;
    /// The value of memory into which no snapshot was written.
    pub const NONE: Self = Self([0; Self::LEN]);

    fn with_checksum(mut self) -> Self {
        let checksum = self.checksum();
        self.0[COVERED..].copy_from_slice(&checksum);
        self
    }

    fn is_intact(&self) -> bool {
        self.0[COVERED..] == self.checksum()
    }

    fn checksum(&self) -> [u8; CHECKSUM] {
        *Digest::of(&self.0[..COVERED]).0.first_chunk().expect("a digest has 32 bytes")
    }
}

/// Wrong codes and lockouts of all senders.
#[derive(Default)]
pub(super) struct Lockouts {
    series: Vec<Series, SENDERS>,
    /// Every sender is locked out until this time.
    all_locked_until: u64,
}

/// The series of wrong codes of one sender since its last right one.
struct Series {
    sender: CertificateHash,
    /// Wrong codes since the last lockout.
    wrong: u8,
    /// Lockouts so far.
    lockouts: u8,
    locked_until: u64,
}

impl Lockouts {
    /// Locks out every sender.
    pub(super) fn all_locked(now: u64) -> Self {
        Self { series: Vec::new(), all_locked_until: after(now, LOCKOUT_FIRST_S) }
    }

    /// Reads a snapshot. Returns `None` if it is damaged, or no snapshot was written.
    pub(super) fn read(snapshot: &LockoutSnapshot, now: u64) -> Option<Self> {
        if !snapshot.is_intact() {
            return None;
        }
        let (all, rows) = snapshot.0[..COVERED].split_first_chunk()?;
        let rows = rows.chunks_exact(ROW).filter_map(|row| Series::read(row, now));
        Some(Self { series: rows.collect(), all_locked_until: after(now, u16::from_be_bytes(*all).into()) })
    }

    /// Writes a snapshot. The time until it is read does not shorten any lockout.
    pub(super) fn snapshot(&self, now: u64) -> LockoutSnapshot {
        let mut snapshot = LockoutSnapshot::NONE;
        let (all, rows) = snapshot.0.split_at_mut(2);
        all.copy_from_slice(&seconds_left(self.all_locked_until, now).to_be_bytes());
        for (row, series) in rows.chunks_exact_mut(ROW).zip(&self.series) {
            series.write(row, now);
        }
        snapshot.with_checksum()
    }

    /// Seconds, rounded up, until the lockout of `sender` ends; `None` if it is not locked out.
    pub(super) fn remaining(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        let own = self.series.iter().find(|series| series.sender == *sender).map_or(0, |series| series.locked_until);
        let seconds = seconds_left(own.max(self.all_locked_until), now);
        (seconds > 0).then_some(seconds.into())
    }

    /// Ends the sender's series, after a right code.
    pub(super) fn clear(&mut self, sender: &CertificateHash) {
        self.series.retain(|series| series.sender != *sender);
    }

    /// Counts a wrong code. Returns the tries that are left, or, as an error, the seconds of the lockout that begins. A
    /// lockout is twice as long as the one before it.
    pub(super) fn count_wrong_code(&mut self, sender: &CertificateHash, now: u64) -> Result<u8, u32> {
        let series = self.series_of(sender);
        series.wrong += 1;
        if series.wrong < CODE_TRIES {
            return Ok(CODE_TRIES - series.wrong);
        }
        let seconds = (LOCKOUT_FIRST_S << series.lockouts.min(DOUBLINGS)).min(LOCKOUT_MAX_S);
        series.lockouts = series.lockouts.saturating_add(1);
        series.wrong = 0;
        series.locked_until = after(now, seconds);
        Err(seconds)
    }

    fn series_of(&mut self, sender: &CertificateHash) -> &mut Series {
        let index = match self.series.iter().position(|series| series.sender == *sender) {
            Some(index) => index,
            None => {
                if self.series.is_full() {
                    let weight = |index: &usize| self.series[*index].weight();
                    let lightest = (0..SENDERS).min_by_key(weight).expect("a full table has rows");
                    self.series.swap_remove(lightest);
                }
                let fresh = Series { sender: *sender, wrong: 0, lockouts: 0, locked_until: 0 };
                assert!(self.series.push(fresh).is_ok(), "the table has a free row");
                self.series.len() - 1
            }
        };
        &mut self.series[index]
    }
}

impl Series {
    fn read(row: &[u8], now: u64) -> Option<Self> {
        let (sender, [wrong, lockouts, high, low]) = row.split_first_chunk::<32>()? else { return None };
        let is_used = row.iter().any(|byte| *byte != 0);
        is_used.then(|| Self {
            sender: CertificateHash(*sender),
            // Bounded, so that counting one more wrong code cannot overflow, whatever the snapshot contains.
            wrong: (*wrong).min(CODE_TRIES - 1),
            lockouts: *lockouts,
            locked_until: after(now, u16::from_be_bytes([*high, *low]).into()),
        })
    }

    fn write(&self, row: &mut [u8], now: u64) {
        row[..32].copy_from_slice(&self.sender.0);
        row[32] = self.wrong;
        row[33] = self.lockouts;
        row[34..].copy_from_slice(&seconds_left(self.locked_until, now).to_be_bytes());
    }

    /// Of a full table, the series with the least weight is dropped.
    fn weight(&self) -> (u8, u64, u8) {
        (self.lockouts, self.locked_until, self.wrong)
    }
}

fn after(now: u64, seconds: u32) -> u64 {
    now.saturating_add(u64::from(seconds) * 1_000)
}

/// Seconds until `until`, rounded up.
fn seconds_left(until: u64, now: u64) -> u16 {
    u16::try_from(until.saturating_sub(now).div_ceil(1_000)).unwrap_or(LOCKOUT_MAX_S as u16)
}

const _: () = assert!(LOCKOUT_FIRST_S << DOUBLINGS >= LOCKOUT_MAX_S);
// The length of a lockout fits its two bytes.
const _: () = assert!(LOCKOUT_MAX_S <= u16::MAX as u32);

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: CertificateHash = CertificateHash([1; 32]);
    const BERT: CertificateHash = CertificateHash([2; 32]);

    #[test]
    fn lockouts_survive_a_reset_and_the_reset_does_not_shorten_them() {
        let mut table = Lockouts::default();
        let _ = table.count_wrong_code(&BERT, 0);
        for now in [0, 0, 0] {
            let _ = table.count_wrong_code(&ANNA, now);
        }
        let kept = table.snapshot(10_000);
        let mut table = Lockouts::read(&kept, 500).unwrap();
        assert_eq!(table.remaining(&ANNA, 500), Some(20));
        assert_eq!(table.remaining(&BERT, 500), None);
        assert_eq!(table.count_wrong_code(&BERT, 500), Ok(1), "the wrong code before the reset counts");
        assert_eq!([table.count_wrong_code(&ANNA, 30_000), table.count_wrong_code(&ANNA, 30_000)], [Ok(2), Ok(1)]);
        assert_eq!(table.count_wrong_code(&ANNA, 30_000), Err(60), "the lockout before the reset counts");
    }

    #[test]
    fn any_number_of_lockouts_is_followed_by_another() {
        for lockouts in 0..=u8::MAX {
            let mut kept = LockoutSnapshot::NONE;
            kept.0[2..34].fill(1);
            kept.0[35] = lockouts;
            let mut table = Lockouts::read(&kept.with_checksum(), 0).unwrap();
            let results = [(); 3].map(|()| table.count_wrong_code(&ANNA, 0));
            let [Ok(2), Ok(1), Err(seconds)] = results else { panic!("{lockouts}: {results:?}") };
            let lengths = [30, 60, 120, 240, 480, 960, 1_920];
            assert_eq!(seconds, lengths.get(usize::from(lockouts)).copied().unwrap_or(3_600));
        }
    }

    #[test]
    fn a_damaged_snapshot_is_refused() {
        assert!(Lockouts::read(&LockoutSnapshot::NONE, 0).is_none());
        let kept = Lockouts::default().snapshot(0);
        assert!(Lockouts::read(&kept, 0).is_some());
        for at in 0..LockoutSnapshot::LEN {
            let mut damaged = kept;
            damaged.0[at] ^= 0x10;
            assert!(Lockouts::read(&damaged, 0).is_none(), "{at}");
        }
    }

    #[test]
    fn without_a_snapshot_every_sender_is_locked_out() {
        let table = Lockouts::all_locked(1_000);
        assert_eq!(table.remaining(&ANNA, 1_000), Some(30));
        let again = Lockouts::read(&table.snapshot(11_000), 0).unwrap();
        assert_eq!((again.remaining(&BERT, 0), again.remaining(&BERT, 20_000)), (Some(20), None));
    }

    #[test]
    fn a_full_table_keeps_the_senders_with_the_most_lockouts() {
        let mut table = Lockouts::default();
        for _ in 0..3 {
            let _ = table.count_wrong_code(&ANNA, 0);
        }
        for sender in 10..10 + 2 * SENDERS as u8 {
            let _ = table.count_wrong_code(&CertificateHash([sender; 32]), 0);
        }
        assert_eq!(table.remaining(&ANNA, 0), Some(30));
        assert_eq!(Lockouts::read(&table.snapshot(0), 0).unwrap().remaining(&ANNA, 0), Some(30));
    }

    #[test]
    fn any_number_of_wrong_codes_in_a_snapshot_is_bounded() {
        for wrong in 0..=u8::MAX {
            let mut kept = LockoutSnapshot::NONE;
            kept.0[2..34].fill(1);
            kept.0[34] = wrong;
            let mut table = Lockouts::read(&kept.with_checksum(), 0).unwrap();
            let expected = [Ok(2), Ok(1), Err(30)];
            assert_eq!(table.count_wrong_code(&ANNA, 0), expected[usize::from(wrong).min(2)], "{wrong}");
        }
    }
}
