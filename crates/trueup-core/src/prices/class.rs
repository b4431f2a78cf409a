//! What decides the price of a call besides its model and its tokens.
//!
//! Knows the distinctions that published price lists draw: service tier, speed, region and the
//! length of the prompt. Calls of one model and one [`PriceClass`] pay the same price per token, so
//! their tokens may be added first and priced afterwards. Does not know any price.

use std::borrow::Cow;
use std::fmt;

/// How urgently the provider served a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceTier {
    /// The list price.
    #[default]
    Standard,
    /// Asynchronous, at a discount.
    Batch,
    /// Slower, at a discount.
    Flex,
    /// Faster, at a premium. Codex calls it `fast`.
    Priority,
    /// A tier that this version does not know; calls in it have no computed price.
    Other,
}

/// Anthropic's `usage.speed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speed {
    /// The list price.
    #[default]
    Standard,
    /// Fast mode, at a multiple of the list price.
    Fast,
    /// A speed that this version does not know; calls at it have no computed price.
    Other,
}

/// Where the provider promised to serve a call: Anthropic's `usage.inference_geo`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// Anywhere: the list price.
    #[default]
    Any,
    /// In the United States only, at a premium.
    Us,
    /// A region that this version does not know; calls in it have no computed price.
    Other,
}

/// The longest of the published thresholds that a call's prompt exceeds. Where a model has a price
/// above a threshold, the *whole* call pays it, not only the tokens past the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContextBand {
    /// At most 32,000 prompt tokens.
    #[default]
    Base,
    /// More than 32,000 prompt tokens.
    Above32k,
    /// More than 100,000 prompt tokens.
    Above100k,
    /// More than 128,000 prompt tokens.
    Above128k,
    /// More than 200,000 prompt tokens.
    Above200k,
    /// More than 256,000 prompt tokens.
    Above256k,
    /// More than 272,000 prompt tokens.
    Above272k,
    /// More than 512,000 prompt tokens.
    Above512k,
}

/// Everything besides model and tokens that decides what a call costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PriceClass {
    /// How urgently the call was served.
    pub tier: ServiceTier,
    /// Whether the model ran in its fast mode.
    pub speed: Speed,
    /// Where the call had to be served.
    pub region: Region,
    /// How long the prompt of each single call was.
    pub context: ContextBand,
}

impl ServiceTier {
    const CODES: [(Self, u16); 5] = [
        (Self::Standard, 0),
        (Self::Batch, 1),
        (Self::Flex, 2),
        (Self::Priority, 3),
        (Self::Other, 15),
    ];

    /// The tier that a source names; an absent name is the empty text. `default`, `auto` and
    /// `on_demand` are what OpenAI and Groq call the standard tier.
    #[must_use]
    pub fn of_source(text: &str) -> Self {
        match &*lower(text) {
            "" | "standard" | "default" | "auto" | "on_demand" => Self::Standard,
            "batch" | "batches" => Self::Batch,
            "flex" => Self::Flex,
            "priority" | "fast" => Self::Priority,
            _ => Self::Other,
        }
    }

    /// What reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Other => "other",
        }
    }
}

impl Speed {
    const CODES: [(Self, u16); 3] = [(Self::Standard, 0), (Self::Fast, 1), (Self::Other, 15)];

    /// The speed that a source names; an absent name is the empty text.
    #[must_use]
    pub fn of_source(text: &str) -> Self {
        match &*lower(text) {
            "" | "standard" => Self::Standard,
            "fast" => Self::Fast,
            _ => Self::Other,
        }
    }
}

/// A word in lower case, as nearly all are written.
fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

impl Region {
    const CODES: [(Self, u16); 3] = [(Self::Any, 0), (Self::Us, 1), (Self::Other, 15)];

    /// The region that a source names; an absent name is the empty text. Anthropic writes
    /// `not_available` for models that cannot be bound to a region.
    #[must_use]
    pub fn of_source(text: &str) -> Self {
        match &*lower(text) {
            "" | "global" | "not_available" => Self::Any,
            "us" => Self::Us,
            _ => Self::Other,
        }
    }
}

impl ContextBand {
    /// Each band with the number of prompt tokens that it starts after, longest first.
    const THRESHOLDS: [(Self, u64); 7] = [
        (Self::Above512k, 512_000),
        (Self::Above272k, 272_000),
        (Self::Above256k, 256_000),
        (Self::Above200k, 200_000),
        (Self::Above128k, 128_000),
        (Self::Above100k, 100_000),
        (Self::Above32k, 32_000),
    ];

    const CODES: [(Self, u16); 8] = [
        (Self::Base, 0),
        (Self::Above32k, 1),
        (Self::Above100k, 2),
        (Self::Above128k, 3),
        (Self::Above200k, 4),
        (Self::Above256k, 5),
        (Self::Above272k, 6),
        (Self::Above512k, 7),
    ];

    /// The band of one call, by its whole prompt: input, cache reads and cache writes
    /// ([`Tokens::prompt`](crate::Tokens::prompt)). Ask per call, never for a sum of calls.
    #[must_use]
    pub fn of_prompt(tokens: u64) -> Self {
        Self::THRESHOLDS
            .iter()
            .find(|(_, threshold)| tokens > *threshold)
            .map_or(Self::Base, |(band, _)| *band)
    }

    /// The number of prompt tokens that every call of this band exceeds; `None` for the base band.
    #[must_use]
    pub fn exceeds(self) -> Option<u64> {
        Self::THRESHOLDS.iter().find(|(band, _)| *band == self).map(|(_, threshold)| *threshold)
    }
}

impl PriceClass {
    /// The class as it is kept on disk: four bits each for context, tier, speed and region, from
    /// the lowest. The codes of the values are permanent; 0 is the default class. A new threshold
    /// gets a new code out of order.
    #[must_use]
    pub fn to_code(self) -> u16 {
        code_of(&ContextBand::CODES, self.context)
            | code_of(&ServiceTier::CODES, self.tier) << 4
            | code_of(&Speed::CODES, self.speed) << 8
            | code_of(&Region::CODES, self.region) << 12
    }

    /// The class that [`to_code`](Self::to_code) wrote; `None` for a code of a later version.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Some(Self {
            context: value_of(&ContextBand::CODES, code & 15)?,
            tier: value_of(&ServiceTier::CODES, code >> 4 & 15)?,
            speed: value_of(&Speed::CODES, code >> 8 & 15)?,
            region: value_of(&Region::CODES, code >> 12)?,
        })
    }
}

fn code_of<T: Copy + PartialEq>(codes: &[(T, u16)], value: T) -> u16 {
    codes.iter().find(|(each, _)| *each == value).map_or(15, |(_, code)| *code)
}

fn value_of<T: Copy>(codes: &[(T, u16)], code: u16) -> Option<T> {
    codes.iter().find(|(_, each)| *each == code).map(|(value, _)| *value)
}

/// As in a sentence: `priority tier, more than 272000 prompt tokens`.
impl fmt::Display for PriceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tier {
            ServiceTier::Standard => "standard tier",
            ServiceTier::Batch => "batch tier",
            ServiceTier::Flex => "flex tier",
            ServiceTier::Priority => "priority tier",
            ServiceTier::Other => "unknown tier",
        })?;
        f.write_str(match self.speed {
            Speed::Standard => "",
            Speed::Fast => ", fast",
            Speed::Other => ", unknown speed",
        })?;
        f.write_str(match self.region {
            Region::Any => "",
            Region::Us => ", US only",
            Region::Other => ", unknown region",
        })?;
        match self.context.exceeds() {
            Some(tokens) => write!(f, ", more than {tokens} prompt tokens"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prompt_must_exceed_a_threshold_to_pass_it() {
        assert_eq!(ContextBand::of_prompt(0), ContextBand::Base);
        assert_eq!(ContextBand::of_prompt(200_000), ContextBand::Above128k);
        assert_eq!(ContextBand::of_prompt(200_001), ContextBand::Above200k);
        assert_eq!(ContextBand::of_prompt(u64::MAX), ContextBand::Above512k);
        for (band, threshold) in ContextBand::THRESHOLDS {
            assert_eq!(ContextBand::of_prompt(threshold + 1), band);
            assert!(ContextBand::of_prompt(threshold) < band);
        }
    }

    #[test]
    fn what_sources_write_is_understood_and_the_unknown_is_not_standard() {
        for (text, tier) in [
            ("", ServiceTier::Standard),
            ("standard", ServiceTier::Standard),
            ("default", ServiceTier::Standard),
            ("batch", ServiceTier::Batch),
            ("flex", ServiceTier::Flex),
            ("Priority", ServiceTier::Priority),
            ("fast", ServiceTier::Priority),
            ("ultrafast", ServiceTier::Other),
        ] {
            assert_eq!(ServiceTier::of_source(text), tier, "{text}");
        }
        assert_eq!(Speed::of_source("fast"), Speed::Fast);
        assert_eq!(Speed::of_source("warp"), Speed::Other);
        assert_eq!(Region::of_source("us"), Region::Us);
        assert_eq!(Region::of_source("not_available"), Region::Any);
        assert_eq!(Region::of_source("mars"), Region::Other);
    }

    /// What is on disk must keep its meaning: these numbers may be added to, never changed.
    #[test]
    fn codes_on_disk_are_permanent() {
        assert_eq!(PriceClass::default().to_code(), 0);
        let class = PriceClass {
            tier: ServiceTier::Priority,
            speed: Speed::Fast,
            region: Region::Us,
            context: ContextBand::Above272k,
        };
        assert_eq!(class.to_code(), 0x1136);
        assert_eq!(
            class.to_string(),
            "priority tier, fast, US only, more than 272000 prompt tokens"
        );
        let unknown = PriceClass {
            tier: ServiceTier::Other,
            speed: Speed::Other,
            region: Region::Other,
            context: ContextBand::Above512k,
        };
        assert_eq!(unknown.to_code(), 0xfff7);
    }

    #[test]
    fn every_class_survives_its_code() {
        let mut seen = std::collections::BTreeSet::new();
        for code in 0..=u16::MAX {
            if let Some(class) = PriceClass::from_code(code) {
                assert_eq!(class.to_code(), code);
                assert!(seen.insert(class));
            }
        }
        assert_eq!(seen.len(), 5 * 3 * 3 * 8);
    }

    proptest! {
        #[test]
        fn a_longer_prompt_is_never_in_a_lower_band(a in any::<u32>(), b in any::<u32>()) {
            let (short, long) = (a.min(b), a.max(b));
            prop_assert!(ContextBand::of_prompt(short.into()) <= ContextBand::of_prompt(long.into()));
        }
    }
}
