//! The last sample of the machine as metrics. What could not be read is not there.
//!
//! ```text
//! trueup_host_cpu_ratio{scope="cgroup2"} 0.12500
//! ```

use std::fmt::Display;

use trueup_core::{HostMetric, Pressure};

use super::{Exposition, Type};

impl Exposition {
    /// A sample.
    pub(super) fn of_host(&mut self, sample: &HostMetric) {
        let name = "trueup_host_sample_timestamp_seconds";
        self.single(name, Type::Gauge, "When the sample was taken.", sample.time.0 / 1_000);
        let scope: &[(&str, &str)] = &[("scope", &sample.scope)];
        let help = "CPU used since the sample before, as a share of the capacity.";
        self.known("trueup_host_cpu_ratio", help, scope, sample.cpu_millipercent.map(ratio));
        let help = "The CPU quota, or the cores there are.";
        let cores = sample.cpu_capacity_millicores.map(thousandths);
        self.known("trueup_host_cpu_cores", help, scope, cores);
        for (name, help, value) in [
            ("memory_rss_bytes", "Memory of processes.", sample.mem_rss_bytes),
            (
                "memory_working_set_bytes",
                "Memory that cannot be reclaimed.",
                sample.mem_working_set_bytes,
            ),
            ("memory_limit_bytes", "The memory limit.", sample.mem_limit_bytes),
            (
                "disk_read_bytes_per_second",
                "Read from disks since the sample before.",
                sample.disk_read_bytes_per_second,
            ),
            (
                "disk_write_bytes_per_second",
                "Written to disks since the sample before.",
                sample.disk_write_bytes_per_second,
            ),
        ] {
            self.known(&format!("trueup_host_{name}"), help, scope, value);
        }
        self.of_surroundings(sample);
        self.of_pressure(sample);
        if let Some(kills) = sample.oom_kills {
            let name = "trueup_host_oom_kills_total";
            self.family(name, Type::Counter, "Processes killed for want of memory.");
            self.sample(name, scope, kills);
        }
    }

    /// What is not of the scope.
    fn of_surroundings(&mut self, sample: &HostMetric) {
        for (name, help, value) in [
            ("volume_used_bytes", "Used on the ledger's volume.", sample.disk_used_bytes),
            (
                "volume_available_bytes",
                "Available on the ledger's volume.",
                sample.disk_available_bytes,
            ),
            ("volume_bytes", "Size of the ledger's volume.", sample.disk_total_bytes),
            (
                "network_receive_bytes_per_second",
                "Received since the sample before.",
                sample.net_rx_bytes_per_second,
            ),
            (
                "network_transmit_bytes_per_second",
                "Sent since the sample before.",
                sample.net_tx_bytes_per_second,
            ),
            ("processes", "Processes that can be seen.", sample.processes),
            ("threads", "Their threads.", sample.threads),
            ("zombies", "Processes that ended and wait for their parents.", sample.zombies),
        ] {
            self.known(&format!("trueup_host_{name}"), help, &[], value);
        }
    }

    fn of_pressure(&mut self, sample: &HostMetric) {
        let name = "trueup_host_pressure_ratio";
        self.family(name, Type::Gauge, "Share of the last ten seconds lost to waiting.");
        for (resource, pressure) in [
            ("cpu", sample.cpu_pressure),
            ("memory", sample.mem_pressure),
            ("io", sample.io_pressure),
        ] {
            let Pressure { some_millipercent, full_millipercent } = pressure;
            for (kind, value) in [("some", some_millipercent), ("full", full_millipercent)] {
                if let Some(value) = value {
                    self.sample(name, &[("resource", resource), ("kind", kind)], ratio(value));
                }
            }
        }
    }

    fn known(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: Option<impl Display>,
    ) {
        if let Some(value) = value {
            self.family(name, Type::Gauge, help);
            self.sample(name, labels, value);
        }
    }
}

/// Thousandths of a percent as a share of one.
fn ratio(millipercent: u32) -> String {
    format!("{}.{:05}", millipercent / 100_000, millipercent % 100_000)
}

fn thousandths(count: u64) -> String {
    format!("{}.{:03}", count / 1_000, count % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        assert_eq!(ratio(12_500), "0.12500");
        assert_eq!(ratio(150_001), "1.50001");
        assert_eq!(thousandths(100), "0.100");
    }
}
