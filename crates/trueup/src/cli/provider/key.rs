//! Where a key comes from: never from the command line, which everybody on the machine can read.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::config::{Config, read_text};
use crate::pull::key_of;
use crate::secret::Secret;

/// Longest key that is read.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// The key in a file.
pub(super) fn of_file(path: &Path) -> Result<Secret> {
    key_of(&read_text(path)?).with_context(|| path.display().to_string())
}

/// The key in a variable.
pub(super) fn of_variable(config: &Config, name: &str) -> Result<Secret> {
    let Some(value) = config.environment.variable(name) else { bail!("{name} is not set") };
    key_of(value).with_context(|| name.to_owned())
}

/// The key that is typed, or that another program writes.
pub(super) fn of_input(what: &str) -> Result<Secret> {
    let input = io::stdin();
    let mut text = String::new();
    if input.is_terminal() {
        write!(io::stderr(), "{what}: ")?;
        let silence = Silence::begin()?;
        let read = input.lock().take(KEY_BYTES_MAX).read_line(&mut text);
        drop(silence);
        writeln!(io::stderr())?;
        read?;
    } else {
        input.lock().take(KEY_BYTES_MAX).read_line(&mut text)?;
    }
    key_of(&text)
}

/// A terminal that does not show what is typed, as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing.
        let _is_restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.0).is_ok();
    }
}
