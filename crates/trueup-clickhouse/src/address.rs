//! Where the store is: shards, and the replicas of each.
//!
//! ```text
//! clickhouse://hub:secret@a1:8123|a2:8123,b1:8123|b2:8123/trueup
//! ```
//!
//! A comma stands between shards, a bar between replicas of one shard. Shards keep their order for ever:
//! a new one is added at the end.

use std::fmt;

/// Most shards: each is asked by each reading.
pub const SHARDS_MAX: usize = 64;
/// Most replicas of a shard.
pub const REPLICAS_MAX: usize = 8;
/// Longest name of a database.
const DATABASE_BYTES_MAX: usize = 64;
/// The port where none is said.
const PORT: u16 = 8123;
/// The same with TLS.
const PORT_TLS: u16 = 8443;

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
    /// Who asks; empty for ClickHouse's default user.
    pub user: String,
    /// What that user proves itself by.
    pub password: Password,
    /// The replicas of each shard, as `host:port`. No shard is empty.
    pub shards: Vec<Vec<String>>,
    /// The database that trueup has for itself.
    pub database: String,
    /// How many replicas must have a write before it counts; `None` for most of them.
    pub quorum: Option<usize>,
}

/// A password, which is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for where it is sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// Why a text is no address. None of it repeats the text: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("the address of a ClickHouse store begins with clickhouse:// or clickhouses://")]
    Scheme,
    /// No path, or one of several parts.
    #[error("the address must end with its database, as in clickhouse://host:8123/trueup")]
    NoDatabase,
    /// Not of letters, digits and underscores.
    #[error(
        "the database's name may have {DATABASE_BYTES_MAX} letters, digits and underscores, and begins with no digit"
    )]
    Database,
    /// An empty place between separators.
    #[error("shard {shard} of the address has an empty replica")]
    NoHost {
        /// Which shard, from 1.
        shard: usize,
    },
    /// What no host is called.
    #[error("replica {replica} of shard {shard} is not of the form host:port")]
    Host {
        /// Which shard, from 1.
        shard: usize,
        /// Which replica of it, from 1.
        replica: usize,
    },
    /// The same host and port again.
    #[error("replica {replica} of shard {shard} is named twice")]
    Repeated {
        /// Which shard, from 1.
        shard: usize,
        /// Which replica of it, from 1.
        replica: usize,
    },
    /// More than there may be.
    #[error(
        "the address may name {SHARDS_MAX} shards at most, and {REPLICAS_MAX} replicas of each"
    )]
    TooMany,
    /// User or password with a broken escape.
    #[error("what stands before the @ is not user:password, percent-encoded")]
    User,
    /// A parameter that there is not, or a number that it cannot be.
    #[error(
        "behind the database there may only be ?quorum=, a number from 1 to the replicas that each shard has"
    )]
    Quorum,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is no address, and why.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("clickhouse", rest)) => (false, rest),
            Some(("clickhouses", rest)) => (true, rest),
            Some(_) | None => return Err(AddressError::Scheme),
        };
        let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = rest.split_once('/').ok_or(AddressError::NoDatabase)?;
        let (database, options) = path.split_once('?').unwrap_or((path, ""));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let address = Self {
            is_tls,
            user: decoded(user).ok_or(AddressError::User)?,
            password: Password(decoded(password).ok_or(AddressError::User)?),
            shards: shards(hosts, if is_tls { PORT_TLS } else { PORT })?,
            database: checked_database(database)?,
            quorum: None,
        };
        address.with(options)
    }

    fn with(mut self, options: &str) -> Result<Self, AddressError> {
        if options.is_empty() {
            return Ok(self);
        }
        let quorum = options.strip_prefix("quorum=").and_then(|quorum| quorum.parse().ok());
        let most = self.shards.iter().map(Vec::len).min().unwrap_or(1);
        let quorum = quorum.filter(|quorum| (1..=most).contains(quorum));
        self.quorum = Some(quorum.ok_or(AddressError::Quorum)?);
        Ok(self)
    }

    /// How many replicas of a shard must have a write before it counts: most of them, where the address
    /// does not say.
    #[must_use]
    pub fn quorum_of(&self, shard: usize) -> usize {
        let replicas = self.shards.get(shard).map_or(1, Vec::len);
        self.quorum.unwrap_or(replicas / 2 + 1)
    }

    /// The address of one server, without path.
    #[must_use]
    pub fn url(&self, server: &str) -> String {
        format!("{}://{server}", if self.is_tls { "https" } else { "http" })
    }
}

/// As it was read, without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards: Vec<String> = self.shards.iter().map(|replicas| replicas.join("|")).collect();
        let user = if self.user.is_empty() { "" } else { "***@" };
        let scheme = if self.is_tls { "clickhouses" } else { "clickhouse" };
        write!(f, "{scheme}://{user}{}/{}", shards.join(","), self.database)
    }
}

fn shards(hosts: &str, port: u16) -> Result<Vec<Vec<String>>, AddressError> {
    let mut shards: Vec<Vec<String>> = Vec::new();
    for (shard, replicas) in (1..).zip(hosts.split(',')) {
        let mut known = Vec::new();
        for (replica, host) in (1..).zip(replicas.split('|')) {
            let host = host.trim();
            if host.is_empty() {
                return Err(AddressError::NoHost { shard });
            }
            let host = server(host, port).ok_or(AddressError::Host { shard, replica })?;
            if known.contains(&host) || shards.iter().flatten().any(|other| *other == host) {
                return Err(AddressError::Repeated { shard, replica });
            }
            known.push(host);
        }
        if known.len() > REPLICAS_MAX || shards.len() == SHARDS_MAX {
            return Err(AddressError::TooMany);
        }
        shards.push(known);
    }
    Ok(shards)
}

/// A host with its port, or with the one that is usual.
fn server(text: &str, port: u16) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (text, port),
    };
    let is_v6 = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let name = if is_v6 { host.trim_matches(['[', ']']) } else { host };
    let is_name = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._".contains(&byte) || (is_v6 && byte == b':')
    };
    (!name.is_empty() && name.bytes().all(is_name)).then(|| format!("{host}:{port}"))
}

fn checked_database(name: &str) -> Result<String, AddressError> {
    if name.is_empty() || name.contains('/') {
        return Err(AddressError::NoDatabase);
    }
    let is_name = name.len() <= DATABASE_BYTES_MAX
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { Ok(name.to_owned()) } else { Err(AddressError::Database) }
}

/// Without percent-encoding; `None` where it is broken, or leads to what is no header's value.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_and_replicas_are_told_apart() {
        let text = "clickhouse://hub:s%40cr%3Aet@a1|a2:9000,[::1]:8123|b2/trueup";
        let address = Address::parse(text).unwrap();
        assert_eq!((address.user.as_str(), address.password.reveal()), ("hub", "s@cr:et"));
        assert_eq!(
            address.shards,
            [vec!["a1:8123", "a2:9000"], vec!["[::1]:8123", "b2:8123"]]
                .map(|them| them.into_iter().map(str::to_owned).collect::<Vec<_>>())
        );
        assert_eq!((address.quorum_of(0), address.database.as_str()), (2, "trueup"));
        assert_eq!(address.url("a1:8123"), "http://a1:8123");
        let address = Address::parse("clickhouses://one,two/x?quorum=1").unwrap();
        assert_eq!(address.shards, [["one:8443"], ["two:8443"]]);
        assert_eq!(address.url("one:8443"), "https://one:8443");
    }

    #[test]
    fn a_password_is_not_shown() {
        let address = Address::parse("clickhouse://hub:s3cret@a1|a2/trueup").unwrap();
        assert_eq!(address.to_string(), "clickhouse://***@a1:8123|a2:8123/trueup");
        assert!(!format!("{address:?} {address}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, wrong) in [
            ("http://a/b", AddressError::Scheme),
            ("a:8123/b", AddressError::Scheme),
            ("clickhouse://a", AddressError::NoDatabase),
            ("clickhouse://a/", AddressError::NoDatabase),
            ("clickhouse://a/b/c", AddressError::NoDatabase),
            ("clickhouse://a/b-c", AddressError::Database),
            ("clickhouse://a/1b", AddressError::Database),
            ("clickhouse:///b", AddressError::NoHost { shard: 1 }),
            ("clickhouse://a,b||c/d", AddressError::NoHost { shard: 2 }),
            ("clickhouse://a|b:99999/d", AddressError::Host { shard: 1, replica: 2 }),
            ("clickhouse://a b/d", AddressError::Host { shard: 1, replica: 1 }),
            ("clickhouse://a#/d", AddressError::Host { shard: 1, replica: 1 }),
            ("clickhouse://a,a:8123/d", AddressError::Repeated { shard: 2, replica: 1 }),
            ("clickhouse://u:%zz@a/d", AddressError::User),
            ("clickhouse://u:%0a@a/d", AddressError::User),
            ("clickhouse://a/d?quorum=2", AddressError::Quorum),
            ("clickhouse://a/d?x=1", AddressError::Quorum),
        ] {
            assert_eq!(Address::parse(text), Err(wrong), "{text}");
        }
        let many = |count: usize, by: &str| {
            (0..count).map(|at| format!("h{at}")).collect::<Vec<_>>().join(by)
        };
        for (hosts, is_fine) in [
            (many(SHARDS_MAX, ","), true),
            (many(SHARDS_MAX + 1, ","), false),
            (many(REPLICAS_MAX, "|"), true),
            (many(REPLICAS_MAX + 1, "|"), false),
        ] {
            let address = Address::parse(&format!("clickhouse://{hosts}/d"));
            assert_eq!(address.is_ok(), is_fine, "{address:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_as_an_address(text in "(clickhouses?://)?[a-c:%@|,/?\\[\\]0-9=]{0,40}") {
            let _unused = Address::parse(&text);
        }
    }
}
