//! When somebody is told: once for each level that a figure reaches, with hysteresis.
//!
//! A figure that hovers about a level would tell of it again and again. So a level that was reached is
//! held until the figure has fallen below nineteen twentieths of it, and only then can be reached anew.

use crate::Decimal;

/// Of so many parts of a level, all but one must be left for it to be held.
const HELD_PARTS: u32 = 20;

/// What becomes of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is what it was.
    Same,
    /// A higher one is reached: somebody is to be told.
    Raised(u32),
    /// It has fallen to this one; 0 for none.
    Fell(u32),
}

impl Turn {
    /// The level from now on.
    #[must_use]
    pub const fn level(self, before: u32) -> u32 {
        match self {
            Self::Same => before,
            Self::Raised(level) | Self::Fell(level) => level,
        }
    }
}

/// Whether a figure is at least so many percent of a whole.
#[must_use]
pub fn has_reached(figure: &Decimal, whole: &Decimal, percent: u32) -> bool {
    figure.clone().shifted(2) >= whole.times(&percent.into())
}

/// What becomes of the level `before` (in percent; 0 for none) now that the figure is what it is.
#[must_use]
pub fn turn(before: u32, figure: &Decimal, whole: &Decimal, thresholds: &[u32]) -> Turn {
    let highest = |is_taken: &dyn Fn(u32) -> bool| {
        thresholds.iter().copied().filter(|percent| is_taken(*percent)).max().unwrap_or(0)
    };
    let reached = highest(&|percent| has_reached(figure, whole, percent));
    let held = highest(&|percent| percent <= before && is_held(figure, whole, percent));
    match reached.max(held) {
        level if level > before => Turn::Raised(level),
        level if level < before => Turn::Fell(level),
        _ => Turn::Same,
    }
}

fn is_held(figure: &Decimal, whole: &Decimal, percent: u32) -> bool {
    let level = whole.times(&percent.into()).times(&(HELD_PARTS - 1).into());
    figure.clone().shifted(2).times(&HELD_PARTS.into()) >= level
}

/// How many thousandths of a whole, which is more than nothing, a figure is; cut, so that only what has
/// reached a level shows as it. 0 for what is less than nothing.
#[must_use]
pub fn permille(figure: &Decimal, whole: &Decimal) -> u32 {
    let figure = figure.clone().shifted(3);
    let (mut is_below, mut is_above) = (0_u32, u32::MAX);
    while is_below + 1 < is_above {
        let middle = u32::midpoint(is_below, is_above);
        if figure >= whole.times(&middle.into()) { is_below = middle } else { is_above = middle }
    }
    is_below
}
