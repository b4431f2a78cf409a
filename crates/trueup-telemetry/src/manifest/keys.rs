//! Every key of a manifest: from this list the reader knows what it may meet, and the reference is made.

use std::fmt::Write as _;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table that it is in.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What holds where it is not there; empty where it must be there.
    pub default: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// A table of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Above all tables.
    Top,
    /// `[fields]`, each of its values.
    Field,
    /// `[[rollup]]`.
    Rollup,
    /// An element of `sum`, `hist`, `enum` or `top` that is a table.
    Used,
    /// `[[lifecycle]]`.
    Lifecycle,
    /// `[errors]`.
    Errors,
    /// `[budget]`.
    Budget,
    /// `[sink]`, or several `[[sink]]`.
    Sink,
    /// `[backfill]`.
    Backfill,
}

impl Section {
    /// Every table, in the order of the reference.
    pub const ALL: [Self; 9] = [
        Self::Top,
        Self::Field,
        Self::Rollup,
        Self::Used,
        Self::Lifecycle,
        Self::Errors,
        Self::Budget,
        Self::Sink,
        Self::Backfill,
    ];

    /// Its heading in the reference.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Top => "Above all tables",
            Self::Field => "Each field of `[fields]`",
            Self::Rollup => "`[[rollup]]`",
            Self::Used => "A field of `sum`, `hist`, `enum` or `top` under another name",
            Self::Lifecycle => "`[[lifecycle]]`",
            Self::Errors => "`[errors]`",
            Self::Budget => "`[budget]`",
            Self::Sink => "`[sink]`, or several `[[sink]]`",
            Self::Backfill => "`[backfill]`",
        }
    }

    /// Its keys.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section == self)
    }
}

/// The default of a key that must be there only where another one asks for it.
const ELSEWHERE: &str = " ";

const fn key(
    section: Section,
    key: &'static str,
    takes: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { section, name: key, takes, default, about }
}

use Section::{Backfill, Budget, Errors, Field, Lifecycle, Rollup, Sink, Top, Used};

/// Every key.
#[rustfmt::skip] // a table reads as one
pub static KEYS: &[Key] = &[
    key(Top, "product", "a name of `a-z0-9-`, at most 64", "", "Whose manifest this is"),
    key(Top, "about", "a line", "none", "What the product tells, and what for, in one sentence"),
    key(Top, "env_prefix", "a name of `A-Z0-9_`", "", "Variables are `<PREFIX>_TELEMETRY` and `<PREFIX>_TELEMETRY_ERRORS`"),
    key(Top, "data_dir", "a path; `~` is the home folder", "the host's own", "The folder of `telemetry.json`; the variable `<PREFIX>_DATA_DIR` goes before it"),
    key(Top, "default", "`off`, `local` or `on`", "`off`", "What holds where nobody has decided"),
    key(Top, "notice", "`required` or `none`", "`required`", "Whether a default of `on` waits until its notice was shown"),
    key(Top, "id", "`none`, `daily` or `install`", "`none`", "By what events are told apart"),
    key(Top, "base", "a list of fields", "none", "Fields that every event carries"),
    key(Top, "fields", "a table", "none", "Every field that there is, by its name"),
    key(Top, "rollup", "a list of tables", "none", "Events that add up records"),
    key(Top, "lifecycle", "a list of tables", "none", "Events of which there are few by nature, such as an installation"),
    key(Top, "errors", "a table", "errors are not told", "How errors are told"),
    key(Top, "budget", "a table", "the defaults below", "How much may leave an installation in a UTC day"),
    key(Top, "sink", "a table or a list of tables", "nothing is sent", "Where it goes"),
    key(Top, "backfill", "a table", "the past is not told", "What is told of the time before consent"),
    key(Field, "about", "a line", "none", "What it means"),
    key(Field, "bool", "`true`", ELSEWHERE, "True or false"),
    key(Field, "u64", "`true`", ELSEWHERE, "A whole number from 0 on"),
    key(Field, "i64", "`true`", ELSEWHERE, "A whole number"),
    key(Field, "f64", "`true`", ELSEWHERE, "A finite number"),
    key(Field, "usd", "`true`", ELSEWHERE, "Dollars, exact to nano-dollars"),
    key(Field, "semver", "`true`", ELSEWHERE, "A version such as 1.2.3 or 1.2.3-rc.1; what stands behind a `+` is cut off"),
    key(Field, "day", "`true`", ELSEWHERE, "A day such as 2026-11-20"),
    key(Field, "ts", "`day`, `hour`, `minute` or `ms`", ELSEWHERE, "A time in milliseconds since 1970, cut down to this"),
    key(Field, "enum", "a list of words of `A-Za-z0-9_.-`", ELSEWHERE, "One of these words"),
    key(Field, "token_max", "a whole number up to 64", ELSEWHERE, "A word of at most so many characters of `charset`, which the redactor must pass"),
    key(Field, "charset", "`word`, `name` or `model`", "`name`", "With `token_max`: `a-z0-9_-`; `A-Za-z0-9._-`; or the latter with `:` and at most two `/` inside"),
    key(Rollup, "event", "a name of `a-z0-9_`", "", "Its name"),
    key(Rollup, "about", "a line", "none", "What it means"),
    key(Rollup, "grain", "`session`, a length of time from `5m` to `1d`, or `event`", "", "What is added up into one event; `event` adds nothing up"),
    key(Rollup, "key", "`session` or `none`", "as `grain` needs", "Whether records come with the key of a session, which is never sent"),
    key(Rollup, "sum", "a list of fields", "none", "Added up: `total_<field>`"),
    key(Rollup, "hist", "a list of fields", "none", "`avg_<field>`, `p50_<field>`, `p95_<field>`, `max_<field>`"),
    key(Rollup, "enum", "a list of fields", "none", "Counted by value: `<field>s_<value>`"),
    key(Rollup, "top", "a list of fields", "none", "The most frequent value: `top_<field>`"),
    key(Rollup, "fields", "a list of fields", "none", "With `grain = \"event\"`: sent as they are"),
    key(Rollup, "max_age", "a length of time from `1m` to `1d`", ELSEWHERE, "With `grain = \"session\"`: a session that is older is sent, and begins anew"),
    key(Rollup, "max_records", "a whole number up to 1000000", ELSEWHERE, "With `grain = \"session\"`: a session that has more is sent, and begins anew"),
    key(Rollup, "max_per_day", "a whole number up to 100", ELSEWHERE, "With `grain = \"event\"`: no more are kept in a UTC day"),
    key(Used, "field", "a field", "", "Which"),
    key(Used, "as", "a name of `a-z0-9_`", "", "In `sum` and `top` the whole key; in `hist` what follows `avg_`; in `enum` what stands before `_<value>`"),
    key(Lifecycle, "event", "a name of `a-z0-9_`", "", "Its name"),
    key(Lifecycle, "about", "a line", "none", "What it means"),
    key(Lifecycle, "person", "`true` or `false`", "`false`", "Whether the base fields are kept in a profile of this id"),
    key(Lifecycle, "max_per_day", "a whole number up to 100", "", "No more are kept in a UTC day"),
    key(Lifecycle, "fields", "a list of fields", "none", "Fields that it carries beside those of every event"),
    key(Errors, "level", "`off`, `template` or `redacted`", "`template`", "How much of an error's text may stay"),
    key(Errors, "rollup", "the event of a rollup", "", "Which rollup carries the most frequent errors and their counts"),
    key(Errors, "top", "a whole number up to 32", "`8`", "How many of them"),
    key(Budget, "events_per_day", "a whole number up to 1000", "`2`", "Events of a usual day; more are merged into the day"),
    key(Budget, "hard_cap", "a whole number up to 1000", "`6`", "Events that no day passes"),
    key(Budget, "bytes_per_day", "a whole number from 1024 to 16777216", "`32768`", "Bytes that no day passes"),
    key(Budget, "exceptions_per_day", "a whole number up to 100", "`0`", "Errors of a day that are sent as events of their own, within `hard_cap`"),
    key(Sink, "type", "`posthog`, `otlp`, `webhook`, `file` or `stdout`", "", "What kind of place it is"),
    key(Sink, "host", "an address `https://…`", ELSEWHERE, "With `posthog`: the server"),
    key(Sink, "key", "a word", ELSEWHERE, "With `posthog`: the project's public key"),
    key(Sink, "protocol", "`v0` or `v1`", "`v0`", "With `posthog`: the batch endpoint, or the newer one"),
    key(Sink, "geoip", "`true` or `false`", "`false`", "With `posthog`: whether the server may look up where the address is"),
    key(Sink, "compression", "`none` or `gzip`", "`none`", "With `posthog` and `otlp`: how bodies are packed on their way"),
    key(Sink, "endpoint", "an address `https://…`", ELSEWHERE, "With `otlp` and `webhook`: where it is posted to"),
    key(Sink, "signal", "`logs`, `metrics` or `both`", "`logs`", "With `otlp`: as what"),
    key(Sink, "secret_variable", "a name of `A-Z0-9_`", "requests are not signed", "With `webhook`: the variable that holds the secret of the signature"),
    key(Sink, "path", "a path; `~` is the home folder", ELSEWHERE, "With `file`: the file"),
    key(Backfill, "event", "a name of `a-z0-9_`", "", "Its name"),
    key(Backfill, "about", "a line", "none", "What it means"),
    key(Backfill, "version", "a whole number up to 65535", "", "A larger one tells the past again"),
    key(Backfill, "namespace", "a UUID", "", "The namespace of the ids of its events"),
    key(Backfill, "lag", "a length of time from `48h` to `30d`", "`60h`", "How old a day must be"),
    key(Backfill, "needs", "`explicit` or `consent`", "`explicit`", "Whether it is told only on command, or wherever telemetry is on"),
    key(Backfill, "fields", "a list of fields", "none", "Fields of a day"),
];

/// The reference, in Markdown: a table for each table of a manifest.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        let title = section.title();
        // Writing to a text cannot fail.
        let _is_written =
            writeln!(text, "### {title}\n\n| key | takes | default | says |\n|---|---|---|---|")
                .is_ok();
        for key in section.keys() {
            let Key { name, takes, default, about, .. } = key;
            let default = if default.is_empty() { "must be there" } else { default };
            let _is_written =
                writeln!(text, "| `{name}` | {takes} | {default} | {about} |").is_ok();
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}
