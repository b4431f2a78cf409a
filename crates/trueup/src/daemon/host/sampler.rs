//! One sample after another, out of readings.
//!
//! The first has levels and no rates: there is nothing yet that it could be compared with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use trueup_core::{ErrorEvent, Fact, HostMetric, Key, UnixMs};
use trueup_ledger::Volume;

use super::files::Files;
use super::groups::Version;
use super::rates;
use super::reading::{Reading, Transferred};
use super::surroundings::{self, Processes};

/// The source of what the sampler reports.
const SOURCE: &str = "host";

/// Takes samples.
#[derive(Debug)]
pub(super) struct Sampler {
    files: Files,
    ledger: PathBuf,
    before: Option<Before>,
}

/// What the next sample is compared with.
#[derive(Debug)]
struct Before {
    at: Duration,
    reading: Reading,
    network: Option<Transferred>,
}

/// When a sample is taken, and what makes it one of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// By the clock.
    pub(super) now: UnixMs,
    /// Since any moment, by a clock that nobody sets.
    pub(super) at: Duration,
    /// Random bits.
    pub(super) random: u128,
}

impl Sampler {
    /// A sampler of the files below a root, and of the volume that the ledger lies on.
    pub(super) fn new(root: &Path, ledger: &Path) -> Self {
        Self { files: Files::below(root), ledger: ledger.to_path_buf(), before: None }
    }

    /// A sample, and an error where processes were killed since the one before.
    pub(super) fn sample(&mut self, moment: Moment) -> (HostMetric, Option<ErrorEvent>) {
        let files = &mut self.files;
        let reading = Reading::take(files);
        let network = surroundings::network(files);
        let mut sample = levels(files, &self.ledger, &reading, moment);
        if let Some(before) = &self.before {
            before.add_rates(&mut sample, &reading, network, moment);
        }
        let kills = self.before.as_ref().and_then(|before| before.kills_until(&reading));
        let error = kills.map(|kills| oom_kill(kills, &sample, moment));
        self.before = Some(Before { at: moment.at, reading, network });
        (sample, error)
    }
}

/// What can be said without a sample before.
fn levels(files: &mut Files, ledger: &Path, reading: &Reading, moment: Moment) -> HostMetric {
    let [cpu_group, memory_group, io_group] = reading.groups();
    let volume = Volume::of(ledger);
    let processes = Processes::count(files);
    HostMetric {
        key: Key::fresh(moment.now, moment.random),
        time: moment.now,
        scope: scope(reading).into(),
        cpu_millipercent: None,
        cpu_capacity_millicores: reading.cpu_capacity_millicores,
        mem_rss_bytes: reading.memory.rss_bytes,
        mem_working_set_bytes: reading.memory.working_set_bytes,
        mem_limit_bytes: reading.memory.limit_bytes,
        cpu_pressure: surroundings::pressure(files, "cpu", cpu_group),
        mem_pressure: surroundings::pressure(files, "memory", memory_group),
        io_pressure: surroundings::pressure(files, "io", io_group),
        disk_used_bytes: volume.map(|volume| volume.used_bytes),
        disk_available_bytes: volume.map(|volume| volume.available_bytes),
        disk_total_bytes: volume.map(|volume| volume.total_bytes),
        disk_read_bytes_per_second: None,
        disk_write_bytes_per_second: None,
        net_rx_bytes_per_second: None,
        net_tx_bytes_per_second: None,
        processes: processes.all,
        threads: processes.threads,
        zombies: processes.zombies,
        oom_kills: reading.oom_kills,
        metadata: None,
    }
}

fn scope(reading: &Reading) -> &'static str {
    match reading.limited.as_ref().map(|limited| limited.version) {
        Some(Version::V1) => "cgroup1",
        Some(Version::V2) => "cgroup2",
        None => "host",
    }
}

impl Before {
    fn add_rates(
        &self,
        sample: &mut HostMetric,
        reading: &Reading,
        network: Option<Transferred>,
        moment: Moment,
    ) {
        let elapsed = moment.at.saturating_sub(self.at);
        let rate = |before: Option<Transferred>, after: Option<Transferred>| {
            let both = before.zip(after);
            both.map_or((None, None), |(before, after)| rates::per_second(before, after, elapsed))
        };
        (sample.net_rx_bytes_per_second, sample.net_tx_bytes_per_second) =
            rate(self.network, network);
        if self.is_of_the_same(reading) {
            sample.cpu_millipercent =
                self.reading.cpu.zip(reading.cpu).and_then(|(before, after)| {
                    rates::cpu_millipercent(before, after, elapsed, reading.cpu_capacity_millicores)
                });
            (sample.disk_read_bytes_per_second, sample.disk_write_bytes_per_second) =
                rate(self.reading.disk, reading.disk);
        }
    }

    /// Processes that were killed for want of memory since then.
    fn kills_until(&self, reading: &Reading) -> Option<u64> {
        let (before, after) = self.reading.oom_kills.zip(reading.oom_kills)?;
        after.checked_sub(before).filter(|kills| *kills > 0 && self.is_of_the_same(reading))
    }

    /// Whether both were read from the same groups: counters of others cannot be compared.
    fn is_of_the_same(&self, reading: &Reading) -> bool {
        self.reading.groups() == reading.groups()
    }
}

fn oom_kill(kills: u64, sample: &HostMetric, moment: Moment) -> ErrorEvent {
    let scope = &*sample.scope;
    let plural = if kills == 1 { "process was" } else { "processes were" };
    let metadata = serde_json::json!({
        "cause": "oom_kill",
        "kills": kills,
        "scope": scope,
        "mem_limit_bytes": sample.mem_limit_bytes,
        "mem_working_set_bytes": sample.mem_working_set_bytes,
    });
    ErrorEvent {
        // Not the sample's own bits: two records are two keys.
        key: Key::fresh(moment.now, !moment.random),
        time: moment.now,
        trace_id: None,
        source: SOURCE.into(),
        session: "".into(),
        error_type: "crash".into(),
        message: format!("{kills} {plural} killed by the kernel for want of memory ({scope})"),
        stack_trace: None,
        severity: "error".into(),
        metadata: Some(metadata.to_string()),
    }
}

/// A sample and its error as facts.
pub(super) fn facts(sample: HostMetric, error: Option<ErrorEvent>) -> Vec<Fact> {
    let error = error.map(|error| Fact::Error(Box::new(error)));
    std::iter::once(Fact::Host(Box::new(sample))).chain(error).collect()
}

#[cfg(test)]
mod tests;
