//! Names to numbers: series and sessions are stored once and pointed to.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trueup_core::{Call, PriceClass, Series, Text, Witness};

/// Names that are remembered; past it the memory is dropped and built anew.
const REMEMBERED_MAX: usize = 50_000;

/// Sessions that are looked at first, without hashing their names: as many as a busy machine has at once.
/// Looking at all of them takes less than hashing the names of one call.
const RECENT_MAX: usize = 32;

/// Series of one of these sessions that are remembered: a handful of models, each in a few price classes.
const RECENT_SERIES_MAX: usize = 32;

/// The numbers of the names seen lately.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The device whose sessions are meant; 0 for this machine.
    device: i64,
    series: HashMap<Series, i64>,
    sessions: HashMap<(i64, Text, Text), i64>,
    /// Which sessions' claims that count the calls of a session may cover; nothing until it is asked for.
    open_claims: Option<HashMap<i64, BTreeSet<i64>>>,
    /// The sources that have made claims; nothing until it is asked for.
    claiming: Option<HashSet<Text>>,
    /// The sessions of the last calls.
    recent: Vec<Session>,
}

/// A session, and the series of its last calls.
#[derive(Debug)]
struct Session {
    device: i64,
    source: Text,
    name: Text,
    id: i64,
    /// Whether its source makes claims, which ask for calls by their session.
    is_claimed: bool,
    series: Vec<(Series, i64)>,
}

/// The numbers of the names of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) series: i64,
    pub(crate) session: i64,
    /// The session once more where claims ask for calls by it.
    pub(crate) claimed_session: Option<i64>,
}

impl Session {
    fn is_of(&self, device: i64, call: &Call) -> bool {
        (self.device, &self.name, &self.source)
            == (device, &call.origin.session, &call.origin.source)
    }

    fn series_of(&self, call: &Call) -> Option<i64> {
        let class = call.billing.class(call.tokens.prompt());
        let is_it = |series: &Series| series.class == class && series.is_of(call);
        self.series.iter().find(|(series, _)| is_it(series)).map(|(_, id)| *id)
    }

    fn remember(&mut self, series: Series, id: i64) {
        if self.series.len() == RECENT_SERIES_MAX {
            self.series.clear();
        }
        self.series.push((series, id));
    }
}

impl Names {
    /// Forgets everything: after a rollback the file may not know the numbers.
    pub(crate) fn clear(&mut self) {
        self.series.clear();
        self.sessions.clear();
        self.recent.clear();
        self.open_claims = None;
        self.claiming = None;
    }

    /// Whose sessions are meant from now on.
    pub(crate) const fn be_of(&mut self, device: i64) {
        self.device = device;
    }

    /// The numbers of a call's series and of its session.
    pub(crate) fn of_call(
        &mut self,
        database: &Connection,
        call: &Call,
    ) -> rusqlite::Result<Numbers> {
        // Taken out and put back behind the others: the last one is found first.
        let mut session =
            match self.recent.iter().rposition(|session| session.is_of(self.device, call)) {
                Some(at) => self.recent.remove(at),
                None => self.begin(database, call)?,
            };
        let series = if let Some(id) = session.series_of(call) {
            id
        } else {
            let series = Series::of_call(call);
            let id = self.series(database, &series)?;
            session.remember(series, id);
            id
        };
        let claimed_session = session.is_claimed.then_some(session.id);
        let numbers = Numbers { series, session: session.id, claimed_session };
        if self.recent.len() == RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push(session);
        Ok(numbers)
    }

    fn begin(&mut self, database: &Connection, call: &Call) -> rusqlite::Result<Session> {
        let (source, name) = (&call.origin.source, &call.origin.session);
        let id = self.session(database, source, name)?;
        let is_claimed = self.claiming(database)?.contains(source);
        let (source, name) = (Text::clone(source), Text::clone(name));
        Ok(Session { device: self.device, source, name, id, is_claimed, series: Vec::new() })
    }

    /// Notes that a source has made a claim: from the first one on, its calls are found by session.
    pub(crate) fn note_claim(
        &mut self,
        database: &Connection,
        source: &Text,
    ) -> rusqlite::Result<()> {
        if self.claiming(database)?.insert(Text::clone(source)) {
            self.recent.clear();
            database.execute(
                "UPDATE llm_calls SET claimed_session = session WHERE claimed_session IS NULL
                 AND session IN (SELECT id FROM sessions WHERE source = ?1)",
                [&**source],
            )?;
        }
        Ok(())
    }

    fn claiming(&mut self, database: &Connection) -> rusqlite::Result<&mut HashSet<Text>> {
        if self.claiming.is_none() {
            let mut sources = database.prepare(
                "SELECT DISTINCT source FROM sessions
                 WHERE id IN (SELECT session FROM session_totals)",
            )?;
            let sources =
                sources.query_map([], |row| Ok(row.get_ref(0)?.as_str().map(Text::from)?))?;
            self.claiming = Some(sources.collect::<rusqlite::Result<_>>()?);
        }
        Ok(self.claiming.get_or_insert_default())
    }

    /// The sessions with claims that a call of `session` may cover: its own, its copies, and what it is a
    /// copy of. Nearly all sessions have none, so that the few are held in memory.
    pub(crate) fn claimants(
        &mut self,
        database: &Connection,
        session: i64,
    ) -> rusqlite::Result<Option<&BTreeSet<i64>>> {
        if self.open_claims.is_none() {
            let mut claims = database
                .prepare("SELECT session, parent FROM session_totals WHERE NOT is_superseded OR parent IS NOT NULL")?;
            let mut rows = claims.query([])?;
            self.open_claims = Some(HashMap::new());
            while let Some(row) = rows.next()? {
                self.open_claim(row.get(0)?, row.get(1)?);
            }
        }
        Ok(self.open_claims.as_ref().and_then(|open| open.get(&session)))
    }

    /// A claim of this session counts from now on, until calls of it, or of its parent, cover it.
    pub(crate) fn open_claim(&mut self, session: i64, parent: Option<i64>) {
        if let Some(open) = &mut self.open_claims {
            for (covering, covered) in
                [(Some(session), Some(session)), (parent, Some(session)), (Some(session), parent)]
            {
                if let (Some(covering), Some(covered)) = (covering, covered) {
                    open.entry(covering).or_default().insert(covered);
                }
            }
        }
    }

    /// No claim of this session counts any more; `parents` are what the session is a copy of.
    pub(crate) fn close_claims(&mut self, session: i64, parents: impl Iterator<Item = i64>) {
        let Some(open) = &mut self.open_claims else { return };
        for covering in parents.chain([session]) {
            if let Entry::Occupied(mut claimants) = open.entry(covering) {
                claimants.get_mut().remove(&session);
                if claimants.get().is_empty() {
                    claimants.remove();
                }
            }
        }
    }

    pub(crate) fn series(
        &mut self,
        database: &Connection,
        series: &Series,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.series.get(series) {
            return Ok(*id);
        }
        let values = params![
            witness_code(series.witness),
            &*series.source,
            &*series.provider,
            &*series.model,
            &*series.project,
            &*series.kind,
            series.class.to_code(),
            series.has_reported_cost,
        ];
        let found = database
            .prepare_cached(
                "SELECT id FROM series WHERE witness = ?1 AND source = ?2 AND provider = ?3 AND model = ?4
                 AND project = ?5 AND kind = ?6 AND price_class = ?7 AND has_reported_cost = ?8",
            )?
            .query_row(values, |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => database
                .prepare_cached(
                    "INSERT INTO series (witness, source, provider, model, project, kind, price_class,
                     has_reported_cost) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .insert(values)?,
        };
        if self.series.len() >= REMEMBERED_MAX {
            self.series.clear();
        }
        self.series.insert(series.clone(), id);
        Ok(id)
    }

    pub(crate) fn session(
        &mut self,
        database: &Connection,
        source: &Text,
        session: &Text,
    ) -> rusqlite::Result<i64> {
        let name = (self.device, Text::clone(source), Text::clone(session));
        if let Some(id) = self.sessions.get(&name) {
            return Ok(*id);
        }
        let values = params![&**source, &**session, self.device];
        let found = database
            .prepare_cached(
                "SELECT id FROM sessions WHERE source = ?1 AND session = ?2 AND device = ?3",
            )?
            .query_row(values, |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => database
                .prepare_cached(
                    "INSERT INTO sessions (source, session, device) VALUES (?1, ?2, ?3)",
                )?
                .insert(values)?,
        };
        if self.sessions.len() >= REMEMBERED_MAX {
            self.sessions.clear();
        }
        self.sessions.insert(name, id);
        Ok(id)
    }
}

const fn witness_code(witness: Witness) -> i64 {
    match witness {
        Witness::Measured => 0,
        Witness::Claimed => 1,
    }
}

/// The columns of a series, for [`series_of_row`].
pub(crate) const SERIES_COLUMNS: &str =
    "id, witness, source, provider, model, project, kind, price_class, has_reported_cost";

/// A row of `SELECT` [`SERIES_COLUMNS`] `FROM series`.
pub(crate) fn series_of_row(row: &Row<'_>) -> rusqlite::Result<(i64, Arc<Series>)> {
    let text = |at: usize| row.get_ref(at)?.as_str().map(Text::from).map_err(rusqlite::Error::from);
    let series = Series {
        witness: if row.get::<_, i64>(1)? == 0 { Witness::Measured } else { Witness::Claimed },
        source: text(2)?,
        provider: text(3)?,
        model: text(4)?,
        project: text(5)?,
        kind: text(6)?,
        class: PriceClass::from_code(row.get(7)?).unwrap_or_default(),
        has_reported_cost: row.get(8)?,
        device: Text::default(),
    };
    Ok((row.get(0)?, Arc::new(series)))
}
