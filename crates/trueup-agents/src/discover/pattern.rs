//! Folders and files by a pattern: `~/.openclaw-*`, `/srv/claws/*/sessions`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Root;

/// Places that a pattern may stand for; further ones are not looked at.
const FOUND_MAX: usize = 1_000;

/// The places that a root stands for: itself, or all that match it, in order.
pub(super) fn places(root: &Root) -> Vec<Root> {
    if !root.is_pattern {
        return vec![root.clone()];
    }
    let mut found = vec![(PathBuf::new(), None)];
    for part in &root.path {
        found = if part.to_string_lossy().contains('*') {
            found.iter().flat_map(|(path, first)| matching(path, part, first.as_deref())).collect()
        } else {
            found.into_iter().map(|(path, first)| (path.join(part), first)).collect()
        };
        found.truncate(FOUND_MAX);
    }
    let mut roots: Vec<Root> = found
        .into_iter()
        .filter(|(path, _)| path.exists())
        .map(|(path, first)| Root {
            path,
            stands_for: named(&root.stands_for, first),
            ..root.clone()
        })
        .collect();
    roots.sort_by(|a, b| a.path.cmp(&b.path));
    roots
}

/// The folders in one that match a name with a `*`, and what the pattern's first one was found to be.
fn matching(folder: &Path, name: &OsStr, first: Option<&str>) -> Vec<(PathBuf, Option<String>)> {
    let name = name.to_string_lossy();
    let Some((before, after)) = name.split_once('*') else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_match = |path: PathBuf| {
        let found = path.file_name()?.to_str()?.strip_prefix(before)?.strip_suffix(after)?;
        // Of a name that stands at several places, each must be the same.
        let is_same = first.is_none_or(|first| first == found);
        let first = found.to_owned();
        (is_same && !found.is_empty()).then_some((path, Some(first)))
    };
    entries.filter_map(|entry| is_match(entry.ok()?.path())).collect()
}

fn named(stands_for: &Path, first: Option<String>) -> PathBuf {
    match (stands_for.to_str(), first) {
        (Some(text), Some(first)) => text.replace('*', &first).into(),
        _ => stands_for.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_every_place_that_matches() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".claw-b/x", ".claw-a/x", ".claw-", ".claw", "b/x-b", "c/x-d"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join(".claw-file"), "").unwrap();
        let found = |pattern: &str| -> Vec<(String, String)> {
            let path = folder.path().join(pattern);
            let root =
                Root { is_pattern: true, stands_for: "agents/*".into(), ..Root::new(path, "") };
            let text = |path: &Path| path.display().to_string();
            let below = |path: &Path| text(path.strip_prefix(folder.path()).unwrap());
            places(&root).iter().map(|root| (below(&root.path), text(&root.stands_for))).collect()
        };
        let pair = |path: &str, stands_for: &str| (path.to_owned(), stands_for.to_owned());
        let expected = [".claw-a", ".claw-b", ".claw-file"];
        let expected = expected.map(|name| pair(name, &name.replace(".claw-", "agents/")));
        assert_eq!(found(".claw-*"), expected);
        assert_eq!(found(".claw-*/x").len(), 2);
        assert_eq!(found("*/x-*"), [pair("b/x-b", "agents/b")]);
        assert_eq!(found("nothing-*"), []);
    }
}
