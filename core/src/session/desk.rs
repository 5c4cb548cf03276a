//! What a receiver remembers from one connection to the next: its code, the wrong tries, and what a sender proved.

use rand_core::CryptoRngCore;

use crate::code::AuthCode;

/// A receiver's memory between connections.
pub struct Desk {
    code: AuthCode,
}

impl Desk {
    /// A desk with a fresh code.
    pub fn new(entropy: &mut impl CryptoRngCore) -> Self {
        Self { code: AuthCode::random(entropy) }
    }

    /// The code that a sender must give now.
    pub fn code(&self) -> &AuthCode {
        &self.code
    }
}
