//! Where an error came from: of the product's own code function, file and line, of that of others the
//! name of the crate or package alone.
//!
//! Stacks come as frames, as the place of a panic, or as text in three forms:
//!
//! ```text
//!    4: app::db::open                                  Rust, the innermost first
//!              at /home/alice/app/src/db.rs:12:9
//!     at open (/home/alice/app/src/db.js:12:9)         JavaScript, the innermost first
//!   File "/home/alice/app/db.py", line 12, in open     Python, the innermost last
//! ```

use std::fmt;
use std::panic::Location;

use super::{FRAMES_BYTES_MAX, FRAMES_MAX, Redact, names};
use crate::redact::Dropped;

/// Lines of a stack that are looked at.
const LINES_MAX: usize = 256;
/// Bytes of a stack that are looked at.
const STACK_BYTES_MAX: usize = 8_192;
/// Bytes of the name of a function that are told at most, and of a crate or package.
const FUNCTION_BYTES_MAX: usize = 100;

/// One frame of a stack, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The function; empty where it is not known.
    pub function: &'a str,
    /// The file; empty where it is not known.
    pub file: &'a str,
    /// The line, from 1; 0 where it is not known.
    pub line: u32,
    /// Whose it is.
    pub owner: Owner<'a>,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The product's.
    Own,
    /// That of a crate or package.
    Foreign(&'a str),
}

/// One frame of a stack, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldFrame {
    /// The function; of others the crate or package.
    pub function: String,
    /// The file, from the folder of its sources on; empty where it is not known, or not the product's.
    pub file: String,
    /// The line; 0 where it is not known, or not the product's.
    pub line: u32,
    /// Whether it is the product's.
    pub is_own: bool,
}

impl fmt::Display for ToldFrame {
    /// `app::db::open (src/db.rs:12)`, `serde_json`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, file, line, .. } = self;
        match (function.as_str(), file.as_str()) {
            (_, "") => f.write_str(function),
            ("", _) => write!(f, "{file}:{line}"),
            _ => write!(f, "{function} ({file}:{line})"),
        }
    }
}

impl<'a> Frame<'a> {
    /// A place in the source code, such as that of a panic.
    #[must_use]
    pub fn at(location: &'a Location<'a>) -> Self {
        Self::in_file(location.file(), location.line())
    }

    /// A line of a file, whose owner its path tells.
    #[must_use]
    pub fn in_file(file: &'a str, line: u32) -> Self {
        Self { function: "", file, line, owner: owner(file) }
    }
}

/// What is told of a stack: its innermost frames, where those of one crate that lie beside each other
/// are one.
pub(super) fn told(frames: &[Frame<'_>], redact: Redact<'_>) -> Result<Vec<ToldFrame>, Dropped> {
    let mut all: Vec<ToldFrame> = Vec::new();
    let mut bytes = 0;
    for frame in frames.iter().take(LINES_MAX) {
        let is_own = frame.owner == Owner::Own;
        let (function, file, line) = match frame.owner {
            Owner::Own => (without_hash(frame.function), frame.file, frame.line),
            Owner::Foreign(name) => (name, "", 0),
        };
        let told = ToldFrame {
            function: names::name(function, FUNCTION_BYTES_MAX, redact)?,
            file: if file.is_empty() { String::new() } else { names::file(file, redact)? },
            line,
            is_own,
        };
        if told.function.is_empty() && told.file.is_empty()
            || (!is_own && all.last() == Some(&told))
        {
            continue;
        }
        bytes += told.to_string().len();
        if all.len() >= FRAMES_MAX || bytes > FRAMES_BYTES_MAX {
            break;
        }
        all.push(told);
    }
    Ok(all)
}

/// Frames of a stack that is a text, the innermost first. What is no frame in it is passed over.
///
/// ```
/// use trueup_telemetry::errors::{Frame, Owner, frames_of};
/// let stack = "Error: no\n    at open (/home/a/app/db.js:12:9)\n    at node:internal/main:1:2";
/// let own = Frame { function: "open", file: "/home/a/app/db.js", line: 12, owner: Owner::Own };
/// assert_eq!(frames_of(stack)[0], own);
/// assert_eq!(frames_of(stack)[1].owner, Owner::Foreign("node"));
/// ```
#[must_use]
pub fn frames_of(stack: &str) -> Vec<Frame<'_>> {
    let stack = stack.get(..stack.floor_char_boundary(STACK_BYTES_MAX)).unwrap_or_default();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut is_python = false;
    for line in stack.lines().take(LINES_MAX).map(str::trim) {
        if let Some(frame) = python(line) {
            is_python = true;
            frames.push(frame);
        } else if let Some((function, place)) = line.strip_prefix("at ").map(javascript) {
            let (file, number) = place_of(place);
            // Rust has function and place on lines of their own.
            match frames.last_mut().filter(|last| function.is_empty() && last.file.is_empty()) {
                Some(last) => {
                    (last.file, last.line) = (file, number);
                    if last.owner == Owner::Own {
                        last.owner = owner(file);
                    }
                }
                None => frames.push(Frame { function, file, line: number, owner: owner(file) }),
            }
        } else if let Some(function) = rust(line) {
            let owner = rust_owner(function);
            frames.push(Frame { function, file: "", line: 0, owner });
        }
    }
    if is_python {
        frames.reverse();
    }
    frames
}

/// `File "/home/alice/app/db.py", line 12, in open`
fn python(line: &str) -> Option<Frame<'_>> {
    let (file, rest) = line.strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, ""));
    Some(Frame { function, file, line: number.parse().unwrap_or(0), owner: owner(file) })
}

/// `open (/home/alice/app/src/db.js:12:9)`, or the place alone.
fn javascript(text: &str) -> (&str, &str) {
    let text = text.strip_prefix("async ").unwrap_or(text);
    text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")).unwrap_or(("", text))
}

/// `4: app::db::open`
fn rust(line: &str) -> Option<&str> {
    let (number, function) = line.split_once(": ")?;
    let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    is_number.then_some(function)
}

/// `/home/alice/app/src/db.js:12:9` is a file and its line.
fn place_of(place: &str) -> (&str, u32) {
    let place = place.strip_prefix("file://").unwrap_or(place);
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((before, last)) = place.rsplit_once(':') else { return (place, 0) };
    let Some(last) = number(last) else { return (place, 0) };
    match before.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?))) {
        Some(found) => found,
        None => (before, last),
    }
}

/// Whose code lies in a file.
fn owner(file: &str) -> Owner<'_> {
    let behind = |folder: &str| file.rsplit_once(folder).map(|(_, rest)| rest);
    if let Some(rest) = behind("/registry/src/") {
        let (_, rest) = rest.split_once('/').unwrap_or(("", rest));
        return Owner::Foreign(unversioned(first(rest)));
    }
    if let Some(rest) = behind("/git/checkouts/") {
        return Owner::Foreign(unversioned(first(rest)));
    }
    if file.starts_with("/rustc/") || file.contains("/rustlib/src/rust/") {
        return Owner::Foreign("std");
    }
    if file.starts_with("node:") {
        return Owner::Foreign("node");
    }
    for folder in ["/node_modules/", "\\node_modules\\", "/site-packages/", "/dist-packages/"] {
        let Some(rest) = behind(folder) else { continue };
        // A package may have a scope before it: `@posthog/core`.
        let package = rest.strip_prefix('@').and_then(|rest| rest.split_once(['/', '\\']));
        let name = package.map_or(rest, |(_, package)| package);
        return Owner::Foreign(first(name).trim_end_matches(".py"));
    }
    if file.contains("/lib/python") { Owner::Foreign("python") } else { Owner::Own }
}

/// The first part of a path.
fn first(path: &str) -> &str {
    path.split(['/', '\\']).next().unwrap_or_default()
}

/// `serde_json-1.0.154` without its version.
fn unversioned(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

/// Whose function it is, as far as its name says so.
fn rust_owner(function: &str) -> Owner<'_> {
    let name = function.trim_start_matches(['<', '&']);
    let begin = name.split("::").next().unwrap_or_default();
    if ["std", "core", "alloc", "__rustc", "rust_begin_unwind"].contains(&begin) {
        Owner::Foreign("std")
    } else {
        Owner::Own
    }
}

/// `app::db::open::h0123456789abcdef` without what the compiler adds.
fn without_hash(function: &str) -> &str {
    let is_hash = |text: &&str| {
        text.len() == 17
            && text.starts_with('h')
            && text.bytes().skip(1).all(|c| c.is_ascii_hexdigit())
    };
    match function.rsplit_once("::") {
        Some((name, hash)) if is_hash(&hash) => name,
        _ => function,
    }
}
