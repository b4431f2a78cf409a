//! Statements and their rows, read beside the writer.

use std::collections::BTreeMap;

use rusqlite::Row;
use trueup_core::{
    BilledWidth, Charge, Decimal, Dims, Measure, Measures, StatedFact, StatedSums, Text, UnixMs,
    dims_of_json,
};

use crate::{LedgerError, Reader};

/// A statement that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its number.
    pub id: i64,
    /// The hash of the file.
    pub sha256: [u8; 32],
    /// Its length.
    pub bytes: u64,
    /// What kind of export it is.
    pub kind: String,
    /// What the provider's interface tells the same by; empty where there is none.
    pub family: String,
    /// The name of the file.
    pub name: String,
    /// When it was imported.
    pub imported_at: UnixMs,
    /// Rows that were kept.
    pub rows: u64,
    /// Buckets of time without usage, which were dropped.
    pub blank: u64,
    /// Rows that could not be read in full, and were kept.
    pub odd: u64,
    /// Of these, those without a time that can be read.
    pub unplaced: u64,
    /// Rows that say something, and not of what.
    pub without_ids: u64,
    /// Whose usage it tells.
    pub accounts: Vec<StatementAccount>,
}

/// Whose usage a statement tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementAccount {
    /// The provider.
    pub provider: String,
    /// The organization or account; empty where it is not told.
    pub account: String,
    /// Where the first day begins that it covers, and what the last one ends before.
    pub covers: Option<(UnixMs, UnixMs)>,
    /// Its rows.
    pub rows: u64,
}

/// Something in a statement that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedIssue {
    /// What.
    pub code: String,
    /// Where and how exactly.
    pub detail: String,
    /// The first line of it.
    pub first_line: u64,
    /// How often it was.
    pub count: u64,
}

/// A statement of which not all could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddStatement {
    /// Its number.
    pub id: i64,
    /// The name of the file.
    pub name: String,
    /// Rows that could not be read in full.
    pub odd: u64,
    /// The codes of its issues, divided by commas.
    pub codes: String,
}

/// A row that counts, and the statement that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedRow {
    /// The number of the statement.
    pub statement: i64,
    /// The name of its file.
    pub name: Text,
    /// What kind of export it is.
    pub kind: Text,
    /// What the provider's interface tells the same by; empty where there is none.
    pub family: Text,
    /// What it says.
    pub fact: StatedFact,
}

impl Reader {
    /// Every statement, in the order in which they were imported.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn statements(&self) -> Result<Vec<Statement>, LedgerError> {
        if !self.has_stated()? {
            return Ok(Vec::new());
        }
        let mut statements: Vec<Statement> = self.all(
            "SELECT id, sha256, bytes, kind, family, name, imported_at, rows, blank, odd, unplaced,
             without_ids FROM statements ORDER BY id",
            [],
            statement_of_row,
        )?;
        for statement in &mut statements {
            statement.accounts = self.all(
                "SELECT provider, account, from_ms, until_ms, rows FROM statement_accounts
                 WHERE statement = ?1 ORDER BY provider, account",
                [statement.id],
                account_of_row,
            )?;
        }
        Ok(statements)
    }

    /// By statement, how many of its rows do not count because a later statement covers their day. It
    /// looks at every row.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn superseded(&self) -> Result<BTreeMap<i64, u64>, LedgerError> {
        if !self.has_stated()? {
            return Ok(BTreeMap::new());
        }
        let sql = "SELECT s.id, s.rows - coalesce(counting, 0) FROM statements s LEFT JOIN
             (SELECT statement, count(*) AS counting FROM stated GROUP BY statement)
             ON statement = s.id";
        self.all(sql, [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0).cast_unsigned())))
    }

    /// The number of the statement whose bytes have this hash.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn statement_of(&self, sha256: &[u8; 32]) -> Result<Option<i64>, LedgerError> {
        if !self.has_stated()? {
            return Ok(None);
        }
        let sql = "SELECT id FROM statements WHERE sha256 = ?1";
        let ids: Vec<i64> = self.all(sql, [sha256], |row| row.get(0))?;
        Ok(ids.first().copied())
    }

    /// What was not as it should be in a statement.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn statement_issues(&self, statement: i64) -> Result<Vec<StatedIssue>, LedgerError> {
        if !self.has_stated()? {
            return Ok(Vec::new());
        }
        let sql = "SELECT code, detail, first_line, count FROM statement_issues
             WHERE statement = ?1 ORDER BY first_line, code, detail";
        self.all(sql, [statement], |row| {
            Ok(StatedIssue {
                code: row.get(0)?,
                detail: row.get(1)?,
                first_line: row.get::<_, i64>(2)?.cast_unsigned(),
                count: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        })
    }

    /// How many statements there are, and those of which not all could be read.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn odd_statements(&self) -> Result<(u64, Vec<OddStatement>), LedgerError> {
        if !self.has_stated()? {
            return Ok((0, Vec::new()));
        }
        let count: Vec<i64> = self.all("SELECT count(*) FROM statements", [], |row| row.get(0))?;
        let sql = "SELECT id, name, odd, (SELECT group_concat(code, ', ') FROM
             (SELECT DISTINCT code FROM statement_issues WHERE statement = s.id ORDER BY code))
             FROM statements s WHERE odd > 0 ORDER BY id";
        let odd = self.all(sql, [], |row| {
            Ok(OddStatement {
                id: row.get(0)?,
                name: row.get(1)?,
                odd: row.get::<_, i64>(2)?.cast_unsigned(),
                codes: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            })
        })?;
        Ok((count.iter().sum::<i64>().cast_unsigned(), odd))
    }

    /// Every row that counts and begins in a range, as it came.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stated_rows(
        &self,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(StatedRow),
    ) -> Result<(), LedgerError> {
        if !self.has_stated()? {
            return Ok(());
        }
        let measures: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        let sql = format!(
            "SELECT statement, name, kind, family, line, provider, account, start_ms, width_minutes,
             dims, extra, amount, currency, quantity, quantity_unit, {}
             FROM stated WHERE start_ms >= ?1 AND start_ms < ?2",
            measures.join(", ")
        );
        self.each(&sql, [from.0, until.0], |row| {
            each(stated_of_row(row)?);
            Ok(())
        })
    }

    /// What statements say of a range, added up to buckets of a width: minutes and hours become days.
    /// Rows that are wider stay as they are.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stated(
        &self,
        from: UnixMs,
        until: UnixMs,
        width: BilledWidth,
    ) -> Result<Vec<StatedRow>, LedgerError> {
        let mut sums: BTreeMap<i64, ([Text; 3], StatedSums)> = BTreeMap::new();
        self.stated_rows(from, until, |row| {
            let StatedRow { statement, name, kind, family, fact } = row;
            let (_, sum) = sums
                .entry(statement)
                .or_insert_with(|| ([name, kind, family], StatedSums::new(width)));
            sum.add(fact);
        })?;
        let rows = sums.into_iter().flat_map(|(statement, ([name, kind, family], sums))| {
            sums.into_rows().map(move |fact| {
                let [name, kind, family] = [&name, &kind, &family].map(Text::clone);
                StatedRow { statement, name, kind, family, fact }
            })
        });
        Ok(rows.collect())
    }

    /// Whether the file is of a version that knows statements.
    pub(crate) fn has_stated(&self) -> Result<bool, LedgerError> {
        self.has_table("statements")
    }
}

fn statement_of_row(row: &Row<'_>) -> rusqlite::Result<Statement> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(Statement {
        id: row.get(0)?,
        sha256: row.get(1)?,
        bytes: count(2)?,
        kind: row.get(3)?,
        family: row.get(4)?,
        name: row.get(5)?,
        imported_at: UnixMs(row.get(6)?),
        rows: count(7)?,
        blank: count(8)?,
        odd: count(9)?,
        unplaced: count(10)?,
        without_ids: count(11)?,
        accounts: Vec::new(),
    })
}

fn account_of_row(row: &Row<'_>) -> rusqlite::Result<StatementAccount> {
    let covers: (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
    Ok(StatementAccount {
        provider: row.get(0)?,
        account: row.get(1)?,
        covers: covers.0.zip(covers.1).map(|(from, until)| (UnixMs(from), UnixMs(until))),
        rows: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}

/// Columns before the measures.
const MEASURES_AT: usize = 15;

fn stated_of_row(row: &Row<'_>) -> rusqlite::Result<StatedRow> {
    let text = |at: usize| row.get::<_, String>(at).map(Text::from);
    Ok(StatedRow {
        statement: row.get(0)?,
        name: text(1)?,
        kind: text(2)?,
        family: text(3)?,
        fact: StatedFact {
            line: row.get::<_, i64>(4)?.cast_unsigned(),
            provider: text(5)?,
            account: text(6)?,
            start: row.get::<_, Option<i64>>(7)?.map(UnixMs),
            width_minutes: row.get(8)?,
            dims: dims_of_row(row, 9)?,
            measures: measures_of_row(row, MEASURES_AT)?,
            charge: charge_of_row(row, 11)?,
            extra: row.get(10)?,
        },
    })
}

/// Counts, from the columns of [`Measure::ALL`] that begin at `at`.
pub(crate) fn measures_of_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Measures> {
    let mut measures = Measures::default();
    for (at, measure) in (at..).zip(Measure::ALL) {
        if let Some(count) = row.get::<_, Option<i64>>(at)? {
            measures.set(*measure, count.cast_unsigned());
        }
    }
    Ok(measures)
}

/// Dimensions, from the column at `at`.
pub(crate) fn dims_of_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Dims> {
    dims_of_json(&row.get::<_, String>(at)?).ok_or_else(|| not_ours(at, "no dimensions"))
}

/// Money, from four columns: amount, currency, quantity and its unit.
pub(crate) fn charge_of_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Charge>> {
    let decimal = |at: usize| -> rusqlite::Result<Option<Decimal>> {
        let text: Option<String> = row.get(at)?;
        text.map(|text| text.parse().map_err(|_| not_ours(at, "no decimal"))).transpose()
    };
    let Some(amount) = decimal(at)? else { return Ok(None) };
    Ok(Some(Charge {
        amount,
        currency: row.get::<_, String>(at + 1)?.into(),
        quantity: decimal(at + 2)?,
        quantity_unit: row.get::<_, Option<String>>(at + 3)?.map(Text::from),
    }))
}

fn not_ours(at: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, what.into())
}
