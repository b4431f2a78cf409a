//! Tokens: words that are sent to others, and shown to nobody.

use std::fmt;

use anyhow::{Result, bail};

use crate::config::{Config, read_text};

/// A token that can be sent in a header. It is never printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The token of a setting, or in the file that another setting names; `None` where neither is set.
    pub(crate) fn of(config: &Config, key: &str, file_key: &str) -> Result<Option<Self>> {
        let (text, key) = match (config.text(key), config.path(file_key)) {
            (Some(_), Some(path)) => {
                bail!("both {key} and {file_key} ({}) are set; remove one of them", path.display())
            }
            (Some(text), None) => (text.to_owned(), key),
            (None, Some(path)) => (read_text(&path)?, file_key),
            (None, None) => return Ok(None),
        };
        match Self::new(&text) {
            Some(secret) => Ok(Some(secret)),
            None => bail!(
                "{key} (from {}): a token is a word of visible ASCII characters",
                config.value(key).1
            ),
        }
    }

    /// `None` where the text, without what stands around it, could not be sent in a header.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_word.then(|| Self(text.to_owned()))
    }

    /// The text, for those who send or compare it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_not_shown() {
        let word = Secret::new(" s3cret\n").unwrap();
        assert_eq!((word.reveal(), format!("{word:?}").as_str()), ("s3cret", "Secret(…)"));
        for text in ["", " \n", "two words", "gé", "a\u{7}"] {
            assert!(Secret::new(text).is_none(), "{text:?}");
        }
    }
}
