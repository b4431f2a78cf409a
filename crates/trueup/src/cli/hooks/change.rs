//! `trueup hooks install` and `uninstall`.
//!
//! Each state folder is done for itself: one that cannot be changed does not keep the others from it.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use trueup_agents::Root;

use super::{HookedAgent, indented, nowhere};
use crate::config::Config;
use crate::hooks::openclaw::enabled::{self, Enabled};
use crate::hooks::openclaw::files::{self, Present, Text, VERSION};
use crate::hooks::openclaw::program::{self, Ask};
use crate::hooks::openclaw::{SOURCE, StateFolders, state_folders};

#[derive(Debug, Args)]
pub(super) struct Change {
    /// The agent
    agent: HookedAgent,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Change {
    pub(super) fn install(self, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
        let HookedAgent::OpenClaw = self.agent;
        let folders = state_folders(&config.environment);
        if folders.found.is_empty() {
            bail!("{}", nowhere(&folders));
        }
        let spool = config.spool(SOURCE);
        if !self.dry_run {
            make_spool(&spool)?;
        }
        let doing = Doing::new(config, self.dry_run);
        let mut is_written = false;
        let failed = doing.each(&folders, out, |root, out| {
            is_written |= doing.write(root, &spool, out)?;
            doing.enable(root, out)
        })?;
        writeln!(out, "\nEvents go to {}", spool.display())?;
        if self.dry_run {
            writeln!(out, "Nothing was changed.")?;
        } else if is_written {
            writeln!(out, "A gateway that runs may load the hook only when it starts again.")?;
        }
        end(failed, &folders)
    }

    pub(super) fn uninstall(self, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
        let HookedAgent::OpenClaw = self.agent;
        let folders = state_folders(&config.environment);
        if folders.found.is_empty() {
            writeln!(out, "{}", nowhere(&folders))?;
            return Ok(ExitCode::SUCCESS);
        }
        let doing = Doing::new(config, self.dry_run);
        let failed = doing.each(&folders, out, |root, out| doing.uninstall(root, out))?;
        writeln!(out, "\nEvents that it left stay in {}", config.spool(SOURCE).display())?;
        if self.dry_run {
            writeln!(out, "Nothing was changed.")?;
        }
        end(failed, &folders)
    }
}

/// What holds for all state folders.
struct Doing<'a> {
    config: &'a Config,
    program: Option<PathBuf>,
    is_dry_run: bool,
}

impl<'a> Doing<'a> {
    fn new(config: &'a Config, is_dry_run: bool) -> Self {
        Self { config, program: program::find(&config.environment), is_dry_run }
    }

    /// Does something to each state folder; how often it failed.
    fn each<Out: Write>(
        &self,
        folders: &StateFolders,
        out: &mut Out,
        mut one: impl FnMut(&Root, &mut Out) -> Result<()>,
    ) -> Result<usize> {
        let mut failed = 0;
        for root in &folders.found {
            writeln!(out, "{}", root.path.display())?;
            if let Err(error) = one(root, out) {
                failed += 1;
                let word = if self.is_dry_run { "would fail" } else { "failed" };
                let said = format!("{word}: {error:#}");
                writeln!(out, "{}", indented(&said))?;
            }
        }
        Ok(failed)
    }

    /// Brings the hook's files up to date; whether they were not.
    fn write(&self, root: &Root, spool: &Path, out: &mut impl Write) -> Result<bool> {
        let state = &root.path;
        let present = files::look(state)?;
        let text = Text::new(state, spool)?;
        files::check_module_type(state)?;
        let over = match present {
            Present::Foreign(why) => {
                bail!("{why}, and is left alone. Move it away, then install again.")
            }
            Present::Ours(present) if present.version > VERSION => bail!(
                "version {} is there, of a newer trueup; this one has version {VERSION}. \
                 Install with the newer one.",
                present.version
            ),
            Present::Ours(present) if present == text => {
                writeln!(out, "  in place: hooks/trueup, version {VERSION}")?;
                return Ok(false);
            }
            Present::Ours(present) => format!(" over version {}", present.version),
            Present::Nothing => String::new(),
        };
        let files = format!("hooks/trueup/HOOK.md, handler.js, version {VERSION}{over}");
        if self.is_dry_run {
            writeln!(out, "  would write: {files}")?;
        } else {
            files::write(state, &text)?;
            writeln!(out, "  written: {files}")?;
        }
        Ok(true)
    }

    fn enable(&self, root: &Root, out: &mut impl Write) -> Result<()> {
        if enabled::look(&root.path, &self.config.environment) == Enabled::Yes {
            writeln!(out, "  enabled: the configuration says so")?;
            return Ok(());
        }
        let command = program::command(Ask::Enable, root);
        match &self.program {
            None => {
                writeln!(
                    out,
                    "  not enabled: there is no `openclaw` on the PATH here. Where it is, run"
                )?;
                writeln!(out, "    {command}")?;
            }
            Some(_) if self.is_dry_run => writeln!(out, "  would run: {command}")?,
            Some(program) => {
                let were_off = enabled::are_all_off(&root.path, &self.config.environment);
                program::run(program, Ask::Enable, root)?;
                writeln!(out, "  enabled: {command}")?;
                if were_off {
                    writeln!(out, "{}", indented(ALL_ON))?;
                }
            }
        }
        Ok(())
    }

    fn uninstall(&self, root: &Root, out: &mut impl Write) -> Result<()> {
        let state = &root.path;
        match files::look(state)? {
            Present::Nothing => {
                writeln!(out, "  not installed")?;
                return Ok(());
            }
            Present::Foreign(why) => bail!("{why}, and is left alone"),
            Present::Ours(_) => {}
        }
        // While it is there: OpenClaw disables no hook that it does not know.
        let disabled = self.disable(root, out);
        if self.is_dry_run {
            writeln!(out, "  would remove: hooks/trueup/HOOK.md, handler.js")?;
        } else if files::remove(state)? {
            writeln!(out, "  removed: hooks/trueup")?;
        } else {
            writeln!(out, "  removed: hooks/trueup/HOOK.md, handler.js; other files stay there")?;
        }
        disabled
    }

    fn disable(&self, root: &Root, out: &mut impl Write) -> Result<()> {
        if enabled::look(&root.path, &self.config.environment) == Enabled::No {
            return Ok(());
        }
        let command = program::command(Ask::Disable, root);
        match &self.program {
            None => writeln!(
                out,
                "  not disabled: there is no `openclaw` on the PATH here. Its configuration may\n  \
                 go on naming the hook, which does nothing."
            )?,
            Some(_) if self.is_dry_run => writeln!(out, "  would run: {command}")?,
            Some(program) => {
                program::run(program, Ask::Disable, root)?;
                writeln!(out, "  disabled: {command}")?;
            }
        }
        Ok(())
    }
}

/// True of 2026.2.12, and no longer of 2026.9.6.
const ALL_ON: &str = "note: OpenClaw ran no hooks before. Its older versions now run all that they \
                      bring: `openclaw hooks list` shows them, `openclaw hooks disable` stops one.";

/// Hooks make it too, where it is gone; made here, it is known that it can be.
fn make_spool(spool: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(spool).with_context(|| {
        format!("the spool {} cannot be made; `spool_dir` names another", spool.display())
    })
}

fn end(failed: usize, folders: &StateFolders) -> Result<ExitCode> {
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{failed} of {} state folders failed, as said above", folders.found.len())
}
