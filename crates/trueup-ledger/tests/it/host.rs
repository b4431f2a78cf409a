//! Samples of the machine: each value in its column, and in files of older versions too.

use rusqlite::Connection;
use trueup_core::{Batch, Fact, HostMetric, Key, Pressure, UnixMs};
use trueup_ledger::{Ledger, OpenOptions};

const TIME: UnixMs = UnixMs(1_795_000_000_000);

const VALUES: &str =
    "SELECT concat_ws(' ', cpu_millipercent, cpu_capacity_millicores, mem_rss_bytes,
     mem_working_set_bytes, mem_limit_bytes, cpu_some_millipercent, cpu_full_millipercent,
     mem_some_millipercent, mem_full_millipercent, io_some_millipercent, io_full_millipercent,
     disk_used_bytes, disk_available_bytes, disk_total_bytes, disk_read_bytes_per_second,
     disk_write_bytes_per_second, net_rx_bytes_per_second, net_tx_bytes_per_second, processes,
     threads, zombies, oom_kills, scope) FROM system_metrics";

fn pressure(some: u32) -> Pressure {
    Pressure { some_millipercent: Some(some), full_millipercent: Some(some + 1) }
}

pub(crate) fn sample(time: UnixMs) -> HostMetric {
    HostMetric {
        key: Key::fresh(time, 7),
        time,
        scope: "cgroup2".into(),
        cpu_millipercent: Some(1),
        cpu_capacity_millicores: Some(2),
        mem_rss_bytes: Some(3),
        mem_working_set_bytes: Some(4),
        mem_limit_bytes: Some(5),
        cpu_pressure: pressure(6),
        mem_pressure: pressure(8),
        io_pressure: pressure(10),
        disk_used_bytes: Some(12),
        disk_available_bytes: Some(13),
        disk_total_bytes: Some(14),
        disk_read_bytes_per_second: Some(15),
        disk_write_bytes_per_second: Some(16),
        net_rx_bytes_per_second: Some(17),
        net_tx_bytes_per_second: Some(18),
        processes: Some(19),
        threads: Some(20),
        zombies: Some(21),
        oom_kills: Some(22),
        metadata: None,
    }
}

fn written(path: &std::path::Path) -> String {
    let mut ledger = Ledger::open(path, OpenOptions::default()).unwrap();
    let batch = Batch { facts: vec![Fact::Host(Box::new(sample(TIME)))], ..Batch::default() };
    ledger.append(&[&batch], TIME).unwrap();
    let database = Connection::open(path).unwrap();
    database.query_row(VALUES, [], |row| row.get(0)).unwrap()
}

fn expected() -> String {
    let numbers: Vec<String> = (1..=22).map(|number: u32| number.to_string()).collect();
    format!("{} cgroup2", numbers.join(" "))
}

#[test]
fn each_value_has_its_column() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(written(&folder.path().join("l.db")), expected());
}

#[test]
fn files_of_the_first_schema_get_the_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    crate::older::ledger(&path, 1, "");
    assert_eq!(written(&path), expected());
}
