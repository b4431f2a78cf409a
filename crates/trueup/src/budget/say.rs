//! The words and the JSON in which budgets and alerts are told. Money is decimal strings.

use serde_json::{Map, Value, json};
use trueup_core::budget::{
    BASELINE_DAYS, FACTOR_TENTHS, Forecast, Look, Period, Rate, Status, has_reached, permille,
};
use trueup_core::{Decimal, UnixMs};

use super::look::{About, Cell, Looked, label};
use crate::render::number::{counted, dollars_of};

/// The version of the shape. It changes only when a reader of an older one would misread.
pub(crate) const SCHEMA: u32 = 1;
/// Decimals of a rate, which need not end.
const RATE_PLACES: u16 = 9;

/// Something that stands, or that somebody is told of.
#[derive(Debug, Clone)]
pub(crate) struct Alert<'a> {
    pub(crate) looked: &'a Looked,
    pub(crate) cell: &'a Cell,
    /// The level that was reached, in percent.
    pub(crate) level: u32,
    /// When that was seen; `None` where nothing has written it down.
    pub(crate) since: Option<UnixMs>,
    /// What it is known by to those who were told; `None` where nobody was.
    pub(crate) id: Option<String>,
}

/// What an alert is known by, the same each time that it is sent.
pub(crate) fn id_of(cell: &Cell, level: u32, since: UnixMs) -> String {
    let key = format!("{}\0{}\0{level}\0{}", cell.class(), cell.name, since.0);
    blake3::hash(key.as_bytes()).to_hex().chars().take(32).collect()
}

impl Alert<'_> {
    /// Why, in a sentence.
    pub(crate) fn message(&self) -> String {
        let name = &self.looked.settings.name;
        match &self.cell.about {
            About::Budget(settled) => {
                let per = self.looked.settings.per;
                let (spent, limit) = (dollars_of(&settled.amount), dollars_of(&settled.limit));
                let part = percent(&settled.amount, &settled.limit);
                let period = label(per, settled.span.first);
                let the = if per == Period::Week { "the " } else { "" };
                format!(
                    "{name}: {spent} of {limit} in {the}{period}, {part}{}",
                    unpriced(settled.unpriced_calls)
                )
            }
            About::Anomaly(look) => {
                let [amount, bound, median] =
                    [&look.amount, &look.bound, &look.median].map(dollars_of);
                format!(
                    "{name}: {amount} on {}; the median of {} before it is {median}, and from \
                     {bound} on a day is out of the ordinary{}",
                    look.date,
                    counted(look.observations.len() as u64, "day"),
                    unpriced(look.unpriced_calls),
                )
            }
        }
    }

    /// All of it, with every number by which it can be computed again.
    pub(crate) fn json(&self) -> Value {
        let settings = &self.looked.settings;
        let mut object = Map::new();
        object.insert("schema".to_owned(), json!(SCHEMA));
        object.insert("id".to_owned(), json!(self.id));
        object.insert("class".to_owned(), json!(self.cell.class()));
        object.insert("cell".to_owned(), json!(self.cell.name));
        object.insert("level".to_owned(), json!(self.level));
        object.insert("since".to_owned(), json!(self.since.map(|at| at.to_string())));
        object.insert("message".to_owned(), json!(self.message()));
        object.insert("budget".to_owned(), json!(settings.name));
        object.insert("scope".to_owned(), json!(settings.scope()));
        object.insert("of".to_owned(), json!(self.looked.of.name()));
        object.insert("tz".to_owned(), json!(self.looked.zone));
        object.insert("numbers".to_owned(), self.numbers());
        Value::Object(object)
    }

    /// The numbers alone.
    fn numbers(&self) -> Value {
        match &self.cell.about {
            About::Budget(settled) => {
                let days = settled.days.iter();
                json!({
                    "per": self.looked.settings.per.name(),
                    "from": settled.span.first.to_string(),
                    "to": settled.span.last.to_string(),
                    "limit_usd": usd(&settled.limit),
                    "spent_usd": usd(&settled.amount),
                    "used_percent": percent_text(&settled.amount, &settled.limit),
                    "unpriced_calls": settled.unpriced_calls,
                    "days": days.map(|(date, amount)| (date.to_string(), usd(amount)))
                        .collect::<Map<_, _>>(),
                })
            }
            About::Anomaly(look) => anomaly(look),
        }
    }
}

fn anomaly(look: &Look) -> Value {
    let observations = look.observations.iter();
    json!({
        "day": look.date.to_string(),
        "amount_usd": usd(&look.amount),
        "unpriced_calls": look.unpriced_calls,
        "median_usd": usd(&look.median),
        "mad_usd": usd(&look.mad),
        "factor": Decimal::from(i128::from(FACTOR_TENTHS)).shifted(-1).to_string(),
        "margin_usd": usd(&look.margin),
        "margin_of": look.margin_of.name(),
        "bound_usd": usd(&look.bound),
        "baseline_days": BASELINE_DAYS,
        "observations": observations.map(|(date, amount)| (date.to_string(), usd(amount)))
            .collect::<Map<_, _>>(),
    })
}

/// What is not in a sum, behind it.
fn unpriced(calls: u64) -> String {
    match calls {
        0 => String::new(),
        calls => format!("; {} without a known price not in it", counted(calls, "call")),
    }
}

/// A part as a percentage for people, cut.
pub(crate) fn percent(figure: &Decimal, whole: &Decimal) -> String {
    format!("{} %", percent_text(figure, whole))
}

fn percent_text(figure: &Decimal, whole: &Decimal) -> String {
    let permille = permille(figure, whole);
    format!("{}.{}", permille / 10, permille % 10)
}

fn usd(amount: &Decimal) -> Value {
    json!(amount.to_string())
}

/// A budget as JSON.
pub(crate) fn budget_json(looked: &Looked) -> Value {
    let settings = &looked.settings;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("name", json!(settings.name));
    put("of", json!(looked.of.name()));
    put("tz", json!(looked.zone));
    put("today", json!(looked.today.to_string()));
    for (key, value) in settings.fields() {
        put(key, json!(value));
    }
    put("notes", json!(looked.notes));
    let Some(status) = &looked.status else {
        put("limit_usd", Value::Null);
        return Value::Object(object);
    };
    put("per", json!(settings.per.name()));
    put("from", json!(status.span.first.to_string()));
    put("to", json!(status.span.last.to_string()));
    put("limit_usd", usd(&status.limit));
    let is_known = status.days_known > 0;
    let told = |value: Value| if is_known { value } else { Value::Null };
    put("spent_usd", told(usd(&status.spent)));
    put("settled_usd", told(usd(&status.settled)));
    put("estimated_usd", told(usd(&status.estimated)));
    put("remaining_usd", told(usd(&status.remaining)));
    put("used_percent", told(json!(percent_text(&status.spent, &status.limit))));
    put("unpriced_calls", told(json!(status.unpriced_calls)));
    put("days_known", json!(status.days_known));
    put("days_provisional", json!(status.days_provisional));
    put("days_unknown", json!(status.days_unknown));
    put("thresholds", thresholds(&settings.thresholds, status));
    put("burn_rate", status.rate.as_ref().map_or(Value::Null, rate));
    put("exhausted_on", json!(status.exhausted_on.map(|day| day.to_string())));
    put("forecast", status.forecast.as_ref().map_or(Value::Null, |of| forecast(of, status)));
    let days = looked.days.within(status.span).map(|(date, day)| {
        json!({"day": date.to_string(), "amount_usd": usd(&day.amount), "is_settled": day.is_settled})
    });
    put("days", days.collect());
    Value::Object(object)
}

fn thresholds(percents: &[u32], status: &Status) -> Value {
    let reached_on = |percent: u32| {
        let found = status.thresholds.iter().find(|reached| reached.percent == percent);
        found.map(|reached| reached.on.to_string())
    };
    let all = percents
        .iter()
        .map(|percent| json!({"percent": percent, "reached_on": reached_on(*percent)}));
    all.collect()
}

fn rate(rate: &Rate) -> Value {
    json!({
        "usd_per_day": usd(&rate.per_day(RATE_PLACES)),
        "sum_usd": usd(&rate.sum),
        "days": rate.days,
    })
}

fn forecast(forecast: &Forecast, status: &Status) -> Value {
    let days = forecast.days.iter().map(|day| {
        json!({
            "day": day.date.to_string(),
            "amount_usd": usd(&day.amount),
            "low_usd": usd(&day.low),
            "high_usd": usd(&day.high),
            "observations": day.observations,
            "is_of_weekday": day.is_of_weekday,
        })
    });
    json!({
        "amount_usd": usd(&forecast.amount),
        "low_usd": usd(&forecast.low),
        "high_usd": usd(&forecast.high),
        "is_over_limit": has_reached(&forecast.amount, &status.limit, 100),
        "history_days": forecast.history_days,
        "days": days.collect::<Vec<_>>(),
    })
}
