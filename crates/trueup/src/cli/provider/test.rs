//! `trueup provider test`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_core::{BilledWidth, DAY_MS, Issue, IssueCode, UnixMs};
use trueup_providers::{Ask, Family, Refusal, Span, refusal};

use super::chosen;
use crate::cli::push::pause;
use crate::clock;
use crate::config::Config;
use crate::pull::{Client, Connection, Connections, Unanswered, clipped};

/// Ask each family for one day, and say which scope or role is missing
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Only these connections
    names: Vec<String>,
}

/// What came of asking for one day.
enum Found {
    /// It is told; without these dimensions, where any was refused.
    Told(Vec<&'static str>),
    /// It is not there, and that is no fault.
    Absent,
    Refused(Issue),
    /// The process is to end.
    Unasked,
}

impl Test {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let connections = Connections::load(config)?;
        let mut is_all_well = true;
        let mut out = io::stdout().lock();
        for connection in chosen(&connections, &self.names)? {
            let Connection { name, provider, address, .. } = connection;
            writeln!(out, "{name}: {} at {address}", provider.title())?;
            let mut client = Client::new(connection);
            for family in provider.families() {
                let found = ask(connection, &mut client, family);
                let is_shut =
                    matches!(&found, Found::Refused(issue) if issue.code == IssueCode::KeyRefused);
                is_all_well &= !matches!(found, Found::Refused(_) | Found::Unasked);
                writeln!(out, "  {:<34}{}", family.name, words(&found))?;
                if is_shut {
                    break;
                }
            }
        }
        Ok(if is_all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn words(found: &Found) -> String {
    match found {
        Found::Told(without) if without.is_empty() => "ok".to_owned(),
        Found::Told(without) => format!("ok, without {}", without.join(", ")),
        Found::Absent => "not offered".to_owned(),
        Found::Refused(issue) => issue.to_string(),
        Found::Unasked => "not asked".to_owned(),
    }
}

/// Asks for yesterday.
fn ask(connection: &Connection, client: &mut Client, family: &'static Family) -> Found {
    let today = clock::now().floor(DAY_MS);
    let yesterday = Span { from: UnixMs(today.0 - DAY_MS), until: today };
    let mut ask = Ask::new(family, clipped(family, yesterday, BilledWidth::Day, clock::now()));
    let mut without = Vec::new();
    loop {
        let request = connection.provider.request(&ask);
        let reply = match client.get(&request, &pause) {
            Ok(reply) => reply,
            Err(Unanswered::Issue(issue)) => return Found::Refused(issue),
            Err(Unanswered::Stopped) => return Found::Unasked,
        };
        if reply.status == 200 {
            return match connection.provider.page(&ask, &reply.body) {
                Ok(_) => Found::Told(without),
                Err(issue) => Found::Refused(issue),
            };
        }
        match refusal(connection.provider, &ask, &reply) {
            Refusal::Without(dim, _) => {
                ask.group.retain(|one| *one != dim);
                without.push(dim);
            }
            Refusal::Final(issue)
                if family.is_optional
                    && matches!(issue.code, IssueCode::NotOffered | IssueCode::ScopeMissing) =>
            {
                return Found::Absent;
            }
            Refusal::Final(issue) | Refusal::Later(issue) => return Found::Refused(issue),
        }
    }
}
