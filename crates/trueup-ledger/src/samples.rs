//! Samples of the machine, folded: of a stretch of time, what each value was on average and at most.

use std::collections::BTreeSet;

use rusqlite::params;
use trueup_core::{FactId, UnixMs};

use crate::{LedgerError, Reader};

/// The values of a sample, by their columns; docs/host-metrics.md says what each is. The end of a name
/// is its unit.
pub const SAMPLED: [&str; 22] = [
    "cpu_millipercent",
    "cpu_capacity_millicores",
    "mem_rss_bytes",
    "mem_working_set_bytes",
    "mem_limit_bytes",
    "cpu_some_millipercent",
    "cpu_full_millipercent",
    "mem_some_millipercent",
    "mem_full_millipercent",
    "io_some_millipercent",
    "io_full_millipercent",
    "disk_used_bytes",
    "disk_available_bytes",
    "disk_total_bytes",
    "disk_read_bytes_per_second",
    "disk_write_bytes_per_second",
    "net_rx_bytes_per_second",
    "net_tx_bytes_per_second",
    "processes",
    "threads",
    "zombies",
    "oom_kills",
];

/// What a value was in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// How many samples have it.
    pub samples: u32,
    /// All of them, added up.
    pub sum: i128,
    /// The largest.
    pub max: i64,
}

impl Folded {
    fn plus(folded: Option<Self>, value: i64) -> Self {
        let Self { samples, sum, max } =
            folded.unwrap_or(Self { samples: 0, sum: 0, max: i64::MIN });
        Self {
            samples: samples.saturating_add(1),
            sum: sum.saturating_add(value.into()),
            max: max.max(value),
        }
    }
}

/// The samples of a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoldedSamples {
    /// What was measured: `cgroup2`, `cgroup1` or `host`.
    pub scopes: BTreeSet<String>,
    /// In the order of [`SAMPLED`]; `None` where no sample could read it.
    pub values: [Option<Folded>; SAMPLED.len()],
}

const COUNT: &str = "SELECT count(*) FROM system_metrics WHERE id >= ?1 AND id < ?2";

const FIRST: &str = "SELECT min(id) FROM system_metrics";

/// Added up here and not by SQLite, which takes three times as long for it.
fn select() -> String {
    format!("SELECT scope, {} FROM system_metrics WHERE id >= ?1 AND id < ?2", SAMPLED.join(", "))
}

impl Reader {
    /// When the first sample was taken.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn first_sample(&self) -> Result<Option<UnixMs>, LedgerError> {
        let first: Vec<Option<[u8; 16]>> = self.all(FIRST, [], |row| row.get(0))?;
        Ok(first.into_iter().flatten().next().map(|id| FactId(id).time()))
    }

    /// How many samples were taken in `from..until`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sample_count(&self, from: UnixMs, until: UnixMs) -> Result<u64, LedgerError> {
        let bounds = params![FactId::first_at(from).0, FactId::first_at(until).0];
        let count: Vec<i64> = self.all(COUNT, bounds, |row| row.get(0))?;
        Ok(count.into_iter().map(i64::cast_unsigned).sum())
    }

    /// The samples that were taken in `from..until`, as one.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn folded_samples(
        &self,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<FoldedSamples, LedgerError> {
        let bounds = params![FactId::first_at(from).0, FactId::first_at(until).0];
        let mut folded = FoldedSamples::default();
        self.each(&select(), bounds, |row| {
            let scope = row.get_ref(0)?.as_str()?;
            if !folded.scopes.contains(scope) {
                folded.scopes.insert(scope.to_owned());
            }
            for (value, column) in folded.values.iter_mut().zip(1..) {
                if let Some(read) = row.get(column)? {
                    *value = Some(Folded::plus(*value, read));
                }
            }
            Ok(())
        })?;
        Ok(folded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, params_from_iter};

    #[test]
    fn samples_are_found_by_their_time() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for sql in [COUNT, FIRST, &select()] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![0; plan.parameter_count()];
            let steps = plan.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{sql}: {steps:?}");
        }
    }

    #[test]
    fn every_value_of_a_sample_is_known() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        let sql = "SELECT name FROM pragma_table_info('system_metrics')
             WHERE name NOT IN ('id', 'created_at', 'scope', 'metadata', 'pushed_at', 'device')";
        let mut columns = database.prepare(sql).unwrap();
        let columns = columns.query_map([], |row| row.get(0)).unwrap();
        let mut columns: Vec<String> = columns.map(Result::unwrap).collect();
        let mut known = SAMPLED.to_vec();
        columns.sort();
        known.sort_unstable();
        assert_eq!(columns, known);
    }
}
