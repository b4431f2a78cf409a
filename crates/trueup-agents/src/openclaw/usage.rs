//! The counts of one answer, under all the names that OpenClaw's providers give them.
//!
//! OpenClaw's own names count the cache outside of `input`; rows that a plug-in passed on in OpenAI's
//! form count it inside. Reasoning is inside the output in both. Digits in a text are no count: neither
//! are they to OpenClaw.
//!
//! ```json
//! {"input":620,"output":52,"cacheRead":400,"cacheWrite":0,"reasoningTokens":7,"totalTokens":1072}
//! {"prompt_tokens":1020,"completion_tokens":52,"prompt_tokens_details":{"cached_tokens":400}}
//! ```

use trueup_core::{NanoUsd, Tokens};

use crate::json::objects;
use crate::lossy::{Count, Ignored, Number, Object, Usd};

objects! {
    /// `message.usage`: OpenClaw's own names in its order, then those of others.
    pub(super) struct Usage {
        input: Number = "input",
        output: Number = "output",
        cache_read_camel: Number = "cacheRead",
        cache_write_camel: Number = "cacheWrite",
        /// The part of `cacheWrite` that lives one hour.
        cache_write_1h: Number = "cacheWrite1h",
        reasoning_tokens_camel: Number = "reasoningTokens",
        total_tokens_camel: Number = "totalTokens",
        cost: Object<Cost> = "cost",

        input_tokens_camel: Number = "inputTokens",
        input_tokens: Number = "input_tokens",
        prompt_tokens_camel: Number = "promptTokens",
        prompt_tokens: Number = "prompt_tokens",
        prompt_n: Number = "prompt_n",

        output_tokens_camel: Number = "outputTokens",
        output_tokens: Number = "output_tokens",
        completion_tokens_camel: Number = "completionTokens",
        completion_tokens: Number = "completion_tokens",
        predicted_n: Number = "predicted_n",

        cache_read: Number = "cache_read",
        cache_read_input_tokens: Number = "cache_read_input_tokens",
        cached: Number = "cached",
        cached_input_tokens: Number = "cached_input_tokens",
        cached_tokens: Number = "cached_tokens",
        prompt_tokens_details: Object<Details> = "prompt_tokens_details",
        input_tokens_details: Object<Details> = "input_tokens_details",

        cache_write: Number = "cache_write",
        cache_creation_input_tokens: Number = "cache_creation_input_tokens",

        reasoning_tokens: Number = "reasoning_tokens",
        completion_tokens_details: Object<Details> = "completion_tokens_details",
        output_tokens_details: Object<Details> = "output_tokens_details",

        total: Number = "total",
        total_tokens: Number = "total_tokens",
    }

    struct Details {
        cached_tokens: Number = "cached_tokens",
        reasoning_tokens: Number = "reasoning_tokens",
    }

    struct Cost {
        _input: Ignored = "input",
        _output: Ignored = "output",
        _cache_read: Ignored = "cacheRead",
        _cache_write: Ignored = "cacheWrite",
        total: Usd = "total",
    }
}

/// What the counts of an answer come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// In disjoint fields.
    pub(super) tokens: Tokens,
    /// Whether a count was impossible and was cut.
    pub(super) is_cut: bool,
    /// Whether only the total is known: all of it is `input` then, so that tokens are right and no price
    /// is worked out for an output that nobody saw.
    pub(super) is_unsplit: bool,
}

impl Usage {
    /// The counts in disjoint fields.
    pub(super) fn counted(&self) -> Counted {
        let (input, cache_read) = self.prompt();
        let (output, write) = (self.output(), self.cache_write());
        let total = pick(&[self.total, self.total_tokens_camel, self.total_tokens]);
        let parts = [input, output, cache_read, write];
        if !parts.iter().any(|part| part.is_present()) && total.or_zero() > 0 {
            let tokens = Tokens { input: total.or_zero(), ..Tokens::ZERO };
            return Counted { tokens, is_cut: total.is_cut(), is_unsplit: true };
        }
        let one_hour = self.cache_write_1h.0.or_zero().min(write.or_zero());
        let other = write.or_zero() - one_hour;
        // Where the hour's part is told, the rest is of the default five minutes.
        let (five_minutes, unknown) = if one_hour > 0 { (other, 0) } else { (0, other) };
        let tokens = Tokens {
            input: input.or_zero(),
            cache_read: cache_read.or_zero(),
            cache_write_5m: five_minutes,
            cache_write_1h: one_hour,
            cache_write: unknown,
            output: output.or_zero(),
            reasoning: self.reasoning().or_zero().min(output.or_zero()),
        };
        let is_cut = parts.iter().any(|part| part.is_cut());
        Counted { tokens, is_cut, is_unsplit: false }
    }

    /// Input without the cache, and what was read from the cache.
    fn prompt(&self) -> (Count, Count) {
        let own = pick(&[self.input, self.input_tokens_camel]);
        let other =
            pick(&[self.input_tokens, self.prompt_tokens_camel, self.prompt_tokens, self.prompt_n]);
        let is_own = own.or_zero() > 0 || !other.is_present();
        let outside = pick(&[self.cache_read_camel, self.cache_read, self.cache_read_input_tokens]);
        let inside = pick(&[
            self.cached,
            self.cached_input_tokens,
            self.cached_tokens,
            details(&self.prompt_tokens_details).cached_tokens,
            details(&self.input_tokens_details).cached_tokens,
        ]);
        match other {
            _ if is_own => (own, outside.or(inside)),
            Count::Exact(input) if !outside.is_present() => {
                (Count::Exact(input.saturating_sub(inside.or_zero())), inside)
            }
            Count::Exact(_) | Count::Cut(_) | Count::Missing => (other, outside.or(inside)),
        }
    }

    fn output(&self) -> Count {
        pick(&[
            self.output,
            self.output_tokens_camel,
            self.output_tokens,
            self.completion_tokens_camel,
            self.completion_tokens,
            self.predicted_n,
        ])
    }

    fn cache_write(&self) -> Count {
        pick(&[self.cache_write_camel, self.cache_write, self.cache_creation_input_tokens])
    }

    fn reasoning(&self) -> Count {
        pick(&[
            self.reasoning_tokens_camel,
            self.reasoning_tokens,
            details(&self.completion_tokens_details).reasoning_tokens,
            details(&self.output_tokens_details).reasoning_tokens,
        ])
    }

    /// What OpenClaw, or the provider, says that it cost.
    pub(super) fn cost(&self) -> Option<NanoUsd> {
        self.cost.0.as_ref().and_then(|cost| cost.total.0)
    }
}

/// The first count above zero, else the first that is there, as OpenClaw picks.
fn pick(candidates: &[Number]) -> Count {
    let present = || candidates.iter().map(|number| number.0).filter(|count| count.is_present());
    present().find(|count| count.or_zero() > 0).or_else(|| present().next()).unwrap_or_default()
}

fn details(object: &Object<Details>) -> &Details {
    const NONE: &Details = &Details {
        cached_tokens: Number(Count::Missing),
        reasoning_tokens: Number(Count::Missing),
    };
    object.0.as_ref().unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use trueup_core::TOKENS_MAX;

    fn counted(json: &str) -> Counted {
        json::from_slice::<Usage>(json.as_bytes()).unwrap().counted()
    }

    /// Input, cache read, cache written, output, reasoning.
    fn parts(json: &str) -> [u64; 5] {
        let tokens = counted(json).tokens;
        [tokens.input, tokens.cache_read, tokens.cache_written(), tokens.output, tokens.reasoning]
    }

    #[test]
    fn every_name_of_a_count_is_known() {
        for (json, expected) in [
            (
                r#"{"input":620,"output":52,"cacheRead":400,"reasoningTokens":7}"#,
                [620, 400, 0, 52, 7],
            ),
            (
                r#"{"inputTokens":1,"outputTokens":2,"cache_read":3,"cache_write":4}"#,
                [1, 3, 4, 2, 0],
            ),
            (
                r#"{"input_tokens":50,"output_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":7}"#,
                [50, 20, 7, 5, 0],
            ),
            (
                r#"{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":4}}"#,
                [60, 40, 0, 10, 4],
            ),
            (
                r#"{"input_tokens":100,"output_tokens":10,"input_tokens_details":{"cached_tokens":40},"output_tokens_details":{"reasoning_tokens":4}}"#,
                [60, 40, 0, 10, 4],
            ),
            (r#"{"prompt_tokens":30,"cached_tokens":40,"completion_tokens":1}"#, [0, 40, 0, 1, 0]),
            (r#"{"promptTokens":9,"completionTokens":8}"#, [9, 0, 0, 8, 0]),
            (r#"{"prompt_n":9,"predicted_n":8}"#, [9, 0, 0, 8, 0]),
            (r#"{"input":0,"prompt_tokens":9,"output":1}"#, [9, 0, 0, 1, 0]),
            (r#"{"input":5,"output":1,"reasoningTokens":3}"#, [5, 0, 0, 1, 1]),
            (r#"{"input":{},"output":[],"cost":7}"#, [0; 5]),
        ] {
            assert_eq!(parts(json), expected, "{json}");
        }
    }

    #[test]
    fn impossible_counts_are_cut_and_said_so() {
        let odd =
            r#"{"input":-5,"output":10.9,"cacheRead":null,"cacheWrite":"3","totalTokens":10}"#;
        assert_eq!((parts(odd), counted(odd).is_cut), ([0, 0, 0, 10, 0], true));
        let large = counted(r#"{"input":9007199254740993,"output":0}"#);
        assert_eq!((large.tokens.input, large.is_cut), (TOKENS_MAX, true));
    }

    #[test]
    fn a_total_without_parts_counts_as_input_and_is_said_so() {
        let counted = counted(r#"{"totalTokens":77}"#);
        assert_eq!((counted.tokens.input, counted.is_unsplit), (77, true));
        assert!(!json::from_slice::<Usage>(b"{}").unwrap().counted().is_unsplit);
    }

    #[test]
    fn cache_writes_are_split_by_lifetime_where_it_is_told() {
        let tokens = counted(r#"{"cacheWrite":10,"cacheWrite1h":4}"#).tokens;
        assert_eq!((tokens.cache_write_5m, tokens.cache_write_1h, tokens.cache_write), (6, 4, 0));
        let tokens = counted(r#"{"cacheWrite":10}"#).tokens;
        assert_eq!((tokens.cache_write_1h, tokens.cache_write), (0, 10));
    }

    #[test]
    fn cost_is_the_recorded_total() {
        let usage = |json: &'static str| json::from_slice::<Usage>(json.as_bytes()).unwrap().cost();
        assert_eq!(usage(r#"{"cost":{"input":1,"total":0.000764}}"#), Some(NanoUsd(764_000)));
        assert_eq!(usage(r#"{"cost":{}}"#), None);
    }
}
