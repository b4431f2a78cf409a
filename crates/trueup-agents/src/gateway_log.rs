//! One line of OpenClaw's gateway log, and what it tells: channels, errors, changes of settings.
//!
//! ```json
//! {"0":"{\"subsystem\":\"gateway/reload\"}","1":"config change detected; evaluating reload (plugins)",
//!  "_meta":{"logLevelName":"INFO"},"time":"2026-11-20T22:30:16.865+00:00",
//!  "message":"config change detected; evaluating reload (plugins)"}
//! ```
//!
//! Older versions write no `message`: it is put together from the numbered arguments, of which the
//! first may be the subsystem, and any other may be an object. Most lines tell nothing that an account
//! needs, and the log says things in it that are nobody's business: what is kept of a line is short,
//! and what looks like a secret in it is masked.

mod redact;

use serde_json::{Map, Value};
use trueup_core::UnixMs;

use redact::redacted;

/// Longest message that is kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1_024;
/// Longest name that is kept: of a subsystem, a session, an agent or a channel.
const NAME_BYTES_MAX: usize = 128;
/// Arguments of a line that are looked at.
const ARGUMENTS_MAX: usize = 10;

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayLine {
    /// One of the kinds that are kept.
    Event(Box<GatewayEvent>),
    /// A line of the log that tells nothing of these kinds.
    Other,
    /// Not a line of this log.
    Unreadable,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEvent {
    /// What it is about.
    pub kind: GatewayEventKind,
    /// When it was written, by its own record.
    pub time: UnixMs,
    /// The part of the gateway that wrote it; empty where it does not say.
    pub subsystem: String,
    /// `trace`, `debug`, `info`, `warn`, `error` or `fatal`; empty where it does not say.
    pub level: &'static str,
    /// The text without escape sequences and secrets, cut.
    pub message: String,
    /// The session, where the line says.
    pub session: String,
    /// The agent, where the line says.
    pub agent: String,
    /// The channel, where the line says.
    pub channel: String,
}

/// The kinds of lines that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GatewayEventKind {
    /// A channel starts, ends, or is started again.
    Channel,
    /// Something failed.
    Error,
    /// Settings changed, or could not be.
    Config,
}

impl GatewayEventKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Error, Self::Config];

    /// The name of its events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel_event",
            Self::Error => "gateway_error",
            Self::Config => "config_change",
        }
    }
}

impl GatewayLine {
    /// Reads a line, without its newline.
    #[must_use]
    pub fn read(line: &[u8]) -> Self {
        let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(line) else {
            return Self::Unreadable;
        };
        let Some(time) = time(&fields) else { return Self::Unreadable };
        let arguments = Arguments::of(&fields);
        let message = redact::plain(&arguments.message);
        let level = level(&fields);
        let Some(kind) = kind(&arguments.subsystem, level, &message) else { return Self::Other };
        let name = |key: &str| cut(text(&fields, key).unwrap_or_default(), NAME_BYTES_MAX);
        Self::Event(Box::new(GatewayEvent {
            kind,
            time,
            subsystem: cut(&arguments.subsystem, NAME_BYTES_MAX),
            level,
            // Masked before it is cut: a half of a secret may not look like one.
            message: cut(&redacted(&message), MESSAGE_BYTES_MAX),
            session: name("session_id"),
            agent: name("agent_id"),
            channel: name("channel"),
        }))
    }
}

fn text<'f>(fields: &'f Map<String, Value>, key: &str) -> Option<&'f str> {
    fields.get(key)?.as_str()
}

fn time(fields: &Map<String, Value>) -> Option<UnixMs> {
    let written = text(fields, "time").and_then(UnixMs::parse_rfc3339);
    let of_meta = || UnixMs::parse_rfc3339(fields.get("_meta")?.get("date")?.as_str()?);
    written.or_else(of_meta)
}

fn level(fields: &Map<String, Value>) -> &'static str {
    let name = fields.get("_meta").and_then(|meta| meta.get("logLevelName"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let levels = ["trace", "debug", "info", "warn", "error", "fatal"];
    levels.into_iter().find(|level| level.eq_ignore_ascii_case(name)).unwrap_or_default()
}

/// What the numbered arguments say.
struct Arguments {
    subsystem: String,
    message: String,
}

impl Arguments {
    fn of(fields: &Map<String, Value>) -> Self {
        let all = || (0..ARGUMENTS_MAX).map_while(|number| fields.get(&number.to_string()));
        let subsystem = all().next().and_then(Value::as_str).and_then(subsystem);
        let others = all().skip(usize::from(subsystem.is_some()));
        let rebuilt = || others.filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        let message = text(fields, "message").map_or_else(rebuilt, str::to_owned);
        Self { subsystem: subsystem.unwrap_or_default(), message }
    }
}

/// The subsystem in a first argument such as `{"subsystem":"gateway/reload"}`.
fn subsystem(argument: &str) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_str(argument).ok()?;
    let name = text(&fields, "subsystem").or_else(|| text(&fields, "module"));
    Some(redact::plain(name.unwrap_or_default()))
}

/// What a line is about: its subsystem and its level decide, rather than words that a message may
/// hold by chance.
fn kind(subsystem: &str, level: &str, message: &str) -> Option<GatewayEventKind> {
    let is_of = |name: &str| subsystem.split('/').any(|part| part == name);
    let is_config =
        is_of("reload") || is_of("config") || CONFIG.iter().any(|m| message.starts_with(m));
    let is_channel = is_of("channels") || is_of("health-monitor");
    let is_error =
        matches!(level, "error" | "fatal") || (level == "warn" && tells_failure(message));
    if is_config {
        Some(GatewayEventKind::Config)
    } else if is_error {
        Some(GatewayEventKind::Error)
    } else if is_channel {
        Some(GatewayEventKind::Channel)
    } else {
        None
    }
}

/// How messages about settings begin.
const CONFIG: [&str; 3] = ["config change", "config hot reload", "config reload"];

/// Words of warnings that are about failures.
const FAILURES: [&str; 5] = ["error", "failed", "timeout", "timed out", "exception"];

fn tells_failure(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    FAILURES.iter().any(|word| message.contains(word))
}

fn cut(text: &str, bytes_max: usize) -> String {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(line: &str) -> GatewayEvent {
        match GatewayLine::read(line.as_bytes()) {
            GatewayLine::Event(event) => *event,
            GatewayLine::Other | GatewayLine::Unreadable => panic!("no event: {line}"),
        }
    }

    fn line(subsystem: &str, level: &str, message: &str) -> String {
        let zero = serde_json::json!({ "subsystem": subsystem }).to_string();
        serde_json::json!({
            "0": zero, "1": message, "_meta": { "logLevelName": level },
            "time": "2026-11-20T22:30:16.865+00:00",
        })
        .to_string()
    }

    #[test]
    fn both_shapes_say_the_same() {
        let new = r#"{"0":"{\"subsystem\":\"gateway/reload\"}","1":"config change detected; evaluating reload (plugins.entries.x)","_meta":{"runtime":"node","date":"2026-11-20T22:30:16.865Z","logLevelId":3,"logLevelName":"INFO"},"time":"2026-11-20T23:30:16.865+01:00","hostname":"vm","message":"config change detected; evaluating reload (plugins.entries.x)"}"#;
        let old = r#"{"0":"{\"subsystem\":\"gateway/reload\"}","1":"config change detected; evaluating reload (plugins.entries.x)","_meta":{"logLevelName":"INFO"},"time":"2026-11-20T22:30:16.865+00:00"}"#;
        let expected = GatewayEvent {
            kind: GatewayEventKind::Config,
            time: UnixMs(1_795_213_816_865),
            subsystem: "gateway/reload".into(),
            level: "info",
            message: "config change detected; evaluating reload (plugins.entries.x)".into(),
            session: String::new(),
            agent: String::new(),
            channel: String::new(),
        };
        assert_eq!(event(new), expected);
        assert_eq!(event(old), expected);
    }

    #[test]
    fn objects_among_the_arguments_are_passed_over() {
        let line = r#"{"0":"{\"subsystem\":\"session-sqlite\"}","1":{"pid":30547,"error":"private"},"2":"slow operation failed","_meta":{"logLevelName":"WARN","date":"2026-11-20T22:30:16.865Z"}}"#;
        let event = event(line);
        assert_eq!(
            (event.kind, &*event.message),
            (GatewayEventKind::Error, "slow operation failed")
        );
        assert_eq!(event.time, UnixMs(1_795_213_816_865));
    }

    #[test]
    fn a_plain_first_argument_is_the_message_and_colours_are_none_of_it() {
        let line = r#"{"0":"\u001b[31mgateway failed\u001b[0m: x","_meta":{"logLevelName":"ERROR"},"time":"2026-11-20T22:30:16Z","session_id":"s1","agent_id":"main","channel":"telegram"}"#;
        let event = event(line);
        assert_eq!((&*event.subsystem, &*event.message), ("", "gateway failed: x"));
        assert_eq!((&*event.session, &*event.agent, &*event.channel), ("s1", "main", "telegram"));
    }

    #[test]
    fn subsystem_and_level_decide() {
        use GatewayEventKind::{Channel, Config, Error};
        for (subsystem, level, message, expected) in [
            ("gateway/channels/telegram", "INFO", "[default] starting provider", Some(Channel)),
            ("gateway/health-monitor", "INFO", "started (interval: 300s)", Some(Channel)),
            ("gateway/channels/telegram", "ERROR", "[default] channel exited: x", Some(Error)),
            ("diagnostic", "ERROR", "lane task error: lane=main", Some(Error)),
            ("gateway", "WARN", "request timed out", Some(Error)),
            ("gateway", "WARN", "the weather is bad", None),
            ("gateway", "INFO", "no error in this channel or config", None),
            ("gateway/reload", "ERROR", "config reload skipped (invalid config): x", Some(Config)),
            ("gateway", "INFO", "config hot reload applied (a.b)", Some(Config)),
            ("agent", "DEBUG", "embedded run start: runId=1", None),
        ] {
            let read = GatewayLine::read(line(subsystem, level, message).as_bytes());
            let kind = match read {
                GatewayLine::Event(event) => Some(event.kind),
                GatewayLine::Other => None,
                GatewayLine::Unreadable => panic!("{message}"),
            };
            assert_eq!(kind, expected, "{message}");
        }
    }

    #[test]
    fn the_fixture_has_every_kind_of_line_and_shows_no_secret() {
        let mut kinds = [0; 4];
        for line in include_str!("../fixtures/gateway-log/openclaw.log").lines() {
            let kind = match GatewayLine::read(line.as_bytes()) {
                GatewayLine::Event(event) => {
                    assert!(!event.message.contains("s3cret"), "{}", event.message);
                    event.kind as usize
                }
                GatewayLine::Other => 3,
                GatewayLine::Unreadable => panic!("{line}"),
            };
            kinds[kind] += 1;
        }
        assert!(kinds.iter().all(|count| *count >= 2), "{kinds:?}");
    }

    #[test]
    fn what_is_no_line_of_the_log_is_unreadable() {
        for text in ["", "plain", "[]", "{}", r#"{"time":"now"}"#, r#"{"0":"x","time":"#] {
            assert_eq!(GatewayLine::read(text.as_bytes()), GatewayLine::Unreadable, "{text}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_short_and_of_one_line(message in "\\PC{0,40}|[\\x00-\\x7f]{0,2000}") {
            let event = event(&line("gateway", "ERROR", &message));
            prop_assert!(event.message.len() <= MESSAGE_BYTES_MAX);
            prop_assert!(!event.message.contains(char::is_control));
        }
    }
}
