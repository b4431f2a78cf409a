//! Samples of the machine.

use super::daemon::{Home, until};

/// Where version 1 of control groups was mounted, none ever came.
#[test]
fn defect_9_samples_are_rows_and_metrics_whatever_control_groups_there_are() {
    let home = Home::with(&[("TRACE_METRICS_INTERVAL", "100ms")]);
    let daemon = home.start();
    until("three samples are written", || home.number(SAMPLES) >= 3);
    let scopes =
        "SELECT count(*) FROM system_metrics WHERE scope IN ('cgroup2', 'cgroup1', 'host')";
    assert!(home.number(scopes) >= 3);
    // The first has no rate: nothing was there to compare it with.
    let first = "SELECT cpu_millipercent IS NULL AND net_rx_bytes_per_second IS NULL
         FROM system_metrics ORDER BY id LIMIT 1";
    assert_eq!(home.number(first), 1);
    let in_bounds = "SELECT count(*) FROM system_metrics
         WHERE mem_working_set_bytes BETWEEN 1 AND mem_limit_bytes AND mem_rss_bytes > 0
         AND disk_used_bytes BETWEEN 1 AND disk_total_bytes AND processes > 0 AND threads > 0
         AND zombies >= 0 AND cpu_capacity_millicores > 0";
    assert!(home.number(in_bounds) >= 3);
    let ids = "SELECT count(*) - count(DISTINCT trace_id) FROM system_metrics";
    assert_eq!(home.number(ids), 0);
    let metrics = daemon.get("/metrics").text;
    for name in ["memory_working_set_bytes{scope=", "volume_bytes ", "processes ", "cpu_cores{"] {
        assert!(metrics.contains(&format!("\ntrueup_host_{name}")), "{name}\n{metrics}");
    }
}

/// A disk that was used by 47.1 %, as `df` has it, was told to be used by 80.9 %: what is reserved for
/// the system counted as used.
#[test]
fn defect_10_the_volume_is_as_full_as_df_says() {
    let home = Home::with(&[("TRACE_METRICS_INTERVAL", "100ms")]);
    let _daemon = home.start();
    until("a sample is written", || home.number(SAMPLES) >= 1);
    let percent = "SELECT 100.0 * disk_used_bytes / (disk_used_bytes + disk_available_bytes)
         FROM system_metrics ORDER BY id DESC LIMIT 1";
    let ours: f64 = home.database().query_row(percent, [], |row| row.get(0)).unwrap();
    let mut df = std::process::Command::new("df");
    let told = df.args(["--output=pcent"]).arg(home.path("ledger.db")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let theirs: f64 = told.lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
    // It rounds up, and others write to the volume as well.
    assert!((ours - theirs).abs() <= 1.5, "{ours} %, and {theirs} % by df");
}

#[test]
fn without_an_interval_no_samples_are_taken() {
    let home = Home::with(&[("TRUEUP_METRICS_INTERVAL", "off")]);
    let mut daemon = home.start();
    until("the stores were looked at", || daemon.health()["last_sync"].is_string());
    assert!(!daemon.get("/metrics").text.contains("trueup_host_"));
    assert!(daemon.terminate().success());
    assert_eq!(home.number(SAMPLES), 0);
}

const SAMPLES: &str = "SELECT count(*) FROM system_metrics";
