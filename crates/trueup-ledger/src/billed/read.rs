//! What is known of connections, read beside the writer.

use trueup_core::{BilledWidth, UnixMs};

use crate::{LedgerError, Reader};

/// A connection, as far as it was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionState {
    /// Its name.
    pub name: String,
    /// The provider's id.
    pub provider: String,
    /// When anything was last told as a whole.
    pub last_pull_at: Option<UnixMs>,
    /// Buckets by state: missing, provisional, settled, restated.
    pub buckets: [u64; 4],
    /// Issues that stand.
    pub issues: u64,
}

/// Something that is wrong, and still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIssue {
    /// The connection's name.
    pub connection: String,
    /// The family and the key that asked.
    pub cursor_key: String,
    /// What.
    pub code: String,
    /// Where and how exactly.
    pub detail: String,
    /// When it was last so.
    pub last_seen_at: UnixMs,
    /// How often it was.
    pub count: u64,
    /// The days that it is about; `None` where it is of asking at all.
    pub days: Option<(UnixMs, UnixMs)>,
}

/// A bucket that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledBucket {
    /// Where it begins.
    pub start: UnixMs,
    /// When it was last told as a whole.
    pub last_pull_at: Option<UnixMs>,
    /// When it was last asked for and did not come.
    pub asked_at: Option<UnixMs>,
}

impl Reader {
    /// Every connection that was ever pulled, by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn connections(&self) -> Result<Vec<ConnectionState>, LedgerError> {
        if !self.has_table("provider_buckets")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT c.name, c.provider, max(b.last_pull_at),
             count(*) FILTER (WHERE b.state = 'missing'),
             count(*) FILTER (WHERE b.state = 'provisional'),
             count(*) FILTER (WHERE b.state = 'settled'),
             count(*) FILTER (WHERE b.state = 'restated'),
             (SELECT count(*) FROM provider_issues i WHERE i.connection = c.id)
             FROM provider_connections c LEFT JOIN provider_buckets b ON b.connection = c.id
             GROUP BY c.id ORDER BY c.name";
        self.all(sql, [], |row| {
            let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(ConnectionState {
                name: row.get(0)?,
                provider: row.get(1)?,
                last_pull_at: row.get::<_, Option<i64>>(2)?.map(UnixMs),
                buckets: [count(3)?, count(4)?, count(5)?, count(6)?],
                issues: count(7)?,
            })
        })
    }

    /// The issues that stand, the latest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn provider_issues(&self, limit: u32) -> Result<Vec<StoredIssue>, LedgerError> {
        if !self.has_table("provider_issues")? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT name, cursor_key, code, detail, last_seen_at, count, {}, {}
             FROM provider_issues i JOIN provider_connections c ON c.id = i.connection
             ORDER BY last_seen_at DESC, name, cursor_key, code, detail LIMIT ?1",
            self.column("provider_issues", "from_ms")?,
            self.column("provider_issues", "until_ms")?
        );
        self.all(&sql, [limit], |row| {
            let (from, until): (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
            Ok(StoredIssue {
                connection: row.get(0)?,
                cursor_key: row.get(1)?,
                code: row.get(2)?,
                detail: row.get(3)?,
                last_seen_at: UnixMs(row.get(4)?),
                count: row.get::<_, i64>(5)?.cast_unsigned(),
                days: from.map(UnixMs).zip(until.map(UnixMs)),
            })
        })
    }

    /// The buckets of a family from a time on, in order.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn billed_buckets(
        &self,
        connection: &str,
        family: &str,
        width: BilledWidth,
        from: UnixMs,
    ) -> Result<Vec<BilledBucket>, LedgerError> {
        if !self.has_table("provider_buckets")? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT start_ms, last_pull_at, {} FROM provider_buckets
             WHERE connection = (SELECT id FROM provider_connections WHERE name = ?1)
             AND family = ?2 AND width_minutes = ?3 AND start_ms >= ?4 ORDER BY start_ms",
            self.column("provider_buckets", "asked_at")?
        );
        let values = rusqlite::params![connection, family, width.ms() / 60_000, from.0];
        self.all(&sql, values, |row| {
            Ok(BilledBucket {
                start: UnixMs(row.get(0)?),
                last_pull_at: row.get::<_, Option<i64>>(1)?.map(UnixMs),
                asked_at: row.get::<_, Option<i64>>(2)?.map(UnixMs),
            })
        })
    }

    /// The name of a column, or `NULL` where the file is of an older version that has none of it.
    fn column(&self, table: &str, name: &str) -> Result<String, LedgerError> {
        let sql = "SELECT coalesce(max(name), 'NULL') FROM pragma_table_info(?1) WHERE name = ?2";
        Ok(self.all::<String, Vec<_>>(sql, [table, name], |row| row.get(0))?.concat())
    }
}
