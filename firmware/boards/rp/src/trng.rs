//! Random numbers, from blocks of the chip's generator whose health tests passed.
//!
//! ```text
//! registers ──► Generator ──► draw ──► Drawn ──► receiver     tests the numbers again, and mixes them with the seed
//! RNG_ISR   0 a block is valid   1 autocorrelation test failed: the generator stopped
//!           2 continuous test failed: two equal samples   3 von Neumann balancer: 32 equal bits
//! ```
//!
//! A block whose tests failed is never used. Single failures are normal for this generator, so a limited number of them
//! only costs time. A generator that fails more often, or delivers nothing, counts as broken.
//!
//! Everything is drawn before Wi-Fi starts, because the generator of some chips stops once the radio runs.
//!
//! RP2350 data sheet, section 12.12.

use embassy_futures::yield_now;
use waft_receiver::entropy::{STARTUP, Trng};
use zeroize::{Zeroize, Zeroizing};

/// Words of a block.
pub const WORDS: usize = 6;
/// Rejected blocks in one draw, above which the generator is broken. A draw takes 43 good ones.
pub const REJECTED_MAX: u32 = 32;
/// Draws that a start may need: one for the board's own identity, and one for the random numbers.
pub const DRAWS: usize = 2;

const VALID: u32 = 1 << 0;
const ERRORS: u32 = 1 << 1 | 1 << 2 | 1 << 3;

/// The registers of the generator.
pub trait Generator {
    /// RNG_ISR.
    fn status(&mut self) -> u32;
    /// Takes the block out, so that the generator makes the next one.
    fn take(&mut self) -> [u32; WORDS];
    /// Resets the generator, which clears its status and drops its block, and starts it.
    fn restart(&mut self);
}

/// What to do after a look at the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no block yet.
    Wait,
    /// Take the block.
    Take,
    /// A test failed: drop the block and restart the generator.
    Restart,
    /// Tests failed too often.
    Broken,
}

/// The health of the generator during a draw.
#[derive(Debug, Default)]
pub struct Health {
    rejected: u32,
}

impl Health {
    /// Decides what to do with this value of RNG_ISR.
    pub fn step(&mut self, status: u32) -> Step {
        if status & ERRORS != 0 {
            self.rejected += 1;
            return if self.rejected > REJECTED_MAX { Step::Broken } else { Step::Restart };
        }
        if status & VALID != 0 { Step::Take } else { Step::Wait }
    }
}

/// Fills `bytes` from a generator that is restarted first. Returns `false` if it is broken. Waits without a limit for a
/// generator that delivers nothing, so the caller sets one. May be dropped at any await.
pub async fn draw(generator: &mut impl Generator, bytes: &mut [u8]) -> bool {
    let mut health = Health::default();
    generator.restart();
    let mut pieces = bytes.chunks_mut(4 * WORDS);
    let mut piece = pieces.next();
    while let Some(place) = &mut piece {
        match health.step(generator.status()) {
            Step::Wait => yield_now().await,
            Step::Restart => generator.restart(),
            Step::Broken => return false,
            Step::Take => {
                let block = Zeroizing::new(generator.take());
                // The tests of this block may have failed after the status was read.
                match health.step(generator.status() & ERRORS) {
                    Step::Wait => {
                        place
                            .iter_mut()
                            .zip(block.iter().flat_map(|word| word.to_ne_bytes()))
                            .for_each(|(to, from)| *to = from);
                        piece = pieces.next();
                    }
                    Step::Broken => return false,
                    Step::Take | Step::Restart => generator.restart(),
                }
            }
        }
    }
    true
}

/// Random numbers that were drawn in advance.
#[derive(Debug, Default)]
pub struct Drawn {
    draws: [Option<&'static mut [u8; STARTUP]>; DRAWS],
}

impl Drawn {
    /// The draws that succeeded.
    pub fn new(draws: [Option<&'static mut [u8; STARTUP]>; DRAWS]) -> Self {
        Self { draws }
    }
}

impl Trng for Drawn {
    /// Hands out each draw once, and wipes it. Fails if the draw failed, and if there is none left.
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let next = self.draws.iter_mut().find(|draw| draw.is_some()).and_then(Option::take);
        let Some(draw) = next else { return false };
        let is_enough = bytes.len() <= draw.len();
        bytes.iter_mut().zip(draw.iter()).for_each(|(to, from)| *to = *from);
        draw.zeroize();
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use embassy_futures::block_on;

    use super::*;

    /// A generator that shows these values of the status, one after another, and then the last one again and again. Its
    /// blocks are numbered.
    struct Script {
        status: Vec<u32>,
        at: usize,
        blocks: u32,
        restarts: u32,
    }

    impl Script {
        fn new(status: &[u32]) -> Self {
            Self { status: status.into(), at: 0, blocks: 0, restarts: 0 }
        }
    }

    impl Generator for Script {
        fn status(&mut self) -> u32 {
            self.at += 1;
            self.status[(self.at - 1).min(self.status.len() - 1)]
        }

        fn take(&mut self) -> [u32; WORDS] {
            self.blocks += 1;
            [self.blocks; WORDS]
        }

        fn restart(&mut self) {
            self.restarts += 1;
        }
    }

    #[test]
    fn the_flags_decide() {
        for (status, expected) in [
            (0, Step::Wait),
            (1, Step::Take),
            (0b0010, Step::Restart),
            (0b0100, Step::Restart),
            (0b1000, Step::Restart),
            // A block with an error is not valid, whatever the flag says.
            (0b0011, Step::Restart),
            (0b0101, Step::Restart),
            (0b1001, Step::Restart),
            // Other bits do not matter.
            (0xFFFF_FFF0, Step::Wait),
        ] {
            assert_eq!(expected, Health::default().step(status), "{status:b}");
        }
    }

    #[test]
    fn a_generator_that_fails_too_often_is_broken() {
        let mut health = Health::default();
        for _ in 0..REJECTED_MAX {
            assert_eq!(Step::Restart, health.step(0b10));
            assert_eq!(Step::Take, health.step(1));
        }
        assert_eq!(Step::Broken, health.step(0b10));
        let mut bytes = [0; 1024];
        for flag in [0b10, 0b100, 0b1000, 0b1001] {
            assert!(!block_on(draw(&mut Script::new(&[flag]), &mut bytes)), "{flag:b}");
        }
        assert_eq!([0; 1024], bytes);
    }

    #[test]
    fn blocks_fill_the_bytes_and_none_is_used_twice() {
        let mut generator = Script::new(&[0, 0, 1]);
        let mut bytes = [0; 2 * 24 + 6];
        assert!(block_on(draw(&mut generator, &mut bytes)));
        assert_eq!((3, 1), (generator.blocks, generator.restarts));
        let words: Vec<_> = bytes.chunks(4).map(|word| word[0]).collect();
        assert_eq!([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3], *words);
    }

    #[test]
    fn a_rejected_block_is_dropped() {
        // Rejected before it was taken, and while it was taken.
        let mut generator = Script::new(&[0b101, 1, 0b100, 1]);
        let mut bytes = [0; 24];
        assert!(block_on(draw(&mut generator, &mut bytes)));
        assert_eq!((2, 3), (generator.blocks, generator.restarts));
        assert_eq!(2, bytes[0]);
    }

    #[test]
    fn each_draw_is_handed_out_once() {
        let draw = |value| Some(Box::leak(Box::new([value; STARTUP])));
        let mut drawn = Drawn::new([draw(1), draw(2)]);
        let mut bytes = [0; STARTUP];
        for value in [1, 2] {
            assert!(block_on(drawn.fill(&mut bytes)));
            assert_eq!([value; STARTUP], bytes);
        }
        assert!(!block_on(drawn.fill(&mut bytes)));
        assert!(!block_on(Drawn::default().fill(&mut bytes)));
        // A draw that failed does not spoil the other one.
        let mut drawn = Drawn::new([None, draw(3)]);
        assert!(block_on(drawn.fill(&mut bytes)) && !block_on(drawn.fill(&mut bytes)));
        assert!(!block_on(Drawn::new([draw(4), None]).fill(&mut [0; STARTUP + 1])));
    }
}
