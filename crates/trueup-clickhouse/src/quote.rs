//! Texts as literals of SQL.
//!
//! The servers that we speak to have no parameters in common, so that texts stand in the statement. In
//! ClickHouse a backslash escapes within quotes; everything else but the quote stands for itself.

/// A text as a literal: `'it\'s'`. Whatever is in it, it ends where the literal ends.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\'' | '\\' => literal.extend(['\\', character]),
            // For themselves they would do, but not everything between us and the server agrees.
            '\0'..='\x1f' | '\x7f' => {
                let code = u32::from(character);
                let hex = |half: u32| char::from_digit(half, 16).unwrap_or('0');
                literal.extend(['\\', 'x', hex(code >> 4), hex(code & 15)]);
            }
            _ => literal.push(character),
        }
    }
    literal.push('\'');
    literal
}

/// Bytes as a literal of a fixed string of 16.
#[must_use]
pub fn fixed(bytes: [u8; 16]) -> String {
    format!("toFixedString(unhex('{:032x}'), 16)", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What ClickHouse reads of a literal (`readAnyQuotedString` in its `ReadHelpers`), and what is behind it.
    fn read(literal: &str) -> Option<(String, &str)> {
        let mut rest = literal.strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let character = rest.chars().next()?;
            rest = rest.get(character.len_utf8()..)?;
            match character {
                '\'' => return Some((text, rest)),
                '\\' => {
                    let escaped = rest.chars().next()?;
                    rest = rest.get(escaped.len_utf8()..)?;
                    if escaped == 'x' {
                        let code = u8::from_str_radix(rest.get(..2)?, 16).ok()?;
                        text.push(char::from(code));
                        rest = rest.get(2..)?;
                    } else {
                        text.push(escaped);
                    }
                }
                _ => text.push(character),
            }
        }
    }

    #[test]
    fn hostile_texts_stay_texts() {
        for (text, literal) in [
            ("", "''"),
            ("it's", r"'it\'s'"),
            (r"a\", r"'a\\'"),
            (r"\'; DROP TABLE llm_event --", r"'\\\'; DROP TABLE llm_event --'"),
            ("a\0\n\t\x7f", r"'a\x00\x0a\x09\x7f'"),
            ("é💶", "'é💶'"),
        ] {
            assert_eq!(quoted(text), literal);
        }
        assert_eq!(
            fixed([0xab; 16]),
            "toFixedString(unhex('abababababababababababababababab'), 16)"
        );
    }

    proptest! {
        #[test]
        fn a_literal_is_the_text_and_nothing_more(text in "(\\PC|[\\\\'\"\\x00-\\x20]){0,60}", behind in "[' \\\\]{0,4}") {
            let literal = format!("{}{behind}", quoted(&text));
            prop_assert_eq!(read(&literal), Some((text, &*behind)));
        }
    }
}
