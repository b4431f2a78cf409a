//! `trueup hub`, its tokens, and a look at it.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trueup_core::HubToken;

use super::questions::QUESTIONS;
use super::{Global, WrongUsage, load, remote};
use crate::api::Known;
use crate::clock;
use crate::config::Config;
use crate::fleet;
use crate::hub::{self, Store};
use crate::render::number;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::usage::Keeping;

/// The exit code of what was not said to be meant.
const EXIT_NOT_MEANT: u8 = 2;

/// Receive what the sidecars of a fleet send, and answer questions about all of it
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RunHub {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME [default: hub, beside the ledger]
    #[arg(long, value_name = "STORE")]
    store: Option<OsString>,
    /// The address to listen on; on any but loopback, put a proxy with a certificate before it
    /// [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    bind: Option<OsString>,
    /// The port to listen on [default: 9190]
    #[arg(long)]
    port: Option<OsString>,
    /// How often devices are asked to send [default: 5m]
    #[arg(long, value_name = "TIME")]
    push_interval: Option<OsString>,
    /// How often devices that have nothing to send are asked to say that they live [default: 5m]
    #[arg(long, value_name = "TIME")]
    heartbeat: Option<OsString>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make, list and revoke the tokens that devices and readers show
    #[command(subcommand)]
    Token(TokenVerb),
    /// List the devices that tell: when each was heard of, and what is known to be missing of it
    ///
    /// Exits with 1 where something of a device will never come, or has not come as it should.
    Devices {
        /// Whose devices, where the store is on this machine
        #[arg(long, required_unless_present = "hub")]
        tenant: Option<String>,
        /// Ask a hub, by its address, with the token of `hub_token_file`
        #[arg(long, value_name = "URL", conflicts_with_all = ["tenant", "store"])]
        hub: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
    /// Delete for good what a tenant's devices told, or one of them, and revoke its tokens
    ///
    /// Without --yes it says what would go, and exits with 2. Where the store is on this machine, stop the
    /// hub first.
    Erase {
        /// Who leaves
        #[arg(long)]
        tenant: String,
        /// Only what this device told
        #[arg(long)]
        device: Option<String>,
        /// Do it: there is no way back but a backup
        #[arg(long)]
        yes: bool,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
    /// Look whether the store is reached, its schema is known, and every sum is that of its calls
    ///
    /// Exits with 1 where something is not as it should be.
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token, and print its secret: it is shown this once
    Create {
        /// Whose account it opens: lower-case letters, digits, `-`, `_` and `.`
        #[arg(long)]
        tenant: String,
        /// The device that sends with it
        #[arg(long, required_unless_present_any = ["read", "devices_from"])]
        device: Option<String>,
        /// A token for each device that is named in this file, one a line: prints names and secrets
        #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "read", "json"])]
        devices_from: Option<PathBuf>,
        /// It opens the account to be read: for people, dashboards and `trueup report --hub`
        #[arg(long, conflicts_with = "device")]
        read: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
    /// List tokens by their names; secrets are known to nobody
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
    /// Revoke a token: within a second it opens nothing any more
    Revoke {
        /// Its name, as `trueup hub token list` prints it
        name: String,
        /// The folder of ledgers and tokens, or clickhouse://HOST:PORT/NAME
        #[arg(long, value_name = "STORE")]
        store: Option<OsString>,
    },
}

impl RunHub {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let of_store = |store: Option<OsString>| {
            let config = global.settings(&[("hub_store", store)])?;
            let known = Known { book: load::prices(&config)?, questions: QUESTIONS };
            hub::open(&config, known)
        };
        match self.verb {
            Some(Verb::Token(TokenVerb::Create {
                tenant,
                devices_from: Some(file),
                store,
                ..
            })) => create_all(&*of_store(store)?, &tenant, &file),
            Some(Verb::Token(TokenVerb::Create { tenant, device, json, store, .. })) => {
                create(&*of_store(store)?, &tenant, device.as_deref(), json)
            }
            Some(Verb::Token(TokenVerb::List { json, store })) => {
                let terminal = Terminal::of_stdout(&global.settings(&[])?.environment);
                list(&*of_store(store)?, json, terminal)
            }
            Some(Verb::Token(TokenVerb::Revoke { name, store })) => {
                revoke(&*of_store(store)?, &name)
            }
            Some(Verb::Devices { tenant, hub, json, store }) => {
                let config = global.settings(&[("hub_store", store)])?;
                let told = match (hub, tenant) {
                    (Some(hub), _) => all_devices(&config, &hub)?,
                    (None, tenant) => {
                        let ledger =
                            hub::ledger_of(&config, tenant.as_deref().unwrap_or_default())?;
                        let kept = Keeping::in_ledger(ledger);
                        fleet::told(&kept, &config, clock::now(), fleet::Part::ALL)?
                    }
                };
                devices(&told, json, Terminal::of_stdout(&config.environment))
            }
            Some(Verb::Erase { tenant, device, yes, store }) => {
                erase(&*of_store(store)?, &tenant, device.as_deref(), yes)
            }
            Some(Verb::Check { json, store }) => check(&*of_store(store)?, json),
            None => {
                let config = global.settings(&[
                    ("hub_store", self.store),
                    ("hub_bind", self.bind),
                    ("hub_port", self.port),
                    ("hub_push_interval", self.push_interval),
                    ("hub_heartbeat", self.heartbeat),
                ])?;
                serve(&config)
            }
        }
    }
}

fn serve(config: &Config) -> Result<ExitCode> {
    hub::serve(config, Known { book: load::prices(config)?, questions: QUESTIONS })
}

/// Makes a token for each line of a file, or none.
fn create_all(store: &dyn Store, tenant: &str, file: &Path) -> Result<ExitCode> {
    check_name("--tenant", tenant)?;
    let text = crate::config::read_text(file)?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    for name in &names {
        check_name(&file.display().to_string(), name)?;
    }
    let create = |name: &&str| hub::create_token(tenant, Some(name), clock::now());
    let (tokens, secrets): (Vec<_>, Vec<_>) = names.iter().map(create).unzip();
    store.put_tokens(&tokens)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (name, secret) in names.into_iter().zip(secrets) {
        writeln!(out, "{name} {secret}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Deletes what a tenant's devices told, or one of them; where it is not said to, only says what that is.
fn erase(
    store: &dyn Store,
    tenant: &str,
    device: Option<&str>,
    is_meant: bool,
) -> Result<ExitCode> {
    check_name("--tenant", tenant)?;
    device.map_or(Ok(()), |device| check_name("--device", device))?;
    let is_its = |token: &HubToken| {
        *token.tenant == *tenant && (device.is_none() || token.device.as_deref() == device)
    };
    let mut tokens: Vec<HubToken> = store.tokens()?.into_iter().filter(is_its).collect();
    if tokens.is_empty() {
        let whose = device.map_or_else(|| tenant.to_owned(), |it| format!("{it} of {tenant}"));
        let message =
            format!("no token was ever made for {whose}; `trueup hub token list` lists them");
        return Err(WrongUsage(message).into());
    }
    tokens.retain(|token| token.revoked_at.is_none());
    let of = device.map_or_else(
        || format!("all that the devices of {tenant} told"),
        |device| format!("all that {device} of {tenant} told"),
    );
    let mut out = io::stdout().lock();
    let count = number::counted(tokens.len() as u64, "token");
    if !is_meant {
        writeln!(out, "This would revoke {count}, and delete {of}, for good.")?;
        writeln!(out, "Nothing was done: say --yes to do it.")?;
        return Ok(ExitCode::from(EXIT_NOT_MEANT));
    }
    for token in &mut tokens {
        token.revoked_at = Some(clock::now());
    }
    store.erase(tenant, device, &tokens)?;
    writeln!(out, "Revoked {count}, and deleted {of}.")?;
    Ok(ExitCode::SUCCESS)
}

fn check_name(whence: &str, name: &str) -> Result<()> {
    if hub::is_name(name) {
        return Ok(());
    }
    let message = format!(
        "{whence}: `{name}` is not a name: use 1 to 64 lower-case letters, digits, `-`, `_` and `.`, \
         with a letter or a digit first"
    );
    Err(WrongUsage(message).into())
}

fn create(
    store: &dyn Store,
    tenant: &str,
    device: Option<&str>,
    is_json: bool,
) -> Result<ExitCode> {
    check_name("--tenant", tenant)?;
    device.map_or(Ok(()), |device| check_name("--device", device))?;
    let (token, secret) = hub::create_token(tenant, device, clock::now());
    store.put_tokens(std::slice::from_ref(&token))?;
    let mut out = io::stdout().lock();
    if is_json {
        let mut shown = shown(&token);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("token".to_owned(), secret.into());
        }
        writeln!(out, "{shown:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    // The secret alone on standard output, so that it can be put into a file.
    writeln!(out, "{secret}")?;
    out.flush()?;
    let what = device.map_or_else(
        || format!("opens the account of {tenant} to be read"),
        |device| format!("is for {device} of {tenant}"),
    );
    writeln!(io::stderr(), "Token {} {what}. It is shown this once.", token.id)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(token: &HubToken) -> Value {
    json!({
        "name": &*token.id,
        "tenant": &*token.tenant,
        "device": token.device.as_deref(),
        "created_at": token.created_at.to_string(),
        "revoked_at": token.revoked_at.map(|time| time.to_string()),
    })
}

fn list(store: &dyn Store, is_json: bool, terminal: Terminal) -> Result<ExitCode> {
    let tokens = store.tokens()?;
    let mut out = io::stdout().lock();
    if is_json {
        let tokens: Vec<Value> = tokens.iter().map(shown).collect();
        writeln!(out, "{:#}", json!({"schema": 1, "tokens": tokens}))?;
        return Ok(ExitCode::SUCCESS);
    }
    if tokens.is_empty() {
        writeln!(
            out,
            "No tokens yet: make one by `trueup hub token create --tenant … --device …`"
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let day = |time: trueup_core::UnixMs| time.to_string().chars().take(10).collect::<String>();
    let mut layout = Layout::new(vec!["Name", "Tenant", "Device", "Made", "Revoked"]);
    for token in &tokens {
        let device = token.device.as_deref().unwrap_or("(reads)");
        let cells = vec![
            Cell::Text(token.id.to_string()),
            Cell::Name(token.tenant.to_string()),
            Cell::Name(device.to_owned()),
            Cell::Text(day(token.created_at)),
            Cell::Text(token.revoked_at.map_or_else(String::new, day)),
        ];
        layout.row(Look::Plain, cells);
    }
    out.write_all(layout.draw(terminal).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn revoke(store: &dyn Store, name: &str) -> Result<ExitCode> {
    let tokens = store.tokens()?;
    let mut named = tokens.into_iter().filter(|token| *token.id == *name);
    let Some(mut token) = named.next() else {
        bail!("there is no token `{name}`; `trueup hub token list` lists them");
    };
    if let Some(since) = token.revoked_at {
        writeln!(io::stdout(), "Token {name} is revoked since {since}.")?;
        return Ok(ExitCode::SUCCESS);
    }
    token.revoked_at = Some(clock::now());
    store.put_tokens(std::slice::from_ref(&token))?;
    let of = token.device.as_deref().unwrap_or("a reader");
    writeln!(io::stdout(), "Token {name} of {of} ({}) opens nothing any more.", token.tenant)?;
    Ok(ExitCode::SUCCESS)
}

/// What `/api/v1/devices` of a hub answers, in however many parts.
fn all_devices(config: &Config, hub: &str) -> Result<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let asked = [("cursor", cursor)];
        let reply = remote::get(config, hub, "/api/v1/devices", &asked)?;
        let mut told: Value = serde_json::from_slice(&reply.body)?;
        let next = told.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if let Some(part) = told.get_mut("rows").and_then(Value::as_array_mut) {
            rows.append(part);
        }
        let Some(next) = next else {
            if let Some(all) = told.get_mut("rows") {
                *all = rows.into();
            }
            return Ok(told);
        };
        cursor = next;
    }
}

/// Prints what `/api/v1/devices` answers.
fn devices(told: &Value, is_json: bool, terminal: Terminal) -> Result<ExitCode> {
    let is_complete = told.get("is_complete").and_then(Value::as_bool).unwrap_or(false);
    let code = if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let mut out = io::stdout().lock();
    if is_json {
        writeln!(out, "{told:#}")?;
        return Ok(code);
    }
    let rows = told.get("rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        writeln!(out, "No device has told anything yet.")?;
        return Ok(code);
    }
    let mut layout = Layout::new(vec![
        "Device", "State", "Seen", "Version", "Waiting", "Dropped", "Refused", "Missing", "Records",
    ]);
    for row in rows {
        let text =
            |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let ago = number::duration_s(count("seen_seconds_ago"));
        let cells = vec![
            Cell::Name(text("device")),
            Cell::Text(text("state")),
            Cell::Number(format!("{ago} ago")),
            Cell::Text(text("version")),
            Cell::Count(count("waiting")),
            Cell::Count(count("dropped")),
            Cell::Count(count("refused")),
            Cell::Count(count("missing")),
            Cell::Count(count("accepted")),
        ];
        layout.row(Look::Plain, cells);
    }
    out.write_all(layout.draw(terminal).as_bytes())?;
    let silent = told.get("silent_after_seconds").and_then(Value::as_u64).unwrap_or(0);
    let long = number::duration_s(silent);
    writeln!(
        out,
        "\nlossy: some of it will never come; missing are places of its outbox that were"
    )?;
    writeln!(
        out,
        "passed over. silent: not heard of for {long}. behind: records wait longer than that."
    )?;
    Ok(code)
}

fn check(store: &dyn Store, is_json: bool) -> Result<ExitCode> {
    let looks = store.look();
    let mut out = io::stdout().lock();
    if is_json {
        let shown: Vec<Value> = looks
            .iter()
            .map(|look| json!({"check": look.name, "ok": look.is_ok, "detail": look.what}))
            .collect();
        writeln!(out, "{:#}", json!({"schema": 1, "checks": shown}))?;
    } else {
        for look in &looks {
            let word = if look.is_ok { "ok" } else { "WRONG" };
            writeln!(out, "{word:<6} {:<8} {}", look.name, look.what)?;
        }
    }
    let is_ok = looks.iter().all(|look| look.is_ok);
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
