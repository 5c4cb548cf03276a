//! The chip's random number generator.
//!
//! embassy-stm32's driver retries without a limit if the generator is broken. The receiver can work without a
//! generator, so this driver limits every wait, and reports the generator's error flags as a failure.

use embassy_futures::yield_now;
use embassy_stm32::pac::RNG;
use embassy_stm32::pac::rng::vals::{Clkdiv, Htcfg, Nistc, RngConfig1, RngConfig2, RngConfig3};
use embassy_stm32::{Peri, peripherals, rcc};
use embassy_time::{Duration, with_timeout};
use waft_receiver::entropy::Trng;

/// The longest wait. A working generator delivers what the receiver asks for in a few milliseconds.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The random number generator.
pub(crate) struct HardwareRng(Peri<'static, peripherals::RNG>);

impl HardwareRng {
    /// Turns on the generator.
    pub(crate) fn new(device: Peri<'static, peripherals::RNG>) -> Self {
        rcc::enable_and_reset::<peripherals::RNG>();
        Self(device)
    }

    /// Restarts the generator in the configuration that NIST certified (named A in the manual), and fills `bytes`.
    async fn restart_and_fill(&mut self, bytes: &mut [u8]) -> bool {
        restart().await;
        for chunk in bytes.chunks_mut(4) {
            let Some(word) = next_word().await else { return false };
            chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
        }
        true
    }
}

impl Trng for HardwareRng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        with_timeout(TIMEOUT, self.restart_and_fill(bytes)).await.unwrap_or(false)
    }
}

async fn restart() {
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
    // The thresholds of the generator's health tests can be written once after the magic number.
    RNG.htcr().write(|thresholds| thresholds.set_htcfg(Htcfg::MAGIC));
    RNG.htcr().write(|thresholds| thresholds.set_htcfg(Htcfg::RECOMMENDED));
    RNG.cr().modify(|control| control.set_condrst(false));
    while RNG.cr().read().condrst() {
        yield_now().await;
    }
    // Clear the errors from before the restart.
    RNG.sr().modify(|status| {
        status.set_seis(false);
        status.set_ceis(false);
    });
}

/// Waits for a word. Returns `None` if the generator reports an error.
async fn next_word() -> Option<u32> {
    loop {
        let status = RNG.sr().read();
        if status.seis() || status.ceis() || status.secs() || status.cecs() {
            return None;
        }
        if status.drdy() {
            // The word is 0 if an error occurred after the status was read.
            return Some(RNG.dr().read()).filter(|word| *word != 0);
        }
        yield_now().await;
    }
}
