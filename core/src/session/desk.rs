//! What a receiver remembers from one connection to the next: its code, each sender's wrong tries, and what senders
//! proved last.
//!
//! Only authenticated senders reach the desk, so strangers can neither lock anyone out nor fill its tables.
//! PROTOCOL.md, section 6, steps 3 and "Retries".

mod tries;

use heapless::Vec;
use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::AuthCode;
use crate::digest::Digest;
use crate::limits::REMEMBER_MS;
use crate::sealed::keys::Secret;
use crate::session::Receipt;
use tries::Book;

pub use tries::Tries;

/// Senders whose last run is remembered. The one that was heard of longest ago makes room.
const RUNS: usize = 4;

/// A receiver's memory between connections. Times are those of the receiver's [`Clock`](super::Clock).
pub struct Desk {
    code: AuthCode,
    book: Book,
    /// At most one of each sender.
    runs: Vec<Run, RUNS>,
}

/// What one sender proved in one run.
struct Run {
    sender: CertificateHash,
    salt: [u8; 32],
    key: Option<ProvenKey>,
    /// What was committed, and the digest of its manifest.
    receipt: Option<(Digest, Receipt)>,
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

impl Desk {
    /// A desk with a fresh code.
    pub fn new(entropy: &mut impl CryptoRngCore) -> Self {
        Self { code: AuthCode::random(entropy), book: Book::default(), runs: Vec::new() }
    }

    /// A desk that goes on with the wrong tries that were kept. Where those are lost every sender has to pause
    /// first: nobody gets more tries by resetting the receiver.
    pub fn resume(entropy: &mut impl CryptoRngCore, kept: &Tries, now: u64) -> Self {
        let book = Book::read(kept, now).unwrap_or_else(|| Book::locked(now));
        Self { book, ..Self::new(entropy) }
    }

    /// The code that a sender must give now.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }

    /// The wrong tries, to be kept where a reset does not reach.
    pub fn tries(&self, now: u64) -> Tries {
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

    /// Notes that `sender` gave the right code, or needed none, in the run of that salt.
    pub(super) fn code_proven(&mut self, sender: CertificateHash, salt: [u8; 32], now: u64) {
        self.forget(&sender);
        if self.runs.is_full()
            && let Some(oldest) = (0..RUNS).min_by_key(|&at| self.runs[at].until)
        {
            self.runs.swap_remove(oldest);
        }
        let run = Run { sender, salt, key: None, receipt: None, until: now.saturating_add(REMEMBER_MS) };
        assert!(self.runs.push(run).is_ok(), "room was just made");
    }

    /// Notes the secret that the commitment of that sender's run proved.
    pub(super) fn key_proven(&mut self, sender: &CertificateHash, iterations: u32, secret: Secret, now: u64) {
        if let Some(run) = self.renewed(sender, now) {
            run.key = Some(ProvenKey { iterations, secret });
        }
    }

    /// Whether `sender` proved the code in the run of that salt.
    pub(super) fn remembers(&self, sender: &CertificateHash, salt: &[u8; 32], now: u64) -> bool {
        self.run(sender, salt, now).is_some()
    }

    /// The secret that `sender` proved in the run of that salt.
    pub(super) fn secret(
        &self,
        sender: &CertificateHash,
        salt: &[u8; 32],
        iterations: u32,
        now: u64,
    ) -> Option<&Secret> {
        let key = self.run(sender, salt, now)?.key.as_ref();
        key.filter(|key| key.iterations == iterations).map(|key| &key.secret)
    }

    /// Notes what that sender's run committed, in case the receipt gets lost.
    pub(super) fn committed(&mut self, sender: &CertificateHash, manifest: Digest, receipt: Receipt, now: u64) {
        if let Some(run) = self.renewed(sender, now) {
            run.receipt = Some((manifest, receipt));
        }
    }

    /// What was committed in the run of that salt, and the digest of its manifest.
    pub(super) fn receipt(&self, sender: &CertificateHash, salt: &[u8; 32], now: u64) -> Option<&(Digest, Receipt)> {
        self.run(sender, salt, now)?.receipt.as_ref()
    }

    /// Forgets what `sender` proved: a refusal ends the run.
    pub(super) fn forget(&mut self, sender: &CertificateHash) {
        self.runs.retain(|run| run.sender != *sender);
    }

    fn run(&self, sender: &CertificateHash, salt: &[u8; 32], now: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.sender == *sender && run.salt == *salt && now < run.until)
    }

    /// The sender's run, remembered for as long again.
    fn renewed(&mut self, sender: &CertificateHash, now: u64) -> Option<&mut Run> {
        let run = self.runs.iter_mut().find(|run| run.sender == *sender)?;
        run.until = now.saturating_add(REMEMBER_MS);
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;
    use crate::code::TransferKey;

    #[test]
    fn each_of_several_senders_runs_is_remembered() {
        let mut desk = Desk::new(&mut OsRng);
        for sender in 0..RUNS as u8 {
            desk.code_proven(CertificateHash([sender; 32]), [9; 32], sender.into());
        }
        desk.key_proven(
            &CertificateHash([0; 32]),
            1_000,
            Secret::typed(&TransferKey::random(&mut OsRng), &[9; 32], 1_000),
            10,
        );
        assert!((0..RUNS as u8).all(|sender| desk.remembers(&CertificateHash([sender; 32]), &[9; 32], 10)));
        desk.code_proven(CertificateHash([77; 32]), [9; 32], 20);
        assert!(!desk.remembers(&CertificateHash([1; 32]), &[9; 32], 20), "the one heard of longest ago made room");
        assert!(desk.secret(&CertificateHash([0; 32]), &[9; 32], 1_000, 20).is_some());
        desk.code_proven(CertificateHash([0; 32]), [8; 32], 30);
        assert!(
            !desk.remembers(&CertificateHash([0; 32]), &[9; 32], 30),
            "a new run ends the last one of the same sender"
        );
    }

    #[test]
    fn a_key_is_remembered_for_its_iterations_alone() {
        let (mut desk, sender) = (Desk::new(&mut OsRng), CertificateHash([1; 32]));
        desk.code_proven(sender, [9; 32], 0);
        let secret = Secret::typed(&TransferKey::random(&mut OsRng), &[9; 32], 1_000);
        desk.key_proven(&sender, 1_000, secret, 0);
        assert!(desk.secret(&sender, &[9; 32], 1_000, 1).is_some());
        assert!(desk.secret(&sender, &[9; 32], 1_001, 1).is_none());
        assert!(desk.secret(&sender, &[8; 32], 1_000, 1).is_none());
    }

    #[test]
    fn a_right_code_ends_the_series_of_wrong_ones() {
        let (mut desk, sender) = (Desk::new(&mut OsRng), CertificateHash([1; 32]));
        for _ in 0..2 {
            let right = *desk.code().digits();
            let wrong = if right == *b"0000" { *b"0001" } else { *b"0000" };
            for left in [2, 1] {
                assert_eq!(desk.try_code(&sender, &wrong, 0, &mut OsRng), CodeTry::Wrong { left });
            }
            assert_eq!(desk.try_code(&sender, &right, 0, &mut OsRng), CodeTry::Right);
        }
    }
}
