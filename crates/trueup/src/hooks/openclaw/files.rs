//! The hook's two files in a state folder: what should stand in them, what does, writing and removing
//! them.
//!
//! Only a folder that trueup wrote is touched. Each file says so in one of its first lines:
//!
//! ```text
//! <!-- trueup hook, version 1 -->
//! ```

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{NAME, check_folder};
use crate::config::read_text;

/// The version of the files below. Whoever changes them counts it up.
pub(crate) const VERSION: u32 = 1;

const HOOK_MD: &str = include_str!("HOOK.md");
const HANDLER_JS: &str = include_str!("handler.js");

/// What stands before the version in each file, and says whose it is.
const MARK: &str = "trueup hook, version ";

/// What stands before the spool folder in the handler.
const SPOOL_MARK: &str = "const SPOOL_DIR = ";

/// What stands where the hook belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// Nothing.
    Nothing,
    /// A hook of ours.
    Ours(Text),
    /// Something else, and what tells so.
    Foreign(String),
}

/// A hook of ours, word by word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its version.
    pub(crate) version: u32,
    hook_md: String,
    handler_js: String,
}

impl Text {
    /// The hook of a state folder that leaves its events in `spool`.
    pub(crate) fn new(state: &Path, spool: &Path) -> Result<Self> {
        let json = |path: &Path| -> Result<String> { Ok(serde_json::to_string(word(path)?)?) };
        let filled = |text: &str| -> Result<String> {
            let text = text.replace("{{version}}", &VERSION.to_string());
            let text = text.replace("{{state_json}}", &json(state)?);
            let text = text.replace("{{spool_json}}", &json(spool)?);
            Ok(text.replace("{{spool}}", word(spool)?))
        };
        Ok(Self { version: VERSION, hook_md: filled(HOOK_MD)?, handler_js: filled(HANDLER_JS)? })
    }

    /// Where it leaves events.
    pub(crate) fn spool(&self) -> Option<PathBuf> {
        let line = self.handler_js.lines().find_map(|line| line.strip_prefix(SPOOL_MARK))?;
        serde_json::from_str(line.trim_end_matches(';')).ok()
    }

    fn files(&self) -> [(&'static str, &str); 2] {
        // OpenClaw takes a folder for a hook only when both are there, whichever was first.
        [("HOOK.md", &self.hook_md), ("handler.js", &self.handler_js)]
    }
}

/// A path as the text that a file can hold.
fn word(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        anyhow!("{} is not UTF-8: a hook cannot name it. Use another folder", path.display())
    })
}

/// Where the hook of a state folder lies.
pub(crate) fn folder(state: &Path) -> PathBuf {
    state.join("hooks").join(NAME)
}

/// Looks at what stands there.
pub(crate) fn look(state: &Path) -> Result<Present> {
    check_folder(state)?;
    let hooks = state.join("hooks");
    if is_there(&hooks)? {
        check_folder(&hooks)?;
    }
    let folder = folder(state);
    if !is_there(&folder)? {
        return Ok(Present::Nothing);
    }
    let foreign = |why: &str| Ok(Present::Foreign(format!("{} {why}", folder.display())));
    if !fs::symlink_metadata(&folder)?.is_dir() {
        return foreign("is no folder");
    }
    let (hook_md, handler_js) = (folder.join("HOOK.md"), folder.join("handler.js"));
    if !is_there(&hook_md)? {
        // As a run that was interrupted leaves it.
        let is_empty = fs::read_dir(&folder)?.next().is_none();
        return if is_empty { Ok(Present::Nothing) } else { foreign("has no HOOK.md") };
    }
    let hook_md = read_text(&hook_md)?;
    let Some(version) = version(&hook_md) else {
        return foreign("has a HOOK.md that trueup did not write");
    };
    let has_handler = is_there(&handler_js)?;
    let handler_js = if has_handler { read_text(&handler_js)? } else { String::new() };
    if has_handler && self::version(&handler_js).is_none() {
        return foreign("has a handler.js that trueup did not write");
    }
    Ok(Present::Ours(Text { version, hook_md, handler_js }))
}

/// Whether there is something of this name, be it a link that leads nowhere.
fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

/// The version that a file of ours says.
fn version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(MARK)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| rest.split_at(end).0);
    digits.parse().ok()
}

/// Writes the hook, each file at once and as a whole.
pub(crate) fn write(state: &Path, text: &Text) -> Result<()> {
    let folder = folder(state);
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made; {WRITABLE}", folder.display()))?;
    for (name, text) in text.files() {
        let path = folder.join(name);
        write_file(&state.join("hooks"), &path, text)
            .with_context(|| format!("{} cannot be written; {WRITABLE}", path.display()))?;
    }
    Ok(())
}

const WRITABLE: &str = "run trueup as the user who may write there";

/// Half a file stands beside the hook's folder for a moment, never in it.
fn write_file(beside: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut half = tempfile::Builder::new()
        .prefix(".trueup-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(beside)?;
    half.write_all(text.as_bytes())?;
    half.as_file().sync_all()?;
    half.persist(path)?;
    Ok(())
}

/// Removes the hook's files, and its folder where nothing else is in it; whether it was.
pub(crate) fn remove(state: &Path) -> Result<bool> {
    let folder = folder(state);
    // The other way round than they are written: what is left of an interruption is known as ours.
    for name in ["handler.js", "HOOK.md"] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed
                .with_context(|| format!("{} cannot be removed; {WRITABLE}", path.display()))?,
        }
    }
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        removed => removed
            .map(|()| true)
            .with_context(|| format!("{} cannot be removed; {WRITABLE}", folder.display())),
    }
}

/// Fails where the nearest `package.json` makes every `.js` file an ES module: the handler is none, so
/// that versions of Node that tell the two apart only by that file can load it.
pub(crate) fn check_module_type(state: &Path) -> Result<()> {
    let state = state.canonicalize()?;
    let hooks = state.join("hooks");
    let folders = std::iter::once(hooks.as_path()).chain(state.ancestors());
    let Some(package) =
        folders.map(|folder| folder.join("package.json")).find(|path| path.is_file())
    else {
        return Ok(());
    };
    let described: Option<serde_json::Value> =
        read_text(&package).ok().and_then(|text| serde_json::from_str(&text).ok());
    if described.is_some_and(|package| package.get("type").is_some_and(|kind| kind == "module")) {
        bail!(
            "{} says \"type\": \"module\", with which Node does not load the hook: move that file \
             away, or take \"type\" out of it",
            package.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handler_takes_the_events_that_it_asks_for() {
        let metadata = HOOK_MD.lines().find_map(|line| line.strip_prefix("metadata: ")).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap();
        let asked: Vec<String> =
            serde_json::from_value(metadata["openclaw"]["events"].clone()).unwrap();
        let (_, taken) = HANDLER_JS.split_once("new Set([").unwrap();
        let (taken, _) = taken.split_once("]);").unwrap();
        let taken: Vec<&str> = taken.split('"').skip(1).step_by(2).collect();
        assert_eq!(asked, taken);
        assert_eq!(asked.len(), 9);
    }

    #[test]
    fn the_text_names_its_folders() {
        let (state, spool) = (Path::new("/st\"ate"), Path::new("/sp\\ool\u{2028}"));
        let text = Text::new(state, spool).unwrap();
        assert_eq!(text.spool().as_deref(), Some(spool));
        assert!(text.handler_js.contains(r#"const STATE_DIR = "/st\"ate";"#));
        for (name, text) in text.files() {
            assert_eq!(version(text), Some(VERSION), "{name}");
            assert!(!text.contains("{{"), "{name}");
        }
    }

    #[test]
    fn what_was_written_is_known_and_goes_again() {
        let state = tempfile::tempdir().unwrap();
        let text = Text::new(state.path(), Path::new("/spool")).unwrap();
        assert_eq!(look(state.path()).unwrap(), Present::Nothing);
        fs::create_dir_all(folder(state.path())).unwrap();
        assert_eq!(look(state.path()).unwrap(), Present::Nothing, "an empty folder");
        write(state.path(), &text).unwrap();
        write(state.path(), &text).unwrap();
        assert_eq!(look(state.path()).unwrap(), Present::Ours(text));
        assert_eq!(fs::read_dir(state.path().join("hooks")).unwrap().count(), 1);
        assert!(remove(state.path()).unwrap());
        assert_eq!(look(state.path()).unwrap(), Present::Nothing);
    }

    #[test]
    fn a_package_of_modules_around_the_hook_is_named() {
        let state = tempfile::tempdir().unwrap();
        assert!(check_module_type(state.path()).is_ok());
        fs::write(state.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
        let error = check_module_type(state.path()).unwrap_err().to_string();
        assert!(error.contains("package.json says"), "{error}");
        // A nearer one hides it.
        fs::create_dir(state.path().join("hooks")).unwrap();
        fs::write(state.path().join("hooks/package.json"), "{}").unwrap();
        assert!(check_module_type(state.path()).is_ok());
    }
}
