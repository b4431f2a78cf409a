//! Whether the hook in OpenClaw runs, where it was installed. No account needs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use trueup_agents::Root;

use super::{Item, Sight, Status, Verdict};
use crate::config::Config;
use crate::hooks::openclaw::enabled::{self, Enabled};
use crate::hooks::openclaw::files::{self, Present};
use crate::hooks::openclaw::program::{self, Ask};
use crate::hooks::openclaw::{SOURCE, state_folders};
use crate::hooks::spool;
use crate::render::number::counted;

/// The hook is there and is not run, or what it leaves finds no room.
pub(super) fn hook_not_loaded(sight: &Sight<'_>) -> Verdict {
    let folders = state_folders(&sight.config.environment).found;
    let hooks: Vec<State> = folders.iter().map(|root| state(root, sight.config)).collect();
    let installed = hooks.iter().filter(|hook| hook.is_installed).count();
    let mut items: Vec<Item> = hooks.iter().filter_map(|hook| hook.fault.clone()).collect();
    items.extend(drops(sight.config, &hooks));
    let verdict = match (installed, items.len() as u64) {
        (0, 0) => Verdict::ok("not installed, and optional"),
        (_, 0) => Verdict::ok("installed and enabled"),
        (_, faults) => {
            let detail = format!(
                "{} with the hook; the account is the same without it, only later",
                counted(faults, "fault")
            );
            Verdict::new(Status::Warn, detail)
        }
    };
    verdict.with(items).meta("installed", installed)
}

/// The hook of one state folder.
struct State {
    is_installed: bool,
    fault: Option<Item>,
    spool: Option<PathBuf>,
}

fn state(root: &Root, config: &Config) -> State {
    let fault = |reason: String, mend: String| {
        let item = Item::new(reason).at(&files::folder(&root.path));
        Some(Item { mend: Some(mend), ..item })
    };
    let look = "trueup hooks status".to_owned();
    match files::look(&root.path) {
        Ok(Present::Nothing) => State { is_installed: false, fault: None, spool: None },
        Ok(Present::Foreign(why)) => {
            State { is_installed: false, fault: fault(why, look), spool: None }
        }
        Err(error) => {
            State { is_installed: false, fault: fault(format!("{error:#}"), look), spool: None }
        }
        Ok(Present::Ours(text)) => {
            let fault = match enabled::look(&root.path, &config.environment) {
                Enabled::No => fault(
                    "it is installed, but OpenClaw does not load it".to_owned(),
                    program::command(Ask::Enable, root),
                ),
                // That the configuration cannot be understood is no fault of the hook.
                Enabled::Yes | Enabled::Unknown(_) => None,
            };
            State { is_installed: true, fault, spool: text.spool() }
        }
    }
}

/// Spool folders in which events found no room.
fn drops(config: &Config, hooks: &[State]) -> Vec<Item> {
    let used = hooks.iter().filter_map(|hook| hook.spool.clone());
    let spools: BTreeSet<_> = used.chain([config.spool(SOURCE)]).collect();
    let item = |path: &Path, reason: String| {
        let first = "remove its file `dropped` when you have seen to it";
        Item::new(reason).at(path).mended((Some(first), "trueup hooks status"))
    };
    spools
        .into_iter()
        .filter_map(|path| match spool::look(&path) {
            Ok(waiting) if waiting.dropped == 0 => None,
            Ok(waiting) => {
                let reason = format!("{} found no room", counted(waiting.dropped, "event"));
                Some(item(&path, reason))
            }
            Err(error) => Some(item(&path, format!("{error:#}"))),
        })
        .collect()
}
