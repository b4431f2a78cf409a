//! What a pull did, in numbers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trueup_core::{Issue, IssueCode};
use trueup_ledger::{Finished, RowCounts};

/// Failures that are told one by one; of further ones only the number.
const FAILURES_MAX: usize = 50;

/// A family that could not be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) connection: String,
    pub(crate) family: &'static str,
    pub(crate) issue: Issue,
}

/// What was done, and what was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Ranges that were asked for to their end.
    pub(crate) processed: u64,
    /// Ranges that were not.
    pub(crate) failed: u64,
    /// Pages that were read.
    pub(crate) pages: u64,
    /// Buckets of time that were told as a whole.
    pub(crate) windows: u64,
    /// Rows that are new, that changed, and that were known.
    pub(crate) rows: RowCounts,
    /// Rows that are no longer told.
    pub(crate) withdrawn: u64,
    /// Buckets that did not come.
    pub(crate) missing: u64,
    /// What was wrong, and how often.
    pub(crate) issues: BTreeMap<IssueCode, u64>,
    /// The ranges that failed.
    pub(crate) failures: Vec<Failure>,
}

impl Summary {
    pub(super) fn issue(&mut self, issue: &Issue) {
        *self.issues.entry(issue.code).or_default() += 1;
    }

    pub(super) fn page(&mut self, rows: RowCounts) {
        self.pages += 1;
        self.rows(rows);
    }

    const fn rows(&mut self, rows: RowCounts) {
        self.rows.stored += rows.stored;
        self.rows.updated += rows.updated;
        self.rows.skipped += rows.skipped;
    }

    pub(super) fn finished(&mut self, finished: &Finished, buckets: u64) {
        let missing = finished.missing.len() as u64;
        self.processed += 1;
        self.windows += buckets - missing.min(buckets);
        self.withdrawn += finished.withdrawn;
        self.missing += missing;
        if missing > 0 {
            *self.issues.entry(IssueCode::BucketMissing).or_default() += missing;
        }
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.failed += 1;
        self.issue(&failure.issue);
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }

    /// Adds another one.
    pub(crate) fn add(&mut self, other: Self) {
        self.processed += other.processed;
        self.failed += other.failed;
        self.pages += other.pages;
        self.windows += other.windows;
        self.withdrawn += other.withdrawn;
        self.missing += other.missing;
        self.rows(other.rows);
        for (code, count) in other.issues {
            *self.issues.entry(code).or_default() += count;
        }
        let room = FAILURES_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
    }

    /// All of it, as it is printed and answered.
    pub(crate) fn as_json(&self) -> Value {
        let issues: serde_json::Map<String, Value> = self
            .issues
            .iter()
            .map(|(code, count)| (code.name().to_owned(), (*count).into()))
            .collect();
        let failures = self.failures.iter().map(|failure| {
            json!({
                "connection": failure.connection,
                "family": failure.family,
                "code": failure.issue.code.name(),
                "detail": failure.issue.detail,
            })
        });
        json!({
            "schema": 1,
            "processed": self.processed,
            "failed": self.failed,
            "pages": self.pages,
            "windows": self.windows,
            "stored": self.rows.stored,
            "updated": self.rows.updated,
            "skipped": self.rows.skipped,
            "withdrawn": self.withdrawn,
            "missing": self.missing,
            "issues": issues,
            "failures": failures.collect::<Vec<_>>(),
        })
    }
}
