//! The chip's random number generator, as the receiver asks it.

use embassy_stm32::peripherals::RNG;
use embassy_stm32::rng::Rng;
use waft_receiver::entropy::Trng;

/// The generator. It is certified to NIST SP 800-90B and tests itself; what it then says counts.
pub(crate) struct HardwareRng(pub(crate) Rng<'static, RNG>);

impl Trng for HardwareRng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        self.0.async_fill_bytes(bytes).await.is_ok()
    }
}
