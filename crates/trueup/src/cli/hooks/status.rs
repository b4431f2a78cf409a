//! `trueup hooks status`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use trueup_agents::Root;

use super::{indented, nowhere};
use crate::config::Config;
use crate::hooks::openclaw::enabled::{self, Enabled};
use crate::hooks::openclaw::files::{self, Present, Text, VERSION};
use crate::hooks::openclaw::{SOURCE, state_folders};
use crate::hooks::spool::{self as spools, Spooled};
use crate::render::number;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The hook of one state folder.
struct Hook {
    root: Root,
    state: &'static str,
    version: Option<u32>,
    enabled: Enabled,
    spool: Option<PathBuf>,
    /// What is to be said about it.
    detail: Option<String>,
}

impl Status {
    pub(super) fn run(self, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
        let own = config.spool(SOURCE);
        let folders = state_folders(&config.environment);
        let hooks: Vec<Hook> =
            folders.found.iter().map(|root| hook(root.clone(), config, &own)).collect();
        // A hook that was installed with another setting goes on to use another folder.
        let used = hooks.iter().filter_map(|hook| hook.spool.clone());
        let spools: BTreeMap<PathBuf, Result<Spooled>> = used
            .chain([own])
            .map(|spool| {
                let spooled = spools::look(&spool);
                (spool, spooled)
            })
            .collect();
        if self.json {
            writeln!(out, "{:#}", as_json(&hooks, &spools))?;
        } else {
            if hooks.is_empty() {
                writeln!(out, "{}", nowhere(&folders))?;
            } else {
                table(&hooks, config, out)?;
            }
            for (spool, spooled) in &spools {
                let said = spooled.as_ref().map_or_else(|error| format!("{error:#}"), said);
                writeln!(out, "\nSpool {}\n{}", spool.display(), indented(&said))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Hook {
    /// What the table has no room for.
    fn said(&self) -> Option<String> {
        let unknown = match &self.enabled {
            Enabled::Unknown(why) => Some(format!("It is not known whether it is enabled: {why}.")),
            Enabled::Yes | Enabled::No => None,
        };
        let detail = self.detail.as_ref().map(|detail| format!("{detail}."));
        let said: Vec<String> = detail.into_iter().chain(unknown).collect();
        (!said.is_empty()).then(|| said.join(" "))
    }
}

fn hook(root: Root, config: &Config, own: &Path) -> Hook {
    let enabled = enabled::look(&root.path, &config.environment);
    let (state, version, spool, detail) = match files::look(&root.path) {
        Err(error) => ("unreadable", None, None, Some(format!("{error:#}"))),
        Ok(Present::Nothing) => ("absent", None, None, None),
        Ok(Present::Foreign(why)) => ("foreign", None, None, Some(why)),
        Ok(Present::Ours(text)) => {
            let is_current = Text::new(&root.path, own).is_ok_and(|wanted| wanted == text);
            let (state, detail) = if is_current {
                ("installed", None)
            } else if text.version > VERSION {
                ("newer", Some("A newer trueup wrote it"))
            } else {
                ("outdated", Some("`trueup hooks install openclaw` brings it up to date"))
            };
            (state, Some(text.version), text.spool(), detail.map(ToOwned::to_owned))
        }
    };
    Hook { root, state, version, enabled, spool, detail }
}

fn table(hooks: &[Hook], config: &Config, out: &mut impl Write) -> Result<()> {
    let mut layout = Layout::new(vec!["State folder", "Hook", "Version", "Enabled"]);
    for hook in hooks {
        let cells = vec![
            Cell::Name(hook.root.path.display().to_string()),
            Cell::Text(hook.state.to_owned()),
            Cell::Number(hook.version.map(|version| version.to_string()).unwrap_or_default()),
            Cell::Text(word(&hook.enabled).to_owned()),
        ];
        layout.row(Look::Plain, cells);
    }
    out.write_all(layout.draw(Terminal::of_stdout(&config.environment)).as_bytes())?;
    for hook in hooks {
        if let Some(said) = hook.said() {
            writeln!(out, "\n{}\n{}", hook.root.path.display(), indented(&said))?;
        }
    }
    Ok(())
}

const fn word(enabled: &Enabled) -> &'static str {
    match enabled {
        Enabled::Yes => "yes",
        Enabled::No => "no",
        Enabled::Unknown(_) => "unknown",
    }
}

fn said(spooled: &Spooled) -> String {
    let Spooled { events, last, dropped } = spooled;
    let last = last.map(|last| last.zoned(&TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC"));
    let last = last.map(|last| format!(", the last of {last}")).unwrap_or_default();
    format!("{}{last}; {dropped} dropped", number::counted(*events, "event"))
}

fn as_json(hooks: &[Hook], spools: &BTreeMap<PathBuf, Result<Spooled>>) -> Value {
    let hooks: Vec<Value> = hooks
        .iter()
        .map(|hook| {
            let (enabled, why) = match &hook.enabled {
                Enabled::Yes => (Some(true), None),
                Enabled::No => (Some(false), None),
                Enabled::Unknown(why) => (None, Some(why)),
            };
            json!({
                "agent": SOURCE,
                "state_dir": hook.root.path.display().to_string(),
                "origin": hook.root.origin,
                "hook": hook.state,
                "detail": hook.detail,
                "version": hook.version,
                "enabled": enabled,
                "enabled_unknown_because": why,
                "spool": hook.spool.as_ref().map(|spool| spool.display().to_string()),
            })
        })
        .collect();
    let spools: Vec<Value> = spools
        .iter()
        .map(|(path, spooled)| {
            let known = spooled.as_ref().ok();
            json!({
                "path": path.display().to_string(),
                "events": known.map(|spooled| spooled.events),
                "last_event": known.and_then(|spooled| spooled.last).map(|last| last.to_string()),
                "dropped": known.map(|spooled| spooled.dropped),
                "detail": spooled.as_ref().err().map(|error| format!("{error:#}")),
            })
        })
        .collect();
    json!({"schema": 1, "hooks": hooks, "spools": spools})
}
