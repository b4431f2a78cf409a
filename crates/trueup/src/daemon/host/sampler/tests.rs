//! Recorded trees with known answers, and the kernel's own.

use super::*;

/// Between the two readings of each tree.
const ELAPSED: Duration = Duration::from_secs(10);

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host").join(name)
}

fn moment(at: Duration) -> Moment {
    let ms = i64::try_from(at.as_millis()).unwrap();
    Moment { now: UnixMs(1_795_000_000_000 + ms), at, random: 7 }
}

/// The sample of one tree after that of another, and its error.
fn after(first: &str, later: &str) -> (HostMetric, Option<ErrorEvent>) {
    let mut sampler = Sampler::new(&tree(first), Path::new("/nowhere/ledger.db"));
    let (sample, error) = sampler.sample(moment(Duration::ZERO));
    assert_eq!((sample.cpu_millipercent, error), (None, None), "there is nothing to compare with");
    assert_eq!((sample.disk_read_bytes_per_second, sample.net_tx_bytes_per_second), (None, None));
    sampler.files = Files::below(&tree(later));
    sampler.sample(moment(ELAPSED))
}

fn sample(case: &str) -> HostMetric {
    after(&format!("{case}/first"), &format!("{case}/later")).0
}

fn pressure(some: u32, full: u32) -> trueup_core::Pressure {
    trueup_core::Pressure { some_millipercent: Some(some), full_millipercent: Some(full) }
}

#[test]
fn a_container_of_version_2_is_measured_by_its_limits() {
    let expected = HostMetric {
        key: Key::fresh(UnixMs(1_795_000_010_000), 7),
        time: UnixMs(1_795_000_010_000),
        scope: "cgroup2".into(),
        // 0.625 s of 10 s of half a core.
        cpu_millipercent: Some(12_500),
        cpu_capacity_millicores: Some(500),
        mem_rss_bytes: Some(150 << 20),
        mem_working_set_bytes: Some(200 << 20),
        mem_limit_bytes: Some(512 << 20),
        cpu_pressure: pressure(12_340, 1_000),
        mem_pressure: pressure(500, 250),
        io_pressure: pressure(0, 0),
        // The ledger lies on no volume.
        disk_used_bytes: None,
        disk_available_bytes: None,
        disk_total_bytes: None,
        // Of two disks.
        disk_read_bytes_per_second: Some(500_000),
        disk_write_bytes_per_second: Some(1_000_000),
        net_rx_bytes_per_second: Some(10_000),
        net_tx_bytes_per_second: Some(2_000),
        processes: Some(3),
        threads: Some(18),
        zombies: Some(1),
        oom_kills: Some(3),
        metadata: None,
    };
    assert_eq!(sample("v2-container"), expected);
}

#[test]
fn defect_9_a_quota_of_a_slice_is_compared_with_what_the_slice_uses() {
    let sample = sample("v2-slice");
    assert_eq!(&*sample.scope, "cgroup2");
    // 1 s of 10 s of a tenth of a core: all of it, and not a tenth.
    assert_eq!(sample.cpu_millipercent, Some(100_000));
    assert_eq!(sample.cpu_capacity_millicores, Some(100));
    assert_eq!(sample.mem_rss_bytes, Some(50 << 20));
    assert_eq!(sample.mem_working_set_bytes, Some(80 << 20));
    // No limit but the machine's memory.
    assert_eq!(sample.mem_limit_bytes, Some(2_048_000 << 10));
    assert_eq!(sample.cpu_pressure, pressure(80_000, 0));
    // Not there: not known, and not zero.
    assert_eq!((sample.disk_read_bytes_per_second, sample.net_rx_bytes_per_second), (None, None));
    assert_eq!(sample.io_pressure, trueup_core::Pressure::default());
}

#[test]
fn defect_9_a_container_of_version_1_is_measured_by_its_limits() {
    let sample = sample("v1-container");
    assert_eq!(&*sample.scope, "cgroup1");
    // 2 s of 10 s of two cores.
    assert_eq!(sample.cpu_millipercent, Some(10_000));
    assert_eq!(sample.cpu_capacity_millicores, Some(2_000));
    assert_eq!(sample.mem_rss_bytes, Some(200 << 20));
    assert_eq!(sample.mem_working_set_bytes, Some(500 << 20));
    assert_eq!(sample.mem_limit_bytes, Some(1 << 30));
    assert_eq!(sample.disk_read_bytes_per_second, Some(4_000));
    assert_eq!(sample.disk_write_bytes_per_second, Some(8_000));
    assert_eq!((sample.net_rx_bytes_per_second, sample.oom_kills), (Some(0), Some(1)));
    // Version 1 has none: it is the machine's.
    assert_eq!(sample.cpu_pressure, pressure(5_000, 0));
}

#[test]
fn defect_9_with_both_versions_mounted_each_controller_is_read_where_it_is() {
    let sample = sample("hybrid");
    assert_eq!(&*sample.scope, "cgroup1");
    // No quota: two processors are allowed, one of which was used.
    assert_eq!(sample.cpu_millipercent, Some(50_000));
    assert_eq!(sample.cpu_capacity_millicores, Some(2_000));
    // The limit is of the group above.
    assert_eq!(sample.mem_limit_bytes, Some(256 << 20));
    assert_eq!(sample.mem_rss_bytes, Some(64 << 20));
    assert_eq!(sample.mem_working_set_bytes, Some(96 << 20));
}

#[test]
fn without_limits_it_is_the_machine_and_says_so() {
    let (sample, error) = after("machine/first", "machine/later");
    assert_eq!(&*sample.scope, "host");
    // 600 of 2,000 ticks; waiting for disks is idle, and guests are in user time already.
    assert_eq!(sample.cpu_millipercent, Some(30_000));
    assert_eq!(sample.cpu_capacity_millicores, Some(2_000));
    assert_eq!(sample.mem_rss_bytes, Some(512_000 << 10));
    assert_eq!(sample.mem_working_set_bytes, Some(1_024_000 << 10));
    assert_eq!(sample.mem_limit_bytes, Some(4_096_000 << 10));
    // Two disks, without their partitions and what lies over them.
    assert_eq!(sample.disk_read_bytes_per_second, Some(2 * 2_000 * 512 / 10));
    assert_eq!(sample.disk_write_bytes_per_second, Some(2 * 4_000 * 512 / 10));
    assert_eq!(sample.io_pressure, pressure(3_000, 200));
    assert_eq!(error.unwrap().metadata.unwrap().matches("\"host\"").count(), 1);
}

#[test]
fn kills_for_want_of_memory_are_crashes() {
    let (_, error) = after("v2-container/first", "v2-container/later");
    let error = error.unwrap();
    assert_eq!((&*error.error_type, &*error.source), ("crash", "host"));
    assert_eq!(error.message, "2 processes were killed by the kernel for want of memory (cgroup2)");
    let metadata: serde_json::Value = serde_json::from_str(&error.metadata.unwrap()).unwrap();
    assert_eq!((&metadata["kills"], &metadata["cause"]), (&2.into(), &"oom_kill".into()));
    let (_, none) = after("v2-container/later", "v2-container/later");
    assert_eq!(none, None);
}

#[test]
fn counters_that_began_anew_make_no_rates_and_no_kills() {
    let (sample, error) = after("v2-container/later", "v2-container/first");
    assert_eq!(error, None);
    assert_eq!(sample.cpu_millipercent, None);
    assert_eq!(
        (sample.disk_read_bytes_per_second, sample.disk_write_bytes_per_second),
        (None, None)
    );
    assert_eq!((sample.net_rx_bytes_per_second, sample.net_tx_bytes_per_second), (None, None));
    // Levels are levels.
    assert_eq!(sample.oom_kills, Some(1));
}

#[test]
fn counters_of_other_groups_are_not_compared() {
    let (sample, error) = after("v2-slice/first", "v2-container/later");
    assert_eq!((sample.cpu_millipercent, error), (None, None));
    let (sample, error) = after("machine/first", "v2-container/later");
    assert_eq!((sample.cpu_millipercent, sample.disk_read_bytes_per_second), (None, None));
    assert_eq!(error, None);
    assert_eq!(sample.net_rx_bytes_per_second, Some((101_000 - 7) / 10));
}

#[test]
fn where_nothing_can_be_read_nothing_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let mut sampler = Sampler::new(empty.path(), Path::new("/nowhere/ledger.db"));
    sampler.sample(moment(Duration::ZERO));
    let (sample, error) = sampler.sample(moment(ELAPSED));
    assert_eq!((&*sample.scope, error), ("host", None));
    let known = format!("{sample:?}").matches("Some(").count();
    assert_eq!(known, 0, "{sample:?}");
}

/// Without the kernel's files there is nothing to compare with.
#[cfg(target_os = "linux")]
mod live {
    use super::*;
    use crate::daemon::host::reading::CpuUsed;
    use std::time::Instant;

    /// Ticks of all processors that were not idle, read by other means than the sampler's.
    fn busy_and_all() -> (u64, u64) {
        let text = String::from_utf8(std::fs::read("/proc/stat").unwrap()).unwrap();
        let ticks: Vec<u64> = text
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(|ticks| ticks.parse().unwrap())
            .collect();
        let all: u64 = ticks.iter().sum();
        (all - ticks[3] - ticks[4], all)
    }

    fn work_for(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::black_box(start.elapsed());
        }
    }

    #[test]
    fn the_machine_agrees_with_the_kernels_own_ticks() {
        let mut files = Files::below(Path::new("/"));
        let reading = |files: &mut Files| CpuUsed::of_machine(files).unwrap();
        let (before, own_before) = (reading(&mut files), busy_and_all());
        work_for(Duration::from_millis(300));
        let (after, own_after) = (reading(&mut files), busy_and_all());
        let share = rates::cpu_millipercent(before, after, ELAPSED, None).unwrap();
        let (busy, all) = (own_after.0 - own_before.0, own_after.1 - own_before.1);
        let expected = busy * 100_000 / all;
        // The two are read at two moments, between which a busy machine may go on for some ticks.
        assert!(u64::from(share).abs_diff(expected) < 15_000, "{share} and {expected}");
    }

    #[test]
    fn the_present_machine_can_be_sampled() {
        let folder = tempfile::tempdir().unwrap();
        let mut sampler = Sampler::new(Path::new("/"), folder.path());
        let start = Instant::now();
        sampler.sample(moment(Duration::ZERO));
        work_for(Duration::from_millis(200));
        let (sample, _) = sampler.sample(moment(start.elapsed()));
        // At least this thread has worked; and no more than all processors can.
        let capacity = sample.cpu_capacity_millicores.unwrap();
        let used = u64::from(sample.cpu_millipercent.unwrap()) * capacity / 100_000;
        assert!(used > 50, "{sample:?}");
        assert!(sample.mem_working_set_bytes.unwrap() <= sample.mem_limit_bytes.unwrap());
        assert!(sample.disk_used_bytes.unwrap() <= sample.disk_total_bytes.unwrap());
        assert!(sample.processes.unwrap() >= 1);
        assert!(sample.net_rx_bytes_per_second.is_some());
    }
}
