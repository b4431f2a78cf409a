//! One export: what of it is calls and errors, and how much of it is anything else.

use std::collections::BTreeMap;
use std::sync::Arc;

use trueup_core::{Call, ErrorEvent, Metered};

use crate::body::{self, Encoding, Refusal, Signal};
use crate::dialect::Dialect;
use crate::map::{self, Mapped, Reading};
use crate::model::{Record, Resource, Scope};

/// Calls, failures and points of counters that are taken of one body; exporters send 512 at once.
const CALLS_MAX: usize = 10_000;
/// Scopes of one body that other records are counted by; those of more are counted together.
const SCOPES_MAX: usize = 64;
/// Longest name of a scope, in bytes.
const SCOPE_BYTES_MAX: usize = 128;

/// What a record's own ids are: what may join it to the same call elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The provider's id of the request, where the dialect tells it.
    pub request_id: Option<Arc<str>>,
    /// The provider's id of the answer.
    pub response_id: Option<Arc<str>>,
    /// Trace and span, in hex: of the span, or of what an event of an SDK stands in.
    pub span: Option<(Arc<str>, Arc<str>)>,
}

/// A call, and what it can be known by. Its session is in its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedCall {
    /// Who tells of it.
    pub dialect: Dialect,
    /// Its ids.
    pub ids: Identity,
    /// The call.
    pub call: Call,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// A count is negative, no number, or larger than any real one: the record is refused.
    WrongCount,
    /// A cost is negative or no number: the call is taken without it.
    WrongCost,
    /// A time before 2000 or in the future: the call is taken with the time of its arrival.
    WrongTime,
    /// The counts contradict the dialect: the call is taken as they stand.
    OtherConvention,
}

impl Problem {
    /// Every problem.
    pub const ALL: [Self; 4] =
        [Self::WrongCount, Self::WrongCost, Self::WrongTime, Self::OtherConvention];

    /// A short name for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongCount => "wrong_count",
            Self::WrongCost => "wrong_cost",
            Self::WrongTime => "wrong_time",
            Self::OtherConvention => "other_convention",
        }
    }
}

/// What one body holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Of which signal its records are, whatever the path said.
    pub signal: Signal,
    /// The calls.
    pub calls: Vec<MappedCall>,
    /// Requests that failed, without usage.
    pub errors: Vec<ErrorEvent>,
    /// What counters say that was used: evidence.
    pub metered: Vec<Metered>,
    /// Records that are refused, because they would be half a call.
    pub rejected: u64,
    /// What was wrong, and how often.
    pub problems: BTreeMap<Problem, u64>,
    /// Records that tell of a call that another record is the record of.
    pub evidence: BTreeMap<Dialect, u64>,
    /// Second copies of records that an agent writes twice.
    pub duplicates: u64,
    /// Everything else, by the instrumentation that it is of.
    pub others: BTreeMap<String, u64>,
}

/// Reads the body of an export. `expected` is the signal of its path, where that says one.
///
/// # Errors
/// Where it is garbage or too large; nothing of it is taken then.
pub fn read(
    body: &[u8],
    encoding: Encoding,
    expected: Option<Signal>,
    reading: &Reading,
) -> Result<Export, Refusal> {
    let mut export = Export {
        signal: expected.unwrap_or(Signal::Traces),
        calls: Vec::new(),
        errors: Vec::new(),
        metered: Vec::new(),
        rejected: 0,
        problems: BTreeMap::new(),
        evidence: BTreeMap::new(),
        duplicates: 0,
        others: BTreeMap::new(),
    };
    let signal = body::records(body, encoding, expected, &mut |resource, scope, record| {
        export.take(resource, scope, &record, reading)
    })?;
    Ok(Export { signal, ..export })
}

impl Export {
    /// Takes the calls of a dialect for evidence: something else is the record of them.
    pub fn leave(&mut self, dialect: Dialect) {
        let before = self.calls.len();
        self.calls.retain(|call| call.dialect != dialect);
        let left = before - self.calls.len();
        if left > 0 {
            *self.evidence.entry(dialect).or_default() += left as u64;
        }
    }

    fn take(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        record: &Record<'_>,
        reading: &Reading,
    ) -> Result<(), Refusal> {
        let mut problems = Vec::new();
        match map::map(resource, scope, record, reading, &mut problems) {
            Ok(Mapped::Call(call)) => self.calls.push(*call),
            Ok(Mapped::Error(error)) => self.errors.push(*error),
            Ok(Mapped::Evidence(dialect)) => *self.evidence.entry(dialect).or_default() += 1,
            Ok(Mapped::Metered(dialect, metered)) => {
                *self.evidence.entry(dialect).or_default() += 1;
                self.metered.extend(metered);
            }
            Ok(Mapped::Duplicate) => self.duplicates += 1,
            Ok(Mapped::Other) => self.other(&scope.name),
            Err(problem) => {
                self.rejected += 1;
                problems.push(problem);
            }
        }
        for problem in problems {
            *self.problems.entry(problem).or_default() += 1;
        }
        if self.calls.len() + self.errors.len() + self.metered.len() > CALLS_MAX {
            return Err(Refusal::TooManyCalls(CALLS_MAX));
        }
        Ok(())
    }

    fn other(&mut self, scope: &str) {
        let scope = scope.get(..scope.floor_char_boundary(SCOPE_BYTES_MAX)).unwrap_or_default();
        if let Some(count) = self.others.get_mut(scope) {
            *count += 1;
        } else if self.others.len() < SCOPES_MAX {
            self.others.insert(scope.to_owned(), 1);
        } else {
            *self.others.entry(MORE_SCOPES.to_owned()).or_default() += 1;
        }
    }
}

/// What scopes past the bound are counted as.
const MORE_SCOPES: &str = "…";
