//! Where a product's events go: one outbox for each request that an event becomes.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::options::{Environment, Options};
use crate::deliver::{self, Transport};
use crate::manifest::{Manifest, Sink, address, is_project_key};
use crate::outbox::sha256_hex;
use crate::sink::{Context, Encoder};

/// What makes the transport of a sink.
pub type Transports = Arc<dyn Fn(&Sink) -> Box<dyn Transport> + Send + Sync>;

/// Digits of the hash that tells one place from another.
const PLACE_DIGITS: usize = 8;

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    /// The name of its outbox: another address is another outbox, so that nothing is sent to a place
    /// for which it was not made, and what one place refuses does not hold up the next.
    pub(super) name: String,
    pub(super) sink: Sink,
    /// Which of the requests that an event becomes at this place.
    part: usize,
    secret: Option<String>,
}

impl Outlet {
    /// All of a manifest, with what variables say in its place; or what is wrong with those.
    pub(super) fn all(manifest: &Manifest, environment: &Environment) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for sink in &manifest.sinks {
            let sink = overridden(sink, manifest, environment)?;
            let secret = sink.secret_variable().and_then(|name| {
                let mut secrets = environment.secrets.iter();
                secrets.find(|(other, _)| other == name).map(|(_, secret)| secret.clone())
            });
            let place = sha256_hex(place(&sink).as_bytes());
            let place = place.get(..PLACE_DIGITS).unwrap_or_default();
            for part in 0..Encoder::each(&sink, &Context::default(), None).len() {
                let suffix = if part == 0 { "" } else { "-metrics" };
                let name = format!("{}-{place}{suffix}", sink.kind());
                all.push(Self { name, sink: sink.clone(), part, secret: secret.clone() });
            }
        }
        Ok(all)
    }

    /// What makes its bytes, for events of this id.
    pub(super) fn encoder(
        &self,
        manifest: &Manifest,
        base: &[(String, Json)],
        id: &str,
    ) -> Encoder {
        let version = base.iter().find(|(name, _)| name == "version");
        let version = version.and_then(|(_, value)| value.as_str()).unwrap_or_default();
        let context = Context {
            product: manifest.product.clone(),
            version: version.to_owned(),
            install: id.to_owned(),
            base: base.to_vec(),
        };
        let each = Encoder::each(&self.sink, &context, self.secret.as_deref());
        let first = || Encoder::new(&self.sink, context.clone(), self.secret.clone());
        each.into_iter().nth(self.part).unwrap_or_else(first)
    }

    /// What sends them.
    pub(super) fn transport(&self, options: &Options) -> Box<dyn Transport> {
        if let Some(transports) = &options.transports {
            return transports(&self.sink);
        }
        let home = options.environment.home.as_deref().unwrap_or_default();
        deliver::transport(&self.sink, Path::new(home))
    }
}

/// A sink with the host and the key that variables name.
fn overridden(sink: &Sink, manifest: &Manifest, environment: &Environment) -> Result<Sink, String> {
    let Sink::PostHog { host, key, is_v1, geoip, is_gzip } = sink else {
        return Ok(sink.clone());
    };
    let variable = |name: &str| format!("{}_TELEMETRY_{name}", manifest.env_prefix);
    let set = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
    let host = match set(&environment.host) {
        None => host.clone(),
        Some(text) => address(text.trim()).ok_or_else(|| {
            format!("{} is no address that begins with https://", variable("HOST"))
        })?,
    };
    let key = match set(&environment.key) {
        None => key.clone(),
        Some(text) if is_project_key(text.trim()) => text.trim().to_owned(),
        Some(_) => return Err(format!("{} is no key of a project", variable("KEY"))),
    };
    Ok(Sink::PostHog { host, key, is_v1: *is_v1, geoip: *geoip, is_gzip: *is_gzip })
}

/// What makes a sink another place. Another key of PostHog's does not: what was stored with the old one
/// is sent with the new one.
fn place(sink: &Sink) -> String {
    match sink {
        Sink::PostHog { host, is_v1, .. } => format!("{host} {is_v1}"),
        Sink::Otlp { endpoint, .. } | Sink::Webhook { endpoint, .. } => endpoint.clone(),
        Sink::File { path } => path.clone(),
        Sink::Stdout => String::new(),
    }
}
