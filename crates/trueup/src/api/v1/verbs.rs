//! What verbs print as JSON, each at a path of its own.

use serde_json::{Value, json};

use super::{Failed, Sight};
use crate::question::Question;

/// Each path with the name of its question.
pub(super) const PATHS: &[(&str, &str)] = &[
    ("/api/v1/completeness", "query_completeness"),
    ("/api/v1/doctor", "find_gaps"),
    ("/api/v1/parity", "check_parity"),
    ("/api/v1/budgets", "list_budgets"),
    ("/api/v1/cost", "query_cost"),
    ("/api/v1/config", "show_config"),
];

/// What looks at rows of the ledger, which has none where the account is on ClickHouse.
pub(super) const OF_LEDGER: &str = "find_gaps";

/// The version of those that have none of their own.
const SCHEMA: u32 = 1;

/// The answer, with the command that prints it.
pub(super) fn answer(
    question: &Question,
    pairs: &[(String, String)],
    sight: &Sight<'_>,
) -> Result<Value, Failed> {
    let asked = question.read_query(pairs).map_err(Failed::Refused)?;
    if sight.kept.tenant().is_some() && question.name == OF_LEDGER {
        let what = "is not known of an account on ClickHouse: see docs/hub-clickhouse.md";
        return Err(Failed::Unknown(format!("what `{}` tells {what}", question.line)));
    }
    let mut answer = question.answer(&asked, sight.config)?;
    if let Value::Object(fields) = &mut answer {
        fields.entry("schema").or_insert_with(|| json!(SCHEMA));
        fields.insert("cli".to_owned(), json!(question.command_line(&asked)));
    }
    Ok(answer)
}
