//! Fixtures, and what was read of them as text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use trueup_core::{Issue, dims_json};
use trueup_providers::{Ask, Page, Provider, Span, provider};

/// A page, and what was asked for.
pub(crate) struct Fixture {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) path: PathBuf,
    pub(crate) page: Box<RawValue>,
    family: String,
    span: Span,
}

#[derive(Deserialize)]
struct Stored {
    family: String,
    from: String,
    until: String,
    page: Box<RawValue>,
}

impl Fixture {
    pub(crate) fn ask(&self) -> Ask<'static> {
        Ask::new(self.provider.family(&self.family).unwrap(), self.span)
    }

    pub(crate) fn read(&self) -> Page {
        self.read_bytes(self.page.get().as_bytes()).unwrap_or_else(|issue| panic!("{issue}"))
    }

    pub(crate) fn read_bytes(&self, bytes: &[u8]) -> Result<Page, Issue> {
        self.provider.page(&self.ask(), bytes)
    }
}

/// Every fixture of every provider.
pub(crate) fn all() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found: Vec<Fixture> = trueup_providers::PROVIDERS
        .iter()
        .flat_map(|provider| of(&folder, provider.id()))
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn of(folder: &Path, id: &str) -> Vec<Fixture> {
    let files =
        std::fs::read_dir(folder.join(id)).unwrap_or_else(|_| panic!("{id} has no fixtures"));
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| load(id, path))
        .collect()
}

fn load(id: &str, path: PathBuf) -> Fixture {
    let bytes = std::fs::read(&path).unwrap();
    let stored: Stored = serde_json::from_slice(&bytes).unwrap();
    let span = Span::days(&stored.from, &stored.until).unwrap();
    let provider = provider(id).unwrap();
    Fixture { provider, path, page: stored.page, family: stored.family, span }
}

/// What was read, a line for each thing.
pub(crate) fn text_of(page: &Page) -> String {
    let mut text = String::new();
    for start in &page.buckets {
        writeln!(text, "bucket {start}").unwrap();
    }
    for fact in &page.facts {
        let counts: Vec<String> = fact
            .measures
            .told()
            .map(|(measure, count)| format!("{}={count}", measure.name()))
            .collect();
        let charge = fact.charge.as_ref().map_or_else(String::new, |charge| {
            let quantity = charge.quantity.as_ref().map_or_else(String::new, |quantity| {
                format!(" of {quantity} {}", charge.quantity_unit.as_deref().unwrap_or("?"))
            });
            format!(" {} {}{quantity}", charge.amount, charge.currency)
        });
        let line = format!(
            "{} {} {}{charge} {}",
            fact.start,
            dims_json(&fact.dims),
            counts.join(" "),
            fact.extra
        );
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    for name in &page.names {
        writeln!(text, "name {} {} {}", name.kind, name.id, name.name).unwrap();
    }
    for issue in &page.issues {
        writeln!(text, "issue {issue}").unwrap();
    }
    if let Some(next) = &page.next {
        writeln!(text, "next {}", next.text()).unwrap();
    }
    text
}
