//! Real sidecars and a real hub, with everything between them going wrong.
//!
//! ```text
//! generator ──▶ sidecar ──▶ proxy ──▶ hub  ( ──▶ proxy ──▶ ClickHouse )
//!  its truth    its recount  faults   its report   faults    its own sums
//! ```
//!
//! Clients post, and agents write session files whose every call is known; the sidecars and the hub are
//! killed and stopped, older ledgers are put back, clocks are off, disks are full, and the proxy does to
//! each request whatever a network may. Afterwards three sums are compared, of which none was made of
//! another. What happens when is decided by a seed; how it falls between the steps of the processes is
//! not, so a seed is a schedule, not a recording.

mod chance;
mod engines;
mod http;
mod process;
mod proxy;
mod run;
mod truth;

pub use chance::Chance;
pub use engines::Engines;
pub use process::{Device, Hub, Programs, Sum, Sums};
pub use proxy::{FAULTS, Proxy};
pub use run::{Plan, Verdict, run};
pub use truth::Feed;
