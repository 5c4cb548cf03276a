//! The runs in which senders have proved the code, and perhaps the key: a further connection of such a run asks no user
//! again, and a receipt that was lost is repeated.
//!
//! PROTOCOL.md, section 6, "Retries".

use crate::archive::Shape;
use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::limits::REMEMBER_MS;
use crate::sealed::secret::Secret;
use crate::session::outcome::Receipt;
use crate::session::receiver::store::Offered;

/// Number of runs that are remembered at once. A further run replaces the oldest run of its own sender if that sender
/// has several, and otherwise the least recent run of all.
const RUNS: usize = 4;

/// Identifies one run of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId {
    pub(crate) sender: CertificateHash,
    pub(crate) salt: [u8; 32],
}

/// The remembered runs. A run is never moved until it is dropped, since moving it would leave copies of its secret.
pub(crate) struct Runs([Option<Run>; RUNS]);

/// A run whose sender has proved the code, for further connections of the same run.
struct Run {
    id: RunId,
    /// Time and shape of the first offer of the run. A run has only one folder.
    offered: Option<(u64, Shape)>,
    /// Digest of the folder's name, if it was opened.
    name: Option<Digest>,
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

impl Runs {
    pub(super) const fn new() -> Self {
        Self([const { None }; RUNS])
    }

    /// Records that the sender gave the right code, or needed none, in this run.
    pub(crate) fn code_proven(&mut self, id: RunId, now: u64) {
        self.forget(&id);
        let run = Run {
            id,
            offered: None,
            name: None,
            key: None,
            committed: None,
            is_confirmed: false,
            until: now.saturating_add(REMEMBER_MS),
        };
        *self.slot_for(&id.sender) = Some(run);
    }

    /// Binds the run to its first offer. Returns whether `offered` is that offer.
    pub(crate) fn binds(&mut self, id: &RunId, offered: &Offered) -> bool {
        match self.run_mut(id) {
            Some(run) => {
                let offered = (offered.created, offered.shape);
                *run.offered.get_or_insert(offered) == offered
            }
            None => true,
        }
    }

    /// Binds the run to the name of its folder. Returns whether `name` is the digest of that name.
    pub(crate) fn binds_name(&mut self, id: &RunId, name: Digest) -> bool {
        self.run_mut(id).is_none_or(|run| *run.name.get_or_insert(name) == name)
    }

    /// Records the secret that matched the commitment of this run.
    pub(crate) fn key_proven(&mut self, id: &RunId, iterations: u32, secret: &Secret) {
        if let Some(run) = self.run_mut(id) {
            run.key.insert(ProvenKey { iterations, secret: Secret::empty() }).secret.copy_from(secret);
        }
    }

    /// Whether the sender has proved the code in this run.
    pub(crate) fn remembers(&self, id: &RunId) -> bool {
        self.run(id).is_some()
    }

    /// The secret that was proved in this run with that number of iterations.
    pub(crate) fn secret(&self, id: &RunId, iterations: u32) -> Option<&Secret> {
        let key = self.run(id)?.key.as_ref();
        key.filter(|key| key.iterations == iterations).map(|key| &key.secret)
    }

    /// Records the commit of this run, in case the receipt gets lost.
    pub(crate) fn committed(&mut self, id: &RunId, manifest: Digest, receipt: Receipt) {
        if let Some(run) = self.run_mut(id) {
            run.committed = Some((manifest, receipt));
        }
    }

    /// The manifest digest and receipt of the folder that this run committed.
    pub(crate) fn receipt(&self, id: &RunId) -> Option<&(Digest, Receipt)> {
        self.run(id)?.committed.as_ref()
    }

    /// Records that the sender has received the receipt of this run.
    pub(crate) fn confirm(&mut self, id: &RunId) {
        if let Some(run) = self.run_mut(id) {
            run.is_confirmed = true;
        }
    }

    /// Whether a receipt may have been lost.
    pub(super) fn has_unconfirmed_receipt(&self) -> bool {
        self.0.iter().flatten().any(|run| run.committed.is_some() && !run.is_confirmed)
    }

    /// Restarts the time for which the run is remembered, when a connection of it ends.
    pub(crate) fn renew(&mut self, id: &RunId, now: u64) {
        if let Some(run) = self.run_mut(id) {
            run.until = now.saturating_add(REMEMBER_MS);
        }
    }

    /// Forgets a run, because a refusal ended it.
    pub(crate) fn forget(&mut self, id: &RunId) {
        for slot in self.0.iter_mut().filter(|slot| slot.as_ref().is_some_and(|run| run.id == *id)) {
            *slot = None;
        }
    }

    /// Forgets the runs that have expired, and wipes their secrets.
    pub(super) fn expire(&mut self, now: u64) {
        for slot in self.0.iter_mut().filter(|slot| slot.as_ref().is_some_and(|run| run.until <= now)) {
            *slot = None;
        }
    }

    /// Forgets the runs of the senders that are not trusted any more.
    pub(super) fn retain(&mut self, is_trusted: impl Fn(&CertificateHash) -> bool) {
        for slot in self.0.iter_mut().filter(|slot| slot.as_ref().is_some_and(|run| !is_trusted(&run.id.sender))) {
            *slot = None;
        }
    }

    /// When the next run expires, if any is remembered.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.0.iter().flatten().map(|run| run.until).min()
    }

    fn run(&self, id: &RunId) -> Option<&Run> {
        self.0.iter().flatten().find(|run| run.id == *id)
    }

    fn run_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        self.0.iter_mut().flatten().find(|run| run.id == *id)
    }

    /// The slot for another run of this sender: a free one, or the one whose run it replaces.
    fn slot_for(&mut self, sender: &CertificateHash) -> &mut Option<Run> {
        let has_several = self.0.iter().flatten().filter(|run| run.id.sender == *sender).count() > 1;
        let order = |slot: &Option<Run>| match slot {
            None => (0, 0),
            Some(run) if has_several && run.id.sender == *sender => (1, run.until),
            Some(run) => (2, run.until),
        };
        let first = (0..RUNS).min_by_key(|&index| order(&self.0[index])).unwrap_or(0);
        &mut self.0[first]
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
        let mut runs = Runs::new();
        for sender in 0..RUNS as u8 {
            runs.code_proven(id(sender, 9), sender.into());
        }
        runs.key_proven(&id(0, 9), 1_000, &secret());
        runs.renew(&id(0, 9), 10);
        assert!((0..RUNS as u8).all(|sender| runs.remembers(&id(sender, 9))));
        runs.code_proven(id(77, 9), 20);
        assert!(!runs.remembers(&id(1, 9)), "the least recent run was replaced");
        assert!(runs.secret(&id(0, 9), 1_000).is_some());
        assert!(runs.secret(&id(0, 9), 1_001).is_none());
        assert!(runs.secret(&id(0, 8), 1_000).is_none());
    }

    #[test]
    fn the_runs_of_a_sender_that_is_no_longer_trusted_are_forgotten() {
        let mut runs = Runs::new();
        for id in [id(1, 1), id(1, 2), id(2, 1)] {
            runs.code_proven(id, 0);
        }
        runs.retain(|sender| sender.0[0] != 1);
        assert_eq!([id(1, 1), id(1, 2), id(2, 1)].map(|id| runs.remembers(&id)), [false, false, true]);
    }

    #[test]
    fn a_second_run_of_a_sender_does_not_replace_its_first() {
        let mut runs = Runs::new();
        runs.code_proven(id(1, 1), 0);
        runs.code_proven(id(1, 2), 1);
        assert!(runs.remembers(&id(1, 1)) && runs.remembers(&id(1, 2)));
        runs.forget(&id(1, 2));
        assert!(runs.remembers(&id(1, 1)), "a refusal ends its own run alone");
    }

    #[test]
    fn a_sender_with_many_runs_replaces_its_own() {
        let mut runs = Runs::new();
        runs.code_proven(id(1, 1), 0);
        for salt in 1..100 {
            runs.code_proven(id(2, salt), salt.into());
        }
        assert!(runs.remembers(&id(1, 1)));
        assert!(runs.remembers(&id(2, 99)) && runs.remembers(&id(2, 98)));
    }

    #[test]
    fn a_run_expires_ten_minutes_after_its_last_connection() {
        let mut runs = Runs::new();
        runs.code_proven(id(1, 1), 0);
        runs.key_proven(&id(1, 1), 1_000, &secret());
        assert_eq!(runs.next_expiry(), Some(REMEMBER_MS));
        runs.renew(&id(1, 1), 5_000_000);
        runs.expire(5_000_000 + REMEMBER_MS - 1);
        assert!(runs.secret(&id(1, 1), 1_000).is_some());
        runs.expire(5_000_000 + REMEMBER_MS);
        assert!(!runs.remembers(&id(1, 1)));
        assert_eq!(runs.next_expiry(), None);
    }
}
