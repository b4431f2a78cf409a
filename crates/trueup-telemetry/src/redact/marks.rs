//! What stands for what was taken out.
//!
//! A mark in a text is left as it is, so that redacting twice is the same as once.

pub(super) const AT: &str = "<at>";
pub(super) const CUT: &str = "<cut>";
pub(super) const HOST: &str = "<host>";
pub(super) const IP: &str = "<ip>";
pub(super) const NUMBER: &str = "<n>";
pub(super) const PATH: &str = "<p>";
pub(super) const PEM: &str = "<pem>";
pub(super) const QUOTE: &str = "<str>";
pub(super) const SECRET: &str = "<secret>";
pub(super) const URL: &str = "<url>";
pub(super) const VALUE: &str = "<v>";
pub(super) const WORD: &str = "<w>";

/// For what would move a cursor or ring a bell. It is no word and no blank, and ends a compound.
pub(super) const CONTROL: &str = "\u{fffd}";

const ALL: [&str; 12] = [WORD, VALUE, NUMBER, PATH, URL, QUOTE, IP, HOST, AT, SECRET, PEM, CUT];

/// The mark that some text begins with.
pub(super) fn begins(text: &[u8]) -> Option<&'static str> {
    if text.first() != Some(&b'<') {
        return None;
    }
    ALL.into_iter().find(|mark| text.starts_with(mark.as_bytes()))
}
