//! Which entries of the price table a pair of provider and model may mean.
//!
//! Knows how agents write the names of providers, which decorations a model name carries, and the
//! makers of models. Refuses to guess: every candidate is a whole name that must stand in the table
//! as it is, never a part of one.

use super::table::{self, Row};

/// The longest model name that is looked up; no listed name has more than 90 bytes.
pub(super) const MODEL_BYTES_MAX: usize = 256;

/// How the name of the entry came from the name that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// It is the name as written.
    AsWritten,
    /// A date, `-latest`, a version suffix or a region prefix was taken away.
    Stripped,
    /// It is another name of the same model, from `data/aliases.tsv`.
    Alias,
}

/// A seller whose names in the table are not simply `seller/model`.
struct Seller {
    /// What agents and gateways call it, in lower case.
    names: &'static [&'static str],
    /// What its entries start with.
    prefixes: &'static [&'static str],
    /// What its entries' column of sellers starts with.
    column: &'static str,
    /// Models that the table does not list for it have no known price here, since it does not
    /// charge what the maker charges.
    sets_own_prices: bool,
}

const SELLERS: &[Seller] = &[
    Seller {
        names: &["anthropic", "claude", "claude-code"],
        prefixes: &[""],
        column: "anthropic",
        sets_own_prices: false,
    },
    Seller {
        names: &["openai", "openai-codex", "openai-responses", "codex", "chatgpt"],
        prefixes: &["", "openai/"],
        column: "openai",
        sets_own_prices: false,
    },
    Seller {
        names: &[
            "google",
            "gemini",
            "gemini-cli",
            "google-gemini",
            "google-gemini-cli",
            "gcp.gemini",
            "gcp.gen_ai",
        ],
        prefixes: &["gemini/"],
        column: "gemini",
        sets_own_prices: false,
    },
    Seller {
        names: &[
            "vertex",
            "vertex_ai",
            "vertexai",
            "google-vertex",
            "google-vertex-anthropic",
            "gcp.vertex_ai",
        ],
        prefixes: &["vertex_ai/", ""],
        column: "vertex_ai",
        sets_own_prices: false,
    },
    Seller {
        names: &["bedrock", "amazon-bedrock", "aws-bedrock", "aws", "aws.bedrock"],
        prefixes: &["", "bedrock/", "bedrock_mantle/"],
        column: "bedrock",
        sets_own_prices: true,
    },
    Seller {
        names: &[
            "azure",
            "azure_ai",
            "azure-openai",
            "azure-openai-responses",
            "azure-foundry",
            "azure.ai.openai",
            "azure.ai.inference",
            "az.ai.openai",
            "az.ai.inference",
        ],
        prefixes: &["azure/", "azure_ai/"],
        column: "azure",
        sets_own_prices: true,
    },
    own_prefix(&["xai", "x-ai", "x_ai", "grok"], &["xai/"], "xai"),
    own_prefix(&["moonshot", "moonshotai", "kimi"], &["moonshot/"], "moonshot"),
    own_prefix(&["zai", "z-ai", "z.ai", "zhipu"], &["zai/"], "zai"),
    own_prefix(&["mistral", "mistralai", "mistral_ai"], &["mistral/"], "mistral"),
    own_prefix(&["dashscope", "alibaba", "qwen"], &["dashscope/"], "dashscope"),
    own_prefix(&["vercel", "vercel-ai-gateway"], &["vercel_ai_gateway/"], "vercel_ai_gateway"),
    Seller {
        names: &["fireworks", "fireworks-ai", "fireworks_ai"],
        prefixes: &["fireworks_ai/", "fireworks_ai/accounts/fireworks/models/"],
        column: "fireworks_ai",
        sets_own_prices: true,
    },
    host(&["together", "togetherai", "together-ai", "together_ai"], &["together_ai/"], "together"),
    host(&["groq"], &["groq/"], "groq"),
    host(&["cerebras"], &["cerebras/"], "cerebras"),
    host(&["deepinfra"], &["deepinfra/"], "deepinfra"),
    host(&["novita", "novita-ai"], &["novita/"], "novita"),
    host(&["nebius"], &["nebius/"], "nebius"),
    host(&["sambanova"], &["sambanova/"], "sambanova"),
    host(&["baseten"], &["baseten/"], "baseten"),
    host(&["ollama"], &["ollama/"], "ollama"),
    host(&["lmstudio", "lm-studio", "llama.cpp", "llamacpp", "vllm", "mlx", "local"], &[], ""),
];

/// A maker of models, or a gateway that charges what makers charge.
const fn own_prefix(
    names: &'static [&'static str],
    prefixes: &'static [&'static str],
    column: &'static str,
) -> Seller {
    Seller { names, prefixes, column, sets_own_prices: false }
}

/// Someone who runs other people's models at prices of their own, or none.
const fn host(
    names: &'static [&'static str],
    prefixes: &'static [&'static str],
    column: &'static str,
) -> Seller {
    Seller { names, prefixes, column, sets_own_prices: true }
}

/// The prefixes under which makers list their own models, for names that come without a seller.
const MAKERS: &[&str] = &[
    "",
    "gemini/",
    "xai/",
    "moonshot/",
    "zai/",
    "minimax/",
    "deepseek/",
    "mistral/",
    "dashscope/",
    "meta/",
    "xiaomi_mimo/",
    "inception/",
];

/// The price that this provider itself charges for a model of exactly this name.
pub(super) fn own_price(provider: &str, name: &str) -> Option<Row> {
    match seller(provider) {
        Some(seller) => seller
            .prefixes
            .iter()
            .filter_map(|prefix| table::row(&format!("{prefix}{name}")))
            .find(|row| row.seller.starts_with(seller.column)),
        None if provider.is_empty() => None,
        None => table::row(&format!("{provider}/{name}"))
            .or_else(|| table::row(&format!("{}/{name}", provider.replace('-', "_")))),
    }
}

/// The price that the maker of a model of exactly this name charges.
pub(super) fn list_price(name: &str) -> Option<Row> {
    MAKERS.iter().find_map(|prefix| table::row(&format!("{prefix}{name}")))
}

/// Whether the maker's price says nothing about this provider's.
pub(super) fn sets_own_prices(provider: &str) -> bool {
    seller(provider).is_some_and(|seller| seller.sets_own_prices)
}

/// Whether both are names of one provider.
pub(super) fn is_same(provider: &str, other: &str) -> bool {
    let names = |provider| seller(provider).map(|seller| seller.names);
    provider == other || names(provider).is_some_and(|of_one| Some(of_one) == names(other))
}

/// Whether Anthropic itself served the call, so that its published rules hold for it.
pub(super) fn is_anthropic(provider: &str) -> bool {
    is_same(provider, "anthropic")
}

fn seller(provider: &str) -> Option<&'static Seller> {
    SELLERS.iter().find(|seller| seller.names.contains(&provider))
}

/// The one name of a provider that is known by several: `openai` of `openai-codex`.
pub(super) fn provider_key(provider: &str) -> String {
    let provider = provider.trim().to_lowercase();
    let known = seller(&provider).and_then(|seller| seller.names.first());
    known.map_or(provider, |name| (*name).to_owned())
}

/// What all names of a model share: it without seller and decoration, by the table of aliases.
pub(super) fn model_key(model: &str) -> &str {
    let own_name = |name| -> &str {
        let name: &str = name;
        name.rsplit('/').next().unwrap_or(name)
    };
    let plain = |name| spellings(name).into_iter().rfind(|(_, how)| *how != Spelling::Alias);
    let model = own_name(model);
    let alias = spellings(model).into_iter().find(|(_, how)| *how == Spelling::Alias);
    let name = alias.map_or(model, |(name, _)| own_name(name));
    plain(name).map_or(name, |(name, _)| name)
}

/// The name as written, then ever fewer decorations, then what those are also called.
pub(super) fn spellings(model: &str) -> Vec<(&str, Spelling)> {
    let mut spellings = vec![(model, Spelling::AsWritten)];
    let mut name = model;
    while let Some(shorter) = without_decoration(name) {
        spellings.push((shorter, Spelling::Stripped));
        name = shorter;
    }
    let aliases: Vec<_> = spellings.iter().filter_map(|(name, _)| table::alias(name)).collect();
    spellings.extend(aliases.into_iter().map(|name| (name, Spelling::Alias)));
    spellings
}

/// The name without its last suffix or, where it has none, without its first prefix.
fn without_decoration(name: &str) -> Option<&str> {
    const WORDS: [&str; 5] = ["[1m]", "-latest", ":latest", "@latest", "@default"];
    WORDS
        .iter()
        .find_map(|word| name.strip_suffix(word))
        .or_else(|| without_version(name))
        .or_else(|| without_date(name))
        .or_else(|| without_region(name))
        .or_else(|| name.strip_prefix("anthropic."))
        .filter(|shorter| !shorter.is_empty())
}

/// Bedrock's `-v1:0` and `-v1`.
fn without_version(name: &str) -> Option<&str> {
    let (stem, version) = name.rsplit_once("-v")?;
    let (major, minor) = version.split_once(':').unwrap_or((version, "0"));
    let is_number = |part: &str| part.len() == 1 && part.bytes().all(|b| b.is_ascii_digit());
    (is_number(major) && is_number(minor)).then_some(stem)
}

/// `-20250929`, `@20250929` or `-2026-04-23`.
fn without_date(name: &str) -> Option<&str> {
    let is_date = |text: &str| text.parse::<jiff::civil::Date>().is_ok();
    let at =
        |length: usize| name.len().checked_sub(length).and_then(|at| name.split_at_checked(at));
    if let Some((stem, date)) = at(9)
        && date.starts_with(['-', '@'])
        && date.bytes().skip(1).all(|b| b.is_ascii_digit())
        && date.get(1..).is_some_and(is_date)
    {
        return Some(stem);
    }
    let (stem, date) = at(11)?;
    (date.starts_with('-') && date.get(1..).is_some_and(is_date)).then_some(stem)
}

/// Bedrock's inference profiles: `us.anthropic.claude-…`.
fn without_region(name: &str) -> Option<&str> {
    const REGIONS: [&str; 8] = ["us", "eu", "apac", "jp", "au", "in", "us-gov", "global"];
    let (region, rest) = name.split_once('.')?;
    (REGIONS.contains(&region) && rest.contains('.')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decorations_come_off_one_by_one() {
        let names =
            |model| -> Vec<&str> { spellings(model).into_iter().map(|(name, _)| name).collect() };
        assert_eq!(
            names("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
            [
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                "us.anthropic.claude-haiku-4-5-20251001",
                "us.anthropic.claude-haiku-4-5",
                "anthropic.claude-haiku-4-5",
                "claude-haiku-4-5",
            ]
        );
        assert_eq!(names("gpt-5.5-2026-04-23"), ["gpt-5.5-2026-04-23", "gpt-5.5"]);
        assert_eq!(names("claude-opus-4-6[1m]"), ["claude-opus-4-6[1m]", "claude-opus-4-6"]);
        assert_eq!(
            names("claude-opus-4-8@default"),
            ["claude-opus-4-8@default", "claude-opus-4-8"]
        );
        assert_eq!(names("k2p6"), ["k2p6", "kimi-k2.6"]);
    }

    #[test]
    fn snapshots_aliases_and_names_with_a_seller_share_a_key() {
        for names in [
            &["gpt-4.1-2025-04-14", "gpt-4.1", "openai/gpt-4.1"][..],
            &["claude-4.5-haiku", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"],
            &["claude-opus-4", "claude-opus-4-20250514", "claude-4-opus"],
            &["claude-3-haiku-20240307", "claude-3-haiku"],
        ] {
            let keys: Vec<&str> = names.iter().map(|name| model_key(name)).collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{names:?}: {keys:?}");
        }
        for name in ["gpt-4.1-mini", "ft:gpt-4.1-2025-04-14:acme::Ab1", "GPT-4.1"] {
            assert_eq!(model_key(name), name);
        }
        assert_eq!(provider_key("OpenAI-Codex"), "openai");
        assert_eq!(provider_key("somebody"), "somebody");
        // As the conventions of OpenTelemetry have them.
        assert_eq!(provider_key("azure.ai.openai"), "azure");
        assert_eq!(provider_key("gcp.gemini"), "google");
    }

    #[test]
    fn what_only_looks_like_a_decoration_stays() {
        for name in
            ["gpt-5.5-20269999", "grok-4-0709", "gpt-5.5", "us.x", "o1-2024-99-99", "-latest"]
        {
            assert_eq!(spellings(name), [(name, Spelling::AsWritten)], "{name}");
        }
    }

    #[test]
    fn every_alias_leads_to_an_entry_and_hides_none() {
        for (name, target) in table::tests::all_aliases() {
            assert!(list_price(target).is_some(), "{name} leads to {target}, which is not listed");
            assert!(list_price(name).is_none(), "{name} is an entry itself");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics_and_none_is_stripped_for_ever(model in "\\PC{0,80}") {
            prop_assert!(spellings(&model).len() <= 2 * (model.len() + 1));
        }

        #[test]
        fn no_near_name_panics(model in "(us\\.)?(anthropic\\.)?[a-zé0-9@.-]{0,20}([-@][0-9-]{0,11})?(-v[0-9]:[0-9])?") {
            prop_assert!(!spellings(&model).is_empty());
        }
    }
}
