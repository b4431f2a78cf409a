//! What rows are about, in names that all sides share: models, tiers, projects and keys.

use std::collections::BTreeMap;

use trueup_core::prices::provider_key;
use trueup_core::reconcile::Labels;
use trueup_core::{Dim, Dims, ServiceTier, Text};
use trueup_ledger::ToldName;

/// What ids are called, by provider: two of them may well have a project of the same name.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    by_provider: BTreeMap<String, NamesOf<'a>>,
    none: NamesOf<'a>,
}

/// What the ids of one provider are called.
#[derive(Debug, Default)]
pub(crate) struct NamesOf<'a> {
    by_id: BTreeMap<(&'a str, &'a str), &'a Text>,
    /// `None` where several have the name.
    by_name: BTreeMap<(&'a str, &'a str), Option<&'a Text>>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(names: &'a [ToldName]) -> Self {
        let mut known = Self::default();
        for one in names {
            let of = known.by_provider.entry(provider_key(&one.provider)).or_default();
            of.by_id.insert((&one.kind, &one.id), &one.name);
            let id = of.by_name.entry((&one.kind, &one.name)).or_insert(Some(&one.id));
            *id = id.filter(|id| **id == one.id);
        }
        known
    }

    /// Those of a provider.
    pub(crate) fn of(&self, provider: &str) -> &NamesOf<'a> {
        self.by_provider.get(&provider_key(provider)).unwrap_or(&self.none)
    }
}

impl<'a> NamesOf<'a> {
    pub(crate) fn name(&self, kind: &str, id: &str) -> Option<&'a Text> {
        self.by_id.get(&(kind, id)).copied()
    }

    /// The id that alone has a name; the name itself where none has, or several have.
    fn id(&self, kind: &str, name: &str) -> Text {
        self.known_id(kind, name).map_or_else(|| name.into(), Text::clone)
    }

    fn known_id(&self, kind: &str, name: &str) -> Option<&'a Text> {
        self.by_name.get(&(kind, name)).copied().flatten()
    }

    /// The project that the account calls so: by its id, its name, or a folder of that name.
    pub(crate) fn project(&self, own: &str) -> Text {
        let folder = own.rsplit('/').next().unwrap_or(own);
        let known = [own, folder].into_iter().find_map(|name| self.known_id("project", name));
        known.map_or_else(|| own.into(), Text::clone)
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
pub(crate) fn labels(dims: &Dims, names: &NamesOf<'_>) -> Labels {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_only_id_of_its_provider_that_has_it() {
        let named = |provider: &str, id: &str, name: &str| ToldName {
            provider: provider.into(),
            kind: "project".into(),
            id: id.into(),
            name: name.into(),
        };
        let told = [
            named("anthropic", "wrkspc_1", "web"),
            named("openai", "proj_1", "web"),
            named("openai", "proj_1", "web"),
            named("openai", "proj_2", "api"),
            named("openai", "proj_3", "api"),
        ];
        let names = Names::new(&told);
        for (provider, own, id) in [
            ("anthropic", "/src/web", "wrkspc_1"),
            ("openai-codex", "/src/web", "proj_1"),
            ("openai", "web", "proj_1"),
            ("openai", "api", "api"),
            ("openrouter", "web", "web"),
        ] {
            assert_eq!(&*names.of(provider).project(own), id, "{provider}");
        }
        assert_eq!(names.of("openai").name("project", "proj_3").map(|name| &**name), Some("api"));
        assert_eq!(names.of("anthropic").name("project", "proj_3"), None);
    }
}
