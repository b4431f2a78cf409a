//! Asking a hub, from the command line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use trueup_core::{Reply, one_line};

use super::WrongUsage;
use crate::config::Config;
use crate::net::{self, Address};
use crate::question::EXIT_CODE;
use crate::render::terminal::Terminal;
use crate::secret::Secret;

/// Longest answer.
const REPLY_BYTES_MAX: u64 = 64 << 20;
/// How long a hub may take to answer.
const TIME_MAX: Duration = Duration::from_mins(1);

/// Names and values of parameters.
pub(super) type Asked = Vec<(&'static str, String)>;

/// Prints what a verb prints of a hub's account, as wide as the terminal is here; the exit code that the
/// verb has.
pub(super) fn print(config: &Config, hub: &str, path: &str, mut asked: Asked) -> Result<ExitCode> {
    let Terminal { columns, has_colour } = Terminal::of_stdout(&config.environment);
    asked.push(("columns", columns.clamp(20, 1_000).to_string()));
    asked.push(("colour", has_colour.to_string()));
    let reply = get(config, hub, path, &asked)?;
    super::print(&reply.body)?;
    let code = reply.header(EXIT_CODE).and_then(|code| code.parse().ok());
    Ok(code.map_or(ExitCode::SUCCESS, |code: u8| ExitCode::from(code)))
}

/// Asks a hub for what a path answers to these parameters.
pub(super) fn get(
    config: &Config,
    hub: &str,
    path: &str,
    parameters: &[(&str, String)],
) -> Result<Reply> {
    let is_address = Address::of(hub).is_ok_and(|address| !address.has_query());
    if !is_address {
        let message = format!("--hub: `{hub}` is not an address such as https://hub.example");
        return Err(WrongUsage(message).into());
    }
    let token = Secret::of(config, "hub_token", "hub_token_file")?.context(
        "no token for the hub: put one that reads into a file and name it in hub_token_file \
         (TRUEUP_HUB_TOKEN_FILE); `trueup hub token create --tenant … --read` makes one",
    )?;
    let url = format!("{}{path}", hub.trim_end_matches('/'));
    let mut request = net::agent()
        .get(&url)
        .config()
        .timeout_global(Some(TIME_MAX))
        .build()
        .header("authorization", format!("Bearer {}", token.reveal()));
    for (name, value) in parameters {
        request = request.query(name, value);
    }
    let reply = request.call().with_context(|| format!("{hub} cannot be asked"))?;
    let reply = net::read(reply, REPLY_BYTES_MAX).map_err(anyhow::Error::msg)?;
    match reply.status {
        200 => Ok(reply),
        400 | 404 => bail!(WrongUsage(words(&reply.body))),
        401 | 403 => bail!("the hub does not open with this token: {}", words(&reply.body)),
        status => bail!("{hub} answered HTTP {status}: {}", words(&reply.body)),
    }
}

/// What a hub says is wrong.
fn words(body: &[u8]) -> String {
    let told: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let told = told.as_ref().and_then(|told| told.get("error")?.as_str());
    one_line(told.unwrap_or(&String::from_utf8_lossy(body)))
}
