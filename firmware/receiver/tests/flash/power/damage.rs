//! What becomes of the cells in whose writing or erasure power went.

use crate::nor::{Level, Reads};

/// How torn cells read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// As they were.
    Old,
    /// As they were to be.
    New,
    /// Some of their bits changed.
    Bits,
    /// Garbage.
    Garbage,
    /// The flash reports an error.
    Error,
    /// In another way in each boot, or at each read.
    Flickering,
}

pub(crate) const DAMAGES: [Damage; 6] =
    [Damage::Old, Damage::New, Damage::Bits, Damage::Garbage, Damage::Error, Damage::Flickering];

/// Damage that reads the same in every boot.
pub(crate) const STEADY: [Damage; 5] = [Damage::Old, Damage::New, Damage::Bits, Damage::Garbage, Damage::Error];

/// Boots behind the first cut for which it is said how torn cells read.
pub(crate) const BOOTS: usize = 4;

impl Damage {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Bits => Level::Bits,
            Self::Garbage => Level::Words,
            Self::Error => Level::Unreadable,
            Self::Old | Self::New | Self::Flickering => Level::Marginal,
        }
    }

    /// How torn cells read in the boots behind the first cut: each of these is tried.
    pub(crate) fn reads(self) -> &'static [[Reads; BOOTS]] {
        use Reads::{Anew, Before, Meant, PerBoot};
        match self {
            Self::Old => &[[Before; BOOTS]],
            Self::New => &[[Meant; BOOTS]],
            Self::Bits | Self::Garbage | Self::Error => &[[Anew; BOOTS]],
            Self::Flickering => &[
                [Anew; BOOTS],
                [PerBoot; BOOTS],
                [Meant, Before, Meant, Before],
                [Before, Meant, Before, Meant],
                [Meant, Meant, Before, Before],
                [Before, Before, Meant, Meant],
            ],
        }
    }

    /// How torn cells read in one boot, where that is drawn anew for each.
    pub(crate) fn choice(self) -> &'static [Reads] {
        match self {
            Self::Old => &[Reads::Before],
            Self::New => &[Reads::Meant],
            Self::Bits | Self::Garbage | Self::Error => &[Reads::Anew],
            Self::Flickering => &[Reads::Before, Reads::Meant, Reads::Anew, Reads::PerBoot],
        }
    }

    pub(crate) fn words(self) -> &'static str {
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
