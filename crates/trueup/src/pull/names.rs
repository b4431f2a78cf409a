//! What ids are called, asked for where a provider has lists of them.
//!
//! Names are for people: what fails here is told, and nothing else depends on it.

use anyhow::Result;
use trueup_core::{Issue, IssueCode, UnixMs};
use trueup_providers::{Ask, Cursor, NamesOf, NamesPage, Refusal, Span, refusal};

use super::{Puller, Summary};

/// Pages of one list.
const PAGES_MAX: u32 = 50;
/// Projects whose keys are asked for.
const PROJECTS_MAX: usize = 500;

impl Puller<'_> {
    /// Asks what projects and keys are called.
    ///
    /// # Errors
    /// Where the ledger cannot be written; what the provider does is in the summary.
    pub(crate) fn names(&mut self, summary: &mut Summary) -> Result<()> {
        let projects = self.list(NamesOf::Projects, summary)?;
        for project in projects.unwrap_or_default().iter().take(PROJECTS_MAX) {
            if self.list(NamesOf::Keys(project), summary)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a list to its end; its ids, or `None` where it cannot be had.
    fn list(&mut self, of: NamesOf<'_>, summary: &mut Summary) -> Result<Option<Vec<String>>> {
        let mut ids = Vec::new();
        let mut after: Option<Cursor> = None;
        for _ in 0..PAGES_MAX {
            match self.names_page(of, after.as_ref()) {
                None => return Ok(None),
                Some(Err(issue)) => {
                    summary.issue(&issue);
                    return Ok(None);
                }
                Some(Ok(page)) => {
                    self.keep_names(page.names)?;
                    ids.extend(page.ids);
                    let is_round = page.next.is_some() && page.next == after;
                    after = page.next.filter(|_| !is_round);
                }
            }
            if after.is_none() {
                return Ok(Some(ids));
            }
        }
        summary.issue(&Issue::new(IssueCode::PagesMax, "more names than are read"));
        Ok(Some(ids))
    }

    /// One page; `None` where the provider has no such list.
    fn names_page(
        &mut self,
        of: NamesOf<'_>,
        after: Option<&Cursor>,
    ) -> Option<Result<NamesPage, Issue>> {
        let provider = self.connection().provider;
        let request = provider.names_request(of, after)?;
        let reply = match self.get(&request)? {
            Ok(reply) => reply,
            Err(issue) => return Some(Err(issue)),
        };
        if reply.status == 200 {
            return Some(provider.names_page(of, &reply.body));
        }
        // Nothing is told apart here: no dimension can be refused.
        let family = provider.families().first()?;
        let nothing = Span { from: UnixMs(0), until: UnixMs(0) };
        let ask = Ask { group: Vec::new(), ..Ask::new(family, nothing) };
        Some(Err(match refusal(provider, &ask, &reply) {
            Refusal::Without(_, issue) | Refusal::Later(issue) | Refusal::Final(issue) => issue,
        }))
    }
}
