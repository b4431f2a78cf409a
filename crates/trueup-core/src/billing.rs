//! What besides tokens decides the price of a call.

/// What besides tokens decides a call's price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Billing {
    /// The provider's service tier.
    pub tier: ServiceTier,
    /// Whether the model ran in its fast mode (Anthropic `speed`).
    pub speed: Speed,
    /// Where inference was confined to (Anthropic `inference_geo`).
    pub region: Region,
}

/// The provider's service tier of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceTier {
    /// Ordinary requests.
    #[default]
    Standard,
    /// Asynchronous batches.
    Batch,
    /// Cheaper, slower.
    Flex,
    /// Dearer, faster.
    Priority,
}

/// Whether a model ran in its fast mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speed {
    /// Ordinary.
    #[default]
    Standard,
    /// The dearer fast mode.
    Fast,
}

/// Where inference was confined to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// Anywhere.
    #[default]
    Any,
    /// The United States only.
    Us,
}

/// Which published long-context thresholds the whole prompt of one call passed: prices beyond a
/// threshold hold for the whole call, so a sum over calls must keep the bands apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextBand(u8);

/// The thresholds, in prompt tokens, at which any published price changes.
pub const CONTEXT_THRESHOLDS: [u64; 6] = [100_000, 128_000, 200_000, 256_000, 272_000, 512_000];

impl ContextBand {
    /// The band of a prompt of this many tokens, cached ones included.
    #[must_use]
    pub fn of_prompt(prompt_tokens: u64) -> Self {
        let passed = CONTEXT_THRESHOLDS.iter().filter(|threshold| prompt_tokens > **threshold);
        Self(u8::try_from(passed.count()).unwrap_or(0))
    }

    /// Whether prompts of this band are longer than a threshold.
    #[must_use]
    pub fn is_above(self, threshold: u64) -> bool {
        CONTEXT_THRESHOLDS.iter().take(usize::from(self.0)).any(|passed| *passed >= threshold)
    }

    /// The band as the number of thresholds passed: how it is stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The band of this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) <= CONTEXT_THRESHOLDS.len()).then_some(Self(code))
    }
}

impl Billing {
    /// The three parts as one number: how they are stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        let tier = match self.tier {
            ServiceTier::Standard => 0,
            ServiceTier::Batch => 1,
            ServiceTier::Flex => 2,
            ServiceTier::Priority => 3,
        };
        let speed = match self.speed {
            Speed::Standard => 0,
            Speed::Fast => 1,
        };
        let region = match self.region {
            Region::Any => 0,
            Region::Us => 1,
        };
        tier | (speed << 4) | (region << 6)
    }

    /// The parts of this number, as it is stored; `None` where a newer program wrote it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        let tier = match code & 0x0f {
            0 => ServiceTier::Standard,
            1 => ServiceTier::Batch,
            2 => ServiceTier::Flex,
            3 => ServiceTier::Priority,
            _ => return None,
        };
        let speed = match (code >> 4) & 0x03 {
            0 => Speed::Standard,
            1 => Speed::Fast,
            _ => return None,
        };
        let region = match code >> 6 {
            0 => Region::Any,
            1 => Region::Us,
            _ => return None,
        };
        Some(Self { tier, speed, region })
    }
}

impl ServiceTier {
    /// The tier of a source's own word for it. Words that are not known are the standard tier.
    #[must_use]
    pub fn named(word: &str) -> Self {
        match word {
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            // Codex calls OpenAI's priority tier "fast".
            "priority" | "fast" => Self::Priority,
            _ => Self::Standard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billing_survives_storing() {
        for code in 0..=u8::MAX {
            if let Some(billing) = Billing::from_code(code) {
                assert_eq!(billing.code(), code);
            }
        }
        let dearest =
            Billing { tier: ServiceTier::Priority, speed: Speed::Fast, region: Region::Us };
        assert_eq!(Billing::from_code(dearest.code()), Some(dearest));
    }

    #[test]
    fn a_prompt_is_above_a_threshold_only_past_it() {
        let band = ContextBand::of_prompt(200_000);
        assert!(band.is_above(128_000) && !band.is_above(200_000));
        assert!(ContextBand::of_prompt(200_001).is_above(200_000));
        assert_eq!(ContextBand::of_prompt(u64::MAX).code(), 6);
        assert_eq!(ContextBand::from_code(7), None);
    }
}
