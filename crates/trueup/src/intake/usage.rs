//! The counts of a posted call, turned into disjoint [`Tokens`].
//!
//! Clients post what OpenTelemetry's conventions and OpenAI's API say: `prompt_tokens` *includes*
//! tokens read from and written to a cache, and `completion_tokens` *includes* reasoning. Counts that
//! contradict that (less prompt than cache) come from another convention; guessing which would make
//! some calls count twice and others too little, so they are refused and the client is told.
//!
//! ```json
//! {"prompt_tokens":1020,"cache_read_tokens":400,"completion_tokens":52,"reasoning_tokens":7}
//! ```

use trueup_core::Tokens;

use super::fields::{Fields, Wrong};

/// What a client says that a call used; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stated {
    /// The whole prompt, cached tokens included.
    pub(super) prompt: Option<u64>,
    /// The whole completion, reasoning included.
    pub(super) completion: Option<u64>,
    /// Prompt and completion.
    pub(super) total: Option<u64>,
    /// The part of the prompt that was read from a cache.
    pub(super) cache_read: Option<u64>,
    /// The part that was written to a cache, whatever its lifetime.
    pub(super) cache_write: Option<u64>,
    /// The part of that which lives five minutes.
    pub(super) cache_write_5m: Option<u64>,
    /// The part of that which lives an hour.
    pub(super) cache_write_1h: Option<u64>,
    /// The part of the completion that was reasoning.
    pub(super) reasoning: Option<u64>,
}

/// Takes the counts of a call. The own name comes first, then those of OpenTelemetry.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Stated, Wrong> {
    Ok(Stated {
        prompt: fields.count(&["prompt_tokens", "gen_ai.usage.input_tokens"])?,
        completion: fields.count(&["completion_tokens", "gen_ai.usage.output_tokens"])?,
        total: fields.count(&["total_tokens"])?,
        cache_read: fields.count(&["cache_read_tokens", "gen_ai.usage.cache_read.input_tokens"])?,
        cache_write: fields.count(&[
            "cache_write_tokens",
            "cache_creation_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
        ])?,
        cache_write_5m: fields.count(&["cache_write_5m_tokens"])?,
        cache_write_1h: fields.count(&["cache_write_1h_tokens"])?,
        reasoning: fields.count(&["reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"])?,
    })
}

impl Stated {
    /// Disjoint counts. A total that nothing else splits is prompt, as nearly all of a total is; one
    /// that stands beside the prompt or the completion gives the other.
    pub(super) fn tokens(&self) -> Result<Tokens, Wrong> {
        let cache_write_5m = self.cache_write_5m.unwrap_or(0);
        let cache_write_1h = self.cache_write_1h.unwrap_or(0);
        let timed = cache_write_5m + cache_write_1h;
        let written = self.cache_write.unwrap_or(timed);
        let cache_write =
            part(written, timed, "cache_write_tokens", "those written for 5 minutes and 1 hour")?;
        let cache_read = self.cache_read.unwrap_or(0);
        let cached = cache_read + written;
        let reasoning = self.reasoning.unwrap_or(0);
        let (prompt, output) = self.sides(cached, reasoning)?;
        let input =
            part(prompt, cached, "prompt_tokens", "the cached tokens that it must include")?;
        part(output, reasoning, "completion_tokens", "the reasoning that it must include")?;
        Ok(Tokens {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            cache_write,
            output,
            reasoning,
        })
    }

    /// Prompt and completion.
    fn sides(&self, cached: u64, reasoning: u64) -> Result<(u64, u64), Wrong> {
        let rest = |known, name| match self.total {
            Some(total) => part(total, known, "total_tokens", name).map(Some),
            None => Ok(None),
        };
        Ok(match (self.prompt, self.completion) {
            (Some(prompt), Some(completion)) => (prompt, completion),
            (Some(prompt), None) => (prompt, rest(prompt, "the prompt")?.unwrap_or(reasoning)),
            (None, Some(completion)) => {
                (rest(completion, "the completion")?.unwrap_or(cached), completion)
            }
            (None, None) => (rest(reasoning, "the reasoning")?.unwrap_or(cached), reasoning),
        })
    }

    /// Whether a total was stated that prompt and completion do not add up to.
    pub(super) fn has_other_total(&self) -> bool {
        match (self.prompt, self.completion, self.total) {
            (Some(prompt), Some(completion), Some(total)) => prompt + completion != total,
            _ => false,
        }
    }
}

/// What is left of `whole` without the parts that it includes.
fn part(whole: u64, parts: u64, field: &str, what: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new(field, format!("({whole}) is less than {what} ({parts})"));
    whole.checked_sub(parts).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trueup_core::TOKENS_MAX;

    const NOTHING: Stated = Stated {
        prompt: None,
        completion: None,
        total: None,
        cache_read: None,
        cache_write: None,
        cache_write_5m: None,
        cache_write_1h: None,
        reasoning: None,
    };

    #[test]
    fn prompts_include_caches_and_completions_include_reasoning() {
        let stated = Stated {
            prompt: Some(1_020),
            completion: Some(52),
            cache_read: Some(400),
            cache_write: Some(100),
            cache_write_5m: Some(70),
            cache_write_1h: Some(10),
            reasoning: Some(7),
            ..NOTHING
        };
        let expected = Tokens {
            input: 520,
            cache_read: 400,
            cache_write_5m: 70,
            cache_write_1h: 10,
            cache_write: 20,
            output: 52,
            reasoning: 7,
        };
        assert_eq!(stated.tokens(), Ok(expected));
        assert_eq!(expected.total(), 1_072);
    }

    #[test]
    fn what_is_missing_follows_from_the_total() {
        for (stated, input, output) in [
            (NOTHING, 0, 0),
            (Stated { total: Some(9), ..NOTHING }, 9, 0),
            (Stated { total: Some(9), reasoning: Some(4), ..NOTHING }, 5, 4),
            (Stated { total: Some(9), prompt: Some(5), ..NOTHING }, 5, 4),
            (Stated { total: Some(9), completion: Some(5), ..NOTHING }, 4, 5),
            (Stated { total: Some(99), prompt: Some(5), completion: Some(1), ..NOTHING }, 5, 1),
            (Stated { cache_read: Some(3), ..NOTHING }, 0, 0),
            (Stated { reasoning: Some(3), ..NOTHING }, 0, 3),
        ] {
            let tokens = stated.tokens().unwrap();
            assert_eq!((tokens.input, tokens.output), (input, output), "{stated:?}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (stated, field) in [
            (Stated { prompt: Some(10), cache_read: Some(11), ..NOTHING }, "prompt_tokens"),
            (Stated { completion: Some(1), reasoning: Some(2), ..NOTHING }, "completion_tokens"),
            (Stated { total: Some(1), prompt: Some(2), ..NOTHING }, "total_tokens"),
            (
                Stated { cache_write: Some(1), cache_write_1h: Some(2), ..NOTHING },
                "cache_write_tokens",
            ),
        ] {
            assert_eq!(stated.tokens().unwrap_err().field, field);
        }
    }

    fn count() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(prop_oneof![0..50_u64, TOKENS_MAX - 5..=TOKENS_MAX])
    }

    proptest! {
        #[test]
        fn what_is_taken_adds_up(
            prompt in count(), completion in count(), total in count(), cache_read in count(),
            cache_write in count(), cache_write_5m in count(), cache_write_1h in count(),
            reasoning in count(),
        ) {
            let stated = Stated { prompt, completion, total, cache_read, cache_write, cache_write_5m,
                cache_write_1h, reasoning };
            if let Ok(tokens) = stated.tokens() {
                prop_assert!(prompt.is_none_or(|prompt| tokens.prompt() == prompt));
                prop_assert!(completion.is_none_or(|completion| tokens.output == completion));
                prop_assert!(tokens.reasoning <= tokens.output);
                let is_whole = total.is_none_or(|total| tokens.total() == total);
                prop_assert!(is_whole || (prompt.is_some() && completion.is_some()));
            }
        }
    }
}
