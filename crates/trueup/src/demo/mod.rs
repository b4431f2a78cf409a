//! The home folder of the demonstration: a fortnight of three agents, as they write it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use trueup_core::{DAY_MS, UnixMs};

/// Days before now on which there is usage.
const DAYS: i64 = 14;

/// Writes the home folder, with sessions up to `now`.
pub(crate) fn write_home(home: &Path, now: UnixMs) -> Result<()> {
    for days_ago in (0..DAYS).rev() {
        // Some days off, and more work lately.
        if days_ago % 7 == 5 {
            continue;
        }
        let start = UnixMs(now.0 - days_ago * DAY_MS - 40 * MINUTE_MS);
        write(
            home,
            &format!(".claude/projects/-home-demo-shop/{}.jsonl", id(1, days_ago)),
            &claude(start, days_ago),
        )?;
        if days_ago % 2 == 0 {
            let day = start.zoned(&jiff::tz::TimeZone::UTC).strftime("%Y/%m/%d").to_string();
            let name = format!(
                ".codex/sessions/{day}/rollout-{}-{}.jsonl",
                day.replace('/', "-"),
                id(2, days_ago)
            );
            write(home, &name, &codex(start, days_ago))?;
        }
        if days_ago % 3 == 0 {
            let name = format!(".openclaw/agents/main/sessions/{}.jsonl", id(3, days_ago));
            write(home, &name, &openclaw(start, days_ago))?;
        }
    }
    Ok(())
}

const MINUTE_MS: i64 = 60_000;

fn write(home: &Path, name: &str, text: &str) -> Result<()> {
    let path = home.join(name);
    let folder = path.parent().context("names of sessions have a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn id(agent: i64, days_ago: i64) -> String {
    format!("00000000-0000-4000-8000-{:012}", agent * 1_000 + days_ago)
}

/// Minutes into the session of its calls; the later, the longer the prompt.
fn calls(days_ago: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..6 + (DAYS - days_ago) % 5).map(|at| (at, at * 4))
}

/// Each answer stands there twice, as Claude Code streams it: only the second is complete.
fn claude(start: UnixMs, days_ago: i64) -> String {
    let mut text = String::new();
    for (at, minute) in calls(days_ago) {
        let model = if at % 3 == 2 { "claude-haiku-4-5" } else { "claude-opus-4-8" };
        for (second, output) in [(0, 3), (9, 420 + 60 * at)] {
            let time = UnixMs(start.0 + minute * MINUTE_MS + second * 1_000);
            let _is_written = writeln!(
                text,
                r#"{{"isSidechain":false,"cwd":"/home/demo/shop","sessionId":"{}","message":{{"model":"{model}","id":"msg_{days_ago}_{at}","role":"assistant","content":[],"usage":{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"output_tokens":{output}}}}},"requestId":"req_{days_ago}_{at}","type":"assistant","uuid":"u_{days_ago}_{at}_{second}","timestamp":"{time}"}}"#,
                id(1, days_ago),
                6 + at,
                900 + 150 * at,
                18_000 + 2_400 * at,
            );
        }
    }
    text
}

fn codex(start: UnixMs, days_ago: i64) -> String {
    let mut text = format!(
        "{{\"timestamp\":\"{start}\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{}\",\"timestamp\":\"{start}\",\"cwd\":\"/home/demo/api\",\"model_provider\":\"openai\"}}}}\n\
         {{\"timestamp\":\"{start}\",\"type\":\"turn_context\",\"payload\":{{\"model\":\"gpt-5.5\"}}}}\n",
        id(2, days_ago)
    );
    let (mut input_sum, mut cached_sum, mut output_sum) = (0, 0, 0);
    for (at, minute) in calls(days_ago) {
        let (input, cached, output) = (9_000 + 1_100 * at, 7_000 + 1_000 * at, 300 + 20 * at);
        (input_sum, cached_sum, output_sum) =
            (input_sum + input, cached_sum + cached, output_sum + output);
        let usage = |input: i64, cached: i64, output: i64| {
            format!(
                r#"{{"input_tokens":{input},"cached_input_tokens":{cached},"output_tokens":{output},"reasoning_output_tokens":{},"total_tokens":{}}}"#,
                output / 3,
                input + output
            )
        };
        let time = UnixMs(start.0 + minute * MINUTE_MS + 30_000);
        let _is_written = writeln!(
            text,
            r#"{{"timestamp":"{time}","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{},"last_token_usage":{}}}}}}}"#,
            usage(input_sum, cached_sum, output_sum),
            usage(input, cached, output),
        );
    }
    text
}

fn openclaw(start: UnixMs, days_ago: i64) -> String {
    let mut text = format!(
        "{{\"type\":\"session\",\"version\":3,\"id\":\"{}\",\"timestamp\":\"{start}\",\"cwd\":\"/home/demo/notes\"}}\n",
        id(3, days_ago)
    );
    for (at, minute) in calls(days_ago) {
        let time = UnixMs(start.0 + minute * MINUTE_MS);
        let (input, output, cached) = (620 + 10 * at, 52 + 4 * at, 400 * at);
        let _is_written = writeln!(
            text,
            r#"{{"type":"message","id":"{days_ago:04x}{at:04x}","timestamp":"{time}","message":{{"role":"assistant","content":[],"provider":"google","model":"gemini-3-pro-preview","usage":{{"input":{input},"output":{output},"cacheRead":{cached},"cacheWrite":0,"totalTokens":{}}},"stopReason":"stop","timestamp":{}}}}}"#,
            input + output + cached,
            time.0,
        );
    }
    text
}
