//! The hook for OpenClaw: two files in each state folder, and OpenClaw told to run them.
//!
//! Which state folders there are, the reader of OpenClaw's sessions says. The configuration is read
//! and never written: it may have comments and include other files, so OpenClaw itself changes it.
//!
//! ```text
//! ~/.openclaw/hooks/trueup/HOOK.md      which events
//! ~/.openclaw/hooks/trueup/handler.js   what is done with them
//! ```

pub(crate) mod enabled;
pub(crate) mod files;
pub(crate) mod program;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use trueup_agents::{Environment, Root, folders_of};

/// OpenClaw's source id, and its folder in the spool.
pub(crate) const SOURCE: &str = "openclaw";

/// The hook's name: its folder's, and the one that `openclaw hooks` knows it by.
pub(crate) const NAME: &str = "trueup";

/// The settings in a state folder.
const SETTINGS: &str = "openclaw.json";

/// The state folders that were looked for.
#[derive(Debug, Default)]
pub(crate) struct StateFolders {
    /// Those that are there, or whose name at least is.
    pub(crate) found: Vec<Root>,
    /// Those that are not.
    pub(crate) missing: Vec<PathBuf>,
}

/// Looks for state folders. Two names of one folder are one folder, under the first.
pub(crate) fn state_folders(environment: &Environment) -> StateFolders {
    let mut folders = StateFolders::default();
    let mut seen = BTreeSet::new();
    let roots = trueup_agents::agent(SOURCE).map(|agent| folders_of(agent, environment));
    // What only has the name of a profile's folder, such as a backup of one, is left alone.
    let is_meant = |root: &Root| !root.is_pattern || root.path.join(SETTINGS).exists();
    for mut root in roots.unwrap_or_default().into_iter().filter(is_meant) {
        // Files that name it are read from elsewhere. Only an empty path cannot be made whole.
        root.path = std::path::absolute(&root.path).unwrap_or(root.path);
        let is_missing = fs::symlink_metadata(&root.path)
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_missing {
            folders.missing.push(root.path);
        } else if seen.insert(root.path.canonicalize().unwrap_or_else(|_| root.path.clone())) {
            folders.found.push(root);
        }
    }
    folders
}

/// Fails where a path, or the link that it is, leads to no folder.
fn check_folder(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => bail!("{} is no folder", path.display()),
        Err(_) if path.is_symlink() => bail!(
            "{} is a link that leads nowhere: remove it, or mend what it leads to",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_no_profile() {
        let home = tempfile::tempdir().unwrap();
        for name in [".openclaw-work", ".openclaw-backup", ".openclaw-dev"] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        fs::write(home.path().join(".openclaw-work").join(SETTINGS), "{}").unwrap();
        let environment = Environment { home: home.path().into(), ..Environment::default() };
        let folders = state_folders(&environment);
        let found: Vec<_> =
            folders.found.iter().filter_map(|root| root.path.file_name()?.to_str()).collect();
        assert_eq!(found, [".openclaw-dev", ".openclaw-work"]);
    }

    #[test]
    fn two_names_of_one_folder_are_one() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".openclaw")).unwrap();
        std::os::unix::fs::symlink(".openclaw", home.path().join(".clawdbot")).unwrap();
        std::os::unix::fs::symlink("nowhere", home.path().join(".moltbot")).unwrap();
        let environment = Environment { home: home.path().into(), ..Environment::default() };
        let folders = state_folders(&environment);
        let found: Vec<_> = folders.found.iter().map(|root| root.origin).collect();
        assert_eq!(found, ["~/.openclaw", "~/.moltbot"]);
        let missing = [".moldbot", ".openclaw-dev"].map(|name| home.path().join(name));
        assert_eq!(folders.missing, missing);
        assert!(check_folder(&home.path().join(".openclaw")).is_ok());
        assert!(check_folder(&home.path().join(".moltbot")).is_err());
    }
}
