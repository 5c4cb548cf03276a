//! The chip's random number generator, as the receiver asks it.
//!
//! embassy-stm32's driver tries for ever to start a generator that is broken; the receiver can do without one. So here
//! every wait has an end, and what the generator says of itself counts.

use embassy_futures::yield_now;
use embassy_stm32::pac::RNG;
use embassy_stm32::pac::rng::vals::{Clkdiv, Htcfg, Nistc, RngConfig1, RngConfig2, RngConfig3};
use embassy_stm32::{Peri, peripherals, rcc};
use embassy_time::{Duration, with_timeout};
use waft_receiver::entropy::Trng;

/// A good generator gives what the receiver wants in a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// The generator.
pub(crate) struct HardwareRng(Peri<'static, peripherals::RNG>);

impl HardwareRng {
    /// Turns it on.
    pub(crate) fn new(device: Peri<'static, peripherals::RNG>) -> Self {
        rcc::enable_and_reset::<peripherals::RNG>();
        Self(device)
    }

    /// Starts the generator anew in the configuration that NIST certified (named A in the manual), and draws.
    async fn draw(&mut self, bytes: &mut [u8]) -> bool {
        condition().await;
        for place in bytes.chunks_mut(4) {
            let Some(word) = next().await else { return false };
            place.copy_from_slice(&word.to_ne_bytes()[..place.len()]);
        }
        true
    }
}

impl Trng for HardwareRng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        with_timeout(PATIENCE, self.draw(bytes)).await.unwrap_or(false)
    }
}

async fn condition() {
    RNG.cr().write(|control| {
        control.set_condrst(true);
        control.set_nistc(Nistc::CUSTOM);
        control.set_rng_config1(RngConfig1::CONFIG_A);
        control.set_rng_config2(RngConfig2::CONFIG_A_B);
        control.set_rng_config3(RngConfig3::CONFIG_A);
        control.set_clkdiv(Clkdiv::NO_DIV);
        control.set_rngen(true);
    });
    while !RNG.cr().read().condrst() {
        yield_now().await;
    }
    // The thresholds of its own tests open for one write after the magic number.
    RNG.htcr().write(|thresholds| thresholds.set_htcfg(Htcfg::MAGIC));
    RNG.htcr().write(|thresholds| thresholds.set_htcfg(Htcfg::RECOMMENDED));
    RNG.cr().modify(|control| control.set_condrst(false));
    while RNG.cr().read().condrst() {
        yield_now().await;
    }
    // What happened before it was started anew.
    RNG.sr().modify(|status| {
        status.set_seis(false);
        status.set_ceis(false);
    });
}

/// A word, once there is one; `None`: the generator says that it fails.
async fn next() -> Option<u32> {
    loop {
        let status = RNG.sr().read();
        if status.seis() || status.ceis() || status.secs() || status.cecs() {
            return None;
        }
        if status.drdy() {
            // After an error in between it is 0.
            return Some(RNG.dr().read()).filter(|word| *word != 0);
        }
        yield_now().await;
    }
}
