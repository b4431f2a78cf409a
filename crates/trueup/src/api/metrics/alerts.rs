//! Budgets, and the alerts that stand. What is not known is not there.
//!
//! ```text
//! trueup_budget_spent_usd{budget="all",per="month",of="account"} 123.45
//! trueup_alert_level_percent{class="budget",cell="all/2026-11"} 80
//! ```

use super::{Exposition, Type};
use crate::daemon::{AlertsSeen, BudgetSeen};

/// What a family tells of a budget.
type Value = fn(&BudgetSeen) -> Option<String>;

impl Exposition {
    /// Nothing where no budget is set.
    pub(super) fn of_alerts(&mut self, seen: &AlertsSeen) {
        let Some(at) = seen.last_look else { return };
        let help = "When budgets and anomalies were last looked at.";
        let name = "trueup_last_alert_look_timestamp_seconds";
        self.single(name, Type::Gauge, help, at.0 / 1_000);
        let families: [(&str, &str, Value); 4] = [
            ("trueup_budget_limit_usd", "What may be spent in the period.", |budget| {
                Some(budget.limit.to_string())
            }),
            ("trueup_budget_spent_usd", "What is known to be spent in it.", |budget| {
                budget.spent.as_ref().map(ToString::to_string)
            }),
            ("trueup_budget_forecast_usd", "What all of it is expected to come to.", |budget| {
                budget.forecast.as_ref().map(ToString::to_string)
            }),
            (
                "trueup_budget_unpriced_calls",
                "Calls in it without a known price: they are in no amount.",
                |budget| Some(budget.unpriced_calls.to_string()),
            ),
        ];
        for (name, help, value) in families {
            self.family(name, Type::Gauge, help);
            for budget in &seen.budgets {
                let labels = [("budget", &*budget.name), ("per", budget.per), ("of", budget.of)];
                if let Some(value) = value(budget) {
                    self.sample(name, &labels, value);
                }
            }
        }
        let name = "trueup_alert_level_percent";
        let help = "Alerts that stand: the level that was reached; 100 of an anomaly.";
        self.family(name, Type::Gauge, help);
        for (class, cell, level) in &seen.standing {
            self.sample(name, &[("class", class), ("cell", cell)], level);
        }
        let name = "trueup_alerts_total";
        self.family(name, Type::Counter, "Alerts since the start.");
        for class in ["budget", "anomaly"] {
            let raised = seen.raised.get(class).copied().unwrap_or(0);
            self.sample(name, &[("class", class)], raised);
        }
        let name = "trueup_alerts_waiting";
        self.family(name, Type::Gauge, "Alerts that wait to be delivered.");
        for (sink, count) in &seen.waiting {
            self.sample(name, &[("sink", sink)], count);
        }
        let help = "Alerts that found no room or were refused for good, over all runs.";
        self.single("trueup_alerts_lost_total", Type::Counter, help, seen.lost);
    }
}
