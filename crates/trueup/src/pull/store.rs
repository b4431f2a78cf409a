//! The ledger as a pull writes it: by tasks on the writer's queue, each one transaction.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use trueup_core::{BilledName, Issue};
use trueup_ledger::{
    BackfillStep, Finished, Ledger, LedgerError, Pruned, PullRange, PulledPage, Pulling, RowCounts,
    Writer,
};
use trueup_providers::Page;

use crate::clock;

/// How much pages are compressed: they are written once, and hardly ever read.
const ZSTD_LEVEL: i32 = 9;

/// Writes what a pull brings.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Writer>);

impl Store {
    /// Writes by this writer.
    pub(crate) const fn new(writer: Arc<Writer>) -> Self {
        Self(writer)
    }

    pub(super) fn begin(&self, range: &PullRange, grouping: String) -> Result<Pulling> {
        let range = range.clone();
        self.run(move |ledger| ledger.begin_pull(&range, &grouping, clock::now()))
    }

    pub(super) fn regroup(
        &self,
        range: &PullRange,
        grouping: String,
        issue: Issue,
    ) -> Result<Pulling> {
        let range = range.clone();
        self.run(move |ledger| ledger.regroup_pull(&range, &grouping, &issue, clock::now()))
    }

    pub(super) fn page(
        &self,
        range: &PullRange,
        pulling: &Pulling,
        page: PulledPage,
    ) -> Result<RowCounts> {
        let (range, pulling) = (range.clone(), pulling.clone());
        self.run(move |ledger| ledger.store_page(&range, &pulling, &page, clock::now()))
    }

    pub(super) fn finish(
        &self,
        range: &PullRange,
        pulling: &Pulling,
        lists_empty: bool,
    ) -> Result<Finished> {
        let (range, pulling) = (range.clone(), pulling.clone());
        self.run(move |ledger| ledger.finish_pull(&range, &pulling, lists_empty, clock::now()))
    }

    pub(super) fn fail(&self, range: &PullRange, issue: &Issue, is_left: bool) -> Result<()> {
        let (range, issue) = (range.clone(), issue.clone());
        self.run(move |ledger| ledger.fail_pull(&range, &issue, is_left, clock::now()))
    }

    pub(super) fn names(
        &self,
        connection: String,
        provider: &'static str,
        address: String,
        names: Vec<BilledName>,
    ) -> Result<()> {
        self.run(move |ledger| {
            ledger.name_billed(&connection, provider, &address, &names, clock::now())
        })
    }

    /// Writes down what a backfill is to ask for.
    pub(crate) fn begin_backfill(&self, label: String, steps: Vec<BackfillStep>) -> Result<()> {
        self.run(move |ledger| ledger.begin_backfill(&label, &steps, clock::now()))
    }

    /// Notes that a step of a backfill is over.
    pub(crate) fn end_backfill_step(
        &self,
        label: String,
        step: BackfillStep,
        is_whole: bool,
    ) -> Result<()> {
        self.run(move |ledger| ledger.end_backfill_step(&label, &step, is_whole, clock::now()))
    }

    fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T> {
        Ok(self.0.run(task).context("the ledger is closed")??)
    }
}

/// Removes detail that is older than so many days, settled and compared since: in steps, so that others
/// write between them. What went.
pub(crate) fn prune(writer: &Writer, keep_days: u32) -> Result<Pruned, LedgerError> {
    let mut all = Pruned::default();
    while let Some(pruned) = writer.run(move |ledger| ledger.prune_billed(keep_days, clock::now()))
    {
        let pruned = pruned?;
        if pruned.is_nothing() {
            break;
        }
        all.add(pruned);
    }
    Ok(all)
}

/// A page as the ledger keeps it.
pub(super) fn pulled(query: String, body: &[u8], page: Page) -> Result<PulledPage> {
    let Page { facts, buckets, names, issues, next } = page;
    Ok(PulledPage {
        query,
        bytes: body.len() as u64,
        sha256: Sha256::digest(body).into(),
        body: zstd::bulk::compress(body, ZSTD_LEVEL)?,
        facts,
        buckets,
        names,
        issues,
        next: next.map(|cursor| cursor.text().to_owned()),
    })
}
