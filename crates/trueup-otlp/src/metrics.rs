//! Counters of tokens and cost: one table of all of them, and their points as evidence.
//!
//! A counter never makes a call: each call that it counts has a record of its own, or should have. What the
//! points come to is kept, so that it can be said what no record told. Of several counters of one dialect that
//! count the same calls, one is in the table: Gemini CLI tells `gen_ai.client.token.usage` beside its own.
//!
//! ```text
//! claude_code.token.usage {session.id=8f3c…, type=cacheRead, model=…}   sum, delta   311
//! ```

use trueup_core::{Key, Metered, Parts, UnixMs};

use crate::attributes::{Attributes, Wrong};
use crate::dialect::Dialect;
use crate::export::Problem;
use crate::map;
use crate::model::{Attribute, Metric, Point};

/// A counter of a dialect.
struct Counter {
    dialect: Dialect,
    name: &'static str,
    unit: Unit,
}

/// What a counter counts.
enum Unit {
    /// Dollars.
    Cost,
    /// Tokens: which kind an attribute says, and of what counts that is a part. A kind that is not here is
    /// a sum of others.
    Tokens(&'static str, &'static [(&'static str, Parts)]),
}

const INPUT: (&str, Parts) = ("input", Parts::PROMPT);
const OUTPUT: (&str, Parts) = ("output", Parts::OUTPUT);

const COUNTERS: [Counter; 7] = [
    Counter {
        dialect: Dialect::ClaudeCode,
        name: "claude_code.token.usage",
        unit: Unit::Tokens(
            "type",
            &[
                INPUT,
                ("cacheRead", Parts::PROMPT.and(Parts::CACHE_READ)),
                ("cacheCreation", Parts::PROMPT.and(Parts::CACHE_WRITE)),
                OUTPUT,
            ],
        ),
    },
    Counter { dialect: Dialect::ClaudeCode, name: "claude_code.cost.usage", unit: Unit::Cost },
    Counter {
        dialect: Dialect::Codex,
        name: "codex.turn.token_usage",
        unit: Unit::Tokens(
            "token_type",
            &[
                INPUT,
                ("cached_input", Parts::CACHE_READ),
                ("cache_write_input", Parts::CACHE_WRITE),
                OUTPUT,
                ("reasoning_output", Parts::REASONING),
            ],
        ),
    },
    // Its prompt holds the cache, and neither tools' prompts nor, in the output, thoughts.
    Counter {
        dialect: Dialect::GeminiCli,
        name: "gemini_cli.token.usage",
        unit: Unit::Tokens(
            "type",
            &[
                INPUT,
                ("tool", Parts::PROMPT),
                ("cache", Parts::CACHE_READ),
                OUTPUT,
                ("thought", Parts::OUTPUT.and(Parts::REASONING)),
            ],
        ),
    },
    // It tells `prompt` and `total`, too.
    Counter {
        dialect: Dialect::OpenClaw,
        name: "openclaw.tokens",
        unit: Unit::Tokens(
            "openclaw.token",
            &[
                INPUT,
                ("cache_read", Parts::PROMPT.and(Parts::CACHE_READ)),
                ("cache_write", Parts::PROMPT.and(Parts::CACHE_WRITE)),
                OUTPUT,
            ],
        ),
    },
    Counter { dialect: Dialect::OpenClaw, name: "openclaw.cost.usd", unit: Unit::Cost },
    Counter {
        dialect: Dialect::GenAi,
        name: "gen_ai.client.token.usage",
        unit: Unit::Tokens("gen_ai.token.type", &[INPUT, OUTPUT, ("completion", Parts::OUTPUT)]),
    },
];

/// The points of a metric, where it is one of the table. A value that cannot be refuses the metric.
pub(crate) fn of(
    dialect: Dialect,
    metric: &Metric<'_>,
    resource: &[Attribute<'_>],
    now: UnixMs,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Metered>, Problem> {
    let known = |counter: &&Counter| counter.dialect == dialect && *counter.name == *metric.name;
    let counter = COUNTERS.iter().find(known);
    let (Some(counter), Some(is_cumulative)) = (counter, metric.is_cumulative) else {
        return Ok(Vec::new());
    };
    let mut metered = Vec::new();
    for point in &metric.points {
        let attributes = Attributes { record: &point.attributes, resource };
        let Some(parts) = counter.unit.parts(attributes) else { continue };
        let value = counter.unit.value(point).map_err(|Wrong| Problem::WrongCount)?;
        let Some(value) = value.filter(|value| *value > 0 || is_cumulative) else { continue };
        let (start, end) = (point.start_time_unix_nano.0, point.time_unix_nano.0);
        let time = map::plausible(end, now, problems);
        metered.push(Metered {
            stream: stream(counter, attributes, is_cumulative.then_some(start)),
            source: dialect.source().into(),
            session: attributes.name(dialect.names().session).into(),
            began: UnixMs(start / NANOS_PER_MS),
            time,
            // Of points without a time one counts: what is sent again must not.
            point: if end > 0 { end } else { start },
            is_cumulative,
            parts,
            value,
        });
    }
    Ok(metered)
}

const NANOS_PER_MS: i64 = 1_000_000;

impl Unit {
    fn parts(&self, attributes: Attributes<'_>) -> Option<Parts> {
        match self {
            Self::Cost => Some(Parts::COST),
            Self::Tokens(of, kinds) => {
                let told = attributes.name(&[of]);
                kinds.iter().find(|(kind, _)| *kind == told).map(|(_, parts)| *parts)
            }
        }
    }

    fn value(&self, point: &Point<'_>) -> Result<Option<i64>, Wrong> {
        let value = Attribute { key: crate::json::Str("".into()), value: point.value.clone() };
        let of = Attributes { record: &[value], resource: &[] };
        match self {
            Self::Cost => Ok(of.usd(&[""])?.map(|cost| cost.0)),
            Self::Tokens(..) => Ok(of.count(&[""])?.map(u64::cast_signed)),
        }
    }
}

/// The number of a counter: who tells, of what, and since when where that begins it anew.
fn stream(counter: &Counter, attributes: Attributes<'_>, since: Option<i64>) -> i64 {
    let mut said = vec![counter.name.to_owned(), format!("{since:?}")];
    for (of, attributes) in [("point", attributes.record), ("process", attributes.resource)] {
        let from = said.len();
        said.extend(attributes.iter().map(|pair| format!("{of} {}={:?}", &*pair.key, pair.value)));
        // Some exporters keep attributes in a hash map.
        if let Some(said) = said.get_mut(from..) {
            said.sort_unstable();
        }
    }
    let key = Key::of("otlp-counter", &said);
    key.0.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}
