//! A long text, line by line, in the memory of one line.

use super::{Dropped, Limits, Redactor};

/// What is remembered from one line to the next: whether they are in a key that spans lines.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    redactor: &'a Redactor,
    is_in_key: bool,
}

impl<'a> Lines<'a> {
    /// For a text from its beginning on.
    pub fn new(redactor: &'a Redactor) -> Self {
        Self { redactor, is_in_key: false }
    }

    /// The next line, redacted; none for one inside of a key, whose first line has its mark.
    pub fn line(&mut self, line: &str) -> Result<Option<String>, Dropped> {
        let begins = line.rfind("-----BEGIN");
        let ends = line.rfind("-----END");
        let was_in_key = self.is_in_key;
        self.is_in_key = match (begins, ends) {
            (Some(begins), Some(ends)) => begins > ends,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => was_in_key,
        };
        if was_in_key {
            return Ok(None);
        }
        self.redactor.redact(line, Limits::LINE).map(Some)
    }
}
