//! Probes: what a text becomes, word by word, and what must be gone.

use proptest::prelude::*;

use super::*;

fn template(text: &str) -> String {
    Redactor::new(Level::Template).redact(text, Limits::LINE).unwrap()
}

fn redacted(text: &str) -> String {
    Redactor::new(Level::Redacted).redact(text, Limits::LINE).unwrap()
}

#[test]
fn what_is_of_listed_words_stays() {
    for text in [
        "connection refused (os error 111)",
        "Error in handle_session_start_v2",
        "expected `}`, found end of file at line 42, column 7",
        "can't read main.rs:12:5: not valid UTF-8",
        "HTTP/1.1 404 Not Found",
        "std::io::Error: timed out after 30s",
        "ssl_context and certfile arguments are mutually exclusive",
        "SHA256 checksum mismatch in x86_64 build",
        "exit code=1, key: name",
        "can not read/write; e.g. C++",
        "max_tokens=4096 is not supported",
        "v1.2.3 -> v1.2.4",
        "\"id\": 42",
        "",
    ] {
        assert_eq!(template(text), text);
    }
}

#[test]
fn what_is_taken_out_has_a_mark() {
    for (text, expected) in [
        ("invalid api key lyEe0TNW5obGs_M3MJpU supplied", "invalid api key <w> supplied"),
        ("GET https://h/v1/foo?token=abc123: 401", "GET https://<url>: 401"),
        ("see (https://a.b/c), then", "see (https://<url>), then"),
        ("xyz9://a/b", "<url>"),
        ("mail to alice@acme.com.", "mail to <at>."),
        ("no route to db-1.corp.internal:5432", "no route to <host>"),
        ("Server=tcp:db.ours.com,1433", "<host>"),
        ("10.0.0.12:8080 and fe80::1 and 00:1a:2b:3c:4d:5e", "<ip> and <ip> and <ip>"),
        ("open ~/work/acme/plan.md failed", "open <p>/plan.md failed"),
        ("at src/acme/main.rs:12:5, then", "at <p>/main.rs:12:5, then"),
        ("in C:\\Users\\Alice Smith\\zoltan.txt:", "in <p>:"),
        ("call +49 (170) 123-4567 now", "call +49 (<n> now"),
        ("card 4111 1111 1111 1111, please", "card <n>, please"),
        ("2026-11-21T10:00:00Z failed", "<n> failed"),
        ("he said 'tell nobody about the merger'", "he said '<str>'"),
        ("he said \"tell nobody about the mer", "he said \"<str>"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: <v>"),
        ("used Bearer correct-horse, sorry", "used Bearer <v>, sorry"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend", "<pem>\nend"),
        ("a \u{1b}[31mred\u{1b}[0m word", "a \u{fffd}[<w>\u{fffd}[0m word"),
        ("two   blanks", "two blanks"),
    ] {
        assert_eq!(template(text), expected);
    }
}

#[test]
fn values_of_secret_names_go_even_where_they_are_plain_words() {
    for (text, expected) in [
        ("password=correct horse battery staple", "password=<v>"),
        ("password: correct horse battery staple", "password: <v>"),
        ("db_password = correct horse user=root", "db_password = <v> user=root"),
        ("{\"password\": \"correct horse\", \"id\": 1}", "{\"password\": \"<v>\", \"id\": 1}"),
        ("{\\\"token\\\":\\\"correct\\\"}", "{\\\"token\\\":\\\"<v>\\\"}"),
        ("<password>correct horse</password>", "<password><v></password>"),
        ("tool --token correct --verbose", "tool --token <v> --verbose"),
        ("login(secret='correct horse')", "login(secret='<v>')"),
        ("api_key=correct&page=2", "api_key=<v>"),
        ("Cookie: theme=dark; session=correct", "Cookie: <v>"),
        ("curl --user bob:correct https://a.b", "curl --user <v> https://<url>"),
        ("Server=db;Password=correct horse;", "Server=db;Password=<v>;"),
        ("passphrase 'correct'", "passphrase 'correct'"),
    ] {
        assert_eq!(template(text), expected);
        assert_eq!(redacted(text), expected);
    }
}

#[test]
fn the_second_level_keeps_words_that_it_does_not_know() {
    for (text, expected) in [
        ("AhoCorasick::try_find in qdrant", "AhoCorasick::try_find in qdrant"),
        ("für Zoë", "für Zoë"),
        ("token ghp_16C7e42F292c6912E7710c838347Ae178B4a", "token <secret>"),
        ("sk-ant-correct-horse", "<secret>"),
        ("id 9f86d081884c7d659a2feaa0c55ad015", "id <secret>"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def-123", "<secret>"),
        ("x lyEeTNWobGsMJpUyRQH y", "x <secret> y"),
        ("/home/alice/acme/plan.md", "<p>/plan.md"),
        ("say 'all of these words stay here'", "say 'all of these words stay here'"),
    ] {
        assert_eq!(redacted(text), expected);
    }
}

/// Contract §1.7 D3–D6, and what else names a person, a machine or a project.
#[test]
fn check_23_probes_are_clean() {
    for (text, gone) in [
        ("GET https://h/v1/foo?token=abc123", "abc123"),
        ("GET https://user:pa55@h/v1", "pa55"),
        ("GET https://internal.acme.example/merger", "acme"),
        ("~/work/acme-secret-merger/plan.md", "acme"),
        ("/Users/alice/acme-secret-merger/plan.md", "alice"),
        ("/Users/alice/acme-secret-merger/plan.md", "merger"),
        ("open '/Users/Alice Smith/plan.md'", "Smith"),
        ("/home/Jane Smith/Acme Plans/x.txt", "Smith"),
        ("password=hunter2", "hunter2"),
        ("password: hunter2", "hunter2"),
        ("\"password\":\"hunter2\"", "hunter2"),
        ("password = 'hunter2'", "hunter2"),
        ("PGPASSWORD=sunshine psql", "sunshine"),
        ("--password sunshine", "sunshine"),
        ("passphrase: correct horse battery staple", "horse"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNl"),
        ("Basic dXNlcjpwYXNz", "dXNl"),
        ("Authorization: Bearer sunshine-moon", "sunshine"),
        ("Cookie: session=sunshine; theme=dark", "sunshine"),
        ("Set-Cookie: id=sunshine; Path=/", "sunshine"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIE"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "b3Bl"),
        ("glpat-9mYPXHkTk6u6n3d5ZjBj", "9mYP"),
        ("token ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7"),
        ("sk-ant-api03-abcDEF", "api03"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("xoxb-123456789012-abcdefghij", "1234"),
        ("hf_abcdefghijklmnop", "abcd"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJ"),
        ("connect to 2001:db8::8a2e:370:7334 failed", "8a2e"),
        ("connect to ::1 failed", "::1"),
        ("connect to 10.1.2.3:5432 failed", "10.1"),
        ("dial db-prod-1.corp.acme.internal failed", "corp"),
        ("dial build-box.local failed", "build-box"),
        ("dial build-box-7:8080 failed", "build-box"),
        ("git@github.com:acme/secret-repo.git", "secret-repo"),
        ("checkout of feature/big-merger failed", "merger"),
        ("C:\\Users\\Alice Smith\\notes.txt", "Smith"),
        ("C:\\Users\\Alice Mary Smith\\notes.txt", "Mary"),
        ("\\\\server\\share\\plan", "share"),
        ("call +1 (555) 123-4567", "4567"),
        ("call 555 123 4567", "4567"),
        ("ssn 078-05-1120", "1120"),
        ("card 4111 1111 1111 1111", "4111"),
        ("card 4111-1111-1111-1111", "4111"),
        ("mac 00:1A:2B:3C:4D:5E", "1A"),
        ("mac 00-1a-2b-3c-4d-5e", "1a"),
        ("mail alice.smith+x@acme.co.uk", "smith"),
        ("uuid 123e4567-e89b-12d3-a456-426614174000", "e89b"),
        ("hello Alice Smith", "Alice"),
        ("prompt was \"please write to the board about the merger\"", "merger"),
    ] {
        let out = template(text);
        assert!(!out.contains(gone), "{text} => {out}");
    }
    let name = "Error in handle_session_start_v2";
    assert_eq!(template(name), name, "D6: names of functions are no secrets");
}

#[test]
fn half_of_what_is_too_long_is_never_shown() {
    let text = format!("{} password", "error ".repeat(2_000));
    let out = template(&text);
    assert!(out.len() <= Limits::LINE.redacted_bytes_max, "{}", out.len());
    assert!(out.ends_with("error <cut>") || out.ends_with("error<cut>"), "{out}");
    let one = "a".repeat(RAW_BYTES_MAX + 1);
    assert_eq!(template(&one), "<cut>");
    let message = Redactor::new(Level::Template).redact(&text, Limits::MESSAGE).unwrap();
    assert!(message.len() <= 500 && message.ends_with("<cut>"), "{message}");
}

#[test]
fn check_29_a_fault_costs_the_text_and_nothing_else() {
    let damaged = Redactor { level: Level::Template, words: Words::of_table(b"not a table") };
    assert_eq!(damaged.redact("hello", Limits::LINE), Err(Dropped::NoWords));
    let failed = guarded(Limits::LINE, || panic!("a fault"));
    assert_eq!(failed, Err(Dropped::Fault));
    let overlong = guarded(Limits::MESSAGE, || "error ".repeat(100));
    assert_eq!(overlong, Err(Dropped::Fault));
    // Of a table that is cut off, the words that are left are those that pass.
    let whole = include_bytes!("../../data/words.dawg");
    let cut = Redactor { level: Level::Template, words: Words::of_table(&whole[..47 + 3 * 60]) };
    assert_eq!(cut.redact("zymurgy error", Limits::LINE).as_deref(), Ok("<w> <w>"));
}

#[test]
fn keys_that_span_lines_go_from_a_stream() {
    let redactor = Redactor::new(Level::Redacted);
    let mut lines = Lines::new(&redactor);
    let text =
        "before\nx -----BEGIN PRIVATE KEY-----\nlooks harmless\n-----END PRIVATE KEY-----\nafter";
    let out: Vec<String> = text.lines().filter_map(|line| lines.line(line).unwrap()).collect();
    assert_eq!(out, ["before", "x <pem>", "after"]);
}

/// Texts that are made of what the rules look for, so that they meet.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "`",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "<",
        ">",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=",
        ":",
        "::",
        "://",
        "/",
        "\\",
        "@",
        ".",
        ",",
        ";",
        "-",
        "--",
        "+",
        "~",
        "&",
        "|",
        "%",
        "<w>",
        "<v>",
        "<p>",
        "<url>",
        "<str>",
        "<n>",
        "<cut>",
        "<pem>",
        "/plan.md",
        "plan.md:12",
        "x",
        "a",
        "s",
        "42",
        "1234",
        "12345678",
        "9f2",
        "error",
        "the",
        "token",
        "password",
        "api_key",
        "key",
        "Cookie",
        "authorization",
        "Bearer",
        "https",
        "C:\\",
        "~/",
        "10.0.0.1",
        "fe80::1",
        "acme.com",
        "alice",
        "-----BEGIN",
        "-----END X-----",
        "\u{1b}",
        "\0",
        "\u{a0}",
        "ü",
        "\u{200b}",
        "“",
        "’",
        "don't",
        "ghp_abcdefgh12",
        "lyEeTNWobGsMJpUyRQH",
        "</",
        "/>",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

/// Found by fuzzing, or by the properties below.
#[test]
fn what_was_once_unstable_stays_as_it_is() {
    for text in [
        "'\" \"\",\n= ' (\" o 2'",
        "CookieC:\\`\r\n/\"`",
        "x9token=\"<v>abc \"one two three four",
        "-10.0.0.1token \n",
        "xC:\\\"/\r\n",
        "1234   5678",
        "1234\u{1}5678",
        "1105\r 1111",
        "{\"password\": \\\"e\\\"",
        "'/ /plan.md-----BEGIN '",
        "' -----BEGIN\nx-----END X----- y z a '",
        " '</ <<don't://",
    ] {
        for max in 5..40 {
            laws(text, max).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_texts_stay_as_they_are_the_second_time(text in hostile(), max in 8..200_usize) {
        laws(&text, max)?;
    }

    #[test]
    fn any_text_stays_as_it_is_the_second_time(text in ".{0,200}", max in 8..600_usize) {
        laws(&text, max)?;
    }
}

/// Bounded, and idempotent; that nothing panics is in the run.
fn laws(text: &str, max: usize) -> Result<(), TestCaseError> {
    for level in [Level::Template, Level::Redacted] {
        for limits in [Limits::LINE, Limits { redacted_bytes_max: max, ..Limits::LINE }] {
            let redactor = Redactor::new(level);
            let once = redactor.redact(text, limits).unwrap();
            prop_assert!(once.len() <= limits.redacted_bytes_max, "{once}");
            let twice = redactor.redact(&once, limits).unwrap();
            prop_assert_eq!(&once, &twice, "{:?} of {:?}", level, text);
        }
    }
    Ok(())
}
