//! The state that a receiver keeps between connections: its code, each sender's wrong codes and lockout, and the runs
//! in which senders have proved code and key.
//!
//! Only authenticated senders change this state: strangers can neither lock out a sender nor fill the tables.
//! PROTOCOL.md, section 6, step 3 and "Retries".

mod lockouts;

use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::AuthCode;
use crate::digest::Digest;
use crate::limits::REMEMBER_MS;
use crate::sealed::keys::Secret;
use crate::session::{Offered, Receipt};
use lockouts::Lockouts;

pub use lockouts::LockoutSnapshot;

/// Number of runs that are remembered at once. A further run replaces the oldest run of its own sender if that sender
/// has several, and otherwise the least recent run of all.
const RUNS: usize = 4;

/// The state that a receiver keeps between connections. Times are those of the receiver's [`Clock`](super::Clock).
pub struct PeerState {
    code: AuthCode,
    lockouts: Lockouts,
    /// Whether the receiver accepts no more folders, and only repeats receipts.
    is_closed: bool,
    /// A run is never moved until it is dropped, since moving it would leave copies of its secret.
    runs: [Option<Run>; RUNS],
}

/// Identifies one run of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunId {
    pub(super) sender: CertificateHash,
    pub(super) salt: [u8; 32],
}

/// A run whose sender has proved the code, for further connections of the same run.
struct Run {
    id: RunId,
    /// The first offer of the run. A run has only one folder.
    offered: Option<Offered>,
    key: Option<ProvenKey>,
    /// Digest of the committed folder's manifest, and the receipt.
    committed: Option<(Digest, Receipt)>,
    /// Whether the sender has closed a connection in good order after the receipt.
    is_confirmed: bool,
    /// When the run expires.
    until: u64,
}

/// The secret of a typed key that matched the commitment.
struct ProvenKey {
    iterations: u32,
    secret: Secret,
}

/// The result of comparing a sender's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeTry {
    Right,
    Wrong { left: u8 },
    Locked { seconds: u32 },
}

impl PeerState {
    /// A state with a fresh code and no peers.
    pub fn new(entropy: &mut impl CryptoRngCore) -> Self {
        Self {
            code: AuthCode::random(entropy),
            lockouts: Lockouts::default(),
            is_closed: false,
            runs: [const { None }; RUNS],
        }
    }

    /// A state with a fresh code and the lockouts of a snapshot from before a reset. If the snapshot is damaged, every
    /// sender is locked out first: resetting the receiver must not give a sender more tries.
    pub fn restore(entropy: &mut impl CryptoRngCore, snapshot: &LockoutSnapshot, now: u64) -> Self {
        let lockouts = Lockouts::read(snapshot, now).unwrap_or_else(|| Lockouts::all_locked(now));
        Self { lockouts, ..Self::new(entropy) }
    }

    /// The code that a sender must give next.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }

    /// A snapshot of wrong codes and lockouts, to be kept in memory that survives a reset.
    pub fn lockouts(&self, now: u64) -> LockoutSnapshot {
        self.lockouts.snapshot(now)
    }

    /// Seconds, rounded up, until the lockout of `sender` ends; `None` if it is not locked out.
    pub(super) fn locked(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        self.lockouts.remaining(sender, now)
    }

    /// Compares `digits` with the code. The code is replaced by a new one if they are right, and if this was the
    /// sender's last try.
    pub(super) fn try_code(
        &mut self,
        sender: &CertificateHash,
        digits: &[u8; 4],
        now: u64,
        entropy: &mut impl CryptoRngCore,
    ) -> CodeTry {
        if let Some(seconds) = self.locked(sender, now) {
            return CodeTry::Locked { seconds };
        }
        if self.code.matches(digits) {
            self.lockouts.clear(sender);
            self.code = AuthCode::random(entropy);
            return CodeTry::Right;
        }
        match self.lockouts.count_wrong_code(sender, now) {
            Ok(left) => CodeTry::Wrong { left },
            Err(seconds) => {
                self.code = AuthCode::random(entropy);
                CodeTry::Locked { seconds }
            }
        }
    }

    /// Records that the sender gave the right code, or needed none, in this run.
    pub(super) fn code_proven(&mut self, id: RunId, now: u64) {
        self.forget(&id);
        let run = Run {
            id,
            offered: None,
            key: None,
            committed: None,
            is_confirmed: false,
            until: now.saturating_add(REMEMBER_MS),
        };
        *self.slot_for(&id.sender) = Some(run);
    }

    /// Binds the run to its first offer. Returns whether `offered` is that offer.
    pub(super) fn binds(&mut self, id: &RunId, offered: &Offered) -> bool {
        match self.run_mut(id) {
            Some(run) => run.offered.get_or_insert(*offered) == offered,
            None => true,
        }
    }

    /// Records the secret that matched the commitment of this run.
    pub(super) fn key_proven(&mut self, id: &RunId, iterations: u32, secret: &Secret) {
        if let Some(run) = self.run_mut(id) {
            run.key.insert(ProvenKey { iterations, secret: Secret::empty() }).secret.copy_from(secret);
        }
    }

    /// Whether the sender has proved the code in this run.
    pub(super) fn remembers(&self, id: &RunId) -> bool {
        self.run(id).is_some()
    }

    /// The secret that was proved in this run with that number of iterations.
    pub(super) fn secret(&self, id: &RunId, iterations: u32) -> Option<&Secret> {
        let key = self.run(id)?.key.as_ref();
        key.filter(|key| key.iterations == iterations).map(|key| &key.secret)
    }

    /// Records the commit of this run, in case the receipt gets lost.
    pub(super) fn committed(&mut self, id: &RunId, manifest: Digest, receipt: Receipt) {
        if let Some(run) = self.run_mut(id) {
            run.committed = Some((manifest, receipt));
        }
    }

    /// The manifest digest and receipt of the folder that this run committed.
    pub(super) fn receipt(&self, id: &RunId) -> Option<&(Digest, Receipt)> {
        self.run(id)?.committed.as_ref()
    }

    /// Records that the sender has received the receipt of this run.
    pub(super) fn confirm(&mut self, id: &RunId) {
        if let Some(run) = self.run_mut(id) {
            run.is_confirmed = true;
        }
    }

    /// Whether a receipt may have been lost: its sender did not close the connection in good order after it.
    pub fn has_unconfirmed_receipt(&self) -> bool {
        self.runs.iter().flatten().any(|run| run.committed.is_some() && !run.is_confirmed)
    }

    /// Stops accepting folders: from now on a sender gets the receipt of its run, or is refused.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the receiver may serve a connection of this run.
    pub(super) fn serves(&self, id: &RunId) -> bool {
        !self.is_closed || self.receipt(id).is_some()
    }

    /// Restarts the time for which the run is remembered, when a connection of it ends.
    pub(super) fn renew(&mut self, id: &RunId, now: u64) {
        if let Some(run) = self.run_mut(id) {
            run.until = now.saturating_add(REMEMBER_MS);
        }
    }

    /// Forgets a run, because a refusal ended it.
    pub(super) fn forget(&mut self, id: &RunId) {
        for slot in self.runs.iter_mut().filter(|slot| slot.as_ref().is_some_and(|run| run.id == *id)) {
            *slot = None;
        }
    }

    /// Forgets the runs that have expired, and wipes their secrets. Call it between connections, at
    /// [`next_expiry`](Self::next_expiry).
    pub fn expire(&mut self, now: u64) {
        for slot in self.runs.iter_mut().filter(|slot| slot.as_ref().is_some_and(|run| run.until <= now)) {
            *slot = None;
        }
    }

    /// When the next run expires, if any is remembered.
    pub fn next_expiry(&self) -> Option<u64> {
        self.runs.iter().flatten().map(|run| run.until).min()
    }

    fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.iter().flatten().find(|run| run.id == *id)
    }

    fn run_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        self.runs.iter_mut().flatten().find(|run| run.id == *id)
    }

    /// The slot for another run of this sender: a free one, or the one whose run it replaces.
    fn slot_for(&mut self, sender: &CertificateHash) -> &mut Option<Run> {
        let has_several = self.runs.iter().flatten().filter(|run| run.id.sender == *sender).count() > 1;
        let order = |slot: &Option<Run>| match slot {
            None => (0, 0),
            Some(run) if has_several && run.id.sender == *sender => (1, run.until),
            Some(run) => (2, run.until),
        };
        let first = (0..RUNS).min_by_key(|&index| order(&self.runs[index])).unwrap_or(0);
        &mut self.runs[first]
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::code::TransferKey;

    fn id(sender: u8, salt: u8) -> RunId {
        RunId { sender: CertificateHash([sender; 32]), salt: [salt; 32] }
    }

    fn secret() -> Secret {
        Secret::typed(&TransferKey::random(&mut OsRng), &[9; 32], 1_000)
    }

    #[test]
    fn runs_of_several_senders_are_remembered() {
        let mut peers = PeerState::new(&mut OsRng);
        for sender in 0..RUNS as u8 {
            peers.code_proven(id(sender, 9), sender.into());
        }
        peers.key_proven(&id(0, 9), 1_000, &secret());
        peers.renew(&id(0, 9), 10);
        assert!((0..RUNS as u8).all(|sender| peers.remembers(&id(sender, 9))));
        peers.code_proven(id(77, 9), 20);
        assert!(!peers.remembers(&id(1, 9)), "the least recent run was replaced");
        assert!(peers.secret(&id(0, 9), 1_000).is_some());
        assert!(peers.secret(&id(0, 9), 1_001).is_none());
        assert!(peers.secret(&id(0, 8), 1_000).is_none());
    }

    #[test]
    fn a_second_run_of_a_sender_does_not_replace_its_first() {
        let mut peers = PeerState::new(&mut OsRng);
        peers.code_proven(id(1, 1), 0);
        peers.code_proven(id(1, 2), 1);
        assert!(peers.remembers(&id(1, 1)) && peers.remembers(&id(1, 2)));
        peers.forget(&id(1, 2));
        assert!(peers.remembers(&id(1, 1)), "a refusal ends its own run alone");
    }

    #[test]
    fn a_sender_with_many_runs_replaces_its_own() {
        let mut peers = PeerState::new(&mut OsRng);
        peers.code_proven(id(1, 1), 0);
        for salt in 1..100 {
            peers.code_proven(id(2, salt), salt.into());
        }
        assert!(peers.remembers(&id(1, 1)));
        assert!(peers.remembers(&id(2, 99)) && peers.remembers(&id(2, 98)));
    }

    #[test]
    fn a_run_expires_ten_minutes_after_its_last_connection() {
        let mut peers = PeerState::new(&mut OsRng);
        peers.code_proven(id(1, 1), 0);
        peers.key_proven(&id(1, 1), 1_000, &secret());
        assert_eq!(peers.next_expiry(), Some(REMEMBER_MS));
        peers.renew(&id(1, 1), 5_000_000);
        peers.expire(5_000_000 + REMEMBER_MS - 1);
        assert!(peers.secret(&id(1, 1), 1_000).is_some());
        peers.expire(5_000_000 + REMEMBER_MS);
        assert!(!peers.remembers(&id(1, 1)));
        assert_eq!(peers.next_expiry(), None);
    }

    #[test]
    fn a_right_code_ends_the_series_of_wrong_codes() {
        let (mut peers, sender) = (PeerState::new(&mut OsRng), CertificateHash([1; 32]));
        for _ in 0..2 {
            let right = *peers.code().digits();
            let wrong = if right == *b"0000" { *b"0001" } else { *b"0000" };
            for left in [2, 1] {
                assert_eq!(peers.try_code(&sender, &wrong, 0, &mut OsRng), CodeTry::Wrong { left });
            }
            assert_eq!(peers.try_code(&sender, &right, 0, &mut OsRng), CodeTry::Right);
        }
    }
}
