//! Texts: out of JSON, and cut to a length.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A text, a number or a truth value as a text; `None` for objects, arrays and null.
pub(super) fn scalar(json: &str) -> Option<String> {
    match json.bytes().next()? {
        b'"' => serde_json::from_str(json).ok().or_else(|| lossy(json)),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// A text that somebody has cut in the middle of a character, as JavaScript does: the half of a
/// surrogate pair that is left is replaced.
fn lossy(json: &str) -> Option<String> {
    let Bytes(bytes) = serde_json::from_str(json).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }
}

/// Cuts a text to `bytes_max`, or to at most three bytes fewer where a character would be split.
/// Says whether anything was cut.
pub(super) fn cut(text: &mut String, bytes_max: usize) -> bool {
    let is_cut = text.len() > bytes_max;
    if is_cut {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.shrink_to_fit();
    }
    is_cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_surrogate_pair_costs_a_character_and_not_the_text() {
        let text = scalar(r#""cut \ud83d here""#).unwrap();
        assert!(text.starts_with("cut ") && text.ends_with(" here"), "{text}");
        assert_eq!(scalar(r#""\ud83d\ude00""#).as_deref(), Some("😀"));
    }

    proptest! {
        #[test]
        fn cut_texts_are_as_long_as_they_may_be(text in "\\PC{0,60}", max in 0_usize..80) {
            let mut cut_text = text.clone();
            let is_cut = cut(&mut cut_text, max);
            prop_assert_eq!(is_cut, text.len() > max);
            prop_assert!(text.starts_with(&cut_text));
            prop_assert!(cut_text.len() <= max);
            prop_assert!(!is_cut || cut_text.len() + 3 >= max);
        }
    }
}
