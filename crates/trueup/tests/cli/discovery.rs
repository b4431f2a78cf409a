//! Where OpenClaw keeps sessions: variables, profiles, older names, settings and its registry.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::home::{Home, Run, finish};

/// A transcript with one call of so many tokens.
pub(crate) fn transcript(session: &str, tokens: u64) -> String {
    let time = "2026-11-20T22:08:30.117Z";
    format!(
        r#"{{"type":"session","version":3,"id":"{session}","timestamp":"{time}","cwd":"/w"}}
{{"type":"message","id":"{session}","parentId":null,"timestamp":"{time}","message":{{"role":"assistant","content":[],"provider":"mock","model":"mock-1","usage":{{"input":{tokens},"output":0,"cacheRead":0,"cacheWrite":0,"totalTokens":{tokens}}},"stopReason":"stop","timestamp":1795212509482}}}}
"#
    )
}

/// Writes such a transcript below a state folder.
pub(crate) fn put(home: &Home, state: &str, tokens: u64) {
    let session = format!("{state}-{tokens}").replace(['/', '.'], "");
    let path = format!("{state}/agents/main/sessions/{session}.jsonl");
    home.write(&path, transcript(&session, tokens));
}

/// Runs a command line with variables of its own.
fn run_with(home: &Home, variables: &[(&str, &str)], line: &str) -> Run {
    let mut command = home.command(&line.split_whitespace().collect::<Vec<_>>());
    command.envs(variables.iter().copied());
    finish(command)
}

/// What is counted, from a look that keeps nothing.
fn total(home: &Home, variables: &[(&str, &str)], options: &str) -> u64 {
    let run = run_with(home, variables, &format!("report --no-ledger --json {options}"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["totals"]["exact"]["total"].as_u64().unwrap()
}

fn problems(home: &Home) -> String {
    home.run("sources --problems").stdout.replace(home.path().to_str().unwrap(), "~")
}

#[test]
fn every_state_folder_of_a_home_is_read() {
    let home = Home::new();
    for (at, state) in [
        ".openclaw",
        ".clawdbot",
        ".moltbot",
        ".moldbot",
        ".openclaw-dev",
        ".openclaw-work",
        "else",
    ]
    .into_iter()
    .enumerate()
    {
        put(&home, state, 10_u64.pow(u32::try_from(at).unwrap()));
    }
    assert_eq!(total(&home, &[], ""), 111_111);
    // A folder that OpenClaw would not take for a profile's is none.
    home.write(".openclaw-notes.txt", "no folder");
    // Two names of one folder are one folder.
    std::os::unix::fs::symlink(home.at(".openclaw"), home.at(".openclaw-link")).unwrap();
    assert_eq!(total(&home, &[("OPENCLAW_PROFILE", "work")], ""), 111_111);
    let sources = home.print("sources --json");
    assert_eq!(sources.matches(".openclaw-link").count(), 0, "{sources}");
}

#[test]
fn variables_are_read_as_openclaw_reads_them() {
    let home = Home::new();
    put(&home, ".openclaw", 1);
    put(&home, "other/.openclaw", 20);
    put(&home, "other/.openclaw-p", 300);
    put(&home, "state", 4_000);
    let other = home.at("other").display().to_string();
    let state = home.at("state").display().to_string();
    for (variables, expected) in [
        (&[][..], 1),
        (&[("OPENCLAW_HOME", other.as_str())], 320),
        (&[("OPENCLAW_HOME", "~/other")], 320),
        (&[("OPENCLAW_HOME", " undefined ")], 1),
        (&[("HOME", "null"), ("USERPROFILE", other.as_str())], 320),
        (&[("OPENCLAW_STATE_DIR", state.as_str())], 4_000),
        (&[("OPENCLAW_STATE_DIR", "~/state")], 4_000),
        (&[("OPENCLAW_STATE_DIR", "null")], 1),
        (&[("OPENCLAW_STATE_DIR", "~/.openclaw-p"), ("OPENCLAW_HOME", other.as_str())], 300),
    ] {
        assert_eq!(total(&home, variables, "--source openclaw"), expected, "{variables:?}");
    }
}

#[test]
fn one_option_points_every_command_at_one_tree() {
    let home = Home::new();
    put(&home, ".openclaw", 1);
    put(&home, "copy", 20);
    put(&home, "state", 300);
    let state = home.at("state").display().to_string();
    let variables = [("OPENCLAW_STATE_DIR", state.as_str()), ("OPENCLAW_DIR", "~/.openclaw")];
    let option = format!("--openclaw-dir {}/copy", home.path().display());
    assert_eq!(total(&home, &variables, &option), 20);
    assert_eq!(total(&home, &[("TRUEUP_OPENCLAW_DIR", "~/copy"), variables[0]], ""), 20);
    for line in ["report", "sessions", "sources", "sync", "sync --from openclaw"] {
        let run = run_with(&home, &variables, &format!("{line} {option}"));
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
    }
    let run = run_with(&home, &variables, &format!("sources --json {option}"));
    let sources: Value = serde_json::from_str(&run.stdout).unwrap();
    let roots = sources["roots"].as_array().unwrap().iter();
    let roots: Vec<&Value> = roots.filter(|root| root["agent"] == "openclaw").collect();
    assert_eq!(roots.len(), 1, "{sources}");
    assert_eq!(roots[0]["origin"], "openclaw_dir");
    assert_eq!(sources["sources"]["openclaw"]["calls"], 1);
    let config = home.print(&format!("config --json {option}"));
    assert!(config.contains("/copy\"") && config.contains("\"flag\""), "{config}");
    // No folder there is nothing found, and not a look elsewhere.
    let run = run_with(&home, &[], "report --no-ledger --openclaw-dir /nowhere/claw");
    assert!(run.stdout.contains("/nowhere/claw (not there)"), "{run:?}");
}

#[test]
fn stores_that_the_settings_name_are_read_beside_the_usual_ones() {
    let home = Home::new();
    put(&home, ".openclaw", 1);
    let write = |path: &str, tokens| home.write(path, transcript(&path.replace('/', "-"), tokens));
    write("stores/main/own/a.jsonl", 20);
    write("stores/work/own/b.jsonl.reset.2026-05-20T10-00-00.000Z", 300);
    write("stores/work/own/b.trajectory.jsonl", 7);
    write("stores/work/other/c.jsonl", 7);
    write("elsewhere/d.jsonl", 4_000);
    let settings = "// JSON5\n{ session: { store: '~/stores/{agentId}/own/sessions.json', }, }";
    home.write(".openclaw/openclaw.json", settings);
    assert_eq!(total(&home, &[], ""), 321);
    // An include in the place of all, and one in the place of `session`.
    home.write(
        ".openclaw/openclaw.json",
        "{ $include: ['./all.json5'], session: { $include: './s.json5' } }",
    );
    home.write(".openclaw/all.json5", settings);
    home.write(".openclaw/s.json5", "{ store: '~/elsewhere/sessions.json' }");
    assert_eq!(total(&home, &[], ""), 4_321);
    assert_eq!(problems(&home), "Everything that was found could be read.\n");
    // A copy of what is known is no second call.
    home.write("elsewhere/e.jsonl", fs::read(home.at("elsewhere/d.jsonl")).unwrap());
    assert_eq!(total(&home, &[], ""), 4_321);
    let named = home.at("named.json").display().to_string();
    home.write("named.json", "{ session: { store: '~/stores/work/other/x.json' } }");
    assert_eq!(total(&home, &[("OPENCLAW_CONFIG_PATH", &named)], ""), 4_328);
}

#[test]
fn an_index_of_another_name_says_what_its_sessions_used() {
    let home = Home::new();
    put(&home, ".openclaw", 1);
    home.write(".openclaw/openclaw.json", "{ session: { store: '~/x/{agentId}/claw.json' } }");
    let entry = r#"{"sessionId":"a","updatedAt":1795212510117,"inputTokens":690,"outputTokens":66,
        "cacheRead":400,"totalTokens":1090}"#;
    home.write("x/main/claw.json", format!("{{\"agent:main:main\":{entry}}}"));
    let report: Value = serde_json::from_str(&home.print("report --json")).unwrap();
    assert_eq!(report["totals"]["estimated"]["total"], 1_156, "{report}");
    // And no longer, once the transcript beside it has the run.
    home.write("x/main/a.jsonl", transcript("a", 756));
    let report: Value = serde_json::from_str(&home.print("report --json")).unwrap();
    assert_eq!(report["totals"]["exact"]["total"], 757, "{report}");
    assert_eq!(report["totals"]["estimated"]["total"], 0, "{report}");
}

#[test]
fn settings_that_cannot_be_followed_are_problems_until_they_can() {
    let home = Home::new();
    put(&home, ".openclaw", 1);
    for (settings, expected) in [
        ("{ session: ", "~/.openclaw/openclaw.json:1: is no JSON5 settings file, and may name"),
        ("{ session: { store: 'sessions.json' } }", "`session.store` is a relative path"),
        (
            "{ $include: './gone.json5' }",
            "openclaw.json: includes ~/.openclaw/gone.json5: cannot be",
        ),
        ("{ $include: './one.json5' }", "one.json5: its own `$include` is not followed"),
    ] {
        home.write(".openclaw/one.json5", "{ $include: './two.json5' }");
        home.write(".openclaw/openclaw.json", settings);
        let said = problems(&home);
        assert!(said.contains(expected) && said.lines().count() == 1, "{settings}: {said}");
    }
    home.write(".openclaw/openclaw.json", "{}");
    assert_eq!(problems(&home), "Everything that was found could be read.\n");
}

/// Writes a registry of databases.
fn registry(home: &Home, rows: &[(&str, &Path)]) {
    fs::create_dir_all(home.at(".openclaw/state")).unwrap();
    let path = home.at(".openclaw/state/openclaw.sqlite");
    let database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; DROP TABLE IF EXISTS agent_databases;
             CREATE TABLE agent_databases (agent_id TEXT, path TEXT, schema_version INTEGER,
                 last_seen_at INTEGER, size_bytes INTEGER)",
        )
        .unwrap();
    for (agent, path) in rows {
        let row = (agent, path.to_str().unwrap());
        database.execute("INSERT INTO agent_databases VALUES (?1, ?2, 23, 0, 0)", row).unwrap();
    }
}

#[test]
fn databases_that_the_registry_names_are_read_wherever_they_lie() {
    let home = Home::of_fixtures(&["openclaw/22_sqlite_v23_zstd"]);
    let usual = ".openclaw/agents/main/agent/openclaw-agent.sqlite";
    let before = total(&home, &[], "");
    assert_eq!(before, 3_358);
    fs::create_dir_all(home.at("volume")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _is_there = fs::rename(
            home.at(&format!("{usual}{suffix}")),
            home.at(&format!("volume/moved.db{suffix}")),
        )
        .is_ok();
    }
    assert_eq!(total(&home, &[], ""), 0);
    let moved = home.at("volume/moved.db");
    registry(&home, &[("main", &moved)]);
    assert_eq!(total(&home, &[], ""), before);
    // By a path below the state folder, and by the usual one besides.
    fs::create_dir_all(home.at(".openclaw/data")).unwrap();
    fs::copy(&moved, home.at(".openclaw/data/x.sqlite")).unwrap();
    registry(&home, &[("main", Path::new("data/x.sqlite")), ("work", &moved)]);
    assert_eq!(total(&home, &[], ""), before);
    let sources: Value = serde_json::from_str(&home.print("sources --json")).unwrap();
    let roots = sources["roots"].as_array().unwrap();
    let named = roots.iter().filter(|root| root["origin"] == "agent_databases").count();
    assert_eq!(named, 2, "{sources}");
}

#[test]
fn a_database_that_is_registered_and_gone_is_a_problem_until_it_is_back() {
    let home = Home::of_fixtures(&["openclaw/22_sqlite_v23_zstd"]);
    let usual = home.at(".openclaw/agents/main/agent/openclaw-agent.sqlite");
    let gone = home.at("gone/openclaw-agent.sqlite");
    registry(&home, &[("main", &usual), ("work", &gone)]);
    let expected = "~/.openclaw/state/openclaw.sqlite:2: names ~/gone/openclaw-agent.sqlite, which is \
                    not there (unreadable)\n";
    for _ in 0..2 {
        assert_eq!(problems(&home), expected);
    }
    assert_eq!(home.run("report --strict").code, Some(3));
    assert_eq!(total(&home, &[], ""), 3_358);
    let (from, to) = (usual.display(), gone.parent().unwrap());
    fs::create_dir_all(to).unwrap();
    fs::copy(from.to_string(), &gone).unwrap();
    assert_eq!(problems(&home), "Everything that was found could be read.\n");
    // A registry of another shape, and one that is no database.
    let state = home.at(".openclaw/state/openclaw.sqlite");
    let database = Connection::open(&state).unwrap();
    database.execute_batch("ALTER TABLE agent_databases RENAME COLUMN path TO place").unwrap();
    drop(database);
    assert!(problems(&home).contains("agent_databases has no column path (unknown_schema)"));
    for suffix in ["", "-wal", "-shm"] {
        let path = home.at(&format!(".openclaw/state/openclaw.sqlite{suffix}"));
        let _was_there = fs::remove_file(path).is_ok();
    }
    fs::write(&state, "no database, but long enough to be looked at as one, page by page").unwrap();
    assert!(problems(&home).contains("openclaw.sqlite: is not a readable database"));
}

#[test]
fn one_agent_is_synced_alone() {
    let home = Home::everyday();
    let said = home.print("sync --from openclaw");
    assert!(said.starts_with("Read ") && said.contains("of 2 stores"), "{said}");
    let sources = home.print("report agent --json --no-ledger");
    assert!(sources.contains("claude-code"));
    let ledger = Connection::open(home.ledger()).unwrap();
    let sources: Vec<String> = ledger
        .prepare("SELECT DISTINCT source FROM series")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(sources, ["openclaw"]);
    home.print("sync --from codex --from gemini-cli");
    let run = home.run("sync --from openclwa");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(
        run.stderr,
        "trueup: `openclwa` is not an agent that is read; there are claude-code, codex, openclaw, \
         gemini-cli, opencode\n"
    );
}
