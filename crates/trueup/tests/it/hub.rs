//! `trueup hub`, over real sockets, with real sidecars and a client that is not ours.

mod both_stores;
mod clickhouse;
mod keeping;
mod protocol;

use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::serve::daemon::{Answer, Daemon, Home, until};

/// A folder for a hub, its devices, and what reads it.
pub(super) struct Fleet {
    home: Home,
    store: Option<String>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more settings.
    fn with(variables: &[(&str, &str)]) -> Self {
        let own = [("TRUEUP_HUB_PORT", "0"), ("TRUEUP_HUB_PUSH_INTERVAL", "1s")];
        Self { home: Home::with(&[&own, variables].concat()), store: None }
    }

    /// The same with another store than a folder.
    fn at(store: &str) -> Self {
        Self { store: Some(store.to_owned()), ..Self::new() }
    }

    fn hub(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.verb("hub");
        let folder = || self.home.path("hub").into_os_string();
        let store = self.store.as_ref().map_or_else(folder, Into::into);
        command.env("TRUEUP_HUB_STORE", store).args(arguments);
        command
    }

    /// A hub that is started again where it was.
    fn start_at(&self, port: &str) -> Daemon {
        Daemon::start(self.hub(&["--port", port]))
    }

    pub(super) fn start(&self) -> Daemon {
        Daemon::start(self.hub(&[]))
    }

    /// What a verb of the hub prints, and whether it ended well.
    fn says(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.hub(arguments).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }

    pub(super) fn device(&self, tenant: &str, device: &str) -> String {
        let (secret, is_made) =
            self.says(&["token", "create", "--tenant", tenant, "--device", device]);
        assert!(is_made);
        secret.trim().to_owned()
    }

    pub(super) fn reader(&self, tenant: &str) -> String {
        let (secret, is_made) = self.says(&["token", "create", "--tenant", tenant, "--read"]);
        assert!(is_made);
        secret.trim().to_owned()
    }
}

pub(super) fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

/// What a reader is told.
pub(super) fn ask(hub: &Daemon, secret: &str, path: &str) -> Answer {
    hub.get_with(path, &[("authorization", &bearer(secret))])
}

/// A sidecar that pushes to a hub when it is asked to.
struct Sidecar {
    home: Home,
}

impl Sidecar {
    fn new(hub: &Daemon, secret: &str) -> Self {
        let url = hub.url("/v1/ingest");
        let variables = [
            ("TRUEUP_PUSH_ENDPOINT", url.as_str()),
            ("TRUEUP_PUSH_TOKEN", secret),
            ("TRUEUP_PUSH_INTERVAL", "1h"),
        ];
        Self { home: Home::with(&variables) }
    }
}

fn post_calls(sidecar: &Daemon, numbers: std::ops::Range<u32>) {
    let lines: Vec<String> = numbers
        .map(|number| {
            json!({
                "provider": "openai", "model": format!("gpt-5.{}", number % 3), "session_id": "main",
                "project": "/p", "prompt_tokens": 100 + number, "completion_tokens": number,
                "input_text": "never kept by a hub",
            })
            .to_string()
        })
        .collect();
    sidecar.post_durably("/v1/traces", &lines.join("\n"));
}

fn push(sidecar: &Daemon) {
    let answer = sidecar.post("/v1/push", "");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ok")), "{}", answer.text);
}

fn totals(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["totals"]["exact"].clone()
}

#[test]
fn what_sidecars_have_is_what_the_hub_tells() {
    let fleet = Fleet::new();
    let reader = fleet.reader("acme");
    let secrets = ["laptop", "box"].map(|device| fleet.device("acme", device));
    let mut hub = fleet.start();
    let homes = secrets.each_ref().map(|secret| Sidecar::new(&hub, secret));
    for (home, numbers) in homes.iter().zip([0..40, 100..130]) {
        let sidecar = home.home.start();
        post_calls(&sidecar, numbers);
        push(&sidecar);
    }
    let by = ["by=day,model", "by=project", "by=hour&tz=Asia/Kathmandu", "by=kind"];
    for (home, device) in homes.iter().zip(["laptop", "box"]) {
        let sidecar = home.home.start();
        for by in by {
            let own = sidecar.get(&format!("/v1/report?{by}")).json();
            let told = ask(&hub, &reader, &format!("/v1/report?{by}&device={device}")).json();
            assert_eq!(own, told, "{device} {by}");
        }
    }
    let by_device = ask(&hub, &reader, "/v1/report?by=device").json();
    let calls = |row: &Value| (row["device"].clone(), row["exact"]["calls"].clone());
    let rows: Vec<_> = by_device["rows"].as_array().unwrap().iter().map(calls).collect();
    assert_eq!(rows, [(json!("box"), json!(30)), (json!("laptop"), json!(40))]);
    // Sessions of one name on two devices are two.
    let session = ask(&hub, &reader, "/api/v1/sessions?device=box").json();
    assert_eq!(session["rows"][0]["exact"]["calls"], 30);
    sessions_tell_their_devices(&hub, &reader);
    let query = ask(&hub, &reader, "/api/v1/usage/query?group=device&bucket=none").json();
    assert_eq!(query["totals"]["exact"]["calls"], 70);
    let devices = ask(&hub, &reader, "/api/v1/devices").json();
    assert_eq!(
        (&devices["is_complete"], devices["rows"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    let part = ask(&hub, &reader, "/api/v1/devices?limit=1").json();
    assert_eq!((&part["rows"][0]["device"], &part["next_cursor"]), (&json!("box"), &json!("box")));
    let rest = ask(&hub, &reader, "/api/v1/devices?limit=1&cursor=box").json();
    assert_eq!(
        (&rest["rows"][0]["device"], &rest["next_cursor"], &rest["counts"]),
        (&json!("laptop"), &Value::Null, &devices["counts"])
    );
    for wrong in ["limit=0", "limit=10001", "device=box", "limit=1&limit=2"] {
        assert_eq!(ask(&hub, &reader, &format!("/api/v1/devices?{wrong}")).status, 400, "{wrong}");
    }
    assert_eq!(ask(&hub, &reader, "/v1/report?device=nobody").status, 404);
    assert!(hub.terminate().success());
    assert!(fleet.says(&["check"]).1);
}

/// Both devices have a session `main`, of 40 calls and of 30.
fn sessions_tell_their_devices(hub: &Daemon, reader: &str) {
    let told = |path: &str| ask(hub, reader, path).json();
    let rows = |answer: &Value| {
        let told = |row: &Value| {
            assert_eq!(row["session"], "main");
            (row["device"].as_str().unwrap().to_owned(), row["exact"]["calls"].as_u64().unwrap())
        };
        let mut rows: Vec<_> = answer["rows"].as_array().unwrap().iter().map(told).collect();
        rows.sort();
        rows
    };
    let both = [("box".to_owned(), 30), ("laptop".to_owned(), 40)];
    let listed = told("/api/v1/sessions");
    assert_eq!((rows(&listed), &listed["total"]), (both.to_vec(), &json!(2)));
    let first = told("/api/v1/sessions?limit=1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = told(&format!("/api/v1/sessions?limit=1&cursor={cursor}"));
    let mut one_by_one = [rows(&first), rows(&second)].concat();
    one_by_one.sort();
    assert_eq!((one_by_one, &second["next_cursor"]), (both.to_vec(), &Value::Null));
    let report = told("/v1/report?by=session");
    assert_eq!((rows(&report), &report["by"]), (both.to_vec(), &json!("session,device")));
    let csv = ask(hub, reader, "/api/v1/export?view=sessions&format=csv").text;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("session,agent,device,projects,"), "{csv}");
    for line in ["main,http,box,", "main,http,laptop,"] {
        assert!(lines[1..].iter().any(|told| told.starts_with(line)), "{csv}");
    }
    let one = told("/api/v1/sessions/main?device=box");
    assert_eq!((&one["exact"]["calls"], &one["devices"]), (&json!(30), &json!(["box"])));
    // Of whom it is was not asked: whatever is called so, each call once.
    let all = told("/api/v1/sessions/main");
    assert_eq!((&all["exact"]["calls"], &all["devices"]), (&json!(70), &json!(["box", "laptop"])));
}

#[test]
fn tokens_open_what_they_are_for_and_nothing_else() {
    let fleet = Fleet::new();
    let (device, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let other = fleet.reader("globex");
    let hub = fleet.start();
    let sidecar = Sidecar::new(&hub, &device);
    let sidecar = sidecar.home.start();
    post_calls(&sidecar, 0..5);
    push(&sidecar);
    assert_eq!(totals(&ask(&hub, &reader, "/v1/report"))["calls"], 5);
    assert_eq!(totals(&ask(&hub, &other, "/v1/report"))["calls"], 0);
    for path in ["/v1/report", "/api/v1/devices", "/", "/openapi.json", "/metrics", "/nothing"] {
        assert_eq!(hub.get(path).status, 401, "{path}");
        assert_eq!(ask(&hub, "truh_wrong", path).status, 401, "{path}");
    }
    let config = ask(&hub, &reader, "/api/v1/config");
    let paths = ["ledger", "/hub", "prices", "home"];
    assert!(
        config.status == 200 && paths.iter().all(|path| !config.text.contains(path)),
        "{}",
        config.text
    );
    assert_eq!(ask(&hub, &device, "/v1/report").status, 403);
    let headers = [("authorization", bearer(&reader)), ("content-type", "application/json".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(hub.post_with("/v1/ingest", "{}", &headers).status, 403);
    assert_eq!(hub.get("/health").status, 200);
    // What agents and clients post to a sidecar is for no hub.
    for path in ["/v1/traces", "/v1/errors", "/v1/push"] {
        assert_eq!(hub.post_with(path, "{}", &headers).status, 405, "{path}");
    }
    let list = fleet.says(&["token", "list", "--json"]).0;
    let list: Value = serde_json::from_str(&list).unwrap();
    let named = list["tokens"].as_array().unwrap().iter().find(|one| one["device"] == "laptop");
    let name = named.unwrap()["name"].as_str().unwrap();
    assert!(!list.to_string().contains(&device) && device.starts_with("truh_"));
    assert!(fleet.says(&["token", "revoke", name]).1);
    until("the token opens nothing", || {
        post_calls(&sidecar, 5..6);
        sidecar.post("/v1/push", "").json()["error"].to_string().contains("401")
    });
    assert!(!fleet.says(&["token", "revoke", "nobody"]).1);
    assert!(!fleet.says(&["token", "create", "--tenant", "../acme", "--read"]).1);
}

#[test]
fn a_hub_that_is_killed_has_all_that_it_acknowledged() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let mut hub = fleet.start();
    let port = hub.address.port().to_string();
    let sidecar = Sidecar::new(&hub, &secret);
    let sidecar = sidecar.home.start();
    for round in 0..6_u32 {
        post_calls(&sidecar, round * 50..(round + 1) * 50);
        let pushing = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| sidecar.post("/v1/push", "").status);
            let start = Instant::now();
            let moment = std::time::Duration::from_millis(u64::from(round) * 3);
            while start.elapsed() < moment {
                std::hint::spin_loop();
            }
            hub.signal(Signal::KILL);
            let _status = hub.end();
            let mut command = fleet.hub(&[]);
            command.env("TRUEUP_HUB_PORT", &port);
            hub = Daemon::start(command);
            pushing.join().unwrap()
        });
        assert_eq!(pushing, 200);
    }
    until("all is told", || {
        let answer = sidecar.post("/v1/push", "");
        answer.status == 200 && answer.json()["status"] == "ok"
    });
    let own = totals(&sidecar.get("/v1/report"));
    assert_eq!((&own, &own["calls"]), (&totals(&ask(&hub, &reader, "/v1/report")), &json!(300)));
    assert!(hub.terminate().success());
    let (said, is_well) = fleet.says(&["check"]);
    assert!(is_well && said.contains("every sum is that of its calls"), "{said}");
}

/// Long before the last of them is named, the answer is longer than what is read of one that refuses nothing.
#[test]
fn each_of_thousands_of_records_that_the_hub_refuses_is_told_as_refused() {
    const CALLS: i64 = 3_000;
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let mut command = fleet.hub(&[]);
    command.env("TRUEUP_TEST_CLOCK_OFF_S", (-10 * 86_400).to_string());
    let hub = Daemon::start(command);
    let sidecar = Sidecar::new(&hub, &secret);
    let running = sidecar.home.start();
    post_calls(&running, 0..u32::try_from(CALLS).unwrap());
    push(&running);
    assert_eq!(totals(&ask(&hub, &reader, "/v1/report"))["calls"], 0);
    let refused = "SELECT count(*) FROM push_quarantine WHERE reason LIKE 'in_the_future: %'";
    assert_eq!(sidecar.home.number(refused), CALLS);
    let pushed = "SELECT count(*) FROM llm_traces WHERE pushed_at IS NOT NULL";
    assert_eq!(sidecar.home.number(pushed), 0);
    let sent = "SELECT count(*) FROM push_log";
    assert_eq!(sidecar.home.number(sent), 1, "all of it at once, and not again");
}

/// `TRUEUP_ACCEPT=1` writes the document anew.
#[test]
fn the_document_of_the_contract_is_what_is_served() {
    let fleet = Fleet::new();
    let reader = fleet.reader("acme");
    let hub = fleet.start();
    let served = ask(&hub, &reader, "/openapi.json").json();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hub-openapi.json");
    let text = format!("{served:#}\n");
    if std::env::var_os("TRUEUP_ACCEPT").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(String::from_utf8(std::fs::read(path).unwrap()).unwrap(), text);
    for path in
        ["/v1/ingest", "/api/traces/ingest", "/health", "/api/v1/devices", "/api/v1/usage/query"]
    {
        assert!(served["paths"][path].is_object(), "{path}");
    }
}

#[test]
fn the_command_of_another_machine_prints_what_the_hub_has() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let hub = fleet.start();
    let sidecar = Sidecar::new(&hub, &secret);
    let running = sidecar.home.start();
    post_calls(&running, 0..7);
    push(&running);
    let report = |more: &[&str]| {
        let mut command = sidecar.home.verb("report");
        command.env("TRUEUP_HUB_TOKEN", &reader).env("COLUMNS", "80").args(more);
        let output = command.output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), words, output.status.code())
    };
    let url = hub.url("");
    for form in
        [&["--by", "model"][..], &["--json"], &["--csv"], &["--json=ccusage"], &["--breakdown"]]
    {
        let own = report(form).0;
        let told = report(&[form, &["--hub", &url]].concat());
        // What the command says beside its output, of calls without a price, stands behind the table.
        assert!(told.0.starts_with(&own) && told.2 == Some(0), "{form:?}: {told:?}");
    }
    let says = |verb: &str, more: &[&str]| {
        let mut command = sidecar.home.verb(verb);
        command.env("TRUEUP_HUB_TOKEN", &reader).env("COLUMNS", "80").args(more);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let ledger = fleet.home.path("hub/tenants/acme.db").display().to_string();
    for (verb, form) in [
        ("report", &["--completeness", "--by", "week"][..]),
        ("report", &["--completeness", "--by", "month", "--json"]),
        ("sessions", &[]),
        ("sessions", &["--json", "--last", "2", "--model", "gpt-5.1"]),
    ] {
        let own = says(verb, &[form, &["--ledger", &ledger]].concat());
        let told = says(verb, &[form, &["--hub", &url]].concat());
        assert!(own == told && own.1 == Some(0), "{verb} {form:?}: {own:?} {told:?}");
    }
    let (of_device, _) = says("sessions", &["--hub", &url, "--device", "laptop", "--json"]);
    assert!(of_device.contains("gpt-5.1"), "{of_device}");
    for wrong in [
        ("sessions", &["--device", "nobody"][..]),
        ("report", &["--completeness", "--model", "gpt-5.1"]),
        ("parity", &[]),
    ] {
        let (text, code) = says(wrong.0, &[wrong.1, &["--hub", &url]].concat());
        assert!(text.is_empty() && code == Some(2), "{wrong:?}: {text} {code:?}");
    }
    let (_, words, code) = report(&["--hub", &url, "--device", "nobody"]);
    assert!(words.contains("no device `nobody`") && code == Some(2), "{words} {code:?}");
    let (_, words, _) = report(&["--hub", "ftp://x"]);
    assert!(words.contains("is not an address"), "{words}");
    let mut command = sidecar.home.verb("report");
    let output = command.args(["--hub", &url]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("hub_token_file"));
}
