//! What the rows of an answer mean.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use trueup_core::{
    Counters, NanoUsd, PriceClass, QUARTER_MS, Series, Text, Tokens, UnixMs, Witness,
};

use super::{Apart, Name, Usage, UsageQuestion};
use crate::day::Day;
use crate::native::{NativeError, Row};

/// Series that were read already: each is one, however many sums of it there are.
#[derive(Debug, Default)]
pub struct KnownSeries {
    all: HashMap<Vec<u8>, Arc<Series>>,
    texts: BTreeSet<Text>,
    key: Vec<u8>,
}

impl KnownSeries {
    fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return Text::clone(known);
        }
        let text = Text::from(text);
        self.texts.insert(Text::clone(&text));
        text
    }

    /// The series of a row.
    fn of(
        &mut self,
        question: &UsageQuestion<'_>,
        row: Row<'_>,
    ) -> Result<Arc<Series>, NativeError> {
        let names = match question.apart {
            Apart::Series => &[Name::Source, Name::Project, Name::Kind][..],
            Apart::Prices(names) => names,
        };
        let named = |is_named: bool, column| if is_named { row.text(column) } else { Ok("") };
        let told = |name: Name, column| named(names.contains(&name), column);
        let texts = [
            row.text("g_provider")?,
            row.text("g_model")?,
            told(Name::Source, "g_source")?,
            told(Name::Project, "g_project")?,
            told(Name::Kind, "g_kind")?,
            named(question.is_by_device && question.apart == Apart::Series, "g_device")?,
        ];
        let (class, has_cost) = (row.unsigned("g_price_class")?, row.unsigned("g_has_cost")? != 0);
        self.key.clear();
        for text in texts {
            self.key.extend(text.len().to_le_bytes());
            self.key.extend(text.as_bytes());
        }
        self.key.extend(class.to_le_bytes());
        self.key.push(u8::from(has_cost));
        if let Some(known) = self.all.get(&self.key) {
            return Ok(Arc::clone(known));
        }
        let class = u16::try_from(class).ok().and_then(PriceClass::from_code);
        let [provider, model, source, project, kind, device] = texts.map(|text| self.text(text));
        let series = Arc::new(Series {
            witness: Witness::Measured,
            source,
            provider,
            model,
            project,
            kind,
            class: class.ok_or(NativeError::Value { column: "g_price_class" })?,
            has_reported_cost: has_cost,
            device,
        });
        self.all.insert(self.key.clone(), Arc::clone(&series));
        Ok(series)
    }
}

/// A sum.
///
/// # Errors
/// What is no row of the answer.
pub fn usage_of(
    question: &UsageQuestion<'_>,
    row: Row<'_>,
    known: &mut KnownSeries,
) -> Result<Usage, NativeError> {
    let start = match question.time_columns() {
        [] => question.from,
        ["span"] => {
            let span = usize::try_from(row.unsigned("span")?).unwrap_or(0);
            let start = span.checked_sub(1).and_then(|before| question.spans.get(before));
            start.copied().unwrap_or(question.from).max(question.from)
        }
        _ => {
            let day = row.unsigned("day")?;
            let day = Day::of_column(day).ok_or(NativeError::Value { column: "day" })?;
            let cell = i64::try_from(row.unsigned("cell")?).unwrap_or(0);
            UnixMs(day.start().0 + cell * QUARTER_MS)
        }
    };
    let series = known.of(question, row)?;
    let session =
        if question.is_by_session { row.text("g_session")?.into() } else { known.text("") };
    let device =
        if question.is_by_device { known.text(row.text("g_device")?) } else { known.text("") };
    let times = match question.apart {
        Apart::Series => (time(row, "sum_first_ms")?, time(row, "sum_last_ms")?),
        Apart::Prices(_) => (start, start),
    };
    Ok(Usage {
        start,
        times,
        session,
        series,
        device,
        counters: Counters {
            calls: row.unsigned("sum_calls")?,
            errors: row.unsigned("sum_errors")?,
            reported_cost: NanoUsd(row.signed("sum_reported_cost")?),
            tokens: Tokens {
                input: row.unsigned("sum_input")?,
                cache_read: row.unsigned("sum_cache_read")?,
                cache_write_5m: row.unsigned("sum_cache_write_5m")?,
                cache_write_1h: row.unsigned("sum_cache_write_1h")?,
                cache_write: row.unsigned("sum_cache_write")?,
                output: row.unsigned("sum_output")?,
                reasoning: row.unsigned("sum_reasoning")?,
            },
        },
    })
}

pub(crate) fn time(row: Row<'_>, column: &'static str) -> Result<UnixMs, NativeError> {
    let ms = i64::try_from(row.unsigned(column)?).ok();
    ms.map(UnixMs).ok_or(NativeError::Value { column })
}
