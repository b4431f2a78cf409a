//! The counts of a call, as its dialect overlaps them, turned into disjoint [`Tokens`].
//!
//! This is where most tools count twice: whether cached tokens are in the input, and reasoning in the
//! output, differs from dialect to dialect. Where the counts of a record contradict its dialect (a cache
//! that is larger than the input it should be in), they are taken to stand side by side, and that is
//! counted: instrumentations get it wrong, and a call of which less is kept than was used is worse.

use trueup_core::Tokens;

/// How the counts of a dialect overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Convention {
    /// The input includes what was read from and written to caches; the output includes reasoning:
    /// OpenTelemetry, OpenInference, Codex.
    CacheInside,
    /// Input and caches stand side by side: Anthropic, OpenClaw.
    CacheOutside,
    /// The input includes the cache, but neither tools' prompts; the output does not include thoughts.
    Gemini,
}

/// What a record says that a call used; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) input: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) cache_write: Option<u64>,
    /// Parts of `cache_write`, by how long the cache lives.
    pub(crate) cache_write_5m: Option<u64>,
    pub(crate) cache_write_1h: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) reasoning: Option<u64>,
    pub(crate) tool: Option<u64>,
    pub(crate) total: Option<u64>,
}

impl Stated {
    /// Whether it says anything of what was used.
    pub(crate) fn is_something(&self) -> bool {
        [self.input, self.output, self.total].iter().any(Option::is_some)
    }

    /// Disjoint counts, and whether the record contradicts its dialect.
    pub(crate) fn tokens(&self, convention: Convention) -> (Tokens, bool) {
        match convention {
            Convention::CacheInside => self.cache_inside(),
            Convention::CacheOutside => (self.cache_outside(), false),
            Convention::Gemini => self.gemini(),
        }
    }

    fn cached(&self) -> u64 {
        self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0))
    }

    /// A total gives what is missing beside it.
    fn sides(&self) -> (u64, u64) {
        let rest = |known: u64| self.total.map_or(0, |total| total.saturating_sub(known));
        match (self.input, self.output) {
            (Some(input), Some(output)) => (input, output),
            (Some(input), None) => (input, rest(input)),
            (None, Some(output)) => (rest(output).max(self.cached()), output),
            (None, None) => (self.total.unwrap_or(0).max(self.cached()), 0),
        }
    }

    fn cache_inside(&self) -> (Tokens, bool) {
        let (prompt, completion) = self.sides();
        let (cached, reasoning) = (self.cached(), self.reasoning.unwrap_or(0));
        let is_cache_outside = cached > prompt;
        let is_reasoning_outside = reasoning > completion;
        let input = if is_cache_outside { prompt } else { prompt - cached };
        let beside = if is_reasoning_outside { reasoning } else { 0 };
        let tokens =
            Tokens { input, output: completion.saturating_add(beside), reasoning, ..self.caches() };
        (tokens, is_cache_outside || is_reasoning_outside)
    }

    fn cache_outside(&self) -> Tokens {
        let output = self.output.unwrap_or(0);
        let reasoning = self.reasoning.unwrap_or(0).min(output);
        Tokens { input: self.input.unwrap_or(0), output, reasoning, ..self.caches() }
    }

    fn gemini(&self) -> (Tokens, bool) {
        let [input, output, cached, thoughts, tool] =
            [self.input, self.output, self.cache_read, self.reasoning, self.tool]
                .map(Option::unwrap_or_default);
        // The total says whether a writer counts the cached tokens inside its input, as the CLI does.
        let outside = input.saturating_add(output).saturating_add(thoughts).saturating_add(tool);
        let is_outside =
            cached > input || (cached > 0 && self.total == Some(outside.saturating_add(cached)));
        let tokens = Tokens {
            input: if is_outside { input } else { input - cached }.saturating_add(tool),
            output: output.saturating_add(thoughts),
            reasoning: thoughts,
            ..self.caches()
        };
        (tokens, is_outside)
    }

    fn caches(&self) -> Tokens {
        let cache_write = self.cache_write.unwrap_or(0);
        let cache_write_1h = self.cache_write_1h.unwrap_or(0).min(cache_write);
        let rest = cache_write - cache_write_1h;
        let cache_write_5m = self.cache_write_5m.unwrap_or(0).min(rest);
        Tokens {
            cache_read: self.cache_read.unwrap_or(0),
            cache_write_5m,
            cache_write_1h,
            cache_write: rest - cache_write_5m,
            ..Tokens::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATED: Stated = Stated {
        input: Some(1_020),
        cache_read: Some(400),
        cache_write: Some(100),
        cache_write_5m: None,
        cache_write_1h: None,
        output: Some(52),
        reasoning: Some(7),
        tool: None,
        total: None,
    };

    fn sums(stated: Stated, convention: Convention) -> (u64, u64, u64, bool) {
        let (tokens, is_other) = stated.tokens(convention);
        (tokens.input, tokens.output, tokens.total(), is_other)
    }

    #[test]
    fn each_convention_counts_each_token_once() {
        assert_eq!(sums(STATED, Convention::CacheInside), (520, 52, 1_072, false));
        assert_eq!(sums(STATED, Convention::CacheOutside), (1_020, 52, 1_572, false));
        // A real line of Codex: 117,231 in, of which 115,584 cached.
        let codex = Stated {
            input: Some(117_231),
            cache_read: Some(115_584),
            output: Some(1_769),
            reasoning: Some(361),
            ..Stated::default()
        };
        assert_eq!(sums(codex, Convention::CacheInside), (1_647, 1_769, 119_000, false));
    }

    #[test]
    fn thoughts_and_tools_of_gemini_stand_beside() {
        let stated = Stated {
            input: Some(1_000),
            cache_read: Some(400),
            output: Some(50),
            reasoning: Some(20),
            tool: Some(5),
            total: Some(1_075),
            ..Stated::default()
        };
        assert_eq!(sums(stated, Convention::Gemini), (605, 70, 1_075, false));
        let outside = Stated { total: Some(1_475), ..stated };
        assert_eq!(sums(outside, Convention::Gemini), (1_005, 70, 1_475, true));
    }

    #[test]
    fn contradictions_lose_nothing() {
        let anthropic = Stated { input: Some(2), ..STATED };
        assert_eq!(sums(anthropic, Convention::CacheInside), (2, 52, 554, true));
        let thinking = Stated { reasoning: Some(60), ..STATED };
        assert_eq!(sums(thinking, Convention::CacheInside), (520, 112, 1_132, true));
    }

    #[test]
    fn a_total_gives_what_is_missing() {
        let total = Stated { total: Some(9), ..Stated::default() };
        assert_eq!(sums(total, Convention::CacheInside), (9, 0, 9, false));
        let input = Stated { input: Some(5), ..total };
        assert_eq!(sums(input, Convention::CacheInside), (5, 4, 9, false));
        let output = Stated { output: Some(5), ..total };
        assert_eq!(sums(output, Convention::CacheInside), (4, 5, 9, false));
    }

    proptest! {
        #[test]
        fn no_counts_overflow(
            all in proptest::array::uniform7(proptest::option::of(any::<u64>())),
            lifetimes in proptest::array::uniform2(proptest::option::of(any::<u64>())),
        ) {
            let [input, cache_read, cache_write, output, reasoning, tool, total] = all;
            let [cache_write_5m, cache_write_1h] = lifetimes;
            let stated = Stated {
                input,
                cache_read,
                cache_write,
                cache_write_5m,
                cache_write_1h,
                output,
                reasoning,
                tool,
                total,
            };
            for convention in [Convention::CacheInside, Convention::CacheOutside, Convention::Gemini] {
                let (tokens, _) = stated.tokens(convention);
                prop_assert!(tokens.reasoning <= tokens.output);
            }
        }
    }
}
