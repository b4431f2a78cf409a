//! The names of transcript files, exactly as OpenClaw gives them.
//!
//! What only looks like a transcript must not count: a trajectory repeats usage as run totals, a
//! checkpoint repeats the session. A `.bak` is the whole session before `sessions.compact` cut it, and
//! often the only place where its first calls are left; OpenClaw itself forgets them.

use crate::agent::StoreKind;

/// How to read a file of a `sessions` folder.
pub(super) fn in_sessions(name: &str) -> Option<StoreKind> {
    let (name, is_packed) = unpacked(name);
    let (session, suffix) = name.split_once(".jsonl")?;
    let is_live = suffix.is_empty() && !is_packed;
    let is_archive = ["reset", "deleted", "bak"]
        .iter()
        .filter_map(|reason| suffix.strip_prefix('.')?.strip_prefix(reason)?.strip_prefix('.'))
        .any(is_archive_stamp);
    let kind = if is_packed { StoreKind::ZstdLines } else { StoreKind::Lines };
    (is_transcript(session) && (is_live || is_archive)).then_some(kind)
}

/// How to read a file of a `session-sqlite-import-archive` folder: `<key>.<session>.jsonl.imported-<ms>`.
pub(super) fn in_import_archive(name: &str) -> Option<StoreKind> {
    let (session, suffix) = name.split_once(".jsonl.imported-")?;
    let is_time = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    (is_transcript(session) && is_time).then_some(StoreKind::Lines)
}

/// How to read a file of a `cold` folder: `<sha256>.jsonl.zst`.
pub(super) fn in_cold_storage(name: &str) -> Option<StoreKind> {
    let hash = name.strip_suffix(".jsonl.zst")?;
    is_hex(hash, 64).then_some(StoreKind::ZstdLines)
}

/// The session that a file's name gives, for transcripts that lost their header.
pub(super) fn session(name: &str) -> &str {
    let (session, suffix) = name.split_once(".jsonl").unwrap_or((name, ""));
    if suffix.starts_with(".imported-") {
        // The session's key stands before its id.
        return session.rsplit('.').next().unwrap_or(session);
    }
    session
}

/// Whether a file is a copy that `sessions.compact` left.
pub(super) fn is_backup(name: &str) -> bool {
    name.contains(".jsonl.bak.")
}

/// How the names of the copies begin that `sessions.compact` left of a session.
pub(super) fn backups(session: &str) -> String {
    format!("{session}.jsonl.bak.")
}

fn unpacked(name: &str) -> (&str, bool) {
    name.strip_suffix(".zst").map_or((name, false), |name| (name, true))
}

fn is_transcript(session: &str) -> bool {
    !session.is_empty() && !session.ends_with(".trajectory") && !session.contains(".checkpoint.")
}

/// `2026-11-20T22-15-56.751Z`, and 32 hex digits behind it since 2026.
fn is_archive_stamp(text: &str) -> bool {
    let Some((time, tail)) = text.split_once('Z') else { return false };
    let is_time = ["0000-00-00T00-00-00", "0000-00-00T00-00-00.000"]
        .iter()
        .any(|pattern| matches_digits(time, pattern));
    is_time && (tail.is_empty() || tail.strip_prefix('.').is_some_and(|hex| is_hex(hex, 32)))
}

/// Whether a text is `pattern` with any digits for its zeros.
fn matches_digits(text: &str, pattern: &str) -> bool {
    let is_match = |(byte, expected): (u8, u8)| match expected {
        b'0' => byte.is_ascii_digit(),
        _ => byte == expected,
    };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(is_match)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_transcripts_are_told_from_names_of_side_files() {
        use StoreKind::{Lines, ZstdLines};
        const HEX: &str = "c2483a9dd5c042789d583f7f16731a9a";
        let cases: [(String, Option<StoreKind>); 16] = [
            ("3e5a.jsonl".into(), Some(Lines)),
            ("3e5a-topic-7.jsonl".into(), Some(Lines)),
            ("3e5a.jsonl.reset.2026-05-20T10-00-00.000Z".into(), Some(Lines)),
            ("3e5a.jsonl.reset.2026-05-20T10-00-00Z".into(), Some(Lines)),
            ("3e5a.jsonl.bak.2026-05-20T10-00-00.000Z".into(), Some(Lines)),
            (format!("3e5a.jsonl.deleted.2026-05-20T10-00-00.000Z.{HEX}.zst"), Some(ZstdLines)),
            (format!("3e5a.jsonl.deleted.2026-05-20T10-00-00.000Z.{HEX}"), Some(Lines)),
            ("3e5a.trajectory.jsonl".into(), None),
            ("3e5a.checkpoint.0b6f3a52-9d4c-4c1e-8a7e-2f1d3c4b5a69.jsonl".into(), None),
            ("3e5a.trajectory-path.json".into(), None),
            ("3e5a.jsonl.pre-doctor-branch-repair-2026-08-01T00-00-00-000Z.bak".into(), None),
            ("3e5a.jsonl.migrated.1".into(), None),
            ("3e5a.jsonl.reset.yesterday".into(), None),
            ("3e5a.jsonl.zst".into(), None),
            ("sessions.json".into(), None),
            ("sessions.json.bak.1".into(), None),
        ];
        for (name, kind) in cases {
            assert_eq!(in_sessions(&name), kind, "{name}");
        }
        assert_eq!(in_import_archive("main.3e5a.jsonl.imported-1785542400000"), Some(Lines));
        assert_eq!(in_import_archive("legacy-store.sessions.json.imported-1785542400000"), None);
        assert_eq!(in_cold_storage(&format!("{HEX}{HEX}.jsonl.zst")), Some(ZstdLines));
        assert_eq!(in_cold_storage("x.jsonl.zst"), None);
    }

    #[test]
    fn names_say_the_session() {
        for (name, expected) in [
            ("3e5a.jsonl", "3e5a"),
            ("3e5a.jsonl.deleted.2026-05-20T10-00-00.000Z", "3e5a"),
            ("agent-main-main.3e5a.jsonl.imported-1785542400000", "3e5a"),
        ] {
            assert_eq!(session(name), expected);
        }
    }
}
