//! What is known of connections, read beside the writer.

use trueup_core::{BilledWidth, UnixMs};

use crate::{LedgerError, Reader, schema};

/// The first version of the schema that has these tables.
const SCHEMA_OF_BILLED: i64 = 4;

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
        if !self.has_billed()? {
            return Ok(Vec::new());
        }
        let sql = "SELECT name, provider,
             (SELECT max(last_pull_at) FROM provider_buckets b WHERE b.connection = c.id),
             (SELECT count(*) FILTER (WHERE state = 'missing') FROM provider_buckets b WHERE b.connection = c.id),
             (SELECT count(*) FILTER (WHERE state = 'provisional') FROM provider_buckets b WHERE b.connection = c.id),
             (SELECT count(*) FILTER (WHERE state = 'settled') FROM provider_buckets b WHERE b.connection = c.id),
             (SELECT count(*) FILTER (WHERE state = 'restated') FROM provider_buckets b WHERE b.connection = c.id),
             (SELECT count(*) FROM provider_issues i WHERE i.connection = c.id)
             FROM provider_connections c ORDER BY name";
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
        if !self.has_billed()? {
            return Ok(Vec::new());
        }
        let sql = "SELECT name, cursor_key, code, detail, last_seen_at, count
             FROM provider_issues i JOIN provider_connections c ON c.id = i.connection
             ORDER BY last_seen_at DESC, name, cursor_key, code, detail LIMIT ?1";
        self.all(sql, [limit], |row| {
            Ok(StoredIssue {
                connection: row.get(0)?,
                cursor_key: row.get(1)?,
                code: row.get(2)?,
                detail: row.get(3)?,
                last_seen_at: UnixMs(row.get(4)?),
                count: row.get::<_, i64>(5)?.cast_unsigned(),
            })
        })
    }

    /// Whether the file is of a version that knows providers: an older one may be held by an older
    /// program.
    pub(super) fn has_billed(&self) -> Result<bool, LedgerError> {
        Ok(schema::check(&self.database, &self.path)? >= SCHEMA_OF_BILLED)
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
        let sql = "SELECT start_ms, last_pull_at, asked_at FROM provider_buckets
             WHERE connection = (SELECT id FROM provider_connections WHERE name = ?1)
             AND family = ?2 AND width_minutes = ?3 AND start_ms >= ?4 ORDER BY start_ms";
        let values = rusqlite::params![connection, family, width.ms() / 60_000, from.0];
        self.all(sql, values, |row| {
            Ok(BilledBucket {
                start: UnixMs(row.get(0)?),
                last_pull_at: row.get::<_, Option<i64>>(1)?.map(UnixMs),
                asked_at: row.get::<_, Option<i64>>(2)?.map(UnixMs),
            })
        })
    }
}
