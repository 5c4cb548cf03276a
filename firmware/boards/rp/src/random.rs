//! The chip's random number generator.
//!
//! embassy-rp's driver hides failed health tests, and its blocking functions wait without a limit for a generator that has
//! stopped. The receiver can work without a generator, so this one limits every wait, and counts failed tests.

use embassy_rp::peripherals::TRNG;
use embassy_rp::{Peri, pac};
use embassy_time::{Duration, with_timeout};
use static_cell::ConstStaticCell;
use waft_receiver::entropy::STARTUP;
use waft_rp::trng::{self, DRAWS, Drawn, Generator, WORDS};
use zeroize::Zeroize;

/// The longest wait for a draw. By the figures of the data sheet, a working generator takes 0.4 seconds.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Cycles between two samples of the oscillator. The data sheet's 20 to 25 are for "acceptable results", and 100 make failed
/// tests much rarer.
const SAMPLE_CYCLES: u32 = 100;
/// The second shortest of four oscillators, which the data sheet recommends.
const OSCILLATOR: u8 = 1;

/// Draws all the random numbers that a start may need. Call it once, before the network starts.
pub(crate) async fn draw(device: Peri<'static, TRNG>) -> Drawn {
    static BYTES: ConstStaticCell<[[u8; STARTUP]; DRAWS]> = ConstStaticCell::new([[0; STARTUP]; DRAWS]);
    let mut registers = Registers { _device: device };
    let mut draws = [const { None }; DRAWS];
    for (draw, bytes) in draws.iter_mut().zip(BYTES.take()) {
        if with_timeout(TIMEOUT, trng::draw(&mut registers, bytes)).await != Ok(true) {
            defmt::warn!("the random number generator failed: status {=u32:#x}", registers.status());
            bytes.zeroize();
            break;
        }
        *draw = Some(bytes);
    }
    pac::TRNG.rnd_source_enable().write(|source| source.set_rnd_src_en(false));
    Drawn::new(draws)
}

struct Registers {
    _device: Peri<'static, TRNG>,
}

impl Generator for Registers {
    /// The flag of a valid block comes from TRNG_VALID: in RNG_ISR it would remain after the block was taken.
    fn status(&mut self) -> u32 {
        let is_valid = pac::TRNG.trng_valid().read().ehr_valid();
        let mut status = pac::TRNG.rng_isr().read();
        status.set_ehr_valid(is_valid);
        status.0
    }

    /// The read of the last word clears the block.
    fn take(&mut self) -> [u32; WORDS] {
        let device = pac::TRNG;
        [
            device.ehr_data0().read(),
            device.ehr_data1().read(),
            device.ehr_data2().read(),
            device.ehr_data3().read(),
            device.ehr_data4().read(),
            device.ehr_data5().read(),
        ]
    }

    fn restart(&mut self) {
        let device = pac::TRNG;
        device.trng_sw_reset().write(|reset| reset.set_trng_sw_reset(true));
        // The reset takes a moment, as long as this read.
        device.trng_sw_reset().read();
        // No interrupts: the status is polled.
        device.rng_imr().write_value(pac::trng::regs::RngImr(!0));
        device.trng_config().write(|config| config.set_rnd_src_sel(OSCILLATOR));
        device.sample_cnt1().write_value(SAMPLE_CYCLES);
        // No test is bypassed.
        device.trng_debug_control().write_value(pac::trng::regs::TrngDebugControl(0));
        device.rng_icr().write_value(pac::trng::regs::RngIcr(!0));
        device.rnd_source_enable().write(|source| source.set_rnd_src_en(true));
    }
}
