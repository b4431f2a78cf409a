//! One pull: ranges of families of a connection, each page by page to its end.

use std::collections::BTreeSet;

use anyhow::Result;
use trueup_core::{BilledName, BilledWidth, DAY_MS, Issue, IssueCode, Reply, Request, UnixMs};
use trueup_ledger::{PullRange, Pulling};
use trueup_providers::{Ask, Cursor, Family, Page, Refusal, Span, refusal};

use super::client::{Pause, Unanswered, skew};
use super::store::{Store, pulled};
use super::{Client, Connection, Failure, Summary};
use crate::clock;

/// Pages of one range; the longest one has a few dozen.
const PAGES_MAX: u32 = 1_000;

/// A range that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) family: &'static Family,
    pub(crate) span: Span,
    pub(crate) width: BilledWidth,
}

/// The part of a span that a family tells of: not what is still to come, not the present day where that
/// is told only when it is over, and not what it has forgotten.
pub(crate) fn clipped(family: &Family, span: Span, width: BilledWidth, now: UnixMs) -> Span {
    let end = match (family.is_of_past_days, width) {
        (true, _) => now.floor(DAY_MS),
        (false, width) => UnixMs(now.floor(width.ms()).0 + width.ms()),
    };
    let begin = family
        .days_back_max
        .map_or(i64::MIN, |days| now.floor(DAY_MS).0 - i64::from(days) * DAY_MS);
    Span { from: UnixMs(span.from.0.max(begin)), until: UnixMs(span.until.0.min(end.0)) }
}

/// Pulls one connection.
pub(crate) struct Puller<'a> {
    connection: &'a Connection,
    client: Client,
    store: Store,
    pause: Pause<'a>,
    /// Whether asking for anything else makes no sense: the key is not known, or the process is to end.
    is_shut: bool,
}

/// What became of one answer.
enum Step {
    /// There is another page.
    Next(Pulling),
    /// That was the last one.
    Last(Pulling),
    /// It cannot be gone on with; `true` where the next pull goes on from here.
    Failed(Issue, bool),
    /// The process is to end: the next pull goes on from here, and nothing is wrong.
    Stopped,
}

impl<'a> Puller<'a> {
    /// A puller that has asked nothing yet.
    pub(crate) fn new(connection: &'a Connection, store: Store, pause: Pause<'a>) -> Self {
        Self { connection, client: Client::new(connection), store, pause, is_shut: false }
    }

    /// Whether nothing more is asked for, because the key is refused or the process is to end.
    pub(crate) const fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// What is pulled.
    pub(super) const fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// Asks for anything; `None` where nothing is asked for any more.
    pub(super) fn get(&mut self, request: &Request) -> Option<Result<Reply, Issue>> {
        if self.is_shut {
            return None;
        }
        match self.client.get(request, self.pause) {
            Ok(reply) => Some(Ok(reply)),
            Err(Unanswered::Issue(issue)) => Some(Err(issue)),
            Err(Unanswered::Stopped) => {
                self.is_shut = true;
                None
            }
        }
    }

    /// Keeps what ids are called.
    pub(super) fn keep_names(&self, names: Vec<BilledName>) -> Result<()> {
        let Connection { name, provider, address, .. } = self.connection;
        self.store.names(name.clone(), provider.id(), address.clone(), names)
    }

    /// Pulls a range, in parts where it is longer than one request may be.
    ///
    /// # Errors
    /// Where the ledger cannot be written; what the provider does is in the summary.
    pub(crate) fn pull(&mut self, wanted: Wanted, summary: &mut Summary) -> Result<()> {
        for span in wanted.span.parts(days_max(wanted)) {
            if self.is_shut || !self.pull_part(Wanted { span, ..wanted }, summary)? {
                break;
            }
        }
        Ok(())
    }

    /// Pulls a part; `false` where asking for the next one makes no sense, because the family is not
    /// there or the process is to end.
    fn pull_part(&mut self, wanted: Wanted, summary: &mut Summary) -> Result<bool> {
        let range = self.range(wanted);
        let mut pulling = self.store.begin(&range, wanted.family.dims.join(","))?;
        let mut cursors = BTreeSet::new();
        // A range whose last page was written is only to be finished.
        let mut is_told = pulling.pages > 0 && pulling.page_cursor.is_none();
        while !is_told {
            let step = match guard(&pulling, &mut cursors) {
                Some(issue) => Step::Failed(issue, false),
                None => self.step(wanted, &range, pulling, summary)?,
            };
            pulling = match step {
                Step::Next(pulling) => pulling,
                Step::Last(pulling) => {
                    is_told = true;
                    pulling
                }
                Step::Stopped => return Ok(false),
                Step::Failed(issue, is_left) => {
                    self.store.fail(&range, &issue, is_left)?;
                    let is_there = !is_absent(&issue);
                    self.failed(wanted.family, issue, summary);
                    return Ok(is_there);
                }
            };
        }
        let finished = self.store.finish(&range, &pulling, wanted.family.lists_empty)?;
        let buckets = wanted.span.buckets(wanted.width).count() as u64;
        summary.finished(&finished, buckets);
        Ok(true)
    }

    /// Asks for one page, and writes it.
    fn step(
        &mut self,
        wanted: Wanted,
        range: &PullRange,
        pulling: Pulling,
        summary: &mut Summary,
    ) -> Result<Step> {
        let ask = match ask(wanted, &pulling) {
            Ok(ask) => ask,
            Err(issue) => return Ok(Step::Failed(issue, false)),
        };
        let request = self.connection.provider.request(&ask);
        let reply = match self.get(&request) {
            Some(Ok(reply)) => reply,
            Some(Err(issue)) => return Ok(Step::Failed(issue, true)),
            None => return Ok(Step::Stopped),
        };
        if reply.status != 200 {
            return self.refused(&ask, range, &reply, &pulling, summary);
        }
        let mut page = match self.connection.provider.page(&ask, &reply.body) {
            Ok(page) => page,
            Err(issue) => return Ok(Step::Failed(issue, false)),
        };
        page.issues.extend(skew(&reply, clock::now()));
        self.keep(range, pulling, &request.target(), &reply, page, summary)
    }

    fn keep(
        &self,
        range: &PullRange,
        pulling: Pulling,
        query: &str,
        reply: &Reply,
        page: Page,
        summary: &mut Summary,
    ) -> Result<Step> {
        for issue in &page.issues {
            summary.issue(issue);
        }
        let next = page.next.as_ref().map(|cursor| cursor.text().to_owned());
        let page = pulled(query.to_owned(), &reply.body, page)?;
        summary.page(self.store.page(range, &pulling, page)?);
        let is_last = next.is_none();
        let pulling = Pulling { page_cursor: next, pages: pulling.pages + 1, ..pulling };
        Ok(if is_last { Step::Last(pulling) } else { Step::Next(pulling) })
    }

    fn refused(
        &mut self,
        ask: &Ask<'_>,
        range: &PullRange,
        reply: &Reply,
        pulling: &Pulling,
        summary: &mut Summary,
    ) -> Result<Step> {
        Ok(match refusal(self.connection.provider, ask, reply) {
            Refusal::Without(dim, issue) => {
                summary.issue(&issue);
                let left = pulling.grouping.split(',').filter(|one| *one != dim);
                let grouping = left.collect::<Vec<_>>().join(",");
                Step::Next(self.store.regroup(range, grouping, issue)?)
            }
            Refusal::Later(issue) => Step::Failed(issue, true),
            Refusal::Final(issue) => {
                self.is_shut = issue.code == IssueCode::KeyRefused;
                Step::Failed(issue, false)
            }
        })
    }

    /// What an optional family does not offer is no failure.
    fn failed(&self, family: &'static Family, issue: Issue, summary: &mut Summary) {
        if family.is_optional && is_absent(&issue) {
            summary.issue(&issue);
        } else {
            let connection = self.connection.name.clone();
            summary.failed(Failure { connection, family: family.name, issue });
        }
    }

    fn range(&self, wanted: Wanted) -> PullRange {
        let Wanted { family, span, width } = wanted;
        PullRange {
            connection: self.connection.name.clone(),
            provider: self.connection.provider.id().to_owned(),
            address: self.connection.address.clone(),
            family: family.name.to_owned(),
            cursor_key: format!("{}:{}", family.name, self.connection.key_id()),
            width,
            from: span.from,
            until: span.until,
        }
    }
}

/// Whether a family is not there, for this key, on any day.
const fn is_absent(issue: &Issue) -> bool {
    matches!(issue.code, IssueCode::NotOffered | IssueCode::ScopeMissing)
}

/// How many days one request may span, in buckets of this length.
const fn days_max(wanted: Wanted) -> u32 {
    match wanted.width {
        BilledWidth::Day => wanted.family.days_max,
        BilledWidth::Hour => 7,
        BilledWidth::Minute => 1,
    }
}

/// What to ask for, where a range stands.
fn ask(wanted: Wanted, pulling: &Pulling) -> Result<Ask<'static>, Issue> {
    let Wanted { family, span, width } = wanted;
    let is_left = |dim: &&&'static str| pulling.grouping.split(',').any(|left| left == **dim);
    let group = family.dims.iter().filter(is_left).copied().collect();
    let page = pulling.page_cursor.as_deref().map(Cursor::new).transpose()?;
    Ok(Ask { family, span, width, group, page })
}

/// Why to stop, where pages go round or do not end. Where a range begins, also anew, no cursor was there
/// before.
fn guard(pulling: &Pulling, cursors: &mut BTreeSet<String>) -> Option<Issue> {
    if pulling.pages >= PAGES_MAX {
        let detail = format!("more than {PAGES_MAX} pages of one range");
        return Some(Issue::new(IssueCode::PagesMax, detail));
    }
    let Some(cursor) = &pulling.page_cursor else {
        cursors.clear();
        return None;
    };
    let detail = "a cursor came that was there before: the pages go round";
    (!cursors.insert(cursor.clone())).then(|| Issue::new(IssueCode::CursorRepeats, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_asked_only_for_what_it_tells() {
        let now = UnixMs::parse_rfc3339("2026-11-20T22:08:00Z").unwrap();
        let openai = trueup_providers::provider("openai").unwrap();
        let openrouter = trueup_providers::provider("openrouter").unwrap();
        let all = Span::days("2026-01-01", "2027-01-01").unwrap();
        let until = |family, width| clipped(family, all, width, now).until.to_string();
        let usage = openai.family("usage/completions").unwrap();
        assert_eq!(until(usage, BilledWidth::Day), "2026-11-21T00:00:00.000Z");
        assert_eq!(until(usage, BilledWidth::Hour), "2026-11-20T23:00:00.000Z");
        let costs = openai.family("costs").unwrap();
        assert_eq!(until(costs, BilledWidth::Day), "2026-11-20T00:00:00.000Z");
        let activity = clipped(&openrouter.families()[0], all, BilledWidth::Day, now);
        assert_eq!(activity, Span::days("2026-10-21", "2026-11-20").unwrap());
    }

    #[test]
    fn pages_that_go_round_or_do_not_end_are_left() {
        let pulling = |cursor: &str, pages| Pulling {
            started_at: UnixMs(0),
            grouping: String::new(),
            page_cursor: (!cursor.is_empty()).then(|| cursor.to_owned()),
            pages,
        };
        let mut cursors = BTreeSet::new();
        assert_eq!(guard(&pulling("a", 1), &mut cursors), None);
        assert_eq!(guard(&pulling("b", 2), &mut cursors), None);
        let code = |issue: Option<Issue>| issue.map(|issue| issue.code);
        assert_eq!(code(guard(&pulling("a", 3), &mut cursors)), Some(IssueCode::CursorRepeats));
        assert_eq!(guard(&pulling("", 0), &mut cursors), None, "begun anew, with a dimension less");
        assert_eq!(guard(&pulling("a", 1), &mut cursors), None);
        let end = guard(&pulling("c", PAGES_MAX), &mut cursors);
        assert_eq!(code(end), Some(IssueCode::PagesMax));
    }
}
