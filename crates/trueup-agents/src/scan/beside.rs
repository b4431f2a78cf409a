//! What lies beside the stores of one scan, each looked at once: thousands of stores share a few indexes
//! and folders, and come by size, not by folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Agent, SessionKinds, Store};

/// The indexes that were read and the folders that were listed.
#[derive(Default)]
pub(super) struct Beside {
    indexes: Mutex<BTreeMap<PathBuf, SessionKinds>>,
    folders: Mutex<BTreeMap<PathBuf, Arc<[OsString]>>>,
}

impl Beside {
    /// The kinds of the sessions in a store, as far as an index beside it says.
    pub(super) fn session_kinds(&self, agent: &dyn Agent, store: &Store) -> SessionKinds {
        let Some(path) = agent.index_beside(store) else { return SessionKinds::default() };
        let mut known = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kinds) = known.get(&path) {
            return SessionKinds::clone(kinds);
        }
        // Without an index, sessions are of no known kind.
        let kinds = File::open(&path).map(|mut index| agent.session_kinds(&mut index));
        let kinds = kinds.unwrap_or_default();
        known.insert(path, SessionKinds::clone(&kinds));
        kinds
    }

    /// The stores whose paths begin like this, in order; of `store` are their root and source.
    pub(super) fn alike(
        &self,
        agent: &dyn Agent,
        store: &Store,
        beginning: &Path,
    ) -> io::Result<Vec<Store>> {
        let Some(folder) = beginning.parent() else { return Ok(Vec::new()) };
        let names = self.names(folder)?;
        let wanted = beginning.file_name().unwrap_or_default();
        let from = names.partition_point(|name| name.as_os_str() < wanted);
        let is_wanted = |name: &&OsString| name.as_bytes().starts_with(wanted.as_bytes());
        let stores = names.iter().skip(from).take_while(is_wanted);
        let stores = stores.map(|name| Store { path: folder.join(name), ..store.clone() });
        let known =
            |store: Store| Some(Store { kind: agent.classify(&store.below_root())?, ..store });
        Ok(stores.filter_map(known).collect())
    }

    /// What lies in a folder, by name; nothing where there is none.
    fn names(&self, folder: &Path) -> io::Result<Arc<[OsString]>> {
        let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known.get(folder) {
            return Ok(Arc::clone(names));
        }
        let mut names: Vec<OsString> = match fs::read_dir(folder) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        names.sort_unstable();
        let names: Arc<[OsString]> = names.into();
        known.insert(folder.to_path_buf(), Arc::clone(&names));
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    fn store(folder: &Path, path: &str) -> Store {
        Store {
            source: "openclaw",
            root: folder.into(),
            stands_for: PathBuf::default(),
            path: folder.join(path),
            kind: StoreKind::Lines,
            stamp: trueup_core::Stamp::default(),
        }
    }

    /// Of stores by their size, each may lie in another folder than the one before.
    #[test]
    fn each_index_is_read_once_in_a_scan() {
        let folder = tempfile::tempdir().unwrap();
        let agent = crate::agent("openclaw").unwrap();
        let beside = Beside::default();
        let kind = |name| {
            let store = store(folder.path(), &format!("agents/{name}/sessions/s.jsonl"));
            beside.session_kinds(agent, &store).get("s").cloned()
        };
        for (name, key) in [("main", "agent:main:main"), ("ops", "agent:ops:cron:j")] {
            let path = folder.path().join(format!("agents/{name}/sessions"));
            fs::create_dir_all(&path).unwrap();
            let index = format!(r#"{{"{key}":{{"sessionId":"s"}}}}"#);
            fs::write(path.join("sessions.json"), index).unwrap();
        }
        assert_eq!((kind("main").as_deref(), kind("ops").as_deref()), (Some("main"), Some("cron")));
        fs::remove_dir_all(folder.path().join("agents")).unwrap();
        assert_eq!((kind("main").as_deref(), kind("ops").as_deref()), (Some("main"), Some("cron")));
        assert_eq!(kind("nobody"), None);
    }

    /// Of 9,294 files 600 asked for their folder's names, which took half of the time.
    #[test]
    fn each_folder_is_listed_once_in_a_scan() {
        let folder = tempfile::tempdir().unwrap();
        let agent = crate::agent("openclaw").unwrap();
        let sessions = folder.path().join("agents/main/sessions");
        fs::create_dir_all(&sessions).unwrap();
        let (early, late) = ("2026-09-02T08-00-00.000Z", "2026-09-03T08-00-00.000Z");
        let copy = |session: &str, time: &str| format!("{session}.jsonl.bak.{time}");
        let names = [copy("r", early), copy("s", late), copy("s", early), "s.jsonl".to_owned()];
        for name in &names {
            fs::write(sessions.join(name), "").unwrap();
        }
        let beside = Beside::default();
        let alike = |name: &str| {
            let store = store(folder.path(), "agents/main/sessions/s.jsonl");
            let found = beside.alike(agent, &store, &sessions.join(name)).unwrap();
            let name = |store: Store| store.path.file_name().unwrap().to_str().unwrap().to_owned();
            found.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(alike("s.jsonl.bak."), [copy("s", early), copy("s", late)]);
        fs::write(sessions.join(copy("t", early)), "").unwrap();
        assert_eq!((alike("r.jsonl.bak.").len(), alike("t.jsonl.bak.").len()), (1, 0));
        assert_eq!(alike("../gone/s.jsonl"), [""; 0]);
    }
}
