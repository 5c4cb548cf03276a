//! What a receiver remembers from one connection to the next: its code, each sender's wrong tries, and what the last
//! sender proved.
//!
//! Only authenticated senders reach the desk, so strangers can neither lock anyone out nor fill its table.
//! PROTOCOL.md, section 6, steps 3 and "Retries".

use heapless::Vec;
use rand_core::CryptoRngCore;

use crate::code::AuthCode;
use crate::digest::Digest;
use crate::limits::{CODE_TRIES, LOCK_FIRST_S, LOCK_MAX_S, REMEMBER_MS};
use crate::sealed::keys::Secret;
use crate::session::{CertificateHash, Receipt};

/// Senders whose wrong tries are counted at once; past that the one with the least to answer for is forgotten.
const SENDERS: usize = 8;

/// A receiver's memory between connections. Times are those of the receiver's [`Clock`](super::Clock).
pub struct Desk {
    code: AuthCode,
    series: Vec<Series, SENDERS>,
    proven: Option<Proven>,
}

/// Wrong tries of one sender.
struct Series {
    sender: CertificateHash,
    wrong: u8,
    locks: u8,
    locked_until: u64,
}

/// What one sender proved in one run.
struct Proven {
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
        Self { code: AuthCode::random(entropy), series: Vec::new(), proven: None }
    }

    /// The code that a sender must give now.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }

    /// Whole seconds, rounded up, for which `sender` has to pause.
    pub(super) fn locked(&self, sender: &CertificateHash, now: u64) -> Option<u32> {
        let until = self.series.iter().find(|series| series.sender == *sender)?.locked_until;
        let left = until.saturating_sub(now).div_ceil(1_000);
        (left > 0).then(|| u32::try_from(left).unwrap_or(LOCK_MAX_S))
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
            self.series.retain(|series| series.sender != *sender);
            self.code = AuthCode::random(entropy);
            return CodeTry::Right;
        }
        let series = self.series_of(sender);
        series.wrong += 1;
        if series.wrong < CODE_TRIES {
            return CodeTry::Wrong { left: CODE_TRIES - series.wrong };
        }
        let seconds = series.lock(now);
        self.code = AuthCode::random(entropy);
        CodeTry::Locked { seconds }
    }

    /// Notes that `sender` gave the right code, or needed none, in the run of that salt.
    pub(super) fn code_proven(&mut self, sender: CertificateHash, salt: [u8; 32], now: u64) {
        self.proven = Some(Proven { sender, salt, key: None, receipt: None, until: now.saturating_add(REMEMBER_MS) });
    }

    /// Notes the secret that the commitment of that run proved.
    pub(super) fn key_proven(&mut self, iterations: u32, secret: Secret, now: u64) {
        if let Some(proven) = &mut self.proven {
            proven.key = Some(ProvenKey { iterations, secret });
            proven.until = now.saturating_add(REMEMBER_MS);
        }
    }

    /// Whether `sender` proved the code in the run of that salt.
    pub(super) fn remembers(&self, sender: &CertificateHash, salt: &[u8; 32], now: u64) -> bool {
        self.proven.as_ref().is_some_and(|proven| proven.is(sender, salt, now))
    }

    /// The secret that `sender` proved in the run of that salt.
    pub(super) fn secret(
        &self,
        sender: &CertificateHash,
        salt: &[u8; 32],
        iterations: u32,
        now: u64,
    ) -> Option<&Secret> {
        let proven = self.proven.as_ref().filter(|proven| proven.is(sender, salt, now))?;
        proven.key.as_ref().filter(|key| key.iterations == iterations).map(|key| &key.secret)
    }

    /// Notes what was committed in that run, for a sender whose receipt gets lost.
    pub(super) fn committed(&mut self, manifest: Digest, receipt: Receipt, now: u64) {
        if let Some(proven) = &mut self.proven {
            proven.receipt = Some((manifest, receipt));
            proven.until = now.saturating_add(REMEMBER_MS);
        }
    }

    /// The receipt of the archive whose manifest digest `is_it`, if it was committed in the run of that salt.
    pub(super) fn receipt(
        &self,
        sender: &CertificateHash,
        salt: &[u8; 32],
        is_it: impl Fn(&Digest) -> bool,
        now: u64,
    ) -> Option<Receipt> {
        let proven = self.proven.as_ref().filter(|proven| proven.is(sender, salt, now))?;
        proven.receipt.as_ref().filter(|(manifest, _)| is_it(manifest)).map(|(_, receipt)| *receipt)
    }

    /// Forgets what `sender` proved: a refusal ends the run.
    pub(super) fn forget(&mut self, sender: &CertificateHash) {
        self.proven.take_if(|proven| proven.sender == *sender);
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
    /// Ends a series of wrong codes with a pause, twice as long as the last. Gives its seconds.
    fn lock(&mut self, now: u64) -> u32 {
        let seconds = LOCK_FIRST_S.checked_shl(self.locks.into()).map_or(LOCK_MAX_S, |seconds| seconds.min(LOCK_MAX_S));
        self.locks = self.locks.saturating_add(1).min(16);
        self.wrong = 0;
        self.locked_until = now.saturating_add(u64::from(seconds) * 1_000);
        seconds
    }

    fn weight(&self) -> (u8, u64, u8) {
        (self.locks, self.locked_until, self.wrong)
    }
}

impl Proven {
    fn is(&self, sender: &CertificateHash, salt: &[u8; 32], now: u64) -> bool {
        self.sender == *sender && self.salt == *salt && now < self.until
    }
}
