//! What there is to know of a provider.

use trueup_core::{BilledFact, BilledName, BilledWidth, Issue, Request, UnixMs};

use crate::{Ask, Cursor};

/// One provider: what it tells of, how to ask, and how to read an answer. It does no I/O.
pub trait Provider: std::fmt::Debug + Sync {
    /// Its id, as in `trueup provider add`.
    fn id(&self) -> &'static str;

    /// Its name, for people.
    fn title(&self) -> &'static str;

    /// Where it is asked; `None` where everybody has an own one.
    fn address(&self) -> Option<&'static str>;

    /// How a key is sent.
    fn auth(&self) -> Auth;

    /// What the key must be, and what it must be allowed.
    fn needs(&self) -> &'static str;

    /// What it tells of.
    fn families(&self) -> &'static [Family];

    /// How to ask for a page.
    fn request(&self, ask: &Ask<'_>) -> Request;

    /// What a page says.
    ///
    /// # Errors
    /// What is no page of this provider, and a page behind which the next cannot be found.
    fn page(&self, ask: &Ask<'_>, body: &[u8]) -> Result<Page, Issue>;

    /// How to ask for a page of what ids are called; `None` where there is no such list.
    fn names_request(&self, _of: NamesOf<'_>, _after: Option<&Cursor>) -> Option<Request> {
        None
    }

    /// What such a page says.
    ///
    /// # Errors
    /// What is no page of such a list, and one behind which the next cannot be found.
    fn names_page(&self, _of: NamesOf<'_>, _body: &[u8]) -> Result<NamesPage, Issue> {
        Ok(NamesPage::default())
    }

    /// The family of a name.
    fn family(&self, name: &str) -> Option<&'static Family> {
        self.families().iter().find(|family| family.name == name)
    }
}

/// How a key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// In a header of its own.
    Header(&'static str),
}

/// A kind of usage or cost that is asked for by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, as in cursors: `usage/completions`.
    pub name: &'static str,
    /// Where it is asked for, below the provider's address.
    pub path: &'static str,
    /// What rows can be told apart by, the most telling first.
    pub dims: &'static [&'static str],
    /// In which buckets it is told.
    pub widths: &'static [BilledWidth],
    /// How many days one request may span.
    pub days_max: u32,
    /// How many days back it is told; `None` for any number.
    pub days_back_max: Option<u32>,
    /// Whether the present day is not told before it is over.
    pub is_of_past_days: bool,
    /// Whether buckets without usage are listed, so that one that is missing is a gap.
    pub lists_empty: bool,
    /// Whether a service without it is no fault.
    pub is_optional: bool,
}

/// Of what names are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesOf<'a> {
    /// Projects.
    Projects,
    /// Keys of the project of this id.
    Keys(&'a str),
}

/// What a page of names says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamesPage {
    /// Every id on it.
    pub ids: Vec<String>,
    /// What those are called that have a name.
    pub names: Vec<BilledName>,
    /// The next page, where there is one.
    pub next: Option<Cursor>,
}

/// What a page says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its rows.
    pub facts: Vec<BilledFact>,
    /// Where the buckets begin that are on it, those without rows too.
    pub buckets: Vec<UnixMs>,
    /// What ids are called.
    pub names: Vec<BilledName>,
    /// What was not understood; everything else was.
    pub issues: Vec<Issue>,
    /// The next page, where there is one.
    pub next: Option<Cursor>,
}
