//! The state that a receiver keeps between connections: its code, each sender's wrong codes and lockout, and the runs
//! in which senders have proved code and key.
//!
//! Only authenticated senders change this state: strangers can neither lock out a sender nor fill the tables.
//! PROTOCOL.md, section 6, step 3 and "Retries".

mod lockouts;
mod runs;

use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::AuthCode;
use lockouts::Lockouts;

pub use lockouts::LockoutSnapshot;
pub(super) use runs::{RunId, Runs};

/// The state that a receiver keeps between connections. Times are those of the receiver's
/// [`Clock`](crate::session::Clock).
pub struct PeerState {
    code: AuthCode,
    lockouts: Lockouts,
    /// The runs in which senders have proved code and key.
    pub(super) runs: Runs,
    /// Whether the receiver accepts no more folders, and only repeats receipts.
    is_closed: bool,
}

/// The result of comparing a sender's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeResult {
    Right,
    Wrong { left: u8 },
    Locked { seconds: u32 },
}

impl PeerState {
    /// A state with a fresh code and no peers.
    pub fn new(rng: &mut impl CryptoRngCore) -> Self {
        Self { code: AuthCode::random(rng), lockouts: Lockouts::default(), runs: Runs::new(), is_closed: false }
    }

    /// A state with a fresh code and the lockouts of a snapshot from before a reset. If the snapshot is damaged, every
    /// sender is locked out first: resetting the receiver must not give a sender more tries.
    pub fn restore(rng: &mut impl CryptoRngCore, snapshot: &LockoutSnapshot, now: u64) -> Self {
        let lockouts = Lockouts::read(snapshot, now).unwrap_or_else(|| Lockouts::all_locked(now));
        Self { lockouts, ..Self::new(rng) }
    }

    /// The code that a sender must give next.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }

    /// A snapshot of wrong codes and lockouts, to be kept in memory that survives a reset.
    pub fn lockouts(&self, now: u64) -> LockoutSnapshot {
        self.lockouts.snapshot(now)
    }

    /// Whether a receipt may have been lost: its sender did not close the connection in good order after it.
    pub fn has_unconfirmed_receipt(&self) -> bool {
        self.runs.has_unconfirmed_receipt()
    }

    /// Stops accepting folders: from now on a sender gets the receipt of its run, or is refused.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Forgets the runs that have expired, and wipes their secrets. Call it between connections, at
    /// [`next_expiry`](Self::next_expiry).
    pub fn expire(&mut self, now: u64) {
        self.runs.expire(now);
    }

    /// Forgets all runs, because the receiver went back to an earlier folder: a sender is asked for code and key again,
    /// and gets no receipt for a folder that was given up.
    pub fn forget_runs(&mut self) {
        self.runs = Runs::new();
    }

    /// Forgets the runs of all senders but those that `is_trusted` accepts, and wipes their secrets.
    pub fn retain_runs(&mut self, is_trusted: impl Fn(&CertificateHash) -> bool) {
        self.runs.retain(is_trusted);
    }

    /// When the next run expires, if any is remembered.
    pub fn next_expiry(&self) -> Option<u64> {
        self.runs.next_expiry()
    }

    /// Whether the receiver may serve a connection of this run.
    pub(super) fn serves(&self, run: &RunId) -> bool {
        !self.is_closed || self.runs.receipt(run).is_some()
    }

    /// Seconds, rounded up, until the lockout of `sender` ends; `None` if it is not locked out.
    pub(super) fn lockout(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        self.lockouts.remaining(sender, now)
    }

    /// Compares `digits` with the code. The code is replaced by a new one if they are right, and if this was the
    /// sender's last try.
    pub(super) fn try_code(
        &mut self,
        sender: &CertificateHash,
        digits: &[u8; 4],
        now: u64,
        rng: &mut impl CryptoRngCore,
    ) -> CodeResult {
        if let Some(seconds) = self.lockout(sender, now) {
            return CodeResult::Locked { seconds };
        }
        if self.code.matches(digits) {
            self.lockouts.clear(sender);
            self.code = AuthCode::random(rng);
            return CodeResult::Right;
        }
        match self.lockouts.count_wrong_code(sender, now) {
            Ok(left) => CodeResult::Wrong { left },
            Err(seconds) => {
                self.code = AuthCode::random(rng);
                CodeResult::Locked { seconds }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn a_right_code_ends_the_series_of_wrong_codes() {
        let (mut peers, sender) = (PeerState::new(&mut OsRng), CertificateHash([1; 32]));
        for _ in 0..2 {
            let right = *peers.code().digits();
            let wrong = if right == *b"0000" { *b"0001" } else { *b"0000" };
            for left in [2, 1] {
                assert_eq!(peers.try_code(&sender, &wrong, 0, &mut OsRng), CodeResult::Wrong { left });
            }
            assert_eq!(peers.try_code(&sender, &right, 0, &mut OsRng), CodeResult::Right);
        }
    }
}
