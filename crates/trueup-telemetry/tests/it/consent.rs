//! Consent, against a table that was written without looking at the code.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use trueup_core::UnixMs;
use trueup_telemetry::consent::{
    Consent, Content, Document, Evidence, FILE_BYTES_MAX, Layer, Mode, Notice, StateFile, Warning,
    WriteError, decide,
};

/// The rule in words: the first line that fits decides. A line names what it needs of some of the inputs,
/// each as its class of [`cases`]; what it does not name may be anything.
const RULE: &str = "
    dnt=refuse                                  -> off   do_not_track
    env=no                                      -> off   variable
    env=nonsense                                -> off   variable  warns
    env=here                                    -> local variable
    env=yes                                     -> on    variable
    policy=no                                   -> off   policy
    policy=broken                               -> off   policy    warns
    file=no                                     -> off   file
    file=broken                                 -> off   file      warns
    file=here                                   -> local file
    file=yes      policy=here                   -> local policy
    file=yes                                    -> on    file
    ci=yes        default=off                   -> off   default
    ci=yes                                      -> local ci
    default=off                                 -> off   default
    default=local                               -> local default
    notice=none   policy=here                   -> local policy
    notice=none                                 -> on    default
    file=noticed  policy=here                   -> local policy
    file=noticed                                -> on    default
                                                -> local default   waits
";

/// Values of each input, with their class.
const DNT: &[(Option<&str>, &str)] = &[
    (None, "unset"),
    (Some(""), "unset"),
    (Some("0"), "unset"),
    (Some("false"), "unset"),
    (Some("1"), "refuse"),
    (Some("FALSE"), "refuse"),
    (Some("no"), "refuse"),
    (Some(" "), "refuse"),
];
const ENV: &[(Option<&str>, &str)] = &[
    (None, "unset"),
    (Some(" \t"), "unset"),
    (Some("0"), "no"),
    (Some(" 0"), "no"),
    (Some("Disabled"), "no"),
    (Some("no"), "no"),
    (Some("off"), "no"),
    (Some("FALSE"), "no"),
    (Some("local"), "here"),
    (Some(" Local "), "here"),
    (Some("1"), "yes"),
    (Some("true\n"), "yes"),
    (Some("ON"), "yes"),
    (Some("yes"), "yes"),
    (Some("enabled"), "nonsense"),
    (Some("2"), "nonsense"),
    (Some("off;on"), "nonsense"),
];
const CI: &[(Option<&str>, &str)] = &[
    (None, "no"),
    (Some(""), "no"),
    (Some("false"), "no"),
    (Some("true"), "yes"),
    (Some("woodpecker"), "yes"),
];
/// Texts of a policy or a decision; `None` is no file.
const FILES: &[(Option<&str>, &str)] = &[
    (None, "unset"),
    (Some("{}"), "unset"),
    (Some(r#"{"installId":"0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11","decidedAt":""}"#), "unset"),
    (Some(r#"{"noticeShownAt":"2026-11-01T00:00:00Z"}"#), "noticed"),
    (Some(r#"{"enabled": false}"#), "no"),
    (Some("\u{feff}{\"enabled\": false}"), "no"),
    (Some(r#"{"mode":"off","enabled":false}"#), "no"),
    (Some(r#"{"mode":"local"}"#), "here"),
    (Some(r#"{"mode":"local","enabled":false,"x":[1]}"#), "here"),
    (Some(r#"{"mode":"on","enabled":true,"decidedAt":"2026-11-02T00:00:00Z"}"#), "yes"),
    (Some("\u{feff}{\"enabled\": true}\r\n"), "yes"),
    (Some(r#"{"enabled":"false"}"#), "broken"),
    (Some(r#"{"enabled":0}"#), "broken"),
    (Some(r#"{"enabled":"true"}"#), "broken"),
    (Some(r#"{"enabled":1}"#), "broken"),
    (Some(r#"{"enabled":null}"#), "broken"),
    (Some(r#"{"enabled":tr"#), "broken"),
    (Some(""), "broken"),
    (Some("null"), "broken"),
    (Some("[true]"), "broken"),
    (Some("{\"enabled\":true}{"), "broken"),
    (Some(r#"{"enabled":false,"enabled":true}"#), "broken"),
    (Some(r#"{"Enabled":true}"#), "broken"),
    (Some(r#"{"mode":"On"}"#), "broken"),
    (Some(r#"{"mode":"on","enabled":false}"#), "broken"),
    (Some(r#"{"telemetry":false}"#), "broken"),
];

/// One row of the matrix: what is put in, and its classes by name.
struct Row<'a> {
    evidence: Evidence<'a>,
    classes: [(&'static str, &'static str); 7],
}

fn files(folder: &Path) -> Vec<(StateFile, &'static str)> {
    let file = |(place, (text, class)): (usize, &(Option<&str>, &'static str))| {
        let path = folder.join(format!("{place}.json"));
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        (StateFile::read(&path), *class)
    };
    FILES.iter().enumerate().map(file).collect()
}

fn rows<'a>(files: &'a [(StateFile, &'static str)], mut each: impl FnMut(&Row<'a>)) {
    // Of policies the first of each class: a file is read alike, whichever it is.
    let mut classes = std::collections::BTreeSet::from(["noticed"]);
    let policies = files.iter().filter(|(_, class)| classes.insert(class));
    let defaults = [(Mode::Off, "off"), (Mode::Local, "local"), (Mode::On, "on")];
    let notices = [(Notice::Required, "required"), (Notice::None, "none")];
    for (policy, policy_class) in policies {
        for ((file, file_class), (ci, ci_class)) in product(files, CI) {
            for ((dnt, dnt_class), (env, env_class)) in product(DNT, ENV) {
                for ((default, default_class), (notice, notice_class)) in
                    product(&defaults, &notices)
                {
                    let evidence = Evidence {
                        do_not_track: *dnt,
                        prefix: "EXAMPLE",
                        variable: *env,
                        errors_variable: None,
                        policy,
                        file,
                        ci: *ci,
                        default: *default,
                        notice: *notice,
                    };
                    each(&Row {
                        evidence,
                        classes: [
                            ("dnt", dnt_class),
                            ("env", env_class),
                            ("policy", policy_class),
                            ("file", file_class),
                            ("ci", ci_class),
                            ("default", default_class),
                            ("notice", notice_class),
                        ],
                    });
                }
            }
        }
    }
}

fn product<'a, A, B>(a: &'a [A], b: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    a.iter().flat_map(move |a| b.iter().map(move |b| (a, b)))
}

/// Of each line of the table what it needs, and what it says.
type Rule = Vec<(Vec<(&'static str, &'static str)>, Vec<&'static str>)>;

/// What the table says of a row.
fn expected(rule: &Rule, row: &Row<'_>) -> Vec<String> {
    let fits = |needs: &[(&'static str, &'static str)]| {
        needs.iter().all(|need| row.classes.contains(need))
    };
    let (_, says) = rule.iter().find(|(needs, _)| fits(needs)).unwrap();
    says.iter().map(|word| (*word).to_owned()).collect()
}

fn rule() -> Rule {
    let line = |line: &'static str| {
        let (needs, says) = line.split_once("->").unwrap();
        let needs = needs.split_whitespace().map(|need| need.split_once('=').unwrap());
        (needs.collect(), says.split_whitespace().collect())
    };
    RULE.lines().filter(|line| line.contains("->")).map(line).collect()
}

#[test]
fn check_01_the_full_matrix_decides_as_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let rule = rule();
    let (mut count, mut seen) = (0_u64, std::collections::BTreeMap::new());
    rows(&files, |row| {
        let consent = decide(&row.evidence);
        let expected = expected(&rule, row);
        let mut says = vec![consent.mode.word().to_owned(), consent.layer.name().to_owned()];
        if consent.awaits_notice {
            says.push("waits".to_owned());
        }
        let must_warn = expected.iter().any(|word| word == "warns");
        assert!(!must_warn || !consent.warnings.is_empty(), "{:?}", row.classes);
        let expected: Vec<String> = expected.into_iter().filter(|word| word != "warns").collect();
        assert_eq!(says, expected, "{:?} {:?}", row.classes, row.evidence);
        *seen.entry(says.join(" ")).or_insert(0_u64) += 1;
        count += 1;
    });
    assert!(count >= 200, "{count} rows");
    // Every outcome of the table was met.
    let outcomes: std::collections::BTreeSet<String> = rule
        .iter()
        .map(|(_, says)| {
            says.iter().filter(|word| **word != "warns").copied().collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(seen.keys().cloned().collect::<std::collections::BTreeSet<_>>(), outcomes);
}

/// A file in a folder of its own, with what is in it.
fn file_of(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.json");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// What is decided by a file alone, for a product that is on by default and shows no notice.
fn by_file(path: &Path) -> Consent {
    let policy = StateFile::absent(Path::new("/nowhere"));
    decide(&Evidence {
        do_not_track: None,
        prefix: "EXAMPLE",
        variable: None,
        errors_variable: None,
        policy: &policy,
        file: &StateFile::read(path),
        ci: None,
        default: Mode::On,
        notice: Notice::None,
    })
}

const NOW: UnixMs = UnixMs(1_795_000_000_000);

#[test]
fn check_02_files_that_mean_no_or_nothing_are_off_and_stay_as_they_are() {
    let d1_d2: [&[u8]; 9] = [
        b"{\"enabled\": false}",
        b"{\"enabled\":\"false\"}",
        b"{\"enabled\":0}",
        b"{\"enabled\": fal",
        b"",
        b"\xff\xfe{\x00",
        b"\0\0\0\0",
        b"{\"enabled\":1e999}",
        b"{\"enabled\":false} trailing",
    ];
    for bytes in d1_d2 {
        let (folder, path) = file_of(bytes);
        assert_eq!(by_file(&path).mode, Mode::Off, "{bytes:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "reading writes nothing");
    }
}

#[test]
fn nothing_is_written_over_a_file_that_cannot_be_read() {
    for bytes in [&b""[..], b"{\"enabled\": fal", b"[]", b"{\"a\":1,\"a\":2}"] {
        let (folder, path) = file_of(bytes);
        for mode in Mode::ALL {
            let refused = StateFile::write_decision(&path, mode, NOW);
            assert!(matches!(refused, Err(WriteError::Refused(_))), "{refused:?}");
        }
        let refused = StateFile::write_notice_shown(&path, NOW);
        assert!(matches!(refused, Err(WriteError::Refused(_))), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "not even a lock");
    }
}

#[test]
fn what_is_no_file_is_off_and_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::write(at("long"), vec![b' '; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
    fs::write(at("file"), "{}").unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
    let mut names = vec!["folder", "dangling", "long", "file/telemetry.json"];
    if made.is_ok_and(|status| status.success()) {
        names.push("pipe");
    }
    for name in names {
        let file = StateFile::read(&at(name));
        assert!(matches!(file.content, Content::Unreadable(_)), "{name}: {file:?}");
        assert_eq!(by_file(&at(name)).mode, Mode::Off, "{name}");
        let refused = StateFile::write_decision(&at(name), Mode::On, NOW);
        assert!(matches!(refused, Err(WriteError::Refused(_))), "{name}: {refused:?}");
    }
}

#[test]
fn the_longest_file_is_read() {
    let mut text = "{\"enabled\":true}".to_owned();
    text += &" ".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() - text.len());
    let (_folder, path) = file_of(text);
    assert_eq!(by_file(&path).mode, Mode::On);
}

#[test]
fn check_07_claude_mems_file_is_read_and_what_is_in_it_kept() {
    let id = "0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11";
    let text = format!(
        "{{\n  \"enabled\": true,\n  \"installId\": \"{id}\",\n  \"decidedAt\": \"2026-06-19T08:00:00.000Z\",\n  \
         \"tomorrow\": {{\"a\": [1, 12345678901234567890123, 1.50]}}\n}}"
    );
    let (_folder, path) = file_of(&text);
    let consent = by_file(&path);
    assert_eq!((consent.mode, consent.layer), (Mode::On, Layer::File));
    assert_eq!(consent.as_of.unwrap().to_string(), "2026-06-19T08:00:00.000Z");
    StateFile::write_decision(&path, Mode::Local, NOW).unwrap();
    let written = crate::text(&path);
    assert_eq!(
        written,
        format!(
            "{{\n  \"enabled\": false,\n  \"installId\": \"{id}\",\n  \
             \"decidedAt\": \"2026-11-18T11:06:40.000Z\",\n  \
             \"tomorrow\": {{\"a\": [1, 12345678901234567890123, 1.50]}},\n  \"mode\": \"local\"\n}}\n"
        )
    );
    assert_eq!(by_file(&path).mode, Mode::Local);
}

#[test]
fn a_decision_is_written_as_a_whole_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/below/telemetry.json");
    for mode in Mode::ALL {
        StateFile::write_decision(&path, mode, NOW).unwrap();
        let consent = by_file(&path);
        assert_eq!((consent.mode, consent.layer, consent.as_of), (mode, Layer::File, Some(NOW)));
        assert!(consent.warnings.is_empty(), "{:?}", consent.warnings);
        let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits(&path), 0o600);
        assert_eq!(bits(path.parent().unwrap()), 0o700);
        assert!(!path.with_file_name("telemetry.json.tmp").exists());
    }
}

#[test]
fn a_file_that_was_open_to_others_is_closed_and_a_left_over_one_replaced() {
    let (_folder, path) = file_of("{\"enabled\":true}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path.with_file_name("telemetry.json.tmp"), "{\"enabled\":").unwrap();
    StateFile::write_decision(&path, Mode::Off, NOW).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(by_file(&path).mode, Mode::Off);
}

#[test]
fn a_link_stays_a_link() {
    let (folder, path) = file_of("{\"kept\":1,\"enabled\":true}");
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    StateFile::write_decision(&link, Mode::Off, NOW).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(by_file(&path).mode, Mode::Off);
    assert!(crate::text(&path).contains("\"kept\": 1"));
}

#[test]
fn who_writes_at_the_same_time_is_told_to_try_again() {
    let (_folder, path) = file_of("{}");
    let lock = fs::File::create(path.with_file_name("telemetry.json.lock")).unwrap();
    lock.lock().unwrap();
    let busy = StateFile::write_decision(&path, Mode::Off, NOW);
    assert!(matches!(busy, Err(WriteError::Busy { .. })), "{busy:?}");
    drop(lock);
    StateFile::write_decision(&path, Mode::Off, NOW).unwrap();
}

#[test]
fn consent_is_never_retroactive() {
    let (_folder, path) = file_of("{}");
    StateFile::write_decision(&path, Mode::On, NOW).unwrap();
    let consent = by_file(&path);
    let (before, after) = (UnixMs(NOW.0 - 1), UnixMs(NOW.0 + 1));
    assert!(!consent.may_send(before, UnixMs(0)));
    assert!(consent.may_send(NOW, UnixMs(0)) && consent.may_send(after, UnixMs(0)));
    // A decision without a date counts from the change of its file.
    let (_folder, path) = file_of("{\"enabled\":true}");
    let file = fs::File::options().append(true).open(&path).unwrap();
    let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_000_000);
    file.set_modified(modified).unwrap();
    assert_eq!(by_file(&path).as_of, Some(NOW));
    // Without a file it counts from when it was first seen.
    let (_folder, path) = file_of("{}");
    let consent = by_file(&path);
    assert_eq!((consent.mode, consent.as_of), (Mode::On, None));
    assert!(!consent.may_send(before, NOW) && consent.may_send(after, NOW));
    // Where it is local, nothing may be sent at all.
    StateFile::write_decision(&path, Mode::Local, NOW).unwrap();
    assert!(!by_file(&path).may_send(after, NOW));
}

#[test]
fn a_default_of_on_counts_from_its_notice() {
    let (_folder, path) = file_of("{}");
    let policy = StateFile::absent(Path::new("/nowhere"));
    let consent = || {
        decide(&Evidence {
            do_not_track: None,
            prefix: "EXAMPLE",
            variable: None,
            errors_variable: None,
            policy: &policy,
            file: &StateFile::read(&path),
            ci: None,
            default: Mode::On,
            notice: Notice::Required,
        })
    };
    assert!(consent().awaits_notice && !consent().may_send(NOW, NOW));
    StateFile::write_notice_shown(&path, NOW).unwrap();
    assert_eq!((consent().mode, consent().as_of), (Mode::On, Some(NOW)));
    // A notice whose time is none was not shown.
    fs::write(&path, "{\"noticeShownAt\":true}").unwrap();
    assert!(consent().awaits_notice);
    assert_eq!(consent().warnings.len(), 1);
}

#[test]
fn errors_have_a_switch_of_their_own() {
    let (_folder, path) = file_of("{\"mode\":\"on\"}");
    let file = StateFile::read(&path);
    let policy = StateFile::absent(Path::new("/nowhere"));
    for (value, is_told, warns) in [
        (None, true, false),
        (Some(""), true, false),
        (Some("1"), true, false),
        (Some(" ON "), true, false),
        (Some("0"), false, false),
        (Some("False"), false, false),
        (Some("disabled"), false, false),
        (Some("perhaps\u{1b}[31m"), false, true),
    ] {
        let evidence = Evidence {
            do_not_track: None,
            prefix: "EXAMPLE",
            variable: None,
            errors_variable: value,
            policy: &policy,
            file: &file,
            ci: None,
            default: Mode::Off,
            notice: Notice::Required,
        };
        let consent = decide(&evidence);
        assert_eq!((consent.mode, consent.errors), (Mode::On, is_told), "{value:?}");
        assert_eq!(consent.warnings.len(), usize::from(warns), "{value:?}");
        let words: Vec<String> = consent.warnings.iter().map(Warning::to_string).collect();
        assert!(
            words.iter().all(|it| it.starts_with("EXAMPLE_TELEMETRY_ERRORS is `perhaps\u{fffd}"))
        );
        let off = decide(&Evidence { do_not_track: Some("1"), ..evidence });
        assert!(!off.errors);
    }
}

proptest::proptest! {
    /// Whatever stands in a file, it is read without a panic, and a change keeps the rest.
    #[test]
    fn any_bytes_are_read(bytes: Vec<u8>) {
        if let Ok(document) = Document::parse(&bytes) {
            let again = Document::parse(&document.bytes()).unwrap();
            proptest::prop_assert_eq!(again.decision(), document.decision());
        }
    }

    /// Unknown keys of any form come out as they went in.
    #[test]
    fn unknown_keys_are_kept(keys in proptest::collection::btree_map("\\PC{0,12}", "\\PC{0,20}", 0..8)) {
        let text = serde_json::to_string(&keys).unwrap();
        let known = ["mode", "enabled", "decidedAt"];
        proptest::prop_assume!(!keys.keys().any(|key| known.iter().any(|it| key.eq_ignore_ascii_case(it))));
        let (_folder, path) = file_of(text);
        StateFile::write_decision(&path, Mode::Local, NOW).unwrap();
        let bytes = fs::read(&path).unwrap();
        let written: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        for (key, value) in &keys {
            proptest::prop_assert_eq!(written[key].as_str(), Some(value.as_str()));
        }
        proptest::prop_assert_eq!(by_file(&path).mode, Mode::Local);
    }
}

#[test]
fn what_was_decided_before_keeps_its_date_when_it_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry.json");
    let later = UnixMs(NOW.0 + 86_400_000);
    StateFile::write_decision(&path, Mode::On, NOW).unwrap();
    StateFile::write_decision(&path, Mode::On, later).unwrap();
    assert_eq!(by_file(&path).as_of, Some(NOW));
    StateFile::write_decision(&path, Mode::Local, later).unwrap();
    StateFile::write_decision(&path, Mode::On, later).unwrap();
    assert_eq!(by_file(&path).as_of, Some(later));
    // A file that contradicts itself is off, and said again it is on.
    fs::write(&path, format!("{{\"mode\":\"on\",\"enabled\":false,\"decidedAt\":\"{NOW}\"}}"))
        .unwrap();
    StateFile::write_decision(&path, Mode::On, later).unwrap();
    assert_eq!((by_file(&path).mode, by_file(&path).as_of), (Mode::On, Some(later)));
}
