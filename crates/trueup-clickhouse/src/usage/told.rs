//! What the rows of an answer mean.
//!
//! There may be a hundred thousand of them. They are read by their columns: of each name it is looked up once
//! for a row which one it is, and series are told apart by the numbers of their names.

use std::collections::HashMap;
use std::sync::Arc;

use trueup_core::{
    Counters, NanoUsd, PriceClass, QUARTER_MS, Series, Text, Tokens, UnixMs, Witness,
};

use super::{Apart, Name, Usage, UsageQuestion};
use crate::day::Day;
use crate::native::{Block, NativeError, Row, Texts};

/// Series that were read already: each is one, however many sums of it there are.
#[derive(Debug, Default)]
pub struct KnownSeries {
    all: HashMap<SeriesKey, Arc<Series>>,
    /// The number of each name.
    numbers: HashMap<Vec<u8>, usize>,
    names: Vec<Text>,
    /// One of the names of each place: most are found there, and need no good hash.
    places: Vec<usize>,
}

/// How many places there are: a power of two.
const PLACES: usize = 4_096;

/// The place of a name.
fn place(name: &[u8]) -> usize {
    let hash = name
        .iter()
        .fold(name.len(), |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    hash % PLACES
}

/// The numbers of its names, its class, and whether it has reported costs.
type SeriesKey = ([usize; NAMES], u64, bool);

/// Provider, model, source, project, kind and device.
const NAMES: usize = 6;

impl KnownSeries {
    /// Hands each sum of a block to `each`.
    ///
    /// # Errors
    /// What is no block of the answer.
    pub fn read(
        &mut self,
        question: &UsageQuestion<'_>,
        block: &Block,
        each: &mut dyn FnMut(Usage),
    ) -> Result<(), NativeError> {
        let mut series = SeriesColumns::of(self, question, block)?;
        let starts = Starts::of(question, block)?;
        let sessions = Names::of(self, question.is_by_session, "g_session", block)?;
        let devices = Names::of(self, question.is_by_device, "g_device", block)?;
        let counters = CounterColumns::of(block)?;
        let times = match question.apart {
            Apart::Series => {
                Some((block.unsigned("sum_first_ms")?, block.unsigned("sum_last_ms")?))
            }
            Apart::Prices(_) => None,
        };
        for at in 0..block.rows() {
            let start = starts.get(at)?;
            let times = match times {
                Some((first, last)) => {
                    (millis_of(first, at, "sum_first_ms")?, millis_of(last, at, "sum_last_ms")?)
                }
                None => (start, start),
            };
            let (session, device) = (sessions.number(self, at)?, devices.number(self, at)?);
            each(Usage {
                start,
                times,
                session: self.name(session),
                series: series.get(self, at)?,
                device: self.name(device),
                counters: counters.get(at)?,
            });
        }
        Ok(())
    }

    fn name(&self, number: usize) -> Text {
        self.names.get(number).map(Text::clone).unwrap_or_default()
    }

    fn number(&mut self, name: &[u8], column: &'static str) -> Result<usize, NativeError> {
        self.places.resize(PLACES, usize::MAX);
        let place = place(name);
        let near = self.places.get(place).copied().unwrap_or(usize::MAX);
        if self.names.get(near).is_some_and(|near| near.as_bytes() == name) {
            return Ok(near);
        }
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => self.named(name, column)?,
        };
        if let Some(near) = self.places.get_mut(place) {
            *near = number;
        }
        Ok(number)
    }

    fn named(&mut self, name: &[u8], column: &'static str) -> Result<usize, NativeError> {
        let text = std::str::from_utf8(name).map_err(|_| NativeError::Value { column })?;
        let number = self.names.len();
        self.names.push(Text::from(text));
        self.numbers.insert(name.to_vec(), number);
        Ok(number)
    }
}

/// A column of names; without one, each is empty.
struct Names<'a> {
    column: &'static str,
    texts: Option<Texts<'a>>,
    /// The number of the empty name.
    none: usize,
}

impl<'a> Names<'a> {
    fn of(
        known: &mut KnownSeries,
        is_told: bool,
        column: &'static str,
        block: &'a Block,
    ) -> Result<Self, NativeError> {
        let texts = if is_told { Some(block.texts(column)?) } else { None };
        Ok(Self { column, texts, none: known.number(b"", column)? })
    }

    fn number(&self, known: &mut KnownSeries, at: usize) -> Result<usize, NativeError> {
        let Some(texts) = self.texts else { return Ok(self.none) };
        let name = texts.get(at).ok_or(NativeError::Value { column: self.column })?;
        known.number(name, self.column)
    }
}

/// What tells of the series of rows.
struct SeriesColumns<'a> {
    names: [Names<'a>; NAMES],
    class: &'a [u64],
    has_cost: &'a [u64],
    last: Option<(SeriesKey, Arc<Series>)>,
}

impl<'a> SeriesColumns<'a> {
    fn of(
        known: &mut KnownSeries,
        question: &UsageQuestion<'_>,
        block: &'a Block,
    ) -> Result<Self, NativeError> {
        let names = match question.apart {
            Apart::Series => &[Name::Source, Name::Project, Name::Kind][..],
            Apart::Prices(names) => names,
        };
        let mut named = |is_named: bool, column| Names::of(known, is_named, column, block);
        let is_of_device = question.is_by_device && question.apart == Apart::Series;
        Ok(Self {
            names: [
                named(true, "g_provider")?,
                named(true, "g_model")?,
                named(names.contains(&Name::Source), "g_source")?,
                named(names.contains(&Name::Project), "g_project")?,
                named(names.contains(&Name::Kind), "g_kind")?,
                named(is_of_device, "g_device")?,
            ],
            class: block.unsigned("g_price_class")?,
            has_cost: block.unsigned("g_has_cost")?,
            last: None,
        })
    }

    fn get(&mut self, known: &mut KnownSeries, at: usize) -> Result<Arc<Series>, NativeError> {
        let mut numbers = [0; NAMES];
        for (names, number) in self.names.iter().zip(&mut numbers) {
            *number = names.number(known, at)?;
        }
        let has_cost = value(self.has_cost, at, "g_has_cost")? != 0;
        let key = (numbers, value(self.class, at, "g_price_class")?, has_cost);
        if let Some((last, series)) = &self.last
            && *last == key
        {
            return Ok(Arc::clone(series));
        }
        let series = match known.all.get(&key) {
            Some(series) => Arc::clone(series),
            None => made(known, key)?,
        };
        self.last = Some((key, Arc::clone(&series)));
        Ok(series)
    }
}

fn made(known: &mut KnownSeries, key: SeriesKey) -> Result<Arc<Series>, NativeError> {
    let (numbers, class, has_reported_cost) = key;
    let class = u16::try_from(class).ok().and_then(PriceClass::from_code);
    let [provider, model, source, project, kind, device] = numbers.map(|number| known.name(number));
    let series = Arc::new(Series {
        witness: Witness::Measured,
        source,
        provider,
        model,
        project,
        kind,
        class: class.ok_or(NativeError::Value { column: "g_price_class" })?,
        has_reported_cost,
        device,
    });
    known.all.insert(key, Arc::clone(&series));
    Ok(series)
}

/// Where stretches or spans begin.
enum Starts<'a> {
    One(UnixMs),
    Spans(&'a [u64], &'a UsageQuestion<'a>),
    Stretches(&'a [u64], &'a [u64]),
}

impl<'a> Starts<'a> {
    fn of(question: &'a UsageQuestion<'a>, block: &'a Block) -> Result<Self, NativeError> {
        Ok(match question.time_columns() {
            [] => Self::One(question.from),
            ["span"] => Self::Spans(block.unsigned("span")?, question),
            _ => Self::Stretches(block.unsigned("day")?, block.unsigned("cell")?),
        })
    }

    fn get(&self, at: usize) -> Result<UnixMs, NativeError> {
        Ok(match self {
            Self::One(start) => *start,
            Self::Spans(spans, question) => {
                let span = usize::try_from(value(spans, at, "span")?).unwrap_or(0);
                let start = span.checked_sub(1).and_then(|before| question.spans.get(before));
                start.copied().unwrap_or(question.from).max(question.from)
            }
            Self::Stretches(days, cells) => {
                let day = Day::of_column(value(days, at, "day")?);
                let day = day.ok_or(NativeError::Value { column: "day" })?;
                let cell = i64::try_from(value(cells, at, "cell")?).unwrap_or(0);
                UnixMs(day.start().0.saturating_add(cell.saturating_mul(QUARTER_MS)))
            }
        })
    }
}

/// What is added up.
struct CounterColumns<'a> {
    calls: &'a [u64],
    errors: &'a [u64],
    reported_cost: &'a [i64],
    tokens: [&'a [u64]; 7],
}

impl<'a> CounterColumns<'a> {
    fn of(block: &'a Block) -> Result<Self, NativeError> {
        Ok(Self {
            calls: block.unsigned("sum_calls")?,
            errors: block.unsigned("sum_errors")?,
            reported_cost: block.signed("sum_reported_cost")?,
            tokens: [
                block.unsigned("sum_input")?,
                block.unsigned("sum_cache_read")?,
                block.unsigned("sum_cache_write_5m")?,
                block.unsigned("sum_cache_write_1h")?,
                block.unsigned("sum_cache_write")?,
                block.unsigned("sum_output")?,
                block.unsigned("sum_reasoning")?,
            ],
        })
    }

    fn get(&self, at: usize) -> Result<Counters, NativeError> {
        let tokens = self.tokens.map(|column| column.get(at).copied().unwrap_or(0));
        let [input, cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning] =
            tokens;
        Ok(Counters {
            calls: value(self.calls, at, "sum_calls")?,
            errors: value(self.errors, at, "sum_errors")?,
            reported_cost: NanoUsd(value(self.reported_cost, at, "sum_reported_cost")?),
            tokens: Tokens {
                input,
                cache_read,
                cache_write_5m,
                cache_write_1h,
                cache_write,
                output,
                reasoning,
            },
        })
    }
}

fn value<T: Copy>(values: &[T], at: usize, column: &'static str) -> Result<T, NativeError> {
    values.get(at).copied().ok_or(NativeError::Value { column })
}

fn millis_of(values: &[u64], at: usize, column: &'static str) -> Result<UnixMs, NativeError> {
    millis(value(values, at, column)?, column)
}

pub(crate) fn time(row: Row<'_>, column: &'static str) -> Result<UnixMs, NativeError> {
    millis(row.unsigned(column)?, column)
}

fn millis(ms: u64, column: &'static str) -> Result<UnixMs, NativeError> {
    i64::try_from(ms).map(UnixMs).map_err(|_| NativeError::Value { column })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Columns, Get, read_blocks};
    use crate::usage::Width;

    type Told = (String, String, u64);

    fn columns() -> Columns<Told> {
        let mut columns = Columns::new()
            .with("span", Get::U64(|_: &Told| 1))
            .with("g_provider", Get::Text(|row| &row.0))
            .with("g_model", Get::Text(|row| &row.1))
            .with("g_price_class", Get::U16(|_| 0))
            .with("g_has_cost", Get::U8(|_| 1))
            .with("sum_reported_cost", Get::MaybeI64(|_| Some(-1)));
        for name in ["calls", "errors", "input", "cache_read", "cache_write_5m", "cache_write_1h"] {
            columns = columns.with(column_of(name), Get::U64(|row| row.2));
        }
        for name in ["cache_write", "output", "reasoning"] {
            columns = columns.with(column_of(name), Get::U64(|row| row.2 + 1));
        }
        columns
    }

    fn column_of(name: &str) -> &'static str {
        format!("sum_{name}").leak()
    }

    fn sums(rows: &[Told]) -> Vec<Usage> {
        let spans = [UnixMs(86_400_000)];
        let question = UsageQuestion {
            apart: Apart::Prices(&[]),
            spans: &spans,
            ..UsageQuestion::of("acme", Width::Day)
        };
        // A name of one block is known in the next.
        let bytes: Vec<u8> = rows.chunks(2).flat_map(|rows| columns().block(rows)).collect();
        let (mut known, mut sums) = (KnownSeries::default(), Vec::new());
        read_blocks(&mut &*bytes, &mut |block| {
            known.read(&question, block, &mut |sum| sums.push(sum))
        })
        .unwrap();
        sums
    }

    #[test]
    fn series_are_those_of_their_names() {
        // Two of one place, and the empty one.
        let names = ["Aa", "BB", "", "Aa", "é"];
        assert_eq!(place(b"Aa"), place(b"BB"));
        let rows: Vec<Told> = (0..25)
            .map(|at| (names[at / 5].to_owned(), names[at % 5].to_owned(), at as u64))
            .collect();
        let sums = sums(&rows);
        for ((provider, model, number), sum) in rows.iter().zip(&sums) {
            let series = &sum.series;
            assert_eq!((&*series.provider, &*series.model), (provider.as_str(), model.as_str()));
            assert_eq!((&*series.project, &*sum.device, &*sum.session), ("", "", ""));
            assert!(series.has_reported_cost);
            assert_eq!((sum.counters.calls, sum.counters.tokens.output), (*number, number + 1));
            assert_eq!((sum.start, sum.counters.reported_cost), (UnixMs(86_400_000), NanoUsd(-1)));
        }
        assert_eq!(sums.len(), rows.len());
        // As many series as there are different ones.
        let (first, fourth) = (&sums[0], &sums[3]);
        assert!(Arc::ptr_eq(&first.series, &fourth.series));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let question = UsageQuestion::of("acme", Width::Day);
        let bytes = columns().block(&[("a".into(), "b".into(), 1)]);
        let read = read_blocks(&mut &*bytes, &mut |block| {
            KnownSeries::default().read(&question, block, &mut |_| {})
        });
        assert!(matches!(read, Err(NativeError::Column { column: "g_source", .. })), "{read:?}");
        let mut known = KnownSeries::default();
        assert!(known.number(b"\xff", "g_model").is_err());
    }
}
