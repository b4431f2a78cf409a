//! Reads what is new in the stores, on several threads, into batches.
//!
//! What was read up to is a [`Position`]: it travels in the batch with the facts before it. A file
//! that is no longer the one that was read (another inode, a shorter one, other bytes before the
//! position) is read again from its start; keys make that safe.

mod beside;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use trueup_core::{Batch, Position, ProblemKind, StoreId};

use crate::lines::{Line, LineReader};
use crate::sha256::is_sha256_of;
use crate::{Agent, Decoder, Found, Store, StoreKind, sqlite};
use beside::Beside;

/// How far stores were read before.
pub trait Positions: Sync {
    /// Of one store, or of one part of a database.
    fn position(&self, store: &StoreId) -> Option<Position>;

    /// Of every part of one database.
    fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position>;

    /// Whether stores are read from their start although they were read before: what was wrong with
    /// them then is forgotten.
    fn is_anew(&self) -> bool {
        false
    }

    /// Whether the positions that are handed on are kept: others need not tell one file from another.
    fn are_kept(&self) -> bool {
        true
    }
}

/// Nothing was read before, and what is read now is not remembered.
impl Positions for () {
    fn position(&self, _: &StoreId) -> Option<Position> {
        None
    }

    fn parts(&self, _: &str, _: &str) -> BTreeMap<String, Position> {
        BTreeMap::new()
    }

    fn are_kept(&self) -> bool {
        false
    }
}

/// What reading one store came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes read.
    pub bytes: u64,
    /// Records that could not be understood.
    pub problems: u64,
}

/// Why a store could not be read to its end. What was read before counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// SQLite refused.
    #[error("is not a readable database: {0}")]
    Database(#[from] rusqlite::Error),
}

/// Longest document that is held in memory. Larger ones are a problem of the store.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Bytes before a position that must still be there for the position to hold.
const TAIL_BYTES: u64 = 4 << 10;

/// Facts are handed on at least once in this many bytes read, so that progress shows and survives.
const COMMIT_BYTES: u64 = 16 << 20;

/// Reads `stores`, the largest first, on `threads` threads. `emit` takes the batches; `done` is told
/// of each store that was read, for progress.
pub fn scan(
    agents: &[&'static dyn Agent],
    stores: &[Store],
    positions: &dyn Positions,
    threads: usize,
    emit: &(dyn Fn(Batch) + Sync),
    done: &(dyn Fn(&Store, Scanned) + Sync),
) {
    let mut order: Vec<&Store> = stores.iter().collect();
    order.sort_by_key(|store| std::cmp::Reverse(store.stamp.size_bytes));
    let next = AtomicUsize::new(0);
    let beside = Beside::default();
    let work = || {
        let mut room = Room { buffer: Vec::new(), beside: &beside };
        while let Some(store) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(agent) = agents.iter().find(|agent| agent.id() == store.source) {
                done(store, read_or_report(*agent, store, positions, &mut room, emit));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(stores.len()) {
            scope.spawn(work);
        }
        work();
    });
}

/// What one thread needs again for each store.
struct Room<'a> {
    /// Room for reading.
    buffer: Vec<u8>,
    beside: &'a Beside,
}

fn read_or_report(
    agent: &dyn Agent,
    store: &Store,
    positions: &dyn Positions,
    room: &mut Room<'_>,
    emit: &(dyn Fn(Batch) + Sync),
) -> Scanned {
    let id = store.id();
    let before = positions.position(&id);
    // Most stores are as they were: what is needed to read one is not made for them.
    if before.as_ref().is_some_and(|before| before.stamp == store.stamp)
        && store.kind != StoreKind::Database
    {
        return Scanned::default();
    }
    let mut emit = |batch| emit(batch);
    let mut found = Found::of(id, &mut emit);
    if !positions.are_kept() {
        found.keep_nothing();
    }
    let bytes = match read_store(agent, store, before, positions, room, &mut found) {
        Ok(bytes) => bytes,
        // Agents delete and rotate files: one that is gone has no problem.
        Err(ScanError::Io(error)) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            let kind = match (&error, store.kind) {
                (ScanError::Io(_), StoreKind::ZstdLines) => ProblemKind::Corrupt,
                (ScanError::Io(_) | ScanError::Database(_), _) => ProblemKind::Unreadable,
            };
            found.problem(kind, 0, error.to_string());
            0
        }
    };
    found.flush();
    Scanned { bytes, problems: found.problem_count() }
}

/// Reads what is new in one store; returns how many bytes that were. `buffer` is room for reading that
/// the next store may have again.
///
/// # Errors
/// Where it cannot be read to its end. Batches that `found` has handed on by then stand.
fn read_store(
    agent: &dyn Agent,
    store: &Store,
    before: Option<Position>,
    positions: &dyn Positions,
    room: &mut Room<'_>,
    found: &mut Found<'_>,
) -> Result<u64, ScanError> {
    if positions.is_anew() {
        found.restart();
    }
    let is_whole = matches!(store.kind, StoreKind::Document | StoreKind::Index);
    // That a packed store was missing, another store may have said before.
    if store.kind == StoreKind::ZstdLines || (is_whole && before.is_some()) {
        found.restart();
    }
    match store.kind {
        StoreKind::Lines => {
            let is_kept = positions.are_kept();
            read_lines(agent, store, before.unwrap_or_default(), is_kept, room, found)
        }
        StoreKind::ZstdLines => read_zstd(agent, store, room, found),
        StoreKind::Document | StoreKind::Index => read_document(agent, store, found),
        StoreKind::Database => read_database(agent, store, before.as_ref(), positions, found),
    }
}

fn read_lines(
    agent: &dyn Agent,
    store: &Store,
    before: Position,
    is_kept: bool,
    room: &mut Room<'_>,
    found: &mut Found<'_>,
) -> Result<u64, ScanError> {
    let mut file = File::open(&store.path)?;
    advise_sequential(&file);
    let stamp = crate::discover::stamp(&file.metadata()?);
    let is_known = before != Position::default();
    let mut from = if is_continued(&file, &before, stamp)? { before } else { Position::default() };
    let start = from.offset;
    if is_known && start == 0 {
        found.restart();
    }
    if start > 0 {
        file.seek(SeekFrom::Start(start))?;
    }
    let source = (&file).take(stamp.size_bytes.saturating_sub(start));
    let mut decoder = agent.decoder(store, &from.state);
    decoder.expect(&room.beside.session_kinds(agent, store));
    let mut reader = LineReader::new(source, &mut room.buffer, (start, from.line), false);
    if start == 0 {
        read_head_elsewhere(agent, store, reader.peek()?, room.beside, &mut *decoder)?;
    }
    loop {
        let is_line = reader.next(&mut *decoder, found)?;
        let is_due = found.is_full() || reader.offset - from.offset >= COMMIT_BYTES;
        if is_line && !is_due {
            continue;
        }
        from.offset = reader.offset;
        from.line = reader.line;
        // Only at the end is the whole file as its stamp says: before, a crash must read on.
        from.stamp = if is_line { trueup_core::Stamp { size_bytes: 0, ..stamp } } else { stamp };
        if is_kept {
            from.state = decoder.state();
            from.tail_hash = tail_hash(&file, from.offset)?;
        }
        found.commit("", from.clone());
        if !is_line {
            return Ok(from.offset - start);
        }
    }
}

/// Asks for early reading ahead. Where the system refuses, reading is slower and nothing else.
#[cfg(target_os = "linux")]
fn advise_sequential(file: &File) {
    let _is_taken = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential).is_ok();
}

/// Other systems see by themselves how a file is read.
#[cfg(not(target_os = "linux"))]
const fn advise_sequential(_: &File) {}

/// Whether a file still begins with what was read of it.
fn is_continued(file: &File, before: &Position, now: trueup_core::Stamp) -> io::Result<bool> {
    if *before == Position::default() {
        return Ok(false);
    }
    let is_same_file = (before.stamp.device, before.stamp.inode) == (now.device, now.inode);
    Ok(is_same_file
        && now.size_bytes >= before.offset
        && tail_hash(file, before.offset)? == before.tail_hash)
}

/// A hash of the last bytes before `offset`.
fn tail_hash(file: &File, offset: u64) -> io::Result<u64> {
    let length = offset.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(length).unwrap_or(0)];
    match file.read_exact_at(&mut tail, offset - length) {
        // Cut off meanwhile: whatever the hash, it will not be found again.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        result => result?,
    }
    Ok(hash64(&tail))
}

/// A short hash that tells bytes from other bytes.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn read_zstd(
    agent: &dyn Agent,
    store: &Store,
    room: &mut Room<'_>,
    found: &mut Found<'_>,
) -> Result<u64, ScanError> {
    let file = File::open(&store.path)?;
    let stamp = crate::discover::stamp(&file.metadata()?);
    if let Some(expected) = agent.sha256(store)
        && !is_sha256_of(expected, &file)?
    {
        return Err(ScanError::Io(io::Error::other(
            "its bytes are not those of the hash in its name",
        )));
    }
    (&file).rewind()?;
    // Checks the frame's checksum, where it has one, at its end.
    let source = zstd::stream::read::Decoder::new(file)?;
    let mut decoder = agent.decoder(store, "");
    decoder.expect(&room.beside.session_kinds(agent, store));
    let mut reader = LineReader::new(source, &mut room.buffer, (0, 0), true);
    read_head_elsewhere(agent, store, reader.peek()?, room.beside, &mut *decoder)?;
    while reader.next(&mut *decoder, found)? {
        if found.is_full() {
            found.flush();
        }
    }
    let position =
        Position { stamp, offset: reader.offset, line: reader.line, ..Position::default() };
    found.commit("", position);
    Ok(stamp.size_bytes)
}

/// Hands a decoder the head that its store, of which this is the first line, has lost: from the first
/// sibling that has it. Nothing else of the sibling is read, and nothing is counted.
fn read_head_elsewhere(
    agent: &dyn Agent,
    store: &Store,
    first: Option<Line<'_>>,
    beside: &Beside,
    decoder: &mut dyn Decoder,
) -> io::Result<()> {
    // A first line that is still being written may become a head.
    if let Some(beginning) = first.and_then(|first| agent.head_elsewhere(store, &first)) {
        let is_head = |store: &Store, line: &Line<'_>| agent.head_elsewhere(store, line).is_none();
        read_first_head(&beside.alike(agent, store, &beginning)?, is_head, decoder);
    }
    Ok(())
}

/// Hands a decoder the first line of the first of these stores where that is a head.
pub(crate) fn read_first_head(
    stores: &[Store],
    is_head: impl Fn(&Store, &Line<'_>) -> bool,
    decoder: &mut dyn Decoder,
) {
    let mut buffer = Vec::new();
    for store in stores {
        // One that is gone or damaged is its own problem.
        let Ok(source) = lines_of(store) else { continue };
        let mut reader = LineReader::new(source, &mut buffer, (0, 0), true);
        if let Ok(Some(head)) = reader.peek()
            && is_head(store, &head)
        {
            decoder.line(&head, &mut Found::new(store.source, "", &mut drop));
            return;
        }
    }
}

/// The bytes of a store of lines.
pub(crate) fn lines_of(store: &Store) -> io::Result<Box<dyn Read>> {
    let file = File::open(&store.path)?;
    Ok(match store.kind {
        StoreKind::ZstdLines => Box::new(zstd::stream::read::Decoder::new(file)?),
        StoreKind::Lines | StoreKind::Document | StoreKind::Index | StoreKind::Database => {
            Box::new(file)
        }
    })
}

fn read_document(
    agent: &dyn Agent,
    store: &Store,
    found: &mut Found<'_>,
) -> Result<u64, ScanError> {
    let file = File::open(&store.path)?;
    let stamp = crate::discover::stamp(&file.metadata()?);
    if store.kind == StoreKind::Index {
        agent.index(store, &mut &file, found);
    } else if stamp.size_bytes > DOCUMENT_BYTES_MAX {
        let detail = format!("is larger than {DOCUMENT_BYTES_MAX} bytes");
        found.problem(ProblemKind::TooLarge, 0, detail);
    } else {
        let mut bytes = Vec::new();
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        agent.document(store, &bytes, found);
    }
    found.commit("", Position { stamp, offset: stamp.size_bytes, ..Position::default() });
    Ok(stamp.size_bytes)
}

fn read_database(
    agent: &dyn Agent,
    store: &Store,
    before: Option<&Position>,
    positions: &dyn Positions,
    found: &mut Found<'_>,
) -> Result<u64, ScanError> {
    // Taken before reading: what is written meanwhile shows next time.
    let now = sqlite::position(&store.path)?;
    if before == Some(&now) {
        return Ok(0);
    }
    let database = sqlite::open_read_only(&store.path)?;
    agent.database(store, &database, positions, found)?;
    let bytes = now.offset;
    found.commit("", now);
    Ok(bytes)
}
