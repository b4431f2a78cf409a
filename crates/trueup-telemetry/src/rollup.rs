//! Sums in the place of records: what one session, one window or one day of an event adds up to.
//!
//! A record leaves nothing behind but its share in the sums of its bucket, so that memory depends on
//! the number of open buckets and never on the number of records. Counts and sums are exact integers;
//! money is in nano-dollars. Percentiles come from a histogram whose buckets are at most a sixteenth
//! wide, so that they err by less than 4 %. Merging is associative and commutative: parts of a day may
//! be put together in any order, and once they are, the sums are those of all records.
//!
//! It knows no file, no clock and no budget. What it makes of three turns of a session:
//!
//! ```json
//! {"count":3,"total_tokens_input":3600,"total_cost_usd":0.0123,"avg_duration_ms":840,
//!  "p50_duration_ms":816,"p95_duration_ms":1200,"max_duration_ms":1200,"outcomes_ok":2,
//!  "outcomes_error":1,"top_model":"claude-opus-4-5","window_start_ts":1795000000000,
//!  "rollup_reason":"session_end","window_seq":0}
//! ```

mod accumulator;
mod buckets;
mod histogram;
mod plan;
mod properties;
mod saved;
mod spec;
mod weights;

pub use accumulator::{Accumulator, Number};
pub use buckets::{Buckets, ENDED_MAX, OPEN_MAX, Part, SessionId};
pub(crate) use buckets::{Place, Taken};
pub use histogram::Histogram;
pub(crate) use plan::SlotKind;
pub use plan::{FieldId, Plan, PlanError, Rollup, RollupId};
pub use properties::{COLUMN_END, Properties, Property};
pub(crate) use properties::{MERGED, RECOVERED};
pub use saved::Saved;
pub use spec::{
    EnumSpec, Grain, NumberSpec, Reason, RollupSpec, Unit, Value, ValuesOutput, ValuesSpec,
};
pub use weights::Weights;
