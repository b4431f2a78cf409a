//! What stands between blanks, and what of several such compounds belongs together: long numbers,
//! addresses of the web, paths with blanks in them, keys of certificates.

use super::super::keys::Key;
use super::super::marks;
use super::super::places::{self, Place};
use super::super::policy::DIGITS_MIN;
use super::{Kind, PEM_BEGINS, Scan, trailing};

/// Marks between two groups of digits of one number, such as `) ` in `(555) 123-4567`.
const NUMBER_GAP_MAX: usize = 2;
/// So many words of a name with blanks are looked through for the rest of a path.
const PATH_WORDS_MAX: usize = 3;

const SCHEMES: [&str; 40] = [
    "http",
    "https",
    "ws",
    "wss",
    "ftp",
    "ftps",
    "sftp",
    "ssh",
    "git",
    "git+ssh",
    "git+https",
    "file",
    "s3",
    "gs",
    "gcs",
    "abfss",
    "hdfs",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "sqlite",
    "sqlserver",
    "mongodb",
    "mongodb+srv",
    "redis",
    "rediss",
    "amqp",
    "amqps",
    "kafka",
    "nats",
    "mqtt",
    "mqtts",
    "tcp",
    "udp",
    "unix",
    "ldap",
    "ldaps",
    "data",
    "vscode",
];

const PEM_ENDS: &[u8] = b"-----END";

impl Scan<'_> {
    pub(super) fn item(&mut self) {
        let start = self.at;
        if self.word() {
            return;
        }
        if self.rest(start).starts_with(PEM_BEGINS) {
            return self.pem();
        }
        let end = self.while_kind(start, Kind::Word);
        if let Some(number_end) = self.number(start, end) {
            return self.replace(number_end, marks::NUMBER);
        }
        self.compound(start, end);
    }

    /// Passes a listed word of letters that says nothing of what follows: nearly all that there is.
    fn word(&mut self) -> bool {
        let rest = self.rest(self.at);
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let Some((word, behind)) = rest.split_at_checked(length) else { return false };
        let tail = usize::from(matches!(behind, [b',' | b'.' | b';' | b':', ..]));
        let ends = match behind.get(tail) {
            Some(b' ' | b'\n' | b')') | None => true,
            Some(_) => false,
        };
        let is_plain = ends && word.len() > 1 && self.policy.words.contains(word);
        if is_plain && Key::of_name(word).is_none() && !is_scheme(word) {
            self.pass(self.at + length + tail);
            return true;
        }
        false
    }

    /// A key of certificates and the like, up to its end or that of the text.
    pub(super) fn pem(&mut self) {
        let rest = self.rest(self.at);
        let end = find(rest, PEM_ENDS).and_then(|at| {
            let behind = at + PEM_ENDS.len();
            let dashes = find(rest.get(behind..)?, b"-----")?;
            Some(self.at + behind + dashes + 5)
        });
        let end = end.unwrap_or(self.end);
        let key = self.bytes.get(self.at..end).unwrap_or_default();
        if !key.contains(&b'\n') {
            return self.replace(end, marks::PEM);
        }
        // Two lines stay two, because it matters to quotes where a line ends.
        let end = self.while_kind(end, Kind::Space);
        self.emit(&format!("{}\n", marks::PEM));
        self.at = end;
    }

    /// Where a long number ends that begins here: `+49 170 1234567`, `4111-1111-1111-1111`.
    pub(super) fn number(&self, start: usize, compound_end: usize) -> Option<usize> {
        let mut at = start + usize::from(self.byte(start) == Some(b'+'));
        if !self.is_digit(at) || places::is_ip(self.bytes.get(start..compound_end)?) {
            return None;
        }
        let mut digits = 0;
        let mut end = at;
        while self.is_digit(at) {
            while self.is_digit(at) {
                digits += 1;
                at += 1;
            }
            end = at;
            at += self.blanks_at(at);
            let marks = self.rest(at).iter().take(NUMBER_GAP_MAX);
            at += marks.take_while(|byte| b"-.)/+".contains(byte)).count();
            at += self.blanks_at(at);
        }
        if digits < DIGITS_MIN {
            return None;
        }
        // What is joined to its last digits goes with it.
        let rest_end = self.while_kind(end, Kind::Word);
        let rest = self.bytes.get(end..rest_end)?;
        Some(rest_end - trailing(rest))
    }

    pub(super) fn compound(&mut self, start: usize, end: usize) {
        let compound = self.bytes.get(start..end).unwrap_or_default();
        let url = find(compound, b"://");
        let key = Key::in_compound(compound);
        match (url, key) {
            (Some(url), key) if key.is_none_or(|(at, _)| url < at) => self.url(start, start + url),
            (_, Some((at, key))) => {
                self.judge(start + at);
                self.assigned(key);
            }
            (_, None) => self.plain(start, end),
        }
    }

    /// A compound without a value of its own.
    pub(super) fn plain(&mut self, start: usize, end: usize) {
        let compound = self.bytes.get(start..end).unwrap_or_default();
        let body = compound.get(..compound.len() - trailing(compound)).unwrap_or(compound);
        if Place::of(self.policy, body) == Some(Place::Path) {
            return self.path(start, body.len(), end);
        }
        self.judge(end);
        if body.len() < compound.len() {
            return;
        }
        if let Some(key) = Key::of_name(body) {
            self.after_name(body, key);
        }
        if self.at == end && is_scheme(body) {
            self.after_scheme();
        } else if matches!(body, b"-u" | b"--user" | b"--proxy-user") {
            self.after_user();
        }
    }

    /// Passes or replaces what lies before a place; marks of punctuation at its end stay.
    pub(super) fn judge(&mut self, end: usize) {
        let compound = self.bytes.get(self.at..end).unwrap_or_default();
        let tail = trailing(compound);
        let body = compound.get(..compound.len() - tail).unwrap_or(compound);
        if body.is_empty() {
            return self.pass(end);
        }
        let mark = match Place::of(self.policy, body) {
            Some(Place::At) => marks::AT,
            Some(Place::Host) => marks::HOST,
            Some(Place::Ip) => marks::IP,
            Some(Place::Path) => marks::PATH,
            None if self.policy.keeps(body) => return self.pass(end),
            None => self.policy.mark(body),
        };
        self.replace(end - tail, mark);
        self.pass(end);
    }

    /// `https://<url>`: where it leads is in its host as well as in its path.
    pub(super) fn url(&mut self, start: usize, colon: usize) {
        let is_of_scheme =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
        let before = self.bytes.get(start..colon).unwrap_or_default();
        let length = before.iter().rev().take_while(is_of_scheme).count();
        let scheme_from = colon - length;
        let scheme = self.text.get(scheme_from..colon).unwrap_or_default();
        // What stands before an unknown scheme goes with it.
        if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            if scheme_from > start {
                self.judge(scheme_from);
            }
            self.pass(colon + 3);
        }
        let mut end = colon + 3;
        if let Some(mark) = marks::begins(self.rest(end)) {
            self.at = end;
            return self.mark(mark);
        }
        while end < self.end && !self.ends_url(end) {
            end += 1;
        }
        let url = self.bytes.get(colon + 3..end).unwrap_or_default();
        let closers = |byte: &&u8| b")]}.,;:!?'".contains(byte);
        end -= url.iter().rev().take_while(closers).count();
        // Of a known scheme the address may be missing; an unknown one goes with it.
        if end > self.at {
            self.replace(end, marks::URL);
        }
    }

    pub(super) fn ends_url(&self, at: usize) -> bool {
        match self.kind(at).0 {
            Kind::Space | Kind::Quote => true,
            Kind::Bracket => matches!(self.byte(at), Some(b'<' | b'>')),
            Kind::Control | Kind::Word => false,
        }
    }

    /// `<p>/plan.md`: folders go, and the file's name too where it is not of listed words.
    pub(super) fn path(&mut self, start: usize, length: usize, end: usize) {
        let mut body_end = start + length;
        let mut end = end;
        if body_end == end {
            end = self.path_end(start, end);
            let last = self.bytes.get(body_end..end).unwrap_or_default();
            body_end = end - if end > body_end { trailing(last) } else { 0 };
        }
        let path = self.bytes.get(start..body_end).unwrap_or_default();
        let name = places::file_name(self.policy, path).map_or(0, <[u8]>::len);
        self.path_mark(body_end, name);
        self.pass(end);
    }

    /// Writes a path whose last bytes are a file's name that stays.
    pub(super) fn path_mark(&mut self, body_end: usize, name: usize) {
        let name = self.text.get(body_end - name..body_end).unwrap_or_default();
        if name.is_empty() {
            self.emit(marks::PATH);
        } else {
            self.emit(&format!("{}/{name}", marks::PATH));
        }
        self.at = body_end;
    }

    /// Where a path with blanks in it ends.
    pub(super) fn path_end(&self, start: usize, end: usize) -> usize {
        let path = self.bytes.get(start..end).unwrap_or_default();
        let words_max = if places::is_of_windows(path) { PATH_WORDS_MAX } else { 1 };
        let mut path_end = end;
        let mut at = end;
        let mut words = 0;
        while words < words_max {
            let word_from = at + self.blanks_at(at);
            let word_end = self.while_kind(word_from, Kind::Word);
            if word_from == at || word_end == word_from {
                break;
            }
            let word = self.bytes.get(word_from..word_end).unwrap_or_default();
            words += 1;
            at = word_end;
            if places::goes_on(word) {
                path_end = word_end;
                words = 0;
            }
        }
        path_end
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let (first, _) = part.split_first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|byte| byte == first) {
        if text.get(from + at..)?.starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Whether credentials may follow, as in a header `Authorization`.
fn is_scheme(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic")
}
