//! Texts without secrets and escape sequences.
//!
//! ```text
//! token=abc123 sk-proj-4fK… https://bot:pw@host  →  token=*** *** https://***@host
//! ```
//!
//! A word is masked for what it looks like or for the name before it. Rather one word too many: what
//! is masked is still in the log that it came from.

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Names whose values are secrets; a name counts that holds one of these.
const SECRET_NAMES: [&str; 9] = [
    "token",
    "secret",
    "password",
    "passwd",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "cookie",
];

/// Words after which a secret follows.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// How keys of well-known services begin.
const PREFIXES: [&str; 12] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "xox",
    "xapp-",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "AIza",
    "AKIA",
];

/// From this length on, letters of both cases and digits in one word are a key.
const OPAQUE_BYTES_MIN: usize = 20;
/// From this length on, hexadecimal digits alone are one.
const HEX_BYTES_MIN: usize = 40;

/// A text on one line, without what moves the cursor or colours it.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // `ESC [ … letter`; any other sequence is an escape and one character.
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    rest.find(|c| matches!(c, '@'..='~'));
                }
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

/// A text whose secrets are masked.
pub(super) fn redacted(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut is_secret_next = false;
    for piece in text.split_inclusive(is_divider) {
        let word = piece.trim_end_matches(is_divider);
        let divider = piece.get(word.len()..).unwrap_or_default();
        if word.is_empty() {
            redacted.push_str(divider);
            continue;
        }
        let names_secret = is_secret_name(word.trim_end_matches([':', '=']));
        let is_open = names_secret && (word.ends_with([':', '=']) || QUOTES.contains(&divider));
        let is_scheme = SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(word));
        match word {
            ":" | "=" => redacted.push_str(word),
            _ if is_scheme => redacted.push_str(word),
            _ if is_secret_next => redacted.push_str(MASK),
            _ => push_masked(&mut redacted, word),
        }
        is_secret_next = is_open || is_scheme || (is_secret_next && matches!(word, ":" | "="));
        redacted.push_str(divider);
    }
    redacted
}

/// What closes a quoted name; JSON inside of a text has a backslash before it.
const QUOTES: [&str; 4] = ["\"", "'", "`", "\\"];

/// What stands between words. A colon does not: it is in times and addresses.
fn is_divider(c: char) -> bool {
    c.is_whitespace() || "\"'`,;()[]{}<>|&?\\".contains(c)
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Adds a word, with a mask in the place of what is secret in it.
fn push_masked(redacted: &mut String, word: &str) {
    let (address, word) = match word.split_once("://") {
        Some((scheme, rest)) => {
            redacted.push_str(scheme);
            redacted.push_str("://");
            let authority_end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(authority_end);
            match authority.rsplit_once('@') {
                Some((_, host)) => (Some(host), path),
                None => (None, rest),
            }
        }
        None => (None, word),
    };
    if let Some(host) = address {
        redacted.push_str(MASK);
        redacted.push('@');
        redacted.push_str(host);
    }
    let value = word
        .find([':', '='])
        .filter(|at| word.get(..*at).is_some_and(is_secret_name) && at + 1 < word.len());
    if let Some((name, _)) = value.and_then(|at| word.split_at_checked(at + 1)) {
        redacted.push_str(name);
        redacted.push_str(MASK);
        return;
    }
    for part in word.split_inclusive([':', '=', '/', '.', '@', '#']) {
        let core = part.trim_end_matches([':', '=', '/', '.', '@', '#']);
        redacted.push_str(if looks_secret(core) { MASK } else { core });
        redacted.push_str(part.get(core.len()..).unwrap_or_default());
    }
}

fn looks_secret(word: &str) -> bool {
    let is_known =
        PREFIXES.iter().any(|prefix| word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 8));
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    let is_mixed =
        has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let is_word = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte));
    let is_opaque = word.len() >= OPAQUE_BYTES_MIN && is_mixed && is_word;
    let is_hex = word.len() >= HEX_BYTES_MIN && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_known || is_opaque || is_hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        for (text, expected) in [
            ("token=abc", "token=***"),
            ("botToken: abc done", "botToken: *** done"),
            ("\"apiKey\":\"abc\",\"n\":1", "\"apiKey\":\"***\",\"n\":1"),
            ("{ 'x-api-key': 'abc' }", "{ 'x-api-key': '***' }"),
            (r#"{\"apiKey\":\"abc\"}"#, r#"{\"apiKey\":\"***\"}"#),
            ("Authorization: Bearer abc.def rest", "Authorization: Bearer *** rest"),
            (
                "Incorrect API key provided: sk-proj-abcd1234****wxyz",
                "Incorrect API key provided: ***",
            ),
            ("https://bot:pw@host/path?x=1&token=abc", "https://***@host/path?x=1&token=***"),
            ("/bot123456789:AAEhBOweik6ad6PsVMRxjeQKXkq8rHqYt0w/getMe", "/bot123456789:***/getMe"),
            ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.x", "***.***.x"),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "***"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "config change detected; evaluating reload (plugins.entries.tally-plug)",
            "started (interval: 300s, startup-grace: 60s)",
            "lane task error: lane=main durationMs=34 error=\"Error: No API key found\"",
            "runId=3f0e7a51-6a0b-4a52-9f5e-0c1f0d2b3a4c model=claude-sonnet-4-5-20250929",
            "[telegram:default] health-monitor: restarting (reason: stale-socket)",
            "https://api.telegram.org/file at 2026-11-20T22:30:16.865+00:00",
            "tokens used: 12",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn escape_sequences_and_lines_are_flattened() {
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m\nnext\tcell"), "red next cell");
        assert_eq!(plain("\u{1b}[31"), "");
        assert_eq!(plain("a\u{1b}"), "a");
    }
}
