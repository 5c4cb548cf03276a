//! The damage to cells that were being written or erased during a power cut.

use crate::nor::{Level, Reads};

/// What torn cells read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Their previous content.
    Old,
    /// Their intended content.
    New,
    /// Their previous content with some of the bits changed.
    Bits,
    /// Garbage.
    Garbage,
    /// An error.
    Error,
    /// Something else in each boot, or at each read.
    Flickering,
}

pub(crate) const DAMAGES: [Damage; 6] =
    [Damage::Old, Damage::New, Damage::Bits, Damage::Garbage, Damage::Error, Damage::Flickering];

/// Damage that reads the same in every boot.
pub(crate) const STEADY: [Damage; 5] = [Damage::Old, Damage::New, Damage::Bits, Damage::Garbage, Damage::Error];

/// The number of boots after the first cut for which [`Damage::reads`] defines what torn cells read.
pub(crate) const BOOTS: usize = 4;

impl Damage {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Old => Level::Before,
            Self::New => Level::Intended,
            Self::Bits => Level::Bits,
            Self::Garbage => Level::Words,
            Self::Error => Level::Unreadable,
            Self::Flickering => Level::Marginal,
        }
    }

    /// What torn cells read in the boots after the first cut. Each sequence is tried.
    pub(crate) fn reads(self) -> &'static [[Reads; BOOTS]] {
        use Reads::{Before, Error, Intended, PerBoot, PerRead};
        match self {
            Self::Old | Self::New | Self::Bits | Self::Garbage | Self::Error => &[[PerRead; BOOTS]],
            Self::Flickering => &[
                [PerRead; BOOTS],
                [PerBoot; BOOTS],
                [Intended, Before, Intended, Before],
                [Before, Intended, Before, Intended],
                [Intended, Error, Intended, Error],
                [Intended, Intended, Before, Before],
                [Before, Before, Intended, Intended],
            ],
        }
    }

    /// What torn cells may read in a boot, for trials that choose this at random.
    pub(crate) fn choice(self) -> &'static [Reads] {
        match self {
            Self::Old | Self::New | Self::Bits | Self::Garbage | Self::Error => &[Reads::PerRead],
            Self::Flickering => &[Reads::Before, Reads::Intended, Reads::Error, Reads::PerRead, Reads::PerBoot],
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Bits => "some bits",
            Self::Garbage => "garbage",
            Self::Error => "error",
            Self::Flickering => "flicker",
        }
    }
}
