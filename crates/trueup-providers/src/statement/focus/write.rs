//! Rows of cost as a FOCUS 1.2 file, which the reader beside this reads back.
//!
//! ```csv
//! BilledCost,BillingAccountId,…,ChargePeriodStart,…,ConsumedQuantity,ConsumedUnit,…,x_EstimateOrBilled,x_Model,…
//! 0.0123,openai,…,2026-11-01T00:00:00Z,…,1234,Tokens,…,billed,gpt-5-2025-08-07,…
//! ```
//!
//! Source: the requirements of FOCUS 1.2 on a dataset of cost and usage. Columns that it demands of those
//! who publish prices, negotiate, or sell commitments are not there: trueup does none of that. Nor is
//! `InvoiceId`, because no interface says on which invoice a charge stands.

use std::borrow::Cow;
use std::io;

use trueup_core::{Basis, Charged, Decimal, Text, UnixMs};

use crate::{PROVIDERS, STATEMENTS};

/// The columns: those of FOCUS in the order of the alphabet, then ours.
pub const FOCUS_COLUMNS: [&str; 38] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_ApiKeyId",
    "x_ApiKeyName",
    "x_EstimateOrBilled",
    "x_Model",
    "x_ReconStatus",
    "x_ServiceTier",
    "x_TokenType",
];

/// What charges are for, in the words of FOCUS.
const CATEGORIES: [&str; 5] = [USAGE, "Purchase", TAX, CREDIT, "Adjustment"];
const USAGE: &str = "Usage";
const TAX: &str = "Tax";
const CREDIT: &str = "Credit";

/// What services are for, in the words of FOCUS.
const SERVICES: [&str; 19] = [
    AI,
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Multicloud",
    "Networking",
    "Security",
    "Storage",
    "Web",
    OTHER,
];
const AI: &str = "AI and Machine Learning";
const OTHER: &str = "Other";

/// The unit where a provider charges and does not say for how much: the quantity is the charges.
const CHARGES: &str = "Charges";
/// The whole service, where a charge is not told apart further.
const WHOLE: &str = "all usage";
/// A provider that nobody names.
const UNKNOWN: &str = "unknown";

/// Writes rows of cost as FOCUS 1.2.
#[derive(Debug)]
pub struct FocusWriter<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> FocusWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(to: W) -> Result<Self, csv::Error> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(FOCUS_COLUMNS)?;
        Ok(Self(csv))
    }

    /// Writes a row.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, row: &Charged) -> Result<(), csv::Error> {
        let cells = FOCUS_COLUMNS.map(|column| cell(column, row));
        self.0.write_record(cells.iter().map(AsRef::as_ref))
    }

    /// All rows are written; gives back where they went.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// What stands in a column; nothing where it is null.
fn cell<'a>(column: &str, row: &'a Charged) -> Cow<'a, str> {
    match column {
        "BilledCost" | "ContractedCost" | "EffectiveCost" | "ListCost" => cost(row),
        "BillingAccountId" => text(account(row)),
        "BillingCurrency" => text(&*row.currency),
        "BillingPeriodEnd" => time(row.from.next_month_utc()),
        "BillingPeriodStart" => time(row.from.floor_month_utc()),
        "ChargeCategory" => category(row).into(),
        "ChargeClass" => (if row.is_correction { "Correction" } else { "" }).into(),
        "ChargeDescription" => text(description(row)),
        // How often something is bought, nobody tells.
        "ChargeFrequency" => {
            (if category(row) == "Purchase" { "One-Time" } else { "Usage-Based" }).into()
        }
        "ChargePeriodEnd" => time(row.until),
        "ChargePeriodStart" => time(row.from),
        // Nothing is consumed by money that comes back, and nothing is sold by a tax.
        "ConsumedQuantity" | "ConsumedUnit" if category(row) != USAGE => "".into(),
        "PricingQuantity" | "PricingUnit" | "SkuId" | "SkuMeter" | "SkuPriceId"
            if category(row) == TAX =>
        {
            "".into()
        }
        "ConsumedQuantity" | "PricingQuantity" => quantity(row).0.to_string().into(),
        "ConsumedUnit" | "PricingUnit" => text(quantity(row).1),
        "InvoiceIssuerName" | "ProviderName" | "PublisherName" => text(provider(&row.provider)),
        "ServiceCategory" => service_category(row).into(),
        "ServiceName" => text(service(row)),
        "ServiceSubcategory" => match service_category(row) {
            AI => "Generative AI".into(),
            other => format!("Other ({other})").into(),
        },
        "SkuId" => text(sku(row)),
        "SkuMeter" => text(meter(row)),
        "SkuPriceId" => text(price_id(row)),
        "SubAccountId" => text(&*row.project),
        "SubAccountName" => {
            let name = told(&row.project_name).unwrap_or(&row.project);
            text(told(&row.project).map_or("", |_| name))
        }
        "Tags" => tags(row),
        "x_ApiKeyId" => text(&*row.key),
        "x_ApiKeyName" => text(&*row.key_name),
        "x_EstimateOrBilled" => row.basis.name().into(),
        "x_Model" => text(&*row.model),
        "x_ReconStatus" => text(&*row.state),
        "x_ServiceTier" => text(&*row.tier),
        "x_TokenType" => row.measure.map_or("", |measure| measure.name()).into(),
        _ => "".into(),
    }
}

/// What is to be paid. FOCUS knows no null here: that nobody knows it, `x_EstimateOrBilled` says.
fn cost(row: &Charged) -> Cow<'_, str> {
    row.amount
        .as_ref()
        .filter(|_| row.basis != Basis::Unpriced)
        .map_or_else(|| "0".into(), |amount| amount.to_string().into())
}

fn time(at: UnixMs) -> Cow<'static, str> {
    // `2026-11-01T00:00:00.000Z` without its milliseconds.
    let text = at.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z")).into()
}

/// The name of a provider, as it is spelled.
fn provider(id: &str) -> &str {
    let titles = PROVIDERS.iter().map(|provider| provider.title()).chain(["DeepSeek"]);
    let title = titles.into_iter().find(|title| title.eq_ignore_ascii_case(id));
    title.unwrap_or(if id.trim().is_empty() { UNKNOWN } else { id })
}

/// The id of a provider, of its name in any spelling; `None` where trueup knows none such.
pub(in crate::statement) fn provider_id(name: &str) -> Option<&'static str> {
    let ids = PROVIDERS.iter().map(|provider| provider.id());
    let ids = ids.chain(STATEMENTS.iter().map(|format| format.provider));
    ids.into_iter().find(|id| !id.is_empty() && id.eq_ignore_ascii_case(name))
}

fn account(row: &Charged) -> &str {
    if row.account.trim().is_empty() { provider(&row.provider) } else { &row.account }
}

fn category(row: &Charged) -> &'static str {
    let told = CATEGORIES.into_iter().find(|known| known.eq_ignore_ascii_case(&row.category));
    told.unwrap_or(if row.is_credit() { CREDIT } else { USAGE })
}

fn service_category(row: &Charged) -> &'static str {
    let Some(told) = told(&row.service_category) else { return AI };
    SERVICES.into_iter().find(|known| known.eq_ignore_ascii_case(told)).unwrap_or(OTHER)
}

fn service(row: &Charged) -> Cow<'_, str> {
    told(&row.service_name)
        .map_or_else(|| format!("{} API", provider(&row.provider)).into(), Cow::Borrowed)
}

fn told(text: &Text) -> Option<&str> {
    Some(&**text).filter(|text| !text.trim().is_empty())
}

/// What is sold: the model, or what the provider calls it, or all that it sells.
fn sku(row: &Charged) -> Cow<'_, str> {
    let name = told(&row.model).or(told(&row.item));
    name.map_or_else(|| service(row), Cow::Borrowed)
}

/// What of it is measured.
fn meter(row: &Charged) -> &str {
    let kind = row.measure.map(trueup_core::Measure::name);
    kind.or_else(|| told(&row.item)).unwrap_or(WHOLE)
}

/// What has a price: parts that no part can be taken for another's.
fn price_id(row: &Charged) -> String {
    let sku = sku(row);
    let parts = [provider(&row.provider), &sku, meter(row), &row.tier, &row.currency];
    parts.map(|part| part.replace('%', "%25").replace('|', "%7C")).join("|")
}

fn description(row: &Charged) -> Cow<'_, str> {
    match told(&row.item) {
        Some(item) => item.into(),
        None => format!("{}, {}", sku(row), meter(row)).into(),
    }
}

/// Of how much, and of what.
fn quantity(row: &Charged) -> (Decimal, &str) {
    match &row.quantity {
        Some(quantity) => (quantity.clone(), unit(&row.unit)),
        None => (Decimal::from(i128::from(row.rows)), CHARGES),
    }
}

/// A unit as FOCUS spells it; others stay as they are.
fn unit(told: &str) -> &str {
    match told {
        "tokens" => "Tokens",
        "requests" => "Requests",
        "duration_seconds" => "Seconds",
        "duration_minutes" => "Minutes",
        "duration_hours" => "Hours",
        "gibibyte_hours" => "GiB-Hours",
        "images" => "Images",
        "characters" => "Characters",
        "" => CHARGES,
        other => other,
    }
}

fn tags(row: &Charged) -> Cow<'_, str> {
    if row.tags.is_empty() {
        return "".into();
    }
    let tags = row.tags.iter().map(|(name, value)| (name.to_string(), (&**value).into()));
    serde_json::Value::Object(tags.collect()).to_string().into()
}

/// A text, null where it is blank, and never a formula for a spreadsheet.
fn text<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if text.trim().is_empty() {
        return "".into();
    }
    if is_formula(&text) { format!("'{text}").into() } else { text }
}

/// What [`text`] was made of.
pub(in crate::statement) fn plain(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text)
}

/// Whether a text would be taken for a formula, or for one that was made harmless.
fn is_formula(text: &str) -> bool {
    let signs = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    text.trim_start_matches('\'').starts_with(signs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_each_comes_back() {
        for name in
            ["=cmd()", "+1", "-1", "@x", "\tx", "'=x", "''=x", "＝x", "claude", "it's", "'x"]
        {
            let written = text(name);
            assert!(!written.starts_with(['=', '+', '-', '@', '\t', '\r']), "{name}");
            assert_eq!(plain(&written), name);
        }
    }

    #[test]
    fn a_year_has_twelve_billing_periods() {
        let row = |from: &str| {
            Charged::new(UnixMs::parse_rfc3339(from).unwrap(), "openai", Basis::Billed)
        };
        for (day, start, end) in [
            ("2026-12-31T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ] {
            let row = row(day);
            assert_eq!(cell("BillingPeriodStart", &row), start);
            assert_eq!(cell("BillingPeriodEnd", &row), end);
            assert_eq!(cell("ChargePeriodStart", &row), day);
        }
    }

    #[test]
    fn every_column_is_made() {
        let row = Charged {
            project: "p".into(),
            key: "k".into(),
            key_name: "n".into(),
            model: "m".into(),
            tier: "batch".into(),
            state: "settled".into(),
            measure: Some(trueup_core::Measure::Out),
            tags: [("a".into(), "b".into())].into(),
            is_correction: true,
            ..Charged::new(UnixMs(0), "openai", Basis::Estimate)
        };
        // What an account is called, nobody tells.
        for column in FOCUS_COLUMNS.into_iter().filter(|name| *name != "BillingAccountName") {
            assert!(!cell(column, &row).is_empty(), "{column}");
        }
    }

    #[test]
    fn what_a_bill_says_of_a_charge_stays() {
        let row = |category: &str, service: &str| Charged {
            category: category.into(),
            service_category: service.into(),
            service_name: "Azure VM".into(),
            ..Charged::new(UnixMs(0), "Microsoft", Basis::Billed)
        };
        let tax = row("tax", "Other");
        for (column, said) in [
            ("ChargeCategory", "Tax"),
            ("ServiceCategory", "Other"),
            ("ServiceSubcategory", "Other (Other)"),
            ("ServiceName", "Azure VM"),
            ("ConsumedQuantity", ""),
            ("PricingUnit", ""),
            ("SkuPriceId", ""),
        ] {
            assert_eq!(cell(column, &tax), said, "{column}");
        }
        let bought = row("Purchase", "Compute");
        assert_eq!(cell("ChargeFrequency", &bought), "One-Time");
        assert_eq!(cell("ServiceSubcategory", &bought), "Other (Compute)");
        assert_eq!(
            (cell("ConsumedUnit", &bought), cell("PricingUnit", &bought)),
            ("".into(), "Charges".into())
        );
        // Words that FOCUS does not have are not made a part of it.
        let odd = row("Gift", "Toys");
        assert_eq!(
            (cell("ChargeCategory", &odd), cell("ServiceCategory", &odd)),
            ("Usage".into(), "Other".into())
        );
    }

    #[test]
    fn what_is_sold_cannot_be_taken_for_something_else() {
        let row = |model: &str, item: &str| Charged {
            model: model.into(),
            item: item.into(),
            ..Charged::new(UnixMs(0), "openai", Basis::Billed)
        };
        assert_ne!(price_id(&row("a|b", "c")), price_id(&row("a", "b|c")));
        assert_eq!(price_id(&row("gpt-5", "")), "OpenAI|gpt-5|all usage||USD");
    }
}
