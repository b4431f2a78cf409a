//! Statements: what providers let their customers download, row by row as it came.
//!
//! A statement is written in one transaction, or not at all, and is known by the hash of its bytes. Of
//! two of one kind that cover a day of an account the one that was imported later counts there, and the
//! other one's rows stay: taking the later one back makes them count again.
//!
//! ```text
//! file:  2026-10-01 ……………………… 10-31            (statement 1)
//!                        10-25 ………………………… 11-10   (statement 2, imported later)
//! counts: 1 1 1 1 1 1 1 1 2 2 2 2 2 2 2 2 2 2 2
//! ```

mod read;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::LazyLock;

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use trueup_core::{DAY_MS, Issue, StatedFact, Text, UnixMs, dims_json};

use crate::billed::{value_columns, value_of};
use crate::row::signed;
use crate::{Ledger, LedgerError};

pub use read::{OddStatement, StatedIssue, StatedRow, Statement, StatementAccount};
pub(crate) use read::{charge_of_row, dims_of_row, measures_of_row};

/// What is known of a statement before its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementHead {
    /// The name of the file, without its folder.
    pub name: String,
    /// What kind of export it is.
    pub kind: String,
    /// What the provider's interface tells the same by; empty where there is none.
    pub family: String,
    /// The statement that it is another part of: none of the two supersedes the other.
    pub part_of: Option<i64>,
    /// Statements that were there before and are parts of the same export, too, where it is the first
    /// new one of it. Those of its kind become as late as it is; other ones stay as they are.
    pub parts: Vec<i64>,
}

/// What is known of a statement behind its last row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementEnd {
    /// The hash of the file.
    pub sha256: [u8; 32],
    /// Its length.
    pub bytes: u64,
    /// Buckets of time without usage, which have no row.
    pub blank: u64,
    /// Where the first of them begins, and where the last one does.
    pub blank_span: Option<(UnixMs, UnixMs)>,
    /// Of which provider and account they are, where no row tells it.
    pub blank_of: (String, String),
    /// Rows that could not be read in full.
    pub odd: u64,
    /// Rows that say something, and not of what.
    pub without_ids: u64,
    /// What was not as it should be, with the first line and how often.
    pub issues: Vec<(Issue, u64, u64)>,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is in the ledger now, by this number.
    New(i64),
    /// The same file was there already, by this number: no row was written.
    Known(i64),
}

/// A statement, on its way into the ledger.
#[derive(Debug)]
pub struct Importing<'a> {
    ledger: &'a std::path::Path,
    database: &'a Connection,
    statement: i64,
    rows: u64,
    unplaced: u64,
    /// The accounts of the rows, as far as they are not written yet.
    accounts: BTreeMap<(Text, Text), Account>,
}

/// Accounts of a statement that are held before they are written.
const ACCOUNTS_MAX: usize = 1_000;

/// What rows say of an account.
#[derive(Debug)]
struct Account {
    id: i64,
    /// Where the first day begins that it has rows of, and the last one.
    days: Option<(UnixMs, UnixMs)>,
    rows: u64,
}

impl Ledger {
    /// Writes a statement in one transaction: `fill` gives its rows, and says at the end what they came
    /// to. Nothing is written where `fill` fails, or where the file is known; a known one only becomes a
    /// part of the export that it is told to be of.
    ///
    /// # Errors
    /// What SQLite says, and what `fill` does.
    pub fn import_statement<E: From<LedgerError>>(
        &mut self,
        head: &StatementHead,
        now: UnixMs,
        fill: impl FnOnce(&mut Importing<'_>) -> Result<StatementEnd, E>,
    ) -> Result<Imported, E> {
        let Self { path, database, .. } = self;
        let wrap = |error| E::from(LedgerError::sqlite(path)(error));
        let transaction =
            Transaction::new(database, TransactionBehavior::Immediate).map_err(wrap)?;
        let statement = begin(&transaction, head, now).map_err(wrap)?;
        let mut importing = Importing {
            ledger: path,
            database: &transaction,
            statement,
            rows: 0,
            unplaced: 0,
            accounts: BTreeMap::new(),
        };
        let end = fill(&mut importing)?;
        importing.write_accounts().map_err(wrap)?;
        let Importing { rows, unplaced, .. } = importing;
        if let Some(known) = statement_of(&transaction, &end.sha256).map_err(wrap)? {
            transaction.rollback().map_err(wrap)?;
            if let Some(export) = head.part_of {
                join(database, export, known).map_err(wrap)?;
            }
            return Ok(Imported::Known(known));
        }
        finish(&transaction, statement, &end, rows, unplaced).map_err(wrap)?;
        for part in &head.parts {
            join(&transaction, statement, *part).map_err(wrap)?;
        }
        transaction.commit().map_err(wrap)?;
        self.reuse_log();
        self.shed_memory()?;
        Ok(Imported::New(statement))
    }

    /// Takes a statement back; `false` where there is none of this number. What it superseded counts
    /// again.
    ///
    /// # Errors
    /// What SQLite says; nothing was changed.
    pub fn remove_statement(&mut self, statement: i64) -> Result<bool, LedgerError> {
        self.try_change(|database| {
            for sql in [
                "DELETE FROM statement_rows WHERE account IN
                 (SELECT id FROM statement_accounts WHERE statement = ?1)",
                "DELETE FROM statement_accounts WHERE statement = ?1",
                "DELETE FROM statement_issues WHERE statement = ?1",
            ] {
                database.execute(sql, [statement])?;
            }
            Ok(database.execute("DELETE FROM statements WHERE id = ?1", [statement])? > 0)
        })
    }
}

impl Importing<'_> {
    /// Writes a row.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn row(&mut self, row: &StatedFact) -> Result<(), LedgerError> {
        self.rows += 1;
        self.unplaced += u64::from(row.start.is_none());
        let mut write = || insert(self.database, self.account_of(row)?, row);
        write().map_err(LedgerError::sqlite(self.ledger))
    }

    /// The number of a row's account, which the row is now of.
    fn account_of(&mut self, row: &StatedFact) -> rusqlite::Result<i64> {
        let of = (row.provider.clone(), row.account.clone());
        if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(&of) {
            self.write_accounts()?;
        }
        let account = match self.accounts.entry(of) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (provider, account) = new.key();
                let id = account_id(self.database, self.statement, (provider, account))?;
                new.insert(Account { id, days: None, rows: 0 })
            }
        };
        account.rows += 1;
        if let Some(day) = row.start.map(|start| start.floor(DAY_MS)) {
            let (first, last) = account.days.unwrap_or((day, day));
            account.days = Some((first.min(day), last.max(day)));
        }
        Ok(account.id)
    }

    /// Writes down what is known of the accounts, and knows nothing of them any more.
    fn write_accounts(&mut self) -> rusqlite::Result<()> {
        for Account { id, days, rows } in std::mem::take(&mut self.accounts).into_values() {
            cover(self.database, id, days, rows)?;
        }
        Ok(())
    }
}

/// The statement of a hash.
fn statement_of(database: &Connection, sha256: &[u8; 32]) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM statements WHERE sha256 = ?1";
    database.prepare_cached(sql)?.query_row([sha256], |row| row.get(0)).optional()
}

/// A statement whose counts and whose hash are not known yet.
fn begin(database: &Connection, head: &StatementHead, now: UnixMs) -> rusqlite::Result<i64> {
    database
        .prepare_cached(
            "INSERT INTO statements (sha256, bytes, kind, family, name, imported_at, generation, rows,
             blank, odd, unplaced, without_ids)
             VALUES (x'', 0, ?1, ?2, ?3, ?4, coalesce(
                 (SELECT generation FROM statements WHERE id = ?5),
                 (SELECT max(generation) + 1 FROM statements), 1), 0, 0, 0, 0, 0)",
        )?
        .insert(params![head.kind, head.family, head.name, now.0, head.part_of])
}

/// Makes a statement as late as another one of its kind: of parts of an export none supersedes another.
fn join(database: &Connection, export: i64, part: i64) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE statements SET generation = export.generation
             FROM (SELECT generation, kind FROM statements WHERE id = ?1) AS export
             WHERE id = ?2 AND statements.kind = export.kind
             AND statements.generation <> export.generation",
        )?
        .execute([export, part])
        .map(drop)
}

/// The number of an account of a statement, which may be new.
fn account_id(database: &Connection, statement: i64, of: (&str, &str)) -> rusqlite::Result<i64> {
    database
        .prepare_cached(
            "INSERT INTO statement_accounts (statement, provider, account, rows) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT DO UPDATE SET rows = rows RETURNING id",
        )?
        .query_row(params![statement, of.0, of.1], |row| row.get(0))
}

/// Notes that an account has so many more rows, and covers the days from one to another.
fn cover(
    database: &Connection,
    account: i64,
    days: Option<(UnixMs, UnixMs)>,
    rows: u64,
) -> rusqlite::Result<()> {
    let (from, until) = days.map(|(first, last)| (first.0, last.0 + DAY_MS)).unzip();
    database
        .prepare_cached(
            "UPDATE statement_accounts SET rows = rows + ?4,
             from_ms = coalesce(min(from_ms, ?2), from_ms, ?2),
             until_ms = coalesce(max(until_ms, ?3), until_ms, ?3) WHERE id = ?1",
        )?
        .execute(params![account, from, until, signed(rows)])
        .map(drop)
}

/// How a row is written.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<&str> = value_columns().collect();
    format!(
        "INSERT INTO statement_rows (account, line, start_ms, width_minutes, dims, {})
         VALUES (?, ?, ?, ?, ?{})",
        columns.join(", "),
        ", ?".repeat(columns.len())
    )
});

fn insert(database: &Connection, account: i64, row: &StatedFact) -> rusqlite::Result<()> {
    let fixed: [Value; 5] = [
        account.into(),
        signed(row.line).into(),
        row.start.map_or(Value::Null, |start| start.0.into()),
        i64::from(row.width_minutes).into(),
        dims_json(&row.dims).into(),
    ];
    let values = value_of(&row.measures, row.charge.as_ref(), &row.extra);
    database
        .prepare_cached(&INSERT)?
        .execute(params_from_iter(fixed.into_iter().chain(values)))
        .map(drop)
}

fn finish(
    database: &Connection,
    statement: i64,
    end: &StatementEnd,
    rows: u64,
    unplaced: u64,
) -> rusqlite::Result<()> {
    if let Some((first, last)) = end.blank_span {
        cover_blank(database, statement, end, first, last)?;
    }
    database.execute(
        "UPDATE statements SET sha256 = ?2, bytes = ?3, rows = ?4, blank = ?5, odd = ?6,
         unplaced = ?7, without_ids = ?8 WHERE id = ?1",
        params![
            statement,
            end.sha256,
            signed(end.bytes),
            signed(rows),
            signed(end.blank),
            signed(end.odd),
            signed(unplaced),
            signed(end.without_ids)
        ],
    )?;
    let mut note = database.prepare_cached(
        "INSERT INTO statement_issues (statement, code, detail, first_line, count)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for (issue, line, count) in &end.issues {
        note.execute(params![
            statement,
            issue.code.name(),
            issue.detail,
            signed(*line),
            signed(*count)
        ])?;
    }
    Ok(())
}

/// Days without usage are covered, too, of every account that the file tells of.
fn cover_blank(
    database: &Connection,
    statement: i64,
    end: &StatementEnd,
    first: UnixMs,
    last: UnixMs,
) -> rusqlite::Result<()> {
    let sql = "SELECT provider, account FROM statement_accounts WHERE statement = ?1";
    let mut of: Vec<(String, String)> = database
        .prepare_cached(sql)?
        .query_map([statement], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if of.is_empty() {
        of.push(end.blank_of.clone());
    }
    let days = Some((first.floor(DAY_MS), last.floor(DAY_MS)));
    for (provider, account) in &of {
        cover(database, account_id(database, statement, (provider, account))?, days, 0)?;
    }
    Ok(())
}
