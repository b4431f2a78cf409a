//! Asking a hub, from the command line.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use trueup_core::one_line;

use super::WrongUsage;
use crate::config::Config;
use crate::net::{self, Address};
use crate::secret::Secret;

/// Longest answer.
const REPLY_BYTES_MAX: u64 = 64 << 20;
/// How long a hub may take to answer.
const TIME_MAX: Duration = Duration::from_mins(1);

/// Asks a hub for what a path answers to these parameters.
pub(super) fn get(
    config: &Config,
    hub: &str,
    path: &str,
    parameters: &[(&str, String)],
) -> Result<Vec<u8>> {
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
        200 => Ok(reply.body),
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

/// Prints an answer as it came.
pub(super) fn print(answer: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(answer)?;
    Ok(out.flush()?)
}
