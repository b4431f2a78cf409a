//! The book on disk: a log that is read on, appended to in whole lines, and written anew now and then.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Which log was read, and how far.
    read: Option<((u64, u64), u64)>,
    bytes_max: u64,
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
        }
    }

    /// Takes the lock, and reads what other processes have logged since.
    pub(crate) fn open(&mut self) -> Result<File, StateError> {
        let lock = self.folder.lock()?;
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
        if self.read.is_some_and(|(_, bytes)| bytes > self.bytes_max) {
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
        let from = match self.read {
            Some((read, bytes)) if read == own && bytes <= length => bytes,
            _ => 0,
        };
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
        self.read = Some((own, from + good));
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
        let Some((own, good)) = self.read else { return Ok(()) };
        let path = self.log();
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
        self.read = Some((own, good + u64::try_from(bytes.len()).unwrap_or(0)));
        Ok(())
    }

    fn write_log(&mut self, ops: &[Op]) -> Result<(), StateError> {
        let path = self.log();
        let bytes = ops_line(ops)?;
        let file = write_whole(&path, &bytes)?;
        let own = identity(&file).map_err(StateError::io("read", &path))?;
        self.read = Some((own, u64::try_from(bytes.len()).unwrap_or(0)));
        Ok(())
    }

    /// Writes the log anew with what counts of it, and removes bytes that no item has.
    fn rewrite(&mut self) -> Result<(), StateError> {
        self.write_log(&self.book.ops(&self.plan))?;
        let bytes = self.read.map_or(0, |(_, bytes)| bytes);
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
