//! `trueup config`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Global;
use crate::budget::{self, Of};
use crate::config::{BUDGET, Config, SETTINGS, Setting};
use crate::push;
use crate::render::number::dollars_of;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;

/// What stands for a secret that is set.
const MASK: &str = "(set, not shown)";

/// Show every setting, its value and where it comes from
#[derive(Debug, Args)]
pub(super) struct ShowConfig {
    /// Print JSON
    #[arg(long, conflicts_with = "reference")]
    json: bool,
    /// Print the reference of all settings, as Markdown
    #[arg(long)]
    reference: bool,
}

impl ShowConfig {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        if self.reference {
            out.write_all(reference().as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let config = global.settings(&[])?;
        if self.json {
            writeln!(out, "{:#}", as_json(&config))?;
        } else {
            out.write_all(table(&config, Terminal::of_stdout(&config.environment)).as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The value as it may be shown.
fn shown(config: &Config, setting: &Setting) -> String {
    let (value, _) = config.value(setting.key);
    match setting.key {
        _ if setting.is_secret && !value.is_empty() => MASK.to_owned(),
        "push_endpoint" => push::shown(value),
        _ => value.to_owned(),
    }
}

fn table(config: &Config, terminal: Terminal) -> String {
    let mut layout = Layout::new(vec!["Setting", "Value", "From"]);
    for setting in SETTINGS {
        let (_, origin) = config.value(setting.key);
        let cells = [setting.key.to_owned(), shown(config, setting)].map(Cell::Name);
        let cells = cells.into_iter().chain([Cell::Name(origin.to_string())]).collect();
        layout.row(Look::Plain, cells);
    }
    let mut text = layout.draw(terminal);
    if !config.budgets.is_empty() {
        text.push('\n');
        text.push_str(&budgets(config).draw(terminal));
    }
    text
}

fn budgets(config: &Config) -> Layout {
    let mut layout = Layout::new(vec!["Budget", "Limit", "Per", "Of", "What"]);
    for budget in &config.budgets {
        let limit = budget.limit.as_ref().map_or_else(|| "none".to_owned(), dollars_of);
        let of = budget.of.map_or("", Of::name).to_owned();
        layout.row(
            Look::Plain,
            vec![
                Cell::Name(budget.name.clone()),
                Cell::Number(limit),
                Cell::Text(budget.per.name().to_owned()),
                Cell::Text(of),
                Cell::Name(budget.scope()),
            ],
        );
    }
    layout
}

fn budget_as_json(budget: &budget::Settings) -> serde_json::Value {
    let budget::Settings { name, limit, per, of, thresholds, has_anomalies, .. } = budget;
    let fields = budget.fields().into_iter().chain([("name", Some(name.as_str()))]);
    let fields = fields.map(|(field, value)| (field.to_owned(), json!(value)));
    let mut object: serde_json::Map<_, _> = fields.collect();
    let mut put = |field: &str, value| object.insert(field.to_owned(), value);
    put("limit", json!(limit.as_ref().map(ToString::to_string)));
    put("per", json!(per.name()));
    put("of", json!(of.map(Of::name)));
    put("thresholds", json!(thresholds));
    put("anomalies", json!(has_anomalies));
    serde_json::Value::Object(object)
}

pub(super) fn as_json(config: &Config) -> serde_json::Value {
    let told = SETTINGS.iter().filter(|setting| config.tells(setting));
    let settings = told.map(|setting| {
        let (_, origin) = config.value(setting.key);
        let value = json!({ "value": shown(config, setting), "from": origin.to_string() });
        (setting.key.to_owned(), value)
    });
    let budgets = config.budgets.iter().map(budget_as_json).collect();
    let tables = (!config.budgets.is_empty()).then(|| (BUDGET.to_owned(), budgets));
    serde_json::Value::Object(settings.chain(tables).collect())
}

/// `docs/configuration.md`.
fn reference() -> String {
    let mut text = REFERENCE_HEAD.to_owned();
    for setting in SETTINGS {
        let names = std::iter::once(&setting.variable).chain(setting.aliases);
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let default = match (setting.key, setting.default) {
            ("ledger", _) => LEDGER_DEFAULT.to_owned(),
            ("spool_dir", _) => SPOOL_DEFAULT.to_owned(),
            (_, "") => "none".to_owned(),
            (_, default) => format!("`{default}`"),
        };
        let row = format!(
            "| `{}` | {} | {default} | {} |\n",
            setting.key,
            names.join(", "),
            setting.help
        );
        text.push_str(&row);
    }
    text.push_str(REFERENCE_TAIL);
    text
}

const REFERENCE_TAIL: &str = "
## Budgets

Only in the file, as tables that may come again; [budgets.md](budgets.md) says what becomes of them.

| key of `[[budget]]` | default | meaning |
|---|---|---|
| `name` | required | its name, which no other has |
| `limit` | none: only watched for anomalies | dollars: a whole number, or a text such as `\"12.50\"` |
| `per` | `month` | `day`, `week` (from Monday) or `month` |
| `of` | see [there](budgets.md#whose-amounts) | `account`, or `billed` |
| `provider`, `project`, `key`, `agent`, `model`, `tag` | everything | what it takes in; in names `*` stands for any text, but not in `provider`; a tag is `kind=…` or `agent=…` |
| `thresholds` | `[50, 80, 100]` | percents of the limit at which somebody is told |
| `anomalies` | `true` | whether days out of the ordinary are told |

## Telemetry

`TRUEUP_TELEMETRY`, `TRUEUP_TELEMETRY_ERRORS`, `DO_NOT_TRACK` and `CI` are no settings, and have no place in the
file: [who decides](telemetry-consent.md) is a rule of its own.
";

const LEDGER_DEFAULT: &str = "`/data/openclaw-trace.db` where `/data` can be written, else `~/.local/share/trueup/trueup.db`";

const SPOOL_DEFAULT: &str =
    "`/data/spool` where `/data` can be written, else `~/.local/share/trueup/spool`";

const REFERENCE_HEAD: &str = "\
# Settings

Generated by `trueup config --reference`; a test compares this file with it.

A setting is looked for in this order, and the first one found holds: a flag (the name with dashes,
`--max-text-bytes`), an environment variable (of several, the first in the list), the settings file,
the default. The file is `~/.config/trueup/trueup.toml` (under `$XDG_CONFIG_HOME` where that is
set), or the one that `--config` or `TRUEUP_CONFIG` names. `trueup config` shows what holds and where
it comes from.

`token`, `push_token`, `cron_secret`, `alert_webhook` and `alert_webhook_token` have no flag: a command line can be read by everybody on the machine. `ledger` and `openclaw_dir`
are options of every verb. A length of time is written `500ms`, `30s`, `5m` or `1h`; `~` stands for the home folder.

```toml
port = 9090
sync_interval = \"30s\"
```

| setting | variables | default | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn config(variables: &[(&str, &str)]) -> Config {
        let variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Config::resolve(variables, None, &[]).unwrap()
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = config(&[
            ("HOME", "/nowhere"),
            ("TRUEUP_TOKEN", "s3cret"),
            ("TRUEUP_PUSH_TOKEN", "s3cret"),
            ("TRUEUP_ALERT_WEBHOOK", "https://hooks.example/s3cret"),
            ("TRUEUP_ALERT_WEBHOOK_TOKEN", "s3cret"),
            ("TRACE_PUSH_ENDPOINT", "https://hub.example/ingest?token=s3cret"),
        ]);
        let terminal = Terminal { columns: 200, has_colour: false };
        for text in [table(&config, terminal), as_json(&config).to_string()] {
            assert!(!text.contains("s3cret") && text.contains(MASK), "{text}");
            assert!(text.contains("TRUEUP_TOKEN"), "{text}");
        }
    }

    #[test]
    fn the_reference_in_the_docs_is_this_one() {
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let docs = crate::config::read_text(std::path::Path::new(docs)).unwrap();
        assert!(docs == reference(), "run `trueup config --reference > docs/configuration.md`");
    }
}
