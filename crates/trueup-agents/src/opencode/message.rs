//! One message, the same JSON in all three eras but for the fields that became columns.
//!
//! OpenCode's counts are disjoint: the cache is outside of the input, and reasoning outside of the
//! output, though it is billed as output. A cost of zero means a subscription or an unknown price.
//!
//! ```json
//! {"id":"msg_9d3a0c1e2001Qm","sessionID":"ses_62c5","role":"assistant","providerID":"anthropic",
//!  "modelID":"claude-sonnet-4-6","path":{"cwd":"/home/u/app","root":"/home/u/app"},"cost":0.0123,
//!  "tokens":{"input":12,"output":300,"reasoning":50,"cache":{"read":20000,"write":900}},
//!  "time":{"created":1771027800000,"completed":1771027809000}}
//! ```

use trueup_core::{
    Billing, Call, Key, NanoUsd, Origin, Outcome, Owner, ProblemKind, Rank, Tokens, UnixMs, Variant,
};

use super::SOURCE;
use crate::found::Found;
use crate::json::objects;
use crate::lossy::{Count, Object, Str, Time, Usd};

objects! {
    /// A message. Table `session_message` nests the model, the others do not.
    pub(super) struct Message<'a> {
        id: Str<'a> = "id",
        session_id: Str<'a> = "sessionID",
        role: Str<'a> = "role",
        provider_id: Str<'a> = "providerID",
        model_id: Str<'a> = "modelID",
        model: Object<Model<'a>> = "model",
        path: Object<Paths<'a>> = "path",
        error: Object<Failure<'a>> = "error",
        time: Object<Times> = "time",
        tokens: Object<Counts> = "tokens",
        cost: Usd = "cost",
    }

    /// A part of a message; those of type `step-finish` say what one request used.
    pub(super) struct Part<'a> {
        r#type: Str<'a> = "type",
        tokens: Object<Counts> = "tokens",
        cost: Usd = "cost",
    }

    struct Model<'a> {
        id: Str<'a> = "id",
        provider_id: Str<'a> = "providerID",
    }

    struct Paths<'a> {
        cwd: Str<'a> = "cwd",
        root: Str<'a> = "root",
    }

    struct Failure<'a> {
        name: Str<'a> = "name",
        r#type: Str<'a> = "type",
    }

    struct Times {
        created: Time = "created",
        completed: Time = "completed",
    }

    struct Counts {
        input: Count = "input",
        output: Count = "output",
        reasoning: Count = "reasoning",
        cache: Object<Cache> = "cache",
        total: Count = "total",
    }

    struct Cache {
        read: Count = "read",
        write: Count = "write",
    }
}

/// Where a message was found, and what is known of it from there.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The kind of store.
    pub(super) era: Era,
    /// The message's id, by its row or file.
    pub(super) id: &'a str,
    /// The session's id, by its row or folder.
    pub(super) session: &'a str,
    /// The session's own folder, for messages that name none.
    pub(super) directory: &'a str,
    /// The time of messages that have none.
    pub(super) time: UnixMs,
}

/// The kinds of stores, oldest first: a newer one's record of a message outranks an older one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// `storage/message`.
    Documents,
    /// Table `message`.
    Version1,
    /// Table `session_message`.
    Version2,
}

/// What a message, or its steps, used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    tokens: Tokens,
    cost: NanoUsd,
    is_cut: bool,
}

impl Used {
    fn of(counts: &Object<Counts>, cost: Usd) -> Self {
        let (tokens, is_cut) = counts.0.as_ref().map(Counts::tokens).unwrap_or_default();
        Self { tokens, cost: cost.0.unwrap_or(NanoUsd::ZERO), is_cut }
    }

    /// The sum of both.
    pub(super) fn plus(self, other: Self) -> Self {
        let (tokens, is_cut) = self.tokens.plus(&other.tokens).clamped();
        let is_cut = is_cut || self.is_cut || other.is_cut;
        Self { tokens, cost: self.cost.plus(other.cost), is_cut }
    }
}

impl Counts {
    /// In disjoint fields, and whether a count was impossible and was cut.
    fn tokens(&self) -> (Tokens, bool) {
        let cache = self.cache.0.as_ref();
        let read = cache.map_or(Count::Missing, |cache| cache.read);
        let write = cache.map_or(Count::Missing, |cache| cache.write);
        let counts = [self.input, self.output, self.reasoning, read, write];
        let output = self.output.or_zero();
        let reasoning = self.reasoning.or_zero();
        let beside_reasoning = self.input.or_zero() + output + read.or_zero() + write.or_zero();
        // Some releases passed on an output that holds the reasoning already: the total tells.
        let is_inside = self.total.is_present() && self.total.or_zero() == beside_reasoning;
        let output = if is_inside { output } else { output + reasoning };
        let (tokens, is_cut) = Tokens {
            input: self.input.or_zero(),
            cache_read: read.or_zero(),
            cache_write: write.or_zero(),
            output,
            reasoning: reasoning.min(output),
            ..Tokens::ZERO
        }
        .clamped();
        (tokens, is_cut || counts.iter().any(|count| count.is_cut()))
    }
}

impl Part<'_> {
    /// What a finished step used; `None` for other parts.
    pub(super) fn step(&self) -> Option<Used> {
        self.r#type.is("step-finish").then(|| Used::of(&self.tokens, self.cost))
    }
}

impl Message<'_> {
    /// Whether a model wrote it. Rows of `session_message` say so in a column.
    pub(super) fn is_answer(&self) -> bool {
        self.role.is("assistant")
    }

    /// Whether nothing is known of its usage: its steps may know more.
    pub(super) fn is_blank(&self) -> bool {
        self.used().tokens == Tokens::ZERO
    }

    /// Whether it is still being written. One that was killed looks the same, and used nothing known.
    pub(super) fn is_running(&self) -> bool {
        !self.has_ended() && self.is_blank()
    }

    fn has_ended(&self) -> bool {
        self.error.0.is_some()
            || self.time.0.as_ref().is_some_and(|time| time.completed.0.is_some())
    }

    fn used(&self) -> Used {
        Used::of(&self.tokens, self.cost)
    }

    /// Reports the call.
    pub(super) fn report(&self, place: &Place<'_>, found: &mut Found<'_>) {
        self.report_used(self.used(), place, found);
    }

    /// Reports the call with the usage of its steps.
    pub(super) fn report_used(&self, used: Used, place: &Place<'_>, found: &mut Found<'_>) {
        let id = self.id.filled().unwrap_or(place.id);
        let created = self.time.0.as_ref().and_then(|time| time.created.0);
        if created.is_some_and(|created| is_fork_copy(id, created)) {
            return;
        }
        if used.is_cut {
            found.problem(ProblemKind::BadCount, 0, "tokens has an impossible count");
        }
        let origin = self.origin(place);
        // Ended says more than running: an error may come after the last count.
        let rank = Rank::new(
            place.era.standing(&used.tokens),
            &used.tokens,
            self.has_ended(),
            Owner::new(UnixMs(0), &origin.session),
        );
        found.call(Call {
            key: Key::of(SOURCE, &[id]),
            variant: Variant(0),
            rank,
            twin: None,
            time: created.unwrap_or(place.time),
            origin: Origin { source: found.source(), ..origin },
            tokens: used.tokens,
            billing: Billing::default(),
            reported_cost: Some(used.cost).filter(|cost| *cost > NanoUsd::ZERO),
            latency_ms: None,
            time_to_first_token_ms: None,
            outcome: self.outcome(),
            trace_id: None,
            body: None,
        });
    }

    fn origin(&self, place: &Place<'_>) -> Origin {
        let model = self.model.0.as_ref();
        let path = self.path.0.as_ref();
        let or =
            |text: Option<&str>, other: Option<&str>| text.or(other).unwrap_or_default().into();
        let folder = path.and_then(|path| path.cwd.filled().or(path.root.filled()));
        Origin {
            provider: or(
                self.provider_id.filled(),
                model.and_then(|model| model.provider_id.filled()),
            ),
            model: or(self.model_id.filled(), model.and_then(|model| model.id.filled())),
            project: or(folder, Some(place.directory)),
            session: or(self.session_id.filled(), Some(place.session)),
            ..Origin::default()
        }
    }

    fn outcome(&self) -> Outcome {
        let Some(failure) = &self.error.0 else { return Outcome::Ok };
        let name = failure.name.filled().or(failure.r#type.filled()).unwrap_or("error");
        let name = if name == "MessageAbortedError" { "aborted" } else { name };
        Outcome::Failed { error_type: name.into() }
    }
}

impl Era {
    /// How close a record is to the call that was made; see [`trueup_core::settle`]. One without any
    /// count never displaces one that has some: a move may lose them.
    fn standing(self, tokens: &Tokens) -> u8 {
        let era = match self {
            Self::Documents => 0,
            Self::Version1 => 1,
            Self::Version2 => 2,
        };
        if *tokens == Tokens::ZERO { era } else { era + 3 }
    }
}

/// How much younger than its message an id may be. Both are made in one instant.
const ID_AGE_MS_MAX: u64 = 60_000;

/// Bits of milliseconds that an id holds: it repeats after 2.2 years.
const ID_TIME_BITS: u32 = 36;

/// Whether a message is a fork's copy of its parent's: a fork repeats the whole history with times,
/// counts and costs as they were, under new ids. An id begins with the milliseconds of its making,
/// times 4,096, in 12 hex digits: `msg_9d3a0c1e2001Qm…`.
fn is_fork_copy(id: &str, created: UnixMs) -> bool {
    let digits = id.strip_prefix("msg_").and_then(|digits| digits.get(..12));
    let Some(made) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
        return false;
    };
    let period = 1_u64 << ID_TIME_BITS;
    let created = created.0.rem_euclid(1 << ID_TIME_BITS).unsigned_abs();
    let age_ms = ((made >> 12) + period - created) % period;
    (ID_AGE_MS_MAX..period / 2).contains(&age_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn tokens(json: &str) -> (Tokens, bool) {
        json::from_slice::<Counts>(json.as_bytes()).unwrap().tokens()
    }

    #[test]
    fn reasoning_is_billed_as_output_and_counted_once() {
        let (separate, _) = tokens(
            r#"{"input":12,"output":300,"reasoning":50,"cache":{"read":20000,"write":900}}"#,
        );
        assert_eq!((separate.output, separate.reasoning, separate.total()), (350, 50, 21_262));
        let (inside, _) = tokens(
            r#"{"input":12,"output":300,"reasoning":50,"total":312,"cache":{"read":0,"write":0}}"#,
        );
        assert_eq!((inside.output, inside.reasoning), (300, 50));
        let (_, is_cut) = tokens(r#"{"input":-1,"output":9007199254740991,"reasoning":9}"#);
        assert!(is_cut);
        assert_eq!(tokens(r#"{"input":null,"cache":3}"#), (Tokens::ZERO, false));
    }

    #[test]
    fn copies_in_a_fork_are_known_by_ids_younger_than_they_are() {
        let created = UnixMs(1_771_027_800_000);
        let id = |made_ms: u64| format!("msg_{:012x}Qm", (made_ms << 12) & 0xffff_ffff_ffff);
        assert!(!is_fork_copy(&id(1_771_027_800_000), created));
        assert!(!is_fork_copy(&id(1_771_027_799_000), created));
        assert!(!is_fork_copy(&id(1_771_027_859_999), created));
        assert!(is_fork_copy(&id(1_771_027_860_000), created));
        assert!(is_fork_copy(&id(1_771_027_800_000 + 86_400_000), created));
        assert!(!is_fork_copy("msg_1", created));
        assert!(!is_fork_copy("prt_ffffffffffff", created));
    }
}
