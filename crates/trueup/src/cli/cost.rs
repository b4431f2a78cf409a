//! What usage cost, summed: the rows of `trueup export focus` for whoever asks a question of them.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use trueup_core::{Basis, Charged, Text};

use super::export::{Selection, Sum};
use crate::config::Config;

/// The version of the JSON. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

/// What the rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum By {
    Day,
    Month,
    Provider,
    Model,
    Project,
    Key,
}

/// Options as those of `trueup export`.
#[derive(Debug, Args)]
pub(super) struct Cost {
    /// What the rows are about, beside the basis and the currency
    #[arg(long, value_name = "BY", value_delimiter = ',', default_value = "month")]
    by: Vec<By>,
    #[command(flatten)]
    selection: Selection,
}

/// What a sum is of, and what it comes to.
fn put(object: &mut Map<String, Value>, basis: Basis, currency: &str, sum: &Sum) {
    object.insert("basis".to_owned(), json!(basis.name()));
    object.insert("currency".to_owned(), json!(currency));
    object.insert("amount".to_owned(), json!(sum.amount.as_ref().map(ToString::to_string)));
    object.insert("tokens".to_owned(), json!(sum.tokens.to_string()));
}

impl Cost {
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        let gathered = self.selection.gather(config)?;
        let mut sums: BTreeMap<(Vec<String>, Basis, Text), Sum> = BTreeMap::new();
        let mut totals: BTreeMap<(Basis, Text), Sum> = BTreeMap::new();
        for row in &gathered.rows {
            let keys = self.by.iter().map(|by| key(*by, row)).collect();
            let currency = || Text::clone(&row.currency);
            let add =
                |sum: &mut Sum| sum.add(&row.unit, row.amount.as_ref(), row.quantity.as_ref());
            add(sums.entry((keys, row.basis, currency())).or_default());
            add(totals.entry((row.basis, currency())).or_default());
        }
        let rows = sums.iter().map(|((keys, basis, currency), sum)| {
            let names = self.by.iter().map(|by| name(*by));
            let mut object: Map<_, _> = names.zip(keys.iter().map(|key| json!(key))).collect();
            put(&mut object, *basis, currency, sum);
            Value::Object(object)
        });
        let total = |((basis, currency), sum): (&(Basis, Text), &Sum)| {
            let mut object = Map::new();
            put(&mut object, *basis, currency, sum);
            Value::Object(object)
        };
        let by: Vec<String> = self.by.iter().map(|by| name(*by)).collect();
        Ok(json!({
            "schema": SCHEMA,
            "by": by.join(","),
            "tz": "UTC",
            "rows": rows.collect::<Vec<_>>(),
            "totals": totals.iter().map(total).collect::<Vec<_>>(),
            "unpriced_models": gathered.unpriced,
            "notes": gathered.notes,
        }))
    }
}

/// Its word on the command line, which is its name in answers, too.
fn name(by: By) -> String {
    by.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// What a row is about; the name of a project or key where one is known.
fn key(by: By, row: &Charged) -> String {
    let named = |id: &Text, name: &Text| if name.is_empty() { id } else { name }.to_string();
    match by {
        By::Day => row.from.utc_date(),
        By::Month => row.from.utc_month(),
        By::Provider => row.provider.to_string(),
        By::Model => row.model.to_string(),
        By::Project => named(&row.project, &row.project_name),
        By::Key => named(&row.key, &row.key_name),
    }
}
