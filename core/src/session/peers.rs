//! What a receiver remembers from one connection to the next: its code, each sender's wrong tries, and what senders
//! proved last.
//!
//! Only authenticated senders reach the peers, so strangers can neither lock anyone out nor fill its tables.
//! PROTOCOL.md, section 6, steps 3 and "Retries".

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

/// Runs that are remembered at once. One more takes the place of the same sender's oldest where that has several, else
/// of the one heard of longest ago.
const RUNS: usize = 4;

/// A receiver's memory between connections. Times are those of the receiver's [`Clock`](super::Clock).
pub struct PeerState {
    code: AuthCode,
    book: Lockouts,
    /// Whether nothing but receipts is given any more.
    closed: bool,
    /// Each stays where it is until it is dropped, so that moving leaves no copies of its secret.
    runs: [Option<Run>; RUNS],
}

/// Names one run of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunId {
    pub(super) sender: CertificateHash,
    pub(super) salt: [u8; 32],
}

/// What one sender proved in one run, for connections that continue it.
struct Run {
    id: RunId,
    /// What it offered: the only folder of this run.
    offered: Option<Offered>,
    key: Option<ProvenKey>,
    /// Digest of the committed folder's manifest, and its receipt.
    committed: Option<(Digest, Receipt)>,
    /// Whether the sender closed the connection in good order behind its receipt.
    confirmed: bool,
    until: u64,
}

struct ProvenKey {
    iterations: u32,
    secret: Secret,
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeTry {
    Right,
    Wrong { left: u8 },
    Locked { seconds: u32 },
}

impl PeerState {
    /// A peers with a fresh code.
    pub fn new(entropy: &mut impl CryptoRngCore) -> Self {
        Self { code: AuthCode::random(entropy), book: Lockouts::default(), closed: false, runs: [const { None }; RUNS] }
    }

    /// A peers that goes on with the wrong tries that were kept. Where those are lost every sender has to pause
    /// first: nobody gets more tries by resetting the receiver.
    pub fn restore(entropy: &mut impl CryptoRngCore, kept: &LockoutSnapshot, now: u64) -> Self {
        let book = Lockouts::read(kept, now).unwrap_or_else(|| Lockouts::locked(now));
        Self { book, ..Self::new(entropy) }
    }

    /// The code that a sender must give now.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }

    /// The wrong tries, to be kept where a reset does not reach.
    pub fn lockouts(&self, now: u64) -> LockoutSnapshot {
        self.book.write(now)
    }

    /// Whole seconds, rounded up, for which `sender` has to pause.
    pub(super) fn locked(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        self.book.pause(sender, now)
    }

    /// Holds `digits` against the code. Right, or wrong once too often: the code is spent, and a new one takes its
    /// place.
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
            self.book.clear(sender);
            self.code = AuthCode::random(entropy);
            return CodeTry::Right;
        }
        match self.book.wrong(sender, now) {
            Ok(left) => CodeTry::Wrong { left },
            Err(seconds) => {
                self.code = AuthCode::random(entropy);
                CodeTry::Locked { seconds }
            }
        }
    }

    /// Notes that the sender gave the right code, or needed none, in this run.
    pub(super) fn code_proven(&mut self, id: RunId, now: u64) {
        self.forget(&id);
        let run = Run {
            id,
            offered: None,
            key: None,
            committed: None,
            confirmed: false,
            until: now.saturating_add(REMEMBER_MS),
        };
        *self.place_for(&id.sender) = Some(run);
    }

    /// Binds a run to what is offered in it. Says whether that is what the run is bound to already, if it is.
    pub(super) fn binds(&mut self, id: &RunId, offered: &Offered) -> bool {
        match self.run_mut(id) {
            Some(run) => run.offered.get_or_insert(*offered) == offered,
            None => true,
        }
    }

    /// Notes the secret that the commitment of this run proved.
    pub(super) fn key_proven(&mut self, id: &RunId, iterations: u32, secret: &Secret) {
        if let Some(run) = self.run_mut(id) {
            run.key.insert(ProvenKey { iterations, secret: Secret::empty() }).secret.copy_from(secret);
        }
    }

    /// Whether the sender proved the code in this run.
    pub(super) fn remembers(&self, id: &RunId) -> bool {
        self.run(id).is_some()
    }

    /// The secret that was proven in this run.
    pub(super) fn secret(&self, id: &RunId, iterations: u32) -> Option<&Secret> {
        let key = self.run(id)?.key.as_ref();
        key.filter(|key| key.iterations == iterations).map(|key| &key.secret)
    }

    /// Notes what this run committed, in case the receipt gets lost.
    pub(super) fn committed(&mut self, id: &RunId, manifest: Digest, receipt: Receipt) {
        if let Some(run) = self.run_mut(id) {
            run.committed = Some((manifest, receipt));
        }
    }

    /// What this run committed, with the digest of its manifest.
    pub(super) fn receipt(&self, id: &RunId) -> Option<&(Digest, Receipt)> {
        self.run(id)?.committed.as_ref()
    }

    /// Notes that the sender has the receipt of this run.
    pub(super) fn confirm(&mut self, id: &RunId) {
        if let Some(run) = self.run_mut(id) {
            run.confirmed = true;
        }
    }

    /// Whether a receipt may have got lost: its sender did not close the connection in good order behind it.
    pub fn has_unconfirmed_receipt(&self) -> bool {
        self.runs.iter().flatten().any(|run| run.committed.is_some() && !run.confirmed)
    }

    /// Takes no folder any more: from now on a sender gets the receipt of its run, or is refused.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether a connection of this run can lead to anything.
    pub(super) fn serves(&self, id: &RunId) -> bool {
        !self.closed || self.receipt(id).is_some()
    }

    /// The connection ended: the run is remembered from now on.
    pub(super) fn renew(&mut self, id: &RunId, now: u64) {
        if let Some(run) = self.run_mut(id) {
            run.until = now.saturating_add(REMEMBER_MS);
        }
    }

    /// Forgets a run: a refusal ends it.
    pub(super) fn forget(&mut self, id: &RunId) {
        for place in self.runs.iter_mut().filter(|place| place.as_ref().is_some_and(|run| run.id == *id)) {
            *place = None;
        }
    }

    /// Forgets the runs whose time has passed, and wipes their secrets. Call it between connections, when
    /// [`next_expiry`](Self::next_expiry) has come.
    pub fn expire(&mut self, now: u64) {
        for place in self.runs.iter_mut().filter(|place| place.as_ref().is_some_and(|run| run.until <= now)) {
            *place = None;
        }
    }

    /// When the next run is to be forgotten, if one is remembered.
    pub fn next_expiry(&self) -> Option<u64> {
        self.runs.iter().flatten().map(|run| run.until).min()
    }

    fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.iter().flatten().find(|run| run.id == *id)
    }

    fn run_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        self.runs.iter_mut().flatten().find(|run| run.id == *id)
    }

    /// A free place, or the one that is freed for another run of this sender.
    fn place_for(&mut self, sender: &CertificateHash) -> &mut Option<Run> {
        let several = self.runs.iter().flatten().filter(|run| run.id.sender == *sender).count() > 1;
        let key = |place: &Option<Run>| match place {
            None => (0, 0),
            Some(run) if several && run.id.sender == *sender => (1, run.until),
            Some(run) => (2, run.until),
        };
        let oldest = (0..RUNS).min_by_key(|&at| key(&self.runs[at])).unwrap_or(0);
        &mut self.runs[oldest]
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
    fn each_of_several_senders_runs_is_remembered() {
        let mut peers = PeerState::new(&mut OsRng);
        for sender in 0..RUNS as u8 {
            peers.code_proven(id(sender, 9), sender.into());
        }
        peers.key_proven(&id(0, 9), 1_000, &secret());
        peers.renew(&id(0, 9), 10);
        assert!((0..RUNS as u8).all(|sender| peers.remembers(&id(sender, 9))));
        peers.code_proven(id(77, 9), 20);
        assert!(!peers.remembers(&id(1, 9)), "the one heard of longest ago made room");
        assert!(peers.secret(&id(0, 9), 1_000).is_some());
        assert!(peers.secret(&id(0, 9), 1_001).is_none());
        assert!(peers.secret(&id(0, 8), 1_000).is_none());
    }

    #[test]
    fn a_second_run_of_a_sender_leaves_its_first_remembered() {
        let mut peers = PeerState::new(&mut OsRng);
        peers.code_proven(id(1, 1), 0);
        peers.code_proven(id(1, 2), 1);
        assert!(peers.remembers(&id(1, 1)) && peers.remembers(&id(1, 2)));
        peers.forget(&id(1, 2));
        assert!(peers.remembers(&id(1, 1)), "a refusal ends its own run alone");
    }

    #[test]
    fn a_sender_with_many_runs_takes_nobody_elses_place() {
        let mut peers = PeerState::new(&mut OsRng);
        peers.code_proven(id(1, 1), 0);
        for salt in 1..100 {
            peers.code_proven(id(2, salt), salt.into());
        }
        assert!(peers.remembers(&id(1, 1)));
        assert!(peers.remembers(&id(2, 99)) && peers.remembers(&id(2, 98)));
    }

    #[test]
    fn a_run_is_forgotten_ten_minutes_after_its_last_connection_and_not_before() {
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
    fn a_right_code_ends_the_series_of_wrong_ones() {
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
