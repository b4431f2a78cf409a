//! What rows are about, in names that all sides share: models, tiers, projects and keys.

use std::collections::BTreeMap;

use trueup_core::reconcile::Labels;
use trueup_core::{Dim, Dims, ServiceTier, Text};
use trueup_ledger::ToldName;

/// What ids are called.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    by_id: BTreeMap<(&'a str, &'a str), &'a Text>,
    by_name: BTreeMap<(&'a str, &'a str), &'a Text>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(names: &'a [ToldName]) -> Self {
        let by_id = names.iter().map(|one| ((&*one.kind, &*one.id), &one.name)).collect();
        let by_name = names.iter().map(|one| ((&*one.kind, &*one.name), &one.id)).collect();
        Self { by_id, by_name }
    }

    pub(crate) fn name(&self, kind: &str, id: &str) -> Option<&'a Text> {
        self.by_id.get(&(kind, id)).copied()
    }

    /// The id that a name stands for; the name itself where it is none.
    fn id(&self, kind: &str, name: &str) -> Text {
        self.by_name.get(&(kind, name)).map_or_else(|| name.into(), |id| Text::clone(id))
    }

    /// The project that the account calls so: by its id, its name, or a folder of that name.
    pub(crate) fn project(&self, own: &str) -> Text {
        let folder = own.rsplit('/').next().unwrap_or(own);
        let known = [own, folder].into_iter().find_map(|name| self.by_name.get(&("project", name)));
        known.map_or_else(|| own.into(), |id| Text::clone(id))
    }
}

/// What providers call the project of a row, by its id before its name.
pub(crate) const PROJECTS: &[&str] =
    &["project_id", "workspace_id", "workspace_name", "sub_account_id"];
/// What they call its key.
pub(crate) const KEYS: &[&str] = &["api_key_id", "api_key", "api_key_name"];
/// What an export calls the workspace that the interface has no id for.
const WORKSPACE_DEFAULT: &str = "Default";

/// What a provider's row is about.
pub(crate) fn labels(dims: &Dims, names: &Names<'_>) -> Labels {
    let text = |of: &[&str]| {
        of.iter().find_map(|name| match dims.get(*name)? {
            Dim::Text(text) => Some(Text::clone(text)),
            Dim::Null => Some(Text::default()),
            Dim::Bool(_) => None,
        })
    };
    let is_batch = dims.get("batch") == Some(&Dim::Bool(true));
    let tier = text(&["service_tier"]).filter(|tier| !tier.is_empty());
    let tier = if is_batch { Some("batch".into()) } else { tier.map(|tier| tier_of(&tier)) };
    // A charge says for which model only in words: `gpt-5, cached input`.
    let of_item = || {
        let item = text(&["line_item"]).filter(|item| !item.is_empty())?;
        item.split_once(", ").map(|(model, _)| Text::from(model))
    };
    let model = text(&["model"]).filter(|model| !model.is_empty()).or_else(of_item);
    let id = |kind: &str, name: Text| {
        let id = names.id(kind, &name);
        if kind == "project" && &*id == WORKSPACE_DEFAULT { Text::default() } else { id }
    };
    Labels {
        model,
        tier,
        context: text(&["context_window"]).filter(|context| !context.is_empty()),
        project: text(PROJECTS).map(|project| id("project", project)),
        key: text(KEYS).map(|key| id("key", key)),
    }
}

/// The name of a tier that all sides share.
fn tier_of(told: &str) -> Text {
    own_tier(ServiceTier::of_source(told)).unwrap_or_else(|| told.into())
}

/// The name of a tier that the account knows; none for one that the table does not price.
pub(crate) fn own_tier(tier: ServiceTier) -> Option<Text> {
    let name = match tier {
        ServiceTier::Standard => "standard",
        ServiceTier::Batch => "batch",
        ServiceTier::Flex => "flex",
        ServiceTier::Priority => "priority",
        ServiceTier::Other => return None,
    };
    Some(name.into())
}
