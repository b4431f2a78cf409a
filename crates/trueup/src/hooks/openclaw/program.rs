//! The program `openclaw`, which alone changes its configuration.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use trueup_agents::{Environment, Root};

use super::NAME;

/// Longest that the program may take: it starts slowly on small machines, and must not hang us.
const RUN_MAX: Duration = Duration::from_mins(2);

/// How much of what it said last is repeated.
const SAID_BYTES_MAX: u64 = 600;

/// What OpenClaw is asked to do with the hook.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Enable,
    Disable,
}

impl Ask {
    const fn word(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

/// The program on the path.
pub(crate) fn find(environment: &Environment) -> Option<PathBuf> {
    let folders = environment.variable("PATH")?.split(':').filter(|folder| !folder.is_empty());
    folders
        .map(|folder| Path::new(folder).join("openclaw"))
        .find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// The command that its user would type for a state folder.
pub(crate) fn command(ask: Ask, root: &Root) -> String {
    let command = format!("openclaw hooks {} {NAME}", ask.word());
    if root.origin == "~/.openclaw" {
        return command;
    }
    let folder = root.path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@".contains(c);
    let folder = if folder.chars().all(is_plain) {
        folder
    } else {
        format!("'{}'", folder.replace('\'', r"'\''"))
    };
    format!("OPENCLAW_STATE_DIR={folder} {command}")
}

/// Runs it for a state folder, and waits for its end.
pub(crate) fn run(program: &Path, ask: Ask, root: &Root) -> Result<()> {
    // Into a file, so that nobody must read while it runs, however much it says.
    let said = tempfile::tempfile().context("no temporary file can be made")?;
    let mut command_line = prepared(program, &["hooks", ask.word(), NAME], root);
    command_line.stdout(said.try_clone()?).stderr(said.try_clone()?);
    let Some(status) = end_of(command_line, RUN_MAX)? else {
        bail!(
            "`{}` did not end within {} s; run it yourself",
            command(ask, root),
            RUN_MAX.as_secs()
        );
    };
    if status.success() { Ok(()) } else { Err(failure(ask, root, status, said)) }
}

/// Longest answer that is taken.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What it prints on a question about a state folder, within `limit`.
pub(crate) fn answer(
    program: &Path,
    words: &[&str],
    root: &Root,
    limit: Duration,
) -> Result<String> {
    let (mut printed, said) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command_line = prepared(program, words, root);
    command_line.stdout(printed.try_clone()?).stderr(said.try_clone()?);
    let asked = words.join(" ");
    match end_of(command_line, limit)? {
        None => bail!("`openclaw {asked}` did not end within {} s", limit.as_secs()),
        Some(status) if !status.success() => {
            let said = last_words(said).unwrap_or_default();
            bail!("`openclaw {asked}` failed ({status}): {}", said.trim())
        }
        Some(_) => {}
    }
    printed.rewind()?;
    let mut bytes = Vec::new();
    printed.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn prepared(program: &Path, words: &[&str], root: &Root) -> Command {
    let mut command_line = Command::new(program);
    command_line
        .args(words)
        .env("OPENCLAW_STATE_DIR", &root.path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        // It starts processes of its own: all of them end where it hangs.
        .process_group(0);
    command_line
}

/// Runs a command line to its end; `None` where it took too long and was ended.
fn end_of(mut command_line: Command, limit: Duration) -> Result<Option<ExitStatus>> {
    let program = command_line.get_program().display().to_string();
    let mut child = command_line.spawn().with_context(|| format!("{program} cannot be run"))?;
    let group = Pid::from_child(&child);
    let (ended, end) = mpsc::sync_channel(1);
    thread::spawn(move || ended.send(child.wait()));
    if let Ok(status) = end.recv_timeout(limit) {
        return Ok(Some(status?));
    }
    kill_process_group(group, Signal::KILL)?;
    Ok(None)
}

fn failure(ask: Ask, root: &Root, status: ExitStatus, said: File) -> anyhow::Error {
    let said = last_words(said).unwrap_or_default();
    anyhow!("`{}` failed ({status}): {}", command(ask, root), said.trim())
}

fn last_words(mut said: File) -> std::io::Result<String> {
    let length = said.seek(SeekFrom::End(0))?;
    said.seek(SeekFrom::Start(length.saturating_sub(SAID_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    said.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.chars().filter(|c| *c == '\n' || !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let root = |path: &str, origin| Root::new(path.into(), origin);
        let command = |root| command(Ask::Enable, &root);
        assert_eq!(command(root("/h/.openclaw", "~/.openclaw")), "openclaw hooks enable trueup");
        assert_eq!(
            command(root("/h/it's", "OPENCLAW_STATE_DIR")),
            r"OPENCLAW_STATE_DIR='/h/it'\''s' openclaw hooks enable trueup"
        );
        assert_eq!(
            command(root("/h/.clawdbot", "~/.clawdbot")),
            "OPENCLAW_STATE_DIR=/h/.clawdbot openclaw hooks enable trueup"
        );
    }
}
