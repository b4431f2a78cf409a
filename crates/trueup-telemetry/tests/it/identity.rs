//! Ids: made on first need, kept, and made anew on demand.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::consent::StateFile;
use trueup_telemetry::identity::{Found, IdKind, Identity, IdentityError, find, obtain, reset};

const ID: &str = "0B7F4F0E-6F3C-4C7E-9D0E-2F1F6F1F7A11";

fn new() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/telemetry.json");
    (folder, path)
}

#[test]
fn check_06_looking_for_an_id_makes_none() {
    for kind in [IdKind::Daily, IdKind::Install] {
        let (folder, path) = new();
        assert_eq!(find(kind, &StateFile::read(&path)), Found::NotYet);
        assert!(!reset(kind, &path).unwrap(), "there is none to reset");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn without_an_id_nothing_is_written() {
    let (folder, path) = new();
    assert_eq!(obtain(IdKind::None, &path).unwrap().id_at(UnixMs(0)), None);
    assert!(!reset(IdKind::None, &path).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_id_is_made_once_and_another_one_on_reset() {
    for kind in [IdKind::Daily, IdKind::Install] {
        let (_folder, path) = new();
        let first = obtain(kind, &path).unwrap();
        assert_eq!(obtain(kind, &path).unwrap(), first);
        assert_eq!(find(kind, &StateFile::read(&path)), Found::Made(first.clone()));
        assert!(reset(kind, &path).unwrap());
        let second = obtain(kind, &path).unwrap();
        assert_ne!(first.id_at(UnixMs(0)), second.id_at(UnixMs(0)));
    }
}

#[test]
fn an_id_of_an_installation_is_a_random_uuid() {
    let ids: BTreeSet<String> = (0..100)
        .map(|_| {
            let (_folder, path) = new();
            obtain(IdKind::Install, &path).unwrap().id_at(UnixMs(0)).unwrap()
        })
        .collect();
    assert_eq!(ids.len(), 100);
    for id in ids {
        let uuid = uuid::Uuid::try_parse(&id).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.to_string()), (4, id));
    }
}

#[test]
fn check_07_an_id_of_claude_mem_is_kept_letter_by_letter() {
    let (_folder, path) = new();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!("{{\"enabled\": false, \"installId\": \"{ID}\", \"decidedAt\": \"\"}}");
    fs::write(&path, &text).unwrap();
    assert_eq!(obtain(IdKind::Install, &path).unwrap(), Identity::Install(ID.to_owned()));
    assert_eq!(crate::text(&path), text, "and the file is not touched");
    // An empty one, as claude-mem writes on `disable`, is none; making one keeps the decision.
    fs::write(&path, "{\"enabled\": false, \"installId\": \"\"}").unwrap();
    obtain(IdKind::Install, &path).unwrap();
    assert!(crate::text(&path).contains("\"enabled\": false"));
}

#[test]
fn what_is_not_random_is_never_an_id() {
    for text in [
        "\"alice@example.com\"",
        "7",
        "null",
        "\"00000000-0000-0000-0000-000000000000\"",
        "\"{0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11}\"",
        "\"0b7f4f0e6f3c4c7e9d0e2f1f6f1f7a11\"",
    ] {
        let (_folder, path) = new();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("{{\"installId\":{text},\"dailySecret\":{text}}}");
        fs::write(&path, &text).unwrap();
        for kind in [IdKind::Daily, IdKind::Install] {
            let refused = obtain(kind, &path);
            assert!(matches!(refused, Err(IdentityError::NotAnId { .. })), "{text}: {refused:?}");
        }
        assert_eq!(crate::text(&path), text);
        assert!(reset(IdKind::Install, &path).unwrap());
        assert!(obtain(IdKind::Install, &path).is_ok());
    }
}

#[test]
fn no_id_is_put_over_a_file_that_cannot_be_read() {
    let (_folder, path) = new();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"enabled\": fal").unwrap();
    assert!(matches!(obtain(IdKind::Install, &path), Err(IdentityError::Write(_))));
    assert!(matches!(reset(IdKind::Install, &path), Err(IdentityError::Write(_))));
    assert_eq!(crate::text(&path), "{\"enabled\": fal");
}

/// `hmac.new(bytes(range(32)), b"2026-11-20", "sha256").hexdigest()[:32]`, and of the day after, in Python.
const OF_NOVEMBER_20: &str = "dfd2bc25e60c62c0aa2a84b19e58dd3b";
const OF_NOVEMBER_21: &str = "c724dd16bf3cefe84cd4ceb6b6c5175c";

#[test]
fn an_id_of_a_day_is_the_hmac_of_the_utc_day() {
    let (_folder, path) = new();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    fs::write(&path, format!("{{\"dailySecret\":\"{secret}\"}}")).unwrap();
    let identity = obtain(IdKind::Daily, &path).unwrap();
    let start = UnixMs::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
    for (ms, id) in [
        (start.0, OF_NOVEMBER_20),
        (start.0 + DAY_MS - 1, OF_NOVEMBER_20),
        (start.0 + DAY_MS, OF_NOVEMBER_21),
    ] {
        assert_eq!(identity.id_at(UnixMs(ms)).as_deref(), Some(id));
    }
    assert!(!format!("{identity:?}").contains(secret), "a secret is not printed");
}

#[test]
fn many_processes_agree_on_one_id() {
    let (_folder, path) = new();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let each = || scope.spawn(|| obtain(IdKind::Install, &path));
        let threads: Vec<_> = (0..16).map(|_| each()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Who came while another was writing has none yet, rather than one of its own.
    let made: BTreeSet<String> =
        ids.iter().flatten().map(|identity| identity.id_at(UnixMs(0)).unwrap()).collect();
    assert_eq!(made.len(), 1, "{ids:?}");
}
