//! The tokens of a hub: a file of its own beside the ledgers of its tenants.
//!
//! Whoever manages tokens is another process than the hub: each transaction stands for itself.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use trueup_core::{HubToken, UnixMs};

use crate::LedgerError;
use crate::ledger::{connect, make_private};

/// `truh`, in the file's header.
const APPLICATION_ID: i64 = 0x7472_7568;
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    device TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
";

/// The file of tokens.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    database: Connection,
}

impl TokenFile {
    /// Opens the file, and makes it where it is not there.
    ///
    /// # Errors
    /// What SQLite says; a file of another program or of a later version.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(LedgerError::file(folder))?;
        }
        make_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let database = connect(path, flags)?;
        let file = Self { path: path.to_path_buf(), database };
        let pragma = |name: &str| {
            let value = file.database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            value.map_err(LedgerError::sqlite(path))
        };
        let (id, version) = (pragma("application_id")?, pragma("user_version")?);
        if id != APPLICATION_ID && (id, version) != (0, 0) {
            let what = "no file of a hub's tokens";
            return Err(LedgerError::NotALedger { path: path.to_path_buf(), what });
        }
        if version > VERSION {
            let path = path.to_path_buf();
            return Err(LedgerError::Newer { path, found: version, known: VERSION });
        }
        let set_up = || {
            file.database.pragma_update(None, "journal_mode", "WAL")?;
            file.database.pragma_update(None, "synchronous", "FULL")?;
            file.database.execute_batch(SCHEMA)?;
            file.database.pragma_update(None, "application_id", APPLICATION_ID)?;
            file.database.pragma_update(None, "user_version", VERSION)
        };
        set_up().map_err(LedgerError::sqlite(path))?;
        Ok(file)
    }

    /// All tokens, the oldest first; revoked ones, too.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn all(&self) -> Result<Vec<HubToken>, LedgerError> {
        let read = || {
            let mut tokens = self.database.prepare_cached(
                "SELECT id, hash, tenant, device, created_at, revoked_at FROM tokens
                 ORDER BY created_at, id",
            )?;
            let tokens = tokens.query_map([], |row| {
                Ok(HubToken {
                    id: row.get_ref(0)?.as_str()?.into(),
                    hash: row.get(1)?,
                    tenant: row.get_ref(2)?.as_str()?.into(),
                    device: row.get_ref(3)?.as_str_or_null()?.map(Into::into),
                    created_at: UnixMs(row.get(4)?),
                    revoked_at: row.get::<_, Option<i64>>(5)?.map(UnixMs),
                })
            })?;
            tokens.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(LedgerError::sqlite(&self.path))
    }

    /// A number that is another one once another process has changed the file, at a fraction of what it
    /// costs to read it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn version(&self) -> Result<i64, LedgerError> {
        let version = self.database.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(LedgerError::sqlite(&self.path))
    }

    /// Keeps a token, in the place of one with its id.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put(&self, token: &HubToken) -> Result<(), LedgerError> {
        let HubToken { id, hash, tenant, device, created_at, revoked_at } = token;
        let put = || {
            self.database
                .prepare_cached("INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    &**id,
                    hash,
                    &**tenant,
                    device.as_deref(),
                    created_at.0,
                    revoked_at.map(|time| time.0)
                ])
        };
        put().map(drop).map_err(LedgerError::sqlite(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_see_each_others_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub/tokens.db");
        let (one, other) = (TokenFile::open(&path).unwrap(), TokenFile::open(&path).unwrap());
        let mut token = HubToken {
            id: "0a1b".into(),
            hash: [7; 32],
            tenant: "acme".into(),
            device: Some("laptop".into()),
            created_at: UnixMs(1),
            revoked_at: None,
        };
        let before = other.version().unwrap();
        one.put(&token).unwrap();
        assert_eq!(other.all().unwrap(), std::slice::from_ref(&token));
        let after = other.version().unwrap();
        assert!(before != after && other.version().unwrap() == after);
        token.revoked_at = Some(UnixMs(2));
        other.put(&token).unwrap();
        assert_eq!(one.all().unwrap(), [token]);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        drop(crate::Ledger::open(&path, crate::OpenOptions::default()).unwrap());
        assert!(matches!(TokenFile::open(&path), Err(LedgerError::NotALedger { .. })));
    }
}
