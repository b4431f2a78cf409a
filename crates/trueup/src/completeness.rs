//! How complete the account is, by source: for metrics, the log and doctor.

use std::collections::BTreeMap;

use anyhow::Result;
use trueup_core::Text;
use trueup_ledger::{ClaimCounts, Reader};

use crate::problems;

/// What is known not to be measured, of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lack {
    /// Claimed runs and their sessions.
    pub(crate) claims: ClaimCounts,
    /// Lines that could not be understood.
    pub(crate) bad_lines: u64,
}

/// What is known not to be measured, of each source that claims something or has bad lines.
pub(crate) fn by_source(reader: &Reader) -> Result<BTreeMap<Text, Lack>> {
    let claims = reader.claim_counts()?.into_iter();
    let mut lacks: BTreeMap<Text, Lack> =
        claims.map(|(source, claims)| (source, Lack { claims, bad_lines: 0 })).collect();
    for problem in problems::present(reader)? {
        if problem.is_bad_line() {
            lacks.entry(problem.store.source).or_default().bad_lines += 1;
        }
    }
    Ok(lacks)
}

/// The sum over all sources.
pub(crate) fn total(lacks: &BTreeMap<Text, Lack>) -> Lack {
    let mut total = Lack::default();
    for lack in lacks.values() {
        let (sum, of) = (&mut total.claims, &lack.claims);
        sum.runs_estimated += of.runs_estimated;
        sum.sessions_estimated += of.sessions_estimated;
        sum.sessions_superseded += of.sessions_superseded;
        sum.sessions_without_transcript += of.sessions_without_transcript;
        total.bad_lines += lack.bad_lines;
    }
    total
}
