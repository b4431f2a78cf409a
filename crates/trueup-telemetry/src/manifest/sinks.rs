//! From TOML to a manifest: how much may leave, and where it goes.

use super::build::{path, variable};
use super::events::one;
use super::keys::Section;
use super::read::{Findings, Table};
use super::{Budget, Sink};

/// Most events that a manifest may let out in a day. Whoever needs more has a stream, not a rollup.
const EVENTS_PER_DAY_MAX: u64 = 1_000;
/// Longest address.
const URL_CHARS_MAX: usize = 256;
/// Longest public key.
const KEY_CHARS_MAX: usize = 128;

pub(super) fn budget(root: &Table<'_>, out: &mut Findings<'_>) -> Budget {
    let default = Budget::default();
    let Some(table) = one(root, "budget", Section::Budget, out) else { return default };
    let hard_cap = table.whole("hard_cap", 0..=EVENTS_PER_DAY_MAX, out);
    let events_per_day = table.whole("events_per_day", 0..=EVENTS_PER_DAY_MAX, out);
    let bytes_per_day = table.whole("bytes_per_day", 1_024..=16 * 1_024 * 1_024, out);
    let exceptions = table.whole("exceptions_per_day", 0..=100, out);
    let hard_cap = hard_cap.unwrap_or(default.hard_cap);
    let budget = Budget {
        // A manifest that names the cap alone means no more than that.
        events_per_day: events_per_day.unwrap_or_else(|| default.events_per_day.min(hard_cap)),
        hard_cap,
        bytes_per_day: bytes_per_day.unwrap_or(default.bytes_per_day),
        exceptions_per_day: exceptions.unwrap_or(default.exceptions_per_day),
    };
    for (key, value) in [
        ("events_per_day", budget.events_per_day),
        ("exceptions_per_day", budget.exceptions_per_day),
    ] {
        if value > hard_cap {
            let at = table.get(key).map_or_else(|| table.at.clone(), |(at, _)| at);
            out.error(&at, format!("is {value}, above `hard_cap` of {hard_cap}"));
        }
    }
    budget
}

pub(super) fn sinks(root: &Table<'_>, out: &mut Findings<'_>) -> Vec<Sink> {
    let tables = root.tables("sink", Section::Sink, out);
    tables.iter().filter_map(|table| sink(table, out)).collect()
}

fn sink(table: &Table<'_>, out: &mut Findings<'_>) -> Option<Sink> {
    let kind =
        table.needed("type", out, |text| KINDS.iter().find(|(kind, _)| *kind == text).copied());
    let (kind, keys) = kind?;
    table.only(keys, &format!("with `type = \"{kind}\"`"), out);
    match kind {
        "posthog" => posthog(table, out),
        "otlp" => otlp(table, out),
        "webhook" => {
            let endpoint = table.needed("endpoint", out, url);
            let secret_variable = table.word("secret_variable", out, variable);
            Some(Sink::Webhook { endpoint: endpoint?, secret_variable })
        }
        "file" => Some(Sink::File { path: table.needed("path", out, path)? }),
        _ => Some(Sink::Stdout),
    }
}

/// Each kind, and its keys.
const KINDS: [(&str, &[&str]); 5] = [
    ("posthog", &["type", "host", "key", "protocol", "geoip", "compression"]),
    ("otlp", &["type", "endpoint", "signal", "compression"]),
    ("webhook", &["type", "endpoint", "secret_variable"]),
    ("file", &["type", "path"]),
    ("stdout", &["type"]),
];

fn posthog(table: &Table<'_>, out: &mut Findings<'_>) -> Option<Sink> {
    let host = table.needed("host", out, url);
    let key = table.needed("key", out, |text| is_project_key(text).then(|| text.to_owned()));
    let is_v1 = table.word("protocol", out, |text| match text {
        "v0" => Some(false),
        "v1" => Some(true),
        _ => None,
    });
    let geoip = table.truth("geoip", out);
    let is_gzip = is_gzip(table, out);
    Some(Sink::PostHog {
        host: host?,
        key: key?,
        is_v1: is_v1.unwrap_or(false),
        geoip: geoip.unwrap_or(false),
        is_gzip,
    })
}

fn otlp(table: &Table<'_>, out: &mut Findings<'_>) -> Option<Sink> {
    let endpoint = table.needed("endpoint", out, url);
    let signal = table.word("signal", out, |text| match text {
        "logs" => Some((true, false)),
        "metrics" => Some((false, true)),
        "both" => Some((true, true)),
        _ => None,
    });
    let (logs, metrics) = signal.unwrap_or((true, false));
    let is_gzip = is_gzip(table, out);
    Some(Sink::Otlp { endpoint: endpoint?, logs, metrics, is_gzip })
}

/// Whether bodies are packed on their way. A webhook's never are: its signature is of the bytes as they
/// come.
fn is_gzip(table: &Table<'_>, out: &mut Findings<'_>) -> bool {
    let compression = table.word("compression", out, |text| match text {
        "none" => Some(false),
        "gzip" => Some(true),
        _ => None,
    });
    compression.unwrap_or(false)
}

/// Whether a text can be the public key of a project.
pub(crate) fn is_project_key(text: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"_-".contains(&c);
    (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// An address that nobody on the way can read along, or one of this machine; without a user's name in it.
pub(crate) fn url(text: &str) -> Option<String> {
    const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    let is_plain = text.len() <= URL_CHARS_MAX
        && text.bytes().all(|c| c.is_ascii_graphic() && !b"@\"'<>\\`{}|^#".contains(&c));
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let is_safe = scheme == "https" || (scheme == "http" && LOCAL.contains(&host));
    (is_plain && is_safe && !host.is_empty()).then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_safe_or_of_this_machine() {
        for good in [
            "https://us.i.posthog.com",
            "https://h:8443/a?b=c",
            "http://localhost:4318/v1/logs",
            "http://127.0.0.1",
            "http://[::1]:80/x",
        ] {
            assert_eq!(url(good).as_deref(), Some(good));
        }
        assert_eq!(url("https://h/").as_deref(), Some("https://h"));
        let long = format!("https://h/{}", "x".repeat(URL_CHARS_MAX));
        for bad in [
            "",
            "h",
            "https://",
            "http://us.i.posthog.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
            "HTTPS://h",
            "https://user:password@h",
            "http://localhost@h",
            "https://h/#part",
            "https://h/a b",
            "https://h/\n",
            "https://bücher.example",
            &long,
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
