//! The book on disk: a log that is read on, appended to in whole lines, and written anew now and then.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::book::{BOOK_VERSION, Book, Op};
use super::error::StateError;
use super::folder::{
    Folder, create_folder, identity, private, read, read_all, remove, write_whole,
};
use super::lines::{Lines, line};
use super::seal::{Prepared, Sealed};
use crate::rollup::Plan;

/// Bytes of the log past which it is written anew with what counts of it.
const LOG_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) folder: Folder,
    pub(crate) plan: Arc<Plan>,
    pub(crate) book: Book,
    /// The name of the store where it is new.
    fresh: String,
    /// How far the log was read.
    read: Option<Read>,
    bytes_max: u64,
    memory: Memory,
}

/// A log, and how much of it is in the book. Held open, so that no other file can come to be this one.
#[derive(Debug)]
struct Read {
    log: File,
    bytes: u64,
}

/// What stores of one folder and one plan leave to those that come after them in this process, so that
/// these read what was logged since, and not all of it again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Option<(Book, Read)>>>);

impl Memory {
    fn swap(&self, known: Option<(Book, Read)>) -> Option<(Book, Read)> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), known)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            drop(self.memory.swap(Some((std::mem::take(&mut self.book), read))));
        }
    }
}

impl Shelf {
    pub(crate) fn new(folder: &Path, plan: Arc<Plan>, random: [u8; 16]) -> Self {
        Self {
            folder: Folder::new(folder),
            plan,
            book: Book::default(),
            fresh: format!("{:032x}", u128::from_be_bytes(random)),
            read: None,
            bytes_max: LOG_BYTES_MAX,
            memory: Memory::default(),
        }
    }

    /// Goes on from what an earlier one knew.
    pub(crate) fn remember(&mut self, memory: &Memory) {
        self.memory = memory.clone();
    }

    /// Takes the lock, and reads what other processes have logged since.
    pub(crate) fn open(&mut self) -> Result<File, StateError> {
        let lock = self.folder.lock()?;
        if self.read.is_none()
            && let Some((book, read)) = self.memory.swap(None)
        {
            (self.book, self.read) = (book, Some(read));
        }
        self.refresh()?;
        Ok(lock)
    }

    /// The book, without a lock: of a line that is just being written, nothing.
    pub(crate) fn look(&self) -> Result<Book, StateError> {
        let mut book = Book::default();
        if let Some(bytes) = read(&self.log())? {
            self.read_ops(&bytes, &mut book)?;
        }
        Ok(book)
    }

    /// Nothing is known any more.
    pub(crate) fn clear(&mut self) {
        self.book = Book { store: self.fresh.clone(), ..Book::default() };
        self.read = None;
        drop(self.memory.swap(None));
    }

    /// Stores bytes, then logs the change, then makes it. Where that fails nothing was changed.
    pub(crate) fn commit(&mut self, prepared: Prepared) -> Result<Sealed, StateError> {
        let Prepared { book, mut ops, bodies, sealed } = prepared;
        if ops.is_empty() {
            return Ok(sealed);
        }
        let outbox = self.folder.outbox();
        create_folder(&outbox)?;
        for (name, body) in &bodies {
            drop(write_whole(&outbox.join(name), body)?);
        }
        if self.read.is_none() {
            ops.insert(0, Op::Head { version: BOOK_VERSION, store: book.store.clone() });
            self.write_log(&ops)?;
        } else if let Err(error) = self.append(&ops) {
            // What is on disk is read again before anything else.
            self.read = None;
            return Err(error);
        }
        self.book = book;
        if self.read.as_ref().is_some_and(|read| read.bytes > self.bytes_max) {
            // Where that fails the long log is as good, and the next change tries again.
            let _is_short = self.rewrite().is_ok();
        }
        Ok(sealed)
    }

    fn log(&self) -> PathBuf {
        self.folder.outbox().join("log")
    }

    fn refresh(&mut self) -> Result<(), StateError> {
        let path = self.log();
        let wrap = || StateError::io("read", &path);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.clear();
                return Ok(());
            }
            Err(error) => return Err(wrap()(error)),
        };
        let own = identity(&file).map_err(wrap())?;
        let length = file.metadata().map_err(wrap())?.len();
        let is_same = |read: &Read| {
            read.bytes <= length && identity(&read.log).is_ok_and(|known| known == own)
        };
        let from = self.read.as_ref().filter(|read| is_same(read)).map_or(0, |read| read.bytes);
        let mut book = if from == 0 { Book::default() } else { std::mem::take(&mut self.book) };
        self.read = None;
        file.seek(SeekFrom::Start(from)).map_err(wrap())?;
        let bytes = read_all(&file).map_err(wrap())?;
        let good = self.read_ops(&bytes, &mut book)?;
        if book.store.is_empty() {
            // A log of which not even the head is whole.
            book.store.clone_from(&self.fresh);
            self.book = book;
            return Ok(());
        }
        self.book = book;
        self.read = Some(Read { log: file, bytes: from + good });
        Ok(())
    }

    /// Applies the lines of a log, and says how many bytes of it are whole.
    fn read_ops(&self, bytes: &[u8], book: &mut Book) -> Result<u64, StateError> {
        let mut lines = Lines::new(bytes);
        let mut good = 0;
        while let Some(json) = lines.next() {
            let Ok(ops) = serde_json::from_str::<Vec<Op>>(json) else { break };
            for op in &ops {
                book.apply(op, &self.plan);
            }
            if book.version > BOOK_VERSION {
                return Err(StateError::Version { path: self.log(), version: book.version });
            }
            good = lines.good_bytes();
        }
        Ok(u64::try_from(good).unwrap_or(0))
    }

    /// Adds a line behind the last whole one.
    fn append(&mut self, ops: &[Op]) -> Result<(), StateError> {
        let path = self.log();
        let Some(read) = &mut self.read else { return Ok(()) };
        let good = read.bytes;
        let bytes = ops_line(ops)?;
        let file = private().append(true).open(&path);
        let mut file = file.map_err(StateError::io("open", &path))?;
        let mut write = || {
            if file.metadata()?.len() > good {
                file.set_len(good)?;
            }
            file.write_all(&bytes)?;
            file.sync_data()
        };
        if let Err(error) = write() {
            // A torn line is passed over by every reader, and cut off by the next writer.
            let _is_cut = file.set_len(good).is_ok();
            return Err(StateError::io("write", &path)(error));
        }
        read.bytes = good + u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    fn write_log(&mut self, ops: &[Op]) -> Result<(), StateError> {
        let path = self.log();
        let bytes = ops_line(ops)?;
        let log = write_whole(&path, &bytes)?;
        self.read = Some(Read { log, bytes: u64::try_from(bytes.len()).unwrap_or(0) });
        Ok(())
    }

    /// Writes the log anew with what counts of it, and removes bytes that no item has.
    fn rewrite(&mut self) -> Result<(), StateError> {
        self.write_log(&self.book.ops(&self.plan))?;
        let bytes = self.read.as_ref().map_or(0, |read| read.bytes);
        self.bytes_max = LOG_BYTES_MAX.max(bytes.saturating_mul(4));
        let outbox = self.folder.outbox();
        let list = fs::read_dir(&outbox).map_err(StateError::io("list", &outbox))?;
        let items = self.book.outbox.items().filter(|item| item.has_body);
        let wanted: Vec<String> = items.map(crate::outbox::Item::body_name).collect();
        for entry in list {
            let name = entry.map_err(StateError::io("list", &outbox))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.contains(".body") && !wanted.iter().any(|wanted| wanted == name) {
                remove(&outbox.join(name))?;
            }
        }
        Ok(())
    }
}

fn ops_line(ops: &[Op]) -> Result<Vec<u8>, StateError> {
    let json = serde_json::to_string(ops)
        .map_err(|source| StateError::Json { what: "a change of the outbox", source })?;
    let mut bytes = Vec::new();
    line(&json, &mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Logs that buckets of a log were taken.
    fn take(shelf: &mut Shelf, serial: u64) {
        let lock = shelf.open().unwrap();
        let op = Op::Took { log: format!("open-{serial}"), serials: [serial].into() };
        let mut book = shelf.book.clone();
        book.apply(&op, &shelf.plan);
        let sealed = Sealed::default();
        shelf.commit(Prepared { book, ops: vec![op], bodies: vec![], sealed }).unwrap();
        drop(lock);
    }

    proptest! {
        /// Whatever others do meanwhile: append, write the log anew (whose file may then be one that was
        /// there before), remove everything, or leave half a line.
        #[test]
        fn who_remembers_knows_what_is_there(steps in prop::collection::vec(0..6_u8, 1..24)) {
            let folder = tempfile::tempdir().unwrap();
            let memory = Memory::default();
            let shelf = |number: u8| Shelf::new(folder.path(), Arc::default(), [number; 16]);
            for (step, serial) in steps.iter().zip(1..) {
                let mut own = shelf(1);
                own.remember(&memory);
                let mut other = shelf(2);
                match step {
                    0 => take(&mut own, serial),
                    1 => take(&mut other, serial),
                    2 => {
                        // Two at once, of which one remembers nothing.
                        let mut second = shelf(1);
                        second.remember(&memory);
                        take(&mut own, serial);
                        take(&mut second, serial + 1_000);
                    }
                    3 if other.log().exists() => {
                        let lock = other.open().unwrap();
                        other.rewrite().unwrap();
                        drop(lock);
                    }
                    4 if other.log().exists() => {
                        let mut log = private().append(true).open(other.log()).unwrap();
                        log.write_all(b"90c1 [{\"tor").unwrap();
                    }
                    5 if other.log().exists() => fs::remove_dir_all(folder.path().join("outbox")).unwrap(),
                    _ => {}
                }
                let mut own = shelf(1);
                own.remember(&memory);
                drop(own.open().unwrap());
                prop_assert_eq!(&own.book.took, &own.look().unwrap().took);
            }
        }
    }
}
