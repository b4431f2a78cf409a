//! FOCUS, the FinOps Foundation's form of a bill, as Azure, AWS, Google and others export it.
//!
//! ```csv
//! BilledCost,BillingAccountId,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ProviderName,ServiceName,SkuId,ConsumedQuantity,ConsumedUnit,…
//! 0.0123,1234-5678,USD,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,Usage,Microsoft,Azure OpenAI,…
//! ```
//!
//! Source: the columns of FOCUS 1.0 to 1.2. `BilledCost` is the amount: what is on the invoice. A bill
//! holds everything that was bought, not models alone: nothing is left out. Columns that tell nothing of
//! this are, those with `x_` among them, which everybody may add; others that are not known are told.
//!
//! A file that trueup wrote says in `x_EstimateOrBilled` what no provider has charged: that stays an
//! estimate, and usage without a price stays without one.

pub(super) mod write;

use trueup_core::{Basis, Decimal, Dim, Measure};

use super::Format;
use super::row::{Row, a_day};

/// A bill.
pub(super) const FOCUS: Format = Format {
    kind: "focus",
    title: "FOCUS",
    provider: "",
    family: "",
    has_parts: true,
    signature: &[
        &["billedcost"],
        &["billingcurrency"],
        &["chargeperiodstart"],
        &["chargeperiodend"],
    ],
    is_whole: false,
    read: charge,
};

/// What trueup wrote: a kind of its own, so that it supersedes nobody else's bill.
pub(super) const OURS: Format = Format {
    kind: "trueup_focus",
    title: "trueup's FOCUS",
    has_parts: false,
    signature: &[
        &["billedcost"],
        &["billingcurrency"],
        &["chargeperiodstart"],
        &["chargeperiodend"],
        &[BASIS],
    ],
    ..FOCUS
};

const DIMS: &[(&str, &str)] = &[
    ("service_category", "servicecategory"),
    ("service_name", "servicename"),
    ("charge_category", "chargecategory"),
    ("charge_class", "chargeclass"),
    ("charge_description", "chargedescription"),
    ("sub_account_id", "subaccountid"),
    ("region_id", "regionid"),
    ("resource_id", "resourceid"),
    ("sku_id", "skuid"),
    ("sku_meter", "skumeter"),
    ("sku_price_id", "skupriceid"),
    // What some add, trueup among them.
    ("model", "x_model"),
    ("service_tier", "x_servicetier"),
    ("api_key_id", "x_apikeyid"),
    ("session_id", "x_sessionid"),
];

/// Columns of FOCUS that are kept beside.
const NOTED: &[&str] = &[
    "effectivecost",
    "listcost",
    "contractedcost",
    "invoiceid",
    "invoiceissuername",
    "publishername",
    "subaccountname",
    "tags",
    "x_tokentype",
    "x_reconstatus",
];

/// Who says so, in files that trueup wrote.
const BASIS: &str = "x_estimateorbilled";

/// Columns of FOCUS 1.0 to 1.2 that tell nothing that is asked for.
const OTHER: &[&str] = &[
    "availabilityzone",
    "billingaccountname",
    "billingaccounttype",
    "billingperiodend",
    "billingperiodstart",
    "capacityreservationid",
    "capacityreservationstatus",
    "chargefrequency",
    "commitmentdiscountcategory",
    "commitmentdiscountid",
    "commitmentdiscountname",
    "commitmentdiscountquantity",
    "commitmentdiscountstatus",
    "commitmentdiscounttype",
    "commitmentdiscountunit",
    "contractedunitprice",
    "listunitprice",
    "pricingcategory",
    "pricingcurrency",
    "pricingcurrencycontractedunitprice",
    "pricingcurrencyeffectivecost",
    "pricingcurrencylistunitprice",
    "regionname",
    "resourcename",
    "resourcetype",
    "servicesubcategory",
    "skupricedetails",
    "subaccounttype",
];

fn charge(row: &mut Row<'_>) {
    let basis = row.take(BASIS).map(str::trim);
    let basis = basis.and_then(|told| Basis::ALL.into_iter().find(|basis| basis.name() == told));
    if let Some(basis) = basis {
        row.is_of_ours();
        row.set_dim("basis", Dim::Text(basis.name().into()));
    }
    row.place(&["chargeperiodstart"], &["chargeperiodend"], a_day);
    row.provider("providername");
    row.account("billingaccountid");
    row.dims(DIMS);
    let kind = row.take("x_tokentype").map(|kind| kind.trim().to_ascii_lowercase());
    row.note(NOTED);
    row.skip(OTHER);
    row.skip_all("x_");
    let amount = row.decimal("billedcost").filter(|_| basis != Some(Basis::Unpriced));
    let currency = row.take("billingcurrency");
    row.charge(amount, currency, None);
    let consumed = (row.decimal("consumedquantity"), row.take("consumedunit"));
    let priced = (row.decimal("pricingquantity"), row.take("pricingunit"));
    let (quantity, unit) = if consumed.0.is_some() { consumed } else { priced };
    if let (Some(count), Some(unit)) = (quantity.as_ref().and_then(Decimal::to_count), unit)
        && let Some(measure) = measure(unit, kind.as_deref())
    {
        row.set(measure, Some(count));
    }
    row.quantity(quantity, unit);
}

/// What a quantity counts, where that can be told.
fn measure(unit: &str, kind: Option<&str>) -> Option<Measure> {
    match unit.trim().to_ascii_lowercase().as_str() {
        "tokens" | "token" => match kind? {
            "input" => Some(Measure::InUnsplit),
            "output" => Some(Measure::Out),
            "cache_read" => Some(Measure::InCacheRead),
            "cache_write" => Some(Measure::InCacheWrite),
            kind => Measure::ALL
                .iter()
                .find(|measure| measure.name() == kind && !measure.is_part())
                .copied(),
        },
        "requests" | "request" => Some(Measure::Requests),
        _ => None,
    }
}
