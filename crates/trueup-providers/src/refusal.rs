//! What an answer means that is no page.

use trueup_core::{Issue, IssueCode, Reply};

use crate::{Ask, Provider};

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Ask again without this dimension.
    Without(&'static str, Issue),
    /// Ask the same again later.
    Later(Issue),
    /// Do not ask again before somebody has acted.
    Final(Issue),
}

/// What an answer without success means.
#[must_use]
pub fn refusal(provider: &dyn Provider, ask: &Ask<'_>, reply: &Reply) -> Refusal {
    let words = reply.words();
    match reply.status {
        400 | 422 => match refused_dim(ask, &String::from_utf8_lossy(&reply.body)) {
            Some(dim) => {
                let detail = format!("told without {dim}: {words}");
                Refusal::Without(dim, Issue::new(IssueCode::GroupingDegraded, detail))
            }
            None => Refusal::Final(Issue::new(IssueCode::Refused, words)),
        },
        // Its words may repeat the key.
        401 => Refusal::Final(Issue::new(
            IssueCode::KeyRefused,
            format!(
                "HTTP 401: {} does not know this key; it must be {}",
                provider.title(),
                provider.needs()
            ),
        )),
        403 => Refusal::Final(Issue::new(
            IssueCode::ScopeMissing,
            format!("{words}; the key must be {}", provider.needs()),
        )),
        404 => Refusal::Final(Issue::new(IssueCode::NotOffered, words)),
        300..=399 => {
            let detail =
                format!("HTTP {}: it sends elsewhere, which is not followed", reply.status);
            Refusal::Final(Issue::new(IssueCode::Redirected, detail))
        }
        408 | 425 | 429 => Refusal::Later(Issue::new(IssueCode::Throttled, words)),
        500..=599 => Refusal::Later(Issue::new(IssueCode::ProviderFailed, words)),
        _ => Refusal::Final(Issue::new(IssueCode::Refused, words)),
    }
}

/// Which dimension to leave out: of those that the words name the least telling one, or, where they are
/// about grouping and name none, the least telling of all.
fn refused_dim(ask: &Ask<'_>, words: &str) -> Option<&'static str> {
    let named = ask.group.iter().rev().find(|dim| words.contains(**dim));
    let is_about_grouping = words.contains("group_by") || words.contains("grouping");
    named.or_else(|| ask.group.last().filter(|_| is_about_grouping)).copied()
}
