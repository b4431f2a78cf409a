//! What a provider, or something in its place, may send instead of a page.

use proptest::prelude::*;
use trueup_core::{BilledFact, Decimal, Issue, IssueCode, Measure};
use trueup_providers::{Ask, Cursor, PROVIDERS, Page, Provider, Span, provider};

fn span() -> Span {
    Span::days("2026-11-01", "2026-11-03").unwrap()
}

fn read(family: &str, body: &str) -> Result<Page, Issue> {
    let openai = provider("openai").unwrap();
    openai.page(&Ask::new(openai.family(family).unwrap(), span()), body.as_bytes())
}

fn refused(body: &str) -> IssueCode {
    read("usage/completions", body).unwrap_err().code
}

/// A page with one bucket and these rows.
fn page(rows: &str) -> String {
    format!(
        r#"{{"object":"page","data":[{{"object":"bucket","start_time":1793491200,
        "end_time":1793577600,"results":[{rows}]}}],"has_more":false,"next_page":null}}"#
    )
}

#[test]
fn what_is_no_page_is_named() {
    for (body, code) in [
        ("<!DOCTYPE html><title>Log in</title>", IssueCode::NotJson),
        ("", IssueCode::NotJson),
        ("upstream connect error", IssueCode::NotJson),
        ("[]", IssueCode::ShapeUnknown),
        ("{}", IssueCode::ShapeUnknown),
        (r#"{"data":{}}"#, IssueCode::ShapeUnknown),
        (r#"{"data":[7]}"#, IssueCode::ShapeUnknown),
        (r#"{"data":[{"start_time":1793491200}]}"#, IssueCode::ShapeUnknown),
        (r#"{"data":[],"has_more":true,"next_page":null}"#, IssueCode::CursorMissing),
        (r#"{"data":[],"has_more":true}"#, IssueCode::CursorMissing),
        (r#"{"data":[],"next_page":"https://evil.example/"}"#, IssueCode::CursorInvalid),
        (
            r#"{"data":[],"has_more":true,"next_page":"https://evil.example/v1?page=1"}"#,
            IssueCode::CursorInvalid,
        ),
        (r#"{"data":[],"has_more":true,"next_page":"a b"}"#, IssueCode::CursorInvalid),
    ] {
        assert_eq!(refused(body), code, "{body}");
    }
}

#[test]
fn a_day_of_litellm_of_another_shape_is_no_day_without_usage() {
    let litellm = provider("litellm").unwrap();
    let ask = Ask::new(litellm.family("daily_activity").unwrap(), span());
    let read = |day: &str| {
        let body = format!(r#"{{"results":[{{"date":"2026-11-01","metrics":{{}},{day}}}]}}"#);
        litellm.page(&ask, body.as_bytes())
    };
    let usage = r#""metrics":{"spend":0.5,"prompt_tokens":7}"#;
    for day in [
        r#""renamed":{}"#.to_owned(),
        r#""breakdown":null"#.to_owned(),
        r#""breakdown":{"by_model":{}}"#.to_owned(),
        r#""breakdown":{"models":[]}"#.to_owned(),
    ] {
        assert_eq!(read(&day).unwrap_err().code, IssueCode::ShapeUnknown, "{day}");
    }
    // What else cannot be read is told, and nothing beside it is lost.
    for (model, facts) in [
        ("7".to_owned(), 1),
        (r#"{"usage":{}}"#.to_owned(), 1),
        (r#"{"metrics":[]}"#.to_owned(), 1),
        (format!(r#"{{{usage},"api_key_breakdown":["k"]}}"#), 2),
        (format!(r#"{{{usage},"api_key_breakdown":{{"k":null}}}}"#), 1),
        (format!(r#"{{{usage},"api_key_breakdown":{{"k":{{}}}}}}"#), 1),
    ] {
        let page =
            read(&format!(r#""breakdown":{{"models":{{"m":{model},"n":{{{usage}}}}}}}"#)).unwrap();
        assert_eq!(page.facts.len(), facts, "{model}");
        assert_eq!(page.issues[0].code, IssueCode::ShapeUnknown, "{model}");
    }
    let empty = read(r#""breakdown":{"models":{}}"#).unwrap();
    assert_eq!((empty.buckets.len(), empty.facts.len()), (1, 0));
    let plain = read(&format!(r#""breakdown":{{"models":{{"m":{{{usage}}}}}}}"#)).unwrap();
    assert_eq!(plain.facts[0].measures.get(Measure::InUncached), Some(7));
}

#[test]
fn a_cursor_that_leads_back_to_its_own_page_is_named() {
    let openai = provider("openai").unwrap();
    let family = openai.family("costs").unwrap();
    let body = br#"{"data":[],"has_more":true,"next_page":"page_A"}"#;
    let first = openai.page(&Ask::new(family, span()), body).unwrap();
    assert_eq!(first.next, Some(Cursor::new("page_A").unwrap()));
    // What is neither a yes nor a no does not end the pages.
    let odd = br#"{"data":[],"has_more":"true","next_page":"page_A"}"#;
    assert_eq!(openai.page(&Ask::new(family, span()), odd).unwrap().next, first.next);
    let second = Ask { page: first.next, ..Ask::new(family, span()) };
    assert_eq!(openai.page(&second, body).unwrap_err().code, IssueCode::CursorRepeats);
}

#[test]
fn numbers_that_are_none_are_kept_and_told_and_never_zero() {
    let read = read(
        "usage/completions",
        &page(
            r#"{"model":"m","input_tokens":-5,"output_tokens":"many","num_model_requests":1e30}"#,
        ),
    );
    let read = read.unwrap();
    let fact = &read.facts[0];
    assert_eq!(fact.measures.told().count(), 0);
    assert_eq!(
        fact.extra,
        r#"{"input_tokens":-5,"num_model_requests":1e30,"output_tokens":"many"}"#
    );
    assert!(read.issues.iter().all(|issue| issue.code == IssueCode::NumberInvalid));
    assert_eq!(read.issues.len(), 3);
}

#[test]
fn fields_of_another_shape_are_kept_and_told() {
    let anthropic = |row: &str| {
        format!(
            r#"{{"data":[{{"starting_at":"2026-11-01T00:00:00Z","results":[{row}]}}],"has_more":false}}"#
        )
    };
    let analytics = |row: &str| {
        format!(r#"{{"data":[{{"starting_at":"2026-11-01T00:00:00Z",{row}}}],"has_more":false}}"#)
    };
    let record =
        |row: &str| format!(r#"{{"data":[{{"date":"2026-11-01",{row}}}],"has_more":false}}"#);
    for (id, family, body, name) in [
        ("openai", "costs", page(r#"{"line_item":"x","amount":"0.5"}"#), "amount"),
        (
            "openai",
            "costs",
            page(r#"{"amount":{"value":1,"currency":{"code":"EUR"}}}"#),
            "amount.currency",
        ),
        ("openai", "costs", page(r#"{"quantity":1,"quantity_unit":["t"]}"#), "quantity_unit"),
        (
            "openai",
            "usage/completions",
            page(r#"{"project_id":"p","project_name":{}}"#),
            "project_name",
        ),
        ("anthropic", "costs", anthropic(r#"{"amount":"1","model":{"id":"m"}}"#), "model"),
        ("anthropic", "costs", anthropic(r#"{"amount":"1","currency":7}"#), "currency"),
        ("anthropic", "usage/messages", anthropic(r#"{"cache_creation":[7]}"#), "cache_creation"),
        ("anthropic", "analytics/usage", analytics(r#""group":"m","usage":{}"#), "group"),
        (
            "anthropic",
            "analytics/cost",
            analytics(r#""cost":{"amount":"1","currency":{}}"#),
            "currency",
        ),
        (
            "anthropic",
            "usage/claude_code",
            record(r#""model_breakdown":{"m":{}}"#),
            "model_breakdown",
        ),
        ("anthropic", "usage/claude_code", record(r#""core_metrics":7"#), "core_metrics"),
        ("anthropic", "usage/claude_code", record(r#""actor":"a@example.com""#), "actor"),
        ("anthropic", "usage/claude_code", record(r#""terminal_type":{}"#), "terminal_type"),
        (
            "anthropic",
            "usage/claude_code",
            record(r#""model_breakdown":[{"model":"m","tokens":[]}]"#),
            "tokens",
        ),
    ] {
        let provider = provider(id).unwrap();
        let ask = Ask::new(provider.family(family).unwrap(), span());
        let read = provider.page(&ask, body.as_bytes()).unwrap();
        let is_kept = |fact: &BilledFact| fact.extra.contains(&format!("\"{name}\":"));
        assert!(read.facts.iter().any(is_kept), "{name} of {body}: {:?}", read.facts);
        let told =
            |issue: &Issue| issue.code == IssueCode::SchemaDrift && issue.detail.contains(name);
        assert!(read.issues.iter().any(told), "{name} of {body}: {:?}", read.issues);
        // A currency that cannot be read is no dollar.
        let charge = read.facts.iter().find_map(|fact| fact.charge.as_ref());
        if name.ends_with("currency") {
            assert_eq!(charge.map(|charge| &*charge.currency), Some("XXX"), "{body}");
        }
    }
}

#[test]
fn rows_that_nothing_tells_apart_are_added() {
    let row = r#"{"line_item":"x","amount":{"value":"0.1","currency":"usd"},"quantity":2}"#;
    let read = read("costs", &page(&format!("{row},{row}"))).unwrap();
    let charge = read.facts[0].charge.as_ref().unwrap();
    assert_eq!(
        (charge.amount.to_string(), charge.quantity.clone()),
        ("0.2".into(), Some("4".parse().unwrap()))
    );
    assert_eq!(read.issues[0].code, IssueCode::RowRepeated);
}

#[test]
fn of_rows_that_nothing_tells_apart_nothing_is_lost_in_any_order() {
    let row = |amount: &str, currency: &str, quantity: &str, unknown: &str| {
        format!(
            r#"{{"line_item":"x","amount":{{"value":{amount},"currency":"{currency}"}}{quantity}{unknown}}}"#
        )
    };
    let tokens = r#","quantity":2,"quantity_unit":"tokens""#;
    let images = r#","quantity":3,"quantity_unit":"images""#;
    for (rows, amount, quantity, extra) in [
        // Another currency, and an unknown field.
        (
            vec![
                row("0.1", "eur", "", r#","a":1"#),
                row("0.2", "usd", tokens, ""),
                row("0.3", "usd", "", ""),
                row("0.4", "gbp", "", r#","a":2"#),
            ],
            "0.5",
            Some("2"),
            r#"{"a":[1,2],"not_added":["0.1 EUR","0.4 GBP"]}"#,
        ),
        // Quantities of two units, and one without.
        (
            vec![row("1", "usd", tokens, ""), row("2", "usd", images, ""), row("4", "usd", "", "")],
            "7",
            None,
            r#"{"not_added":["2 tokens","3 images"]}"#,
        ),
        // A sum of more digits than are kept.
        (vec![row("1e300", "usd", "", ""), row("1e-300", "usd", "", "")], "TINY", None, "HUGE"),
    ] {
        let huge = format!(r#"{{"not_added":"1{} USD"}}"#, "0".repeat(300));
        let extra = if extra == "HUGE" { &huge } else { extra };
        let amount = if amount == "TINY" { "1e-300" } else { amount };
        for at in 0..rows.len() {
            let mut turned = rows.clone();
            turned.rotate_left(at);
            let read = read("costs", &page(&turned.join(","))).unwrap();
            let charge = read.facts[0].charge.clone().unwrap();
            assert_eq!((read.facts.len(), &*charge.currency), (1, "USD"));
            assert_eq!(charge.amount, amount.parse().unwrap());
            assert_eq!(charge.quantity, quantity.map(|text: &str| text.parse().unwrap()));
            assert_eq!(read.facts[0].extra, extra);
            assert!(read.issues.iter().any(|issue| issue.code == IssueCode::RowRepeated));
        }
    }
}

#[test]
fn an_amount_that_could_not_be_read_again_is_kept_as_it_is_written() {
    let anthropic = provider("anthropic").unwrap();
    let ask = Ask::new(anthropic.family("costs").unwrap(), span());
    for (amount, is_read) in [("1e-400", false), ("1e-398", true), ("1e400", true)] {
        let body = format!(
            r#"{{"data":[{{"starting_at":"2026-11-01T00:00:00Z","results":[{{"amount":"{amount}"}}]}}]}}"#
        );
        let read = anthropic.page(&ask, body.as_bytes()).unwrap();
        let fact = &read.facts[0];
        assert_eq!(fact.charge.is_some(), is_read, "{amount}");
        if let Some(charge) = &fact.charge {
            assert_eq!(charge.amount.to_string().parse(), Ok(charge.amount.clone()), "{amount}");
        } else {
            assert_eq!(fact.extra, format!(r#"{{"amount":"{amount}"}}"#));
            assert_eq!(read.issues[0].code, IssueCode::NumberInvalid);
        }
    }
}

#[test]
fn buckets_that_were_not_asked_for_are_told_and_left_out() {
    let other = page(r#"{"input_tokens":1}"#).replace("1793491200", "1793404800");
    let read = read("usage/completions", &other).unwrap();
    assert!(read.facts.is_empty() && read.buckets.is_empty());
    assert_eq!(read.issues[0].code, IssueCode::BucketUnexpected);
}

#[test]
fn cogni_defect_4_models_keep_their_spelling() {
    for model in ["gpt-4.1-2025-04-14", "ft:gpt-4.1:acme::Abc", " GPT 4 ", "é/模型"] {
        let row =
            serde_json::json!({"name": "n", "operation": "o", "model": model, "input_tokens": 1});
        let read = read("usage/completions", &page(&row.to_string())).unwrap();
        assert_eq!(read.facts[0].dims["model"].text(), Some(model));
    }
}

#[test]
fn cogni_defect_5_a_second_list_is_not_added_to_the_first() {
    let body = page(r#"{"model":"m","output_tokens":5}"#);
    let twice = body.replacen("\"data\":", "\"daily_costs\":[{\"output_tokens\":5}],\"data\":", 1);
    let read = read("usage/completions", &twice).unwrap();
    assert_eq!(read.facts.len(), 1);
    assert_eq!(read.facts[0].measures.get(Measure::Out), Some(5));
    assert_eq!(read.issues[0].code, IssueCode::SchemaDrift);
}

#[test]
fn cogni_defect_6_times_without_a_zone_are_utc() {
    for (start, end) in [
        ("2026-11-01T00:00:00", "2026-11-02T00:00:00"),
        ("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00Z"),
    ] {
        let body = format!(
            r#"{{"data":[{{"start_time_iso":"{start}","end_time_iso":"{end}","results":[{{"model":"m"}}]}}],"has_more":false}}"#
        );
        let read = read("usage/completions", &body).unwrap();
        assert_eq!(read.facts[0].start, span().from, "{start}");
    }
}

#[test]
fn cogni_defect_9_counts_are_64_bits_and_amounts_keep_every_digit() {
    let row = r#"{"input_tokens":9000000000000000,"input_cached_tokens":8000000000000000,"output_tokens":1}"#;
    let read_tokens = read("usage/completions", &page(row)).unwrap();
    let measures = &read_tokens.facts[0].measures;
    assert_eq!(measures.get(Measure::InUncached), Some(1_000_000_000_000_000));
    assert_eq!(measures.get(Measure::InCacheRead), Some(8_000_000_000_000_000));
    for amount in
        ["123.4567890123456789", "\"0.0000000000000000000000000000000000000001\"", "1e-12"]
    {
        let row = format!(r#"{{"amount":{{"value":{amount},"currency":"usd"}}}}"#);
        let read = read("costs", &page(&row)).unwrap();
        let charge = read.facts[0].charge.as_ref().unwrap();
        assert_eq!(charge.amount, Decimal::of_json(amount).unwrap());
    }
}

fn any_provider() -> impl Strategy<Value = (&'static dyn Provider, usize)> {
    (0..PROVIDERS.len(), any::<usize>()).prop_map(|(at, family)| {
        let provider = PROVIDERS[at];
        (provider, family % provider.families().len())
    })
}

/// JSON of the fields that pages have, with anything in them.
fn any_json() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "data",
        "results",
        "start_time",
        "end_time",
        "starting_at",
        "date",
        "amount",
        "value",
        "currency",
        "model",
        "has_more",
        "next_page",
        "input_tokens",
        "usage",
        "group",
        "cost",
        "breakdown",
        "models",
        "metrics",
        "quantity",
        "cache_creation",
        "input_cached_tokens",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        Just("1793491200".to_owned()),
        Just("\"2026-11-01T00:00:00Z\"".to_owned()),
        Just("\"2026-11-01\"".to_owned()),
        Just("\"0E-6176\"".to_owned()),
        "[a-z\"\\\\é ]{0,9}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((field.clone(), inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), (provider, family) in any_provider()) {
        let ask = Ask::new(&provider.families()[family], span());
        let _unused = provider.page(&ask, &bytes);
    }

    #[test]
    fn no_json_panics(json in any_json(), (provider, family) in any_provider()) {
        let ask = Ask::new(&provider.families()[family], span());
        let page = provider.page(&ask, json.as_bytes());
        // What is charged can be written down and read again.
        for charge in page.iter().flat_map(|page| &page.facts).filter_map(|fact| fact.charge.as_ref()) {
            prop_assert_eq!(charge.amount.to_string().parse(), Ok(charge.amount.clone()));
        }
    }
}
