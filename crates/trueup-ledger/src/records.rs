//! Errors and samples of the machine in the order of their ids, for whoever writes all of them out.
//!
//! ```text
//! 019a1e2f…: at = 1795212509482, id = "019a1e2f-…", agent = "http", …
//! ```
//!
//! Who is slow about it reads a part at a time, and goes on behind the last id: a reader that holds on to
//! one moment keeps the write-ahead log from being cut.

use std::ops::ControlFlow;

use rusqlite::params;
use trueup_core::FactId;

use crate::outgoing::{Value, value};
use crate::{LedgerError, Reader};

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// Errors: when, the id that its client knows, source, session, type, severity, message, stack
    /// trace and metadata.
    Errors,
    /// Samples of the machine: when, what was measured, and the numbers in the order of
    /// docs/host-metrics.md.
    Host,
}

impl Records {
    const fn sql(self) -> &'static str {
        match self {
            Self::Errors => {
                "SELECT id, created_at, trace_id, source, session, error_type, severity, message,
                 stack_trace, metadata FROM error_events WHERE id >= ?1 AND id < ?2 ORDER BY id"
            }
            Self::Host => {
                "SELECT id, created_at, scope, cpu_millipercent, cpu_capacity_millicores,
                 mem_rss_bytes, mem_working_set_bytes, mem_limit_bytes, cpu_some_millipercent,
                 cpu_full_millipercent, mem_some_millipercent, mem_full_millipercent,
                 io_some_millipercent, io_full_millipercent, disk_read_bytes_per_second,
                 disk_write_bytes_per_second, oom_kills, disk_used_bytes, disk_available_bytes,
                 disk_total_bytes, net_rx_bytes_per_second, net_tx_bytes_per_second, processes,
                 threads, zombies FROM system_metrics WHERE id >= ?1 AND id < ?2 ORDER BY id"
            }
        }
    }
}

impl Reader {
    /// Hands the records with ids in `from..until` to `each`, by their ids, until it breaks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn records(
        &self,
        records: Records,
        from: FactId,
        until: FactId,
        mut each: impl FnMut(FactId, &[Value<'_>]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let mut read = || {
            let mut statement = self.database.prepare_cached(records.sql())?;
            let columns = statement.column_count();
            let mut rows = statement.query(params![from.0, until.0])?;
            while let Some(row) = rows.next()? {
                let values: rusqlite::Result<Vec<_>> =
                    (1..columns).map(|at| value(row, at)).collect();
                if each(FactId(row.get(0)?), &values?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(LedgerError::sqlite(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part is found by its ids, however much lies before it.
    #[test]
    fn records_are_found_by_their_ids() {
        let mut database = rusqlite::Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for records in [Records::Errors, Records::Host] {
            let sql = format!("EXPLAIN QUERY PLAN {}", records.sql());
            let mut plan = database.prepare(&sql).unwrap();
            let steps = plan.query_map(params![[0_u8; 16], [255_u8; 16]], |step| step.get(3));
            let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
            assert_eq!(steps.len(), 1, "{steps:?}");
            assert!(steps[0].starts_with("SEARCH") && steps[0].contains("(id>? AND id<?)"));
        }
    }
}
