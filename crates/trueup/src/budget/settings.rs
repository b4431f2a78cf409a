//! The tables `[[budget]]` of the settings file.
//!
//! ```toml
//! [[budget]]
//! name = "anthropic"
//! limit = "200"
//! per = "month"
//! provider = "anthropic"
//! ```

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use trueup_core::budget::{Budget, Period};
use trueup_core::report::matches;
use trueup_core::{Decimal, Series};

use super::Of;

/// Most budgets that may be set.
const BUDGETS_MAX: usize = 100;
/// Longest name.
const NAME_CHARS_MAX: usize = 40;
/// Most thresholds of a budget, and the highest of them in percent.
const THRESHOLDS_MAX: usize = 10;
const PERCENT_MAX: i64 = 1_000;
/// Where somebody is told unless the budget says otherwise, in percent.
const THRESHOLDS_DEFAULT: [u32; 3] = [50, 80, 100];
/// The largest limit in dollars: more digits would only be a slip.
const LIMIT_MAX: i128 = 1_000_000_000;

/// Tags of the account's usage, under the names that `trueup export focus` gives them.
const TAGS: [&str; 2] = ["agent", "kind"];

/// A budget, or, without a limit, usage that is only watched for anomalies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Its name, which no other has.
    pub(crate) name: String,
    /// Dollars; `None`: it is only watched.
    pub(crate) limit: Option<Decimal>,
    /// In which time.
    pub(crate) per: Period,
    /// Whose word is taken; `None`: the provider's where a connection covers it.
    pub(crate) of: Option<Of>,
    /// What it takes in; `None` for all.
    pub(crate) provider: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) model: Option<String>,
    /// Such as `kind=cron`.
    pub(crate) tag: Option<String>,
    /// Percents of the limit at which somebody is told, in order.
    pub(crate) thresholds: Vec<u32>,
    /// Whether days out of the ordinary are told of.
    pub(crate) has_anomalies: bool,
}

impl Settings {
    /// The budget as the core knows it; `None` where it has no limit.
    pub(crate) fn budget(&self) -> Option<Budget> {
        let (per, thresholds) = (self.per, self.thresholds.clone());
        self.limit.clone().map(|limit| Budget { limit, per, thresholds })
    }

    /// By what it says which usage it takes in; `None` for all.
    pub(crate) fn fields(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("provider", self.provider.as_deref()),
            ("project", self.project.as_deref()),
            ("key", self.key.as_deref()),
            ("agent", self.agent.as_deref()),
            ("model", self.model.as_deref()),
            ("tag", self.tag.as_deref()),
        ]
    }

    /// What it takes in, such as `provider anthropic, model claude-*`; `everything` for all.
    pub(crate) fn scope(&self) -> String {
        let all = self.fields().map(|(name, _)| name);
        let named = self.named(&all);
        if named.is_empty() { "everything".to_owned() } else { named }
    }

    /// Those of these fields that are set.
    pub(super) fn named(&self, names: &[&str]) -> String {
        let fields = self.fields().into_iter().filter(|(name, _)| names.contains(name));
        let set = fields.filter_map(|(name, value)| value.map(|value| format!("{name} {value}")));
        set.collect::<Vec<_>>().join(", ")
    }

    /// Whether usage has the tag that it is to have.
    pub(super) fn has_tag(&self, series: &Series) -> bool {
        self.tag.as_ref().is_none_or(|tag| {
            let (name, pattern) = tag.split_once('=').unwrap_or_default();
            match name {
                "agent" => matches(pattern, &series.source),
                "kind" => matches(pattern, &series.kind),
                _ => false,
            }
        })
    }
}

/// A table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    limit: Option<toml::Value>,
    per: Option<String>,
    of: Option<String>,
    provider: Option<String>,
    project: Option<String>,
    key: Option<String>,
    agent: Option<String>,
    model: Option<String>,
    tag: Option<String>,
    thresholds: Option<Vec<i64>>,
    anomalies: Option<bool>,
}

/// Reads and checks all tables.
pub(crate) fn of_toml(value: toml::Value) -> Result<Vec<Settings>> {
    let toml::Value::Array(tables) = value else {
        bail!("`budget` must be tables, each under [[budget]]")
    };
    if tables.len() > BUDGETS_MAX {
        bail!("more than {BUDGETS_MAX} budgets");
    }
    let mut names = BTreeSet::new();
    let mut budgets = Vec::new();
    for (table, number) in tables.into_iter().zip(1..) {
        let name = table.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        let place = if name.is_empty() {
            format!("budget {number}")
        } else {
            format!("budget {number} (`{}`)", trueup_core::one_line(name))
        };
        let written: Written = table.try_into().map_err(|error| anyhow!("{place}: {error}"))?;
        let budget = written.checked().context(place.clone())?;
        if !names.insert(budget.name.clone()) {
            bail!("{place}: another budget has this name");
        }
        budgets.push(budget);
    }
    Ok(budgets)
}

impl Written {
    fn checked(self) -> Result<Settings> {
        let Some(name) = self.name else { bail!("`name` is missing") };
        let is_name = |c: char| !c.is_control() && c != '/';
        if name.trim() != name || name.is_empty() || !name.chars().all(is_name) {
            bail!("`name` must be a text without slashes, and without blanks around it");
        }
        if name.chars().count() > NAME_CHARS_MAX {
            bail!("`name` is longer than {NAME_CHARS_MAX} characters");
        }
        let per = self.per.as_deref().unwrap_or("month");
        let per = Period::of_name(per).with_context(|| {
            format!("`per`: `{}` is not day, week or month", trueup_core::one_line(per))
        })?;
        let of = self.of.as_deref().map(|of| {
            Of::of_name(of).with_context(|| {
                format!("`of`: `{}` is not account or billed", trueup_core::one_line(of))
            })
        });
        let has_limit = self.limit.is_some();
        let budget = Settings {
            name,
            limit: self.limit.map(limit).transpose()?,
            per,
            of: of.transpose()?,
            provider: text("provider", self.provider)?,
            project: text("project", self.project)?,
            key: text("key", self.key)?,
            agent: text("agent", self.agent)?,
            model: text("model", self.model)?,
            tag: self.tag.map(tag).transpose()?,
            thresholds: thresholds(self.thresholds, has_limit)?,
            has_anomalies: self.anomalies.unwrap_or(true),
        };
        budget.must_make_sense()?;
        Ok(budget)
    }
}

impl Settings {
    fn must_make_sense(&self) -> Result<()> {
        match self.of {
            _ if self.key.is_some() && self.agent.is_some() => bail!(
                "`key` and `agent`: the account does not know keys, and providers do not know agents"
            ),
            Some(Of::Account) if self.key.is_some() => {
                bail!("`key`: the account does not know keys; with of = \"billed\" providers do")
            }
            Some(Of::Billed) if self.agent.is_some() => {
                bail!(
                    "`agent`: providers do not know agents; with of = \"account\" the account does"
                )
            }
            _ if self.tag.is_some() && (self.key.is_some() || self.of == Some(Of::Billed)) => {
                bail!("`tag`: providers do not know tags; the account does, which knows no keys")
            }
            _ if self.limit.is_none() && !self.has_anomalies => {
                bail!("without `limit`, and with anomalies = false, there is nothing to look at")
            }
            _ => Ok(()),
        }
    }
}

fn text(field: &str, value: Option<String>) -> Result<Option<String>> {
    match value {
        Some(value) if value.trim().is_empty() => bail!("`{field}` is empty"),
        value => Ok(value),
    }
}

/// A tag of the account, as `name=value`.
fn tag(text: String) -> Result<String> {
    let known = TAGS.join(" and ");
    match text.split_once('=') {
        Some((name, value)) if TAGS.contains(&name) => {
            if value.trim().is_empty() {
                bail!("`tag`: `{name}` has no value");
            }
            Ok(text)
        }
        Some((name, _)) => {
            let name = trueup_core::one_line(name);
            bail!("`tag`: the account has no tag `{name}`, but {known}")
        }
        None => bail!("`tag` must be a name and a value, such as \"kind=cron\"; known are {known}"),
    }
}

fn limit(value: toml::Value) -> Result<Decimal> {
    let limit = match value {
        toml::Value::Integer(dollars) => Decimal::from(i128::from(dollars)),
        toml::Value::String(text) => text
            .parse()
            .map_err(|error| anyhow!("`limit`: {error}; it is dollars, such as \"12.50\""))?,
        // Binary floating point does not hold most amounts.
        toml::Value::Float(_) => {
            bail!("`limit`: write amounts with cents as a text, such as \"12.50\"")
        }
        toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => bail!("`limit` must be dollars, such as 200 or \"12.50\""),
    };
    if limit <= Decimal::ZERO || limit > Decimal::from(LIMIT_MAX) {
        bail!("`limit` must be more than nothing, and at most {LIMIT_MAX} dollars");
    }
    Ok(limit)
}

fn thresholds(percents: Option<Vec<i64>>, has_limit: bool) -> Result<Vec<u32>> {
    let Some(percents) = percents else {
        return Ok(if has_limit { THRESHOLDS_DEFAULT.to_vec() } else { Vec::new() });
    };
    if !has_limit {
        bail!("`thresholds` are percents of a `limit`, and there is none");
    }
    if percents.len() > THRESHOLDS_MAX {
        bail!("more than {THRESHOLDS_MAX} `thresholds`");
    }
    let mut thresholds = BTreeSet::new();
    for percent in percents {
        if !(1..=PERCENT_MAX).contains(&percent) {
            bail!("`thresholds`: {percent} is not within 1 and {PERCENT_MAX} percent");
        }
        thresholds.insert(u32::try_from(percent)?);
    }
    Ok(thresholds.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Settings>> {
        let mut table: toml::Table = text.parse()?;
        of_toml(table.remove("budget").unwrap())
    }

    #[test]
    fn a_budget_has_defaults() {
        let text = "[[budget]]\nname = \"all\"\nlimit = 200\n[[budget]]\nname = \"watched\"\n\
             provider = \"openai\"\nof = \"billed\"";
        let budgets = read(text).unwrap();
        let [all, watched] = budgets.as_slice() else { panic!("{budgets:?}") };
        assert_eq!((&all.limit, all.per), (&Some(Decimal::from(200)), Period::Month));
        assert_eq!((all.thresholds.as_slice(), all.of), ([50, 80, 100].as_slice(), None));
        assert!(all.has_anomalies && all.scope() == "everything");
        assert_eq!((watched.budget(), watched.of), (None, Some(Of::Billed)));
        assert_eq!(watched.scope(), "provider openai");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (table, expected) in [
            ("limit = 1", "budget 1: `name` is missing"),
            (
                "name = \"a/b\"\nlimit = 1",
                "budget 1 (`a/b`): `name` must be a text without slashes",
            ),
            (
                "name = \"a\"\nlimit = 1.5",
                "budget 1 (`a`): `limit`: write amounts with cents as a text",
            ),
            ("name = \"a\"\nlimit = \"1,5\"", "budget 1 (`a`): `limit`: not a decimal number"),
            ("name = \"a\"\nlimit = 0", "budget 1 (`a`): `limit` must be more than nothing"),
            ("name = \"a\"\nlimit = -5", "budget 1 (`a`): `limit` must be more than nothing"),
            ("name = \"a\"\nlimit = \"1e13\"", "budget 1 (`a`): `limit` must be more than nothing"),
            ("name = \"a\"\nlimit = true", "budget 1 (`a`): `limit` must be dollars"),
            ("name = \"a\"\nlimit = 1\nper = \"year\"", "budget 1 (`a`): `per`: `year` is not day"),
            ("name = \"a\"\nlimit = 1\nof = \"guess\"", "budget 1 (`a`): `of`: `guess` is not"),
            ("name = \"a\"\nlimit = 1\ntag = \"x\"", "budget 1 (`a`): `tag` must be a name and"),
            (
                "name = \"a\"\nlimit = 1\ntag = \"team=x\"",
                "budget 1 (`a`): `tag`: the account has no tag `team`, but agent and kind",
            ),
            ("name = \"a\"\nlimit = 1\ntag = \"kind=\"", "budget 1 (`a`): `tag`: `kind` has no"),
            (
                "name = \"a\"\nlimit = 1\ntag = \"kind=cron\"\nof = \"billed\"",
                "budget 1 (`a`): `tag`: providers do not know tags",
            ),
            (
                "name = \"a\"\nlimit = 1\ntag = \"kind=cron\"\nkey = \"k\"",
                "budget 1 (`a`): `tag`: providers do not know tags",
            ),
            ("name = \"a\"\nlimit = 1\nproject = \" \"", "budget 1 (`a`): `project` is empty"),
            ("name = \"a\"\nlimit = 1\nthresholds = [0]", "budget 1 (`a`): `thresholds`: 0 is not"),
            ("name = \"a\"\nthresholds = [5]", "budget 1 (`a`): `thresholds` are percents"),
            (
                "name = \"a\"\nlimit = 1\nkey = \"k\"\nof = \"account\"",
                "budget 1 (`a`): `key`: the account",
            ),
            (
                "name = \"a\"\nlimit = 1\nagent = \"codex\"\nof = \"billed\"",
                "budget 1 (`a`): `agent`: providers",
            ),
            (
                "name = \"a\"\nlimit = 1\nagent = \"codex\"\nkey = \"k\"",
                "budget 1 (`a`): `key` and `agent`",
            ),
            ("name = \"a\"\nanomalies = false", "budget 1 (`a`): without `limit`"),
        ] {
            let error = format!("{:#}", read(&format!("[[budget]]\n{table}")).unwrap_err());
            assert!(error.starts_with(expected), "{table}: {error}");
        }
        let unknown = format!("{:#}", read("[[budget]]\nname = \"a\"\nlimits = 1").unwrap_err());
        assert!(unknown.contains("budget 1 (`a`)") && unknown.contains("limits"), "{unknown}");
        let twice = "[[budget]]\nname = \"a\"\nlimit = 1\n".repeat(2);
        let twice = read(&twice).unwrap_err().to_string();
        assert_eq!(twice, "budget 2 (`a`): another budget has this name");
        assert!(read("budget = 5").is_err());
        let many: Vec<String> = (0..=BUDGETS_MAX)
            .map(|at| format!("[[budget]]\nname = \"b{at}\"\nlimit = 1"))
            .collect();
        let many = many.join("\n");
        assert_eq!(read(&many).unwrap_err().to_string(), "more than 100 budgets");
    }
}
