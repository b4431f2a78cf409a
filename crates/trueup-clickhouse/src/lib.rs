//! The hub's store on ClickHouse: what is sent to its servers, and what their answers mean.
//!
//! Facts are rows that replace each other by version, on keys that never change; sums are worked out
//! anew for each day that something was told of, and never by adding to them. So whatever is repeated,
//! reordered or put into other batches ends in the same state. This crate knows neither sockets nor the
//! clock: a [`Statement`] is a value, and an answer is bytes.
//!
//! ```
//! use trueup_clickhouse::Address;
//! let address = Address::parse("clickhouse://a1|a2,b1|b2/trueup").unwrap();
//! assert_eq!(address.shards.len(), 2);
//! assert_eq!(address.quorum_of(0), 2);
//! ```

mod address;
mod day;
mod devices;
mod flush;
mod native;
mod quote;
mod records;
pub mod rollup;
mod rows;
pub mod schema;
mod slots;
mod statement;
pub mod upkeep;
mod usage;

pub use address::{Address, AddressError, Password, REPLICAS_MAX, SHARDS_MAX};
pub use day::Day;
pub use devices::{
    BatchTaken, BatchesTaken, DeviceState, KnownBatch, device_of, devices, keep_batches,
    keep_devices, keep_tokens, known_batch_of, known_batches, known_devices, newest_of, taken,
    taken_of, token_of, tokens,
};
pub use flush::{Flush, Insert, Mark, Told, Unkept, day_of, marks};
pub use native::{Block, NativeError, Row, read, read_blocks};
pub use quote::{fixed, quoted};
pub use records::{
    FailedCalls, Kind, Record, RecordsQuestion, SamplesFolded, count, count_of, failed, failed_of,
    folded, folded_of, record_of, records,
};
pub use schema::{Place, SchemaError};
pub use slots::{SlotMap, SlotMapError};
pub use statement::{Failure, Post, Purpose, Server, Statement};
pub use usage::{
    Adding, Apart, Cut, KnownSeries, Name, Summary, Usage, UsageQuestion, Width, summary,
    summary_of, usage,
};
