//! Agents that ask: what a tool tells is what its verb prints, and nothing that is sent changes anything.
//!
//! `scripts/prove-mcp` asks the same with the protocol's own SDKs.

use provider_sim::{DAY_S, Plan};
use rusqlite::Connection;
use serde_json::{Value, json};
use trueup_core::{Decimal, UnixMs};

use crate::focus_rules::Table;
use crate::home::{Home, Run, finish_with};
use crate::providers::World;

/// What the program says to messages, in order.
fn said(home: &Home, messages: &[Value]) -> Vec<Value> {
    let lines: Vec<String> = messages.iter().map(Value::to_string).collect();
    let run: Run = finish_with(home.command(&["mcp"]), lines.join("\n").as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn call(tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

/// What a tool tells.
fn told(home: &Home, tool: &str, arguments: &Value) -> Value {
    let answer = said(home, &[call(tool, arguments)]).remove(0);
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    answer["result"]["structuredContent"].clone()
}

/// Without what says which part of a list it is.
fn whole(mut answer: Value, list: &str) -> Value {
    let object = answer.as_object_mut().unwrap();
    assert_eq!(object.remove("next_offset"), Some(Value::Null));
    let total = object.remove(&format!("{list}_total")).unwrap();
    assert_eq!(total, object[list].as_array().unwrap().len());
    answer
}

fn printed(home: &Home, line: &str) -> Value {
    serde_json::from_str(&home.run(line).stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn a_conversation_begins_with_a_handshake_or_without_one() {
    let home = Home::new();
    let hello = |version: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        }})
    };
    let envelope = |version: &str| {
        json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        })
    };
    let asked = |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let answers = said(
        &home,
        &[
            hello("2024-11-05"),
            hello("2031-01-01"),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}),
            json!([asked(5, "ping", json!(null)), {"jsonrpc": "2.0", "method": "notifications/x"}]),
            asked(6, "server/discover", json!({"_meta": envelope("2026-07-28")})),
            asked(7, "tools/list", json!({"_meta": envelope("2031-01-01")})),
            asked(8, "resources/list", json!({})),
            asked(9, "tools/call", json!({"name": "drop_table"})),
            json!("hello"),
        ],
    );
    assert_eq!(answers[0]["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(answers[0]["result"]["serverInfo"]["name"], "trueup");
    assert_eq!(answers[1]["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(answers[2], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    assert_eq!(answers[3], json!([{"jsonrpc": "2.0", "id": 5, "result": {}}]));
    assert_eq!(answers[4]["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(answers[4]["result"]["resultType"], "complete");
    assert_eq!(answers[5]["error"]["code"], -32022);
    assert_eq!(answers[5]["error"]["data"]["requested"], "2031-01-01");
    assert_eq!(answers[6]["error"]["code"], -32601);
    assert_eq!(answers[7]["error"]["code"], -32602);
    assert_eq!(answers[8]["error"]["code"], -32600);
    assert_eq!(answers.len(), 9);
}

#[test]
fn every_tool_only_reads_and_says_what_it_takes() {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let answer = said(&Home::new(), &[list]).remove(0);
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let expected = [
        "query_usage",
        "query_cost",
        "list_sessions",
        "query_completeness",
        "find_gaps",
        "check_parity",
        "list_budgets",
    ];
    assert_eq!(names, expected);
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        let properties = tool["inputSchema"]["properties"].as_object().unwrap();
        for writing in ["out", "csv", "no_ledger", "ledger", "config", "baseline"] {
            assert!(!properties.contains_key(writing), "{tool}");
        }
    }
}

#[test]
fn the_account_is_told_as_reports_print_it() {
    let home = Home::everyday();
    for (tool, arguments, line) in [
        ("query_usage", json!({"limit": 500}), "report --json"),
        ("query_usage", json!({"by": "model"}), "report --by model --json"),
        ("query_usage", json!({"by": ["block"]}), "report block --json"),
        (
            "query_usage",
            json!({"by": ["project", "kind"], "cost": "computed", "breakdown": true}),
            "report --by project,kind --cost computed --breakdown --json",
        ),
        ("list_sessions", json!({"last": 3}), "sessions --last 3 --json"),
        (
            "query_completeness",
            json!({"by": ["week"], "source": ["openclaw"]}),
            "report --by week --source openclaw --completeness --json",
        ),
    ] {
        let answer = whole(told(&home, tool, &arguments), "rows");
        assert_eq!(answer, printed(&home, line), "{tool} {arguments}");
        assert!(!answer["rows"].as_array().unwrap().is_empty(), "{tool} {arguments}");
    }
    // Without what moves meanwhile: the time, and the room on the disk.
    let findings = |report: &Value| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks
            .map(|check| json!([check["id"], check["status"], check["items"]]))
            .collect::<Vec<_>>()
    };
    let gaps = whole(told(&home, "find_gaps", &json!({})), "checks");
    assert_eq!(findings(&gaps), findings(&printed(&home, "doctor --json")));
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_name() {
    let home = Home::everyday();
    for (tool, arguments, word) in [
        ("query_usage", json!({"since": "yesterday"}), "--since"),
        ("query_usage", json!({"since": 5}), "`since` must be a text"),
        ("query_usage", json!({"by": [5]}), "`by` must be a list of texts"),
        ("query_usage", json!({"by": ["session", "day"]}), "sessions cannot be combined"),
        ("query_usage", json!({"source": ["nobody"]}), "`nobody` is not an agent"),
        ("query_usage", json!({"breakdown": "yes"}), "`breakdown` must be true or false"),
        ("query_usage", json!({"ledger": "/tmp/other.db"}), "`ledger` is not a parameter"),
        ("query_usage", json!({"limit": 501}), "`limit` must be a whole number from 1 to 500"),
        ("query_usage", json!({"model": ["--no-ledger"], "offset": -1}), "`offset`"),
        ("query_usage", json!([]), "the arguments must be an object"),
        ("query_completeness", json!({"by": ["model"]}), "by day, week or month only"),
        ("query_cost", json!({"out": "/tmp/costs"}), "`out` is not a parameter"),
        ("list_budgets", json!({}), "no budget is set"),
        ("check_parity", json!({}), "there is nothing to compare with"),
    ] {
        let answer = said(&home, &[call(tool, &arguments)]).remove(0);
        assert_eq!(answer["result"]["isError"], true, "{tool} {arguments}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(word), "{tool} {arguments}: {text}");
        assert!(!text.contains("Usage:") && !text.contains("--help"), "{text}");
    }
    // What looks like an option is a value: nothing but the parameters can be reached.
    assert_eq!(told(&home, "query_usage", &json!({"model": ["--no-ledger"]}))["rows"], json!([]));
}

#[test]
fn the_bill_is_told_as_parity_and_exports_print_it() {
    const TODAY_S: i64 = 1_762_732_800;
    let plan = Plan { today_s: TODAY_S, days: 20, ..Plan::default() };
    let world = World::of("openai", plan);
    let date = |day_s: i64| UnixMs(day_s * 1_000).utc_date();
    let (from, to) = (date(TODAY_S - 19 * DAY_S), date(TODAY_S - DAY_S));
    world.home.print(&format!("pull --from {from} --to {to}"));
    let home = &world.home;
    let arguments = json!({"from": from, "to": to, "limit": 500});

    let mut run = whole(told(home, "check_parity", &arguments), "findings");
    assert_eq!(recorded(home), 0, "what was only asked is not recorded");
    let mut expected = printed(home, &format!("parity --format json --from {from} --to {to}"));
    assert_eq!(recorded(home), 1);
    assert!(!expected["findings"].as_array().unwrap().is_empty());
    for run in [&mut run, &mut expected] {
        run["run_id"] = Value::Null;
    }
    assert_eq!(run, expected);

    let mut asked = arguments;
    asked["by"] = json!(["day", "model"]);
    let cost = whole(told(home, "query_cost", &asked), "rows");
    let focus = Table::of(&home.print(&format!("export focus --from {from} --to {to}")));
    let decimal = |text: &str| text.parse::<Decimal>().unwrap();
    let sum = |amounts: Vec<Decimal>| amounts.iter().fold(Decimal::ZERO, |sum, one| sum.plus(one));
    let of_basis = |list: &Value, basis: &str| {
        let of_these = list.as_array().unwrap().iter().filter(|row| row["basis"] == basis);
        sum(of_these.map(|row| decimal(row["amount"].as_str().unwrap())).collect())
    };
    let of_focus = focus.rows.iter().map(|row| {
        assert_eq!(focus.get(row, "x_EstimateOrBilled"), Some("billed"));
        decimal(focus.get(row, "BilledCost").unwrap())
    });
    let of_focus = sum(of_focus.collect());
    assert_eq!(of_basis(&cost["totals"], "billed"), of_focus);
    assert_eq!(of_basis(&cost["rows"], "billed"), of_focus);
    assert!(cost["rows"].as_array().unwrap().len() > 20 && of_focus > Decimal::ZERO);
}

/// How many comparisons the ledger remembers.
fn recorded(home: &Home) -> i64 {
    let ledger = Connection::open(home.ledger()).unwrap();
    ledger.query_row("SELECT count(*) FROM reconciliations", [], |row| row.get(0)).unwrap()
}
