//! What devices tell, made up from a seed, and what it must come to.

use std::collections::BTreeMap;

use trueup_core::{
    Billing, Call, Counters, DAY_MS, Delivery, Fact, FactId, Key, NanoUsd, Origin, Outcome,
    QUARTER_MS, Region, Series, ServiceTier, Speed, Tokens, UnixMs, Variant, Version, Word,
};

use crate::store::NOW;

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap();
        of[at]
    }

    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap();
            all.swap(at, other);
        }
    }
}

/// Names that have hurt others.
pub(crate) const HOSTILE: [&str; 8] = [
    "",
    "it's",
    r"back\slash\",
    r"\'; DROP TABLE llm_event; --",
    "new\n\nline\ttab\0nul",
    "💶 é \u{202e}",
    "${jndi:x} %s {p:String}",
    "a\u{7f}b\u{1}`\"",
];

pub(crate) const TENANTS: [&str; 3] = ["acme", r"o'neil\", "third"];

pub(crate) fn call(dice: &mut Dice, id: FactId, version: Version) -> Call {
    let tokens = Tokens {
        input: dice.below(200_000),
        cache_read: dice.below(1_000_000),
        cache_write_5m: dice.below(3) * 10,
        cache_write_1h: dice.below(2) * 7,
        cache_write: dice.below(2) * 3,
        output: dice.below(5_000),
        reasoning: dice.below(100),
    };
    let text = |text: &str| text.into();
    Call {
        key: Key::of_id(id),
        variant: Variant::default(),
        rank: version.rank(&[&dice.next().to_le_bytes()]),
        twin: None,
        time: id.time(),
        origin: Origin {
            source: text(dice.one(&["codex", "claude-code", HOSTILE[3]])),
            provider: text(dice.one(&["openai", "anthropic", ""])),
            model: text(dice.one(&["gpt-5.5", HOSTILE[2], "claude"])),
            project: text(dice.one(&HOSTILE)),
            session: text(dice.one(&["s1", "s2", HOSTILE[4], "s3", ""])),
            kind: text(dice.one(&["", "cron"])),
        },
        tokens,
        billing: Billing {
            tier: if dice.is(20) { ServiceTier::Batch } else { ServiceTier::Standard },
            speed: Speed::default(),
            region: if dice.is(10) { Region::Us } else { Region::Any },
        },
        reported_cost: dice.is(40).then(|| NanoUsd(i64::try_from(dice.below(9_999)).unwrap() - 99)),
        latency_ms: dice.is(50).then(|| u32::try_from(dice.below(90_000)).unwrap()),
        time_to_first_token_ms: None,
        outcome: if dice.is(10) {
            Outcome::Failed { error_type: text(dice.one(&["", "aborted"])) }
        } else {
            Outcome::Ok
        },
        trace_id: dice.is(30).then(|| text("t-1")),
        body: None,
    }
}

/// The id of the call of a number, within the last days before now.
pub(crate) fn id(number: u64, days: u64) -> FactId {
    let mut dice = Dice(number);
    let back = i64::try_from(dice.below(days * DAY_MS.cast_unsigned())).unwrap();
    FactId::new(UnixMs(NOW.0 - back), Key::of("test", &[number.to_le_bytes()]))
}

/// What there must be: of each id the newest word. Kept by itself, not by what is tested.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    words: BTreeMap<(String, FactId), (Version, String, Option<Call>)>,
}

/// What a sum is of: tenant, where its stretch begins, session, series.
pub(crate) type Group = (String, i64, String, Series);

impl Truth {
    pub(crate) fn hear(&mut self, tenant: &str, delivery: &Delivery) {
        for word in &delivery.words {
            let (id, version, call) = match word {
                Word::Is(Fact::Call(call)) => {
                    (call.id(), Version::of_rank(call.rank), Some((**call).clone()))
                }
                Word::IsNot { id, version } => (*id, *version, None),
                Word::Is(_) => continue,
            };
            let device = delivery.device.to_string();
            let known = self.words.entry((tenant.to_owned(), id));
            let known = known.or_insert_with(|| (version, device.clone(), call.clone()));
            assert!(known.0 != version || known.2 == call, "two words of one version");
            if version > known.0 {
                *known = (version, device, call);
            }
        }
    }

    pub(crate) fn hear_all(&mut self, told: &[(&str, &Delivery)]) {
        for (tenant, delivery) in told {
            self.hear(tenant, delivery);
        }
    }

    /// Takes out a device that is forgotten.
    pub(crate) fn forget(&mut self, tenant: &str, device: &str) {
        self.words.retain(|(of, _), (_, by, _)| of != tenant || by != device);
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (&str, FactId, &str, &Call)> {
        self.words.iter().filter_map(|((tenant, id), (_, device, call))| {
            Some((tenant.as_str(), *id, device.as_str(), call.as_ref()?))
        })
    }

    /// The sums of stretches.
    pub(crate) fn sums(
        &self,
        width_ms: i64,
        by: By,
    ) -> BTreeMap<Group, (Counters, UnixMs, UnixMs)> {
        let mut sums: BTreeMap<Group, (Counters, UnixMs, UnixMs)> = BTreeMap::new();
        for (tenant, _, device, call) in self.calls() {
            let device = if by.device { device.into() } else { "".into() };
            let group = (
                tenant.to_owned(),
                if width_ms == 0 { 0 } else { call.time.floor(width_ms).0 },
                if by.session { call.origin.session.to_string() } else { String::new() },
                Series { device, ..Series::of_call(call) },
            );
            let one = Counters::of_call(call);
            let sum = sums.entry(group).or_insert((Counters::default(), call.time, call.time));
            *sum = (sum.0.plus(&one), sum.1.min(call.time), sum.2.max(call.time));
        }
        sums
    }
}

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct By {
    pub(crate) device: bool,
    pub(crate) session: bool,
}

/// The width of a quarter of an hour and of a day.
pub(crate) const WIDTHS: [i64; 2] = [QUARTER_MS, DAY_MS];
