//! Counters and levels as the kernel states them, at one moment.
//!
//! Of a control group with a limit of either version, or of the machine. Each value is read by itself:
//! one that is missing leaves the others as they are.

use super::files::{Files, named, sum};
use super::groups::{Group, Limited, Version};

/// CPU that was used, as far back as the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CpuUsed {
    /// Of a group: time on processors.
    Time { used_ns: u64 },
    /// Of the machine: ticks of all processors that were not idle, and all there were.
    Ticks { used: u64, all: u64 },
}

/// Memory at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub(super) struct Memory {
    pub(super) rss_bytes: Option<u64>,
    pub(super) working_set_bytes: Option<u64>,
    pub(super) limit_bytes: Option<u64>,
}

/// Bytes that went in and out, as far back as the kernel counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transferred {
    /// Read from disks, or received.
    pub(super) in_bytes: u64,
    /// Written to disks, or sent.
    pub(super) out_bytes: u64,
}

/// What a group or a machine has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The groups that were read; `None` for the machine.
    pub(super) limited: Option<Limited>,
    pub(super) cpu: Option<CpuUsed>,
    pub(super) cpu_capacity_millicores: Option<u64>,
    pub(super) memory: Memory,
    pub(super) disk: Option<Transferred>,
    pub(super) oom_kills: Option<u64>,
}

impl Transferred {
    /// With these as well; `None` where no number holds the sum.
    pub(super) fn plus(self, in_bytes: u64, out_bytes: u64) -> Option<Self> {
        Some(Self {
            in_bytes: self.in_bytes.checked_add(in_bytes)?,
            out_bytes: self.out_bytes.checked_add(out_bytes)?,
        })
    }
}

impl CpuUsed {
    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`: guests are in user and
    /// nice already.
    pub(super) fn of_machine(files: &mut Files) -> Option<Self> {
        let text = files.text("/proc/stat")?;
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let all = || line.split_ascii_whitespace().take(8).map(|ticks| ticks.parse().ok());
        let is_idle = |at: usize| at == 3 || at == 4;
        let used = all().enumerate().filter(|(at, _)| !is_idle(*at)).map(|(_, ticks)| ticks);
        Some(Self::Ticks { used: sum(used)?, all: sum(all())? })
    }
}

impl Reading {
    /// Reads the group that is limited, or the machine where none is.
    pub(super) fn take(files: &mut Files) -> Self {
        let total_bytes = kilobytes(files, "MemTotal");
        match Limited::find(files, total_bytes) {
            Some(limited) => Self::of_groups(files, limited, total_bytes),
            None => Self::of_machine(files, total_bytes),
        }
    }

    fn of_groups(files: &mut Files, limited: Limited, total_bytes: Option<u64>) -> Self {
        let memory = limited.memory.as_ref().map(|group| memory(files, group));
        let allowed = cores_allowed(files).and_then(millicores);
        Self {
            cpu: limited.cpu.as_ref().and_then(|group| cpu(files, group)),
            cpu_capacity_millicores: limited.quota_millicores.into_iter().chain(allowed).min(),
            memory: Memory {
                limit_bytes: limited.memory_limit_bytes.or(total_bytes),
                ..memory.unwrap_or_default()
            },
            disk: limited.io.as_ref().and_then(|group| disk(files, group)),
            oom_kills: limited.memory.as_ref().and_then(|group| oom_kills(files, group)),
            limited: Some(limited),
        }
    }

    fn of_machine(files: &mut Files, total_bytes: Option<u64>) -> Self {
        let available_bytes = kilobytes(files, "MemAvailable");
        Self {
            limited: None,
            cpu: CpuUsed::of_machine(files),
            cpu_capacity_millicores: machine::cores(files).and_then(millicores),
            memory: Memory {
                rss_bytes: kilobytes(files, "AnonPages"),
                working_set_bytes: total_bytes
                    .zip(available_bytes)
                    .and_then(|(total, available)| total.checked_sub(available)),
                limit_bytes: total_bytes,
            },
            disk: machine::disk(files),
            oom_kills: files.named("/proc/vmstat", "oom_kill"),
        }
    }

    /// The groups that were read for CPU, memory and disks; none for the machine.
    pub(super) fn groups(&self) -> [Option<&Group>; 3] {
        let limited = self.limited.as_ref();
        let of = |group: fn(&Limited) -> Option<&Group>| limited.and_then(group);
        [
            of(|limited| limited.cpu.as_ref()),
            of(|limited| limited.memory.as_ref()),
            of(|limited| limited.io.as_ref()),
        ]
    }
}

const fn millicores(cores: u64) -> Option<u64> {
    cores.checked_mul(1_000)
}

/// A value of `/proc/meminfo`, in bytes.
fn kilobytes(files: &mut Files, name: &str) -> Option<u64> {
    files.named("/proc/meminfo", name)?.checked_mul(1 << 10)
}

/// Processors that this process may run on: `Cpus_allowed_list: 0-1,4`.
fn cores_allowed(files: &mut Files) -> Option<u64> {
    let status = files.text("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    sum(list.trim().split(',').map(range_length))
}

fn range_length(range: &str) -> Option<u64> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

fn cpu(files: &mut Files, group: &Group) -> Option<CpuUsed> {
    let folder = &group.folder;
    let used_ns = match group.version {
        Version::V1 => files.number(&format!("{folder}/cpuacct.usage")),
        Version::V2 => files.named(&format!("{folder}/cpu.stat"), "usage_usec")?.checked_mul(1_000),
    };
    used_ns.map(|used_ns| CpuUsed::Time { used_ns })
}

fn memory(files: &mut Files, group: &Group) -> Memory {
    let [used, rss, inactive_file] = match group.version {
        Version::V1 => ["memory.usage_in_bytes", "total_rss", "total_inactive_file"],
        Version::V2 => ["memory.current", "anon", "inactive_file"],
    };
    let folder = &group.folder;
    let used_bytes = files.number(&format!("{folder}/{used}"));
    let stat = files.text(&format!("{folder}/memory.stat")).unwrap_or_default();
    Memory {
        rss_bytes: named(stat, rss),
        working_set_bytes: working_set(used_bytes, named(stat, inactive_file)),
        limit_bytes: None,
    }
}

fn disk(files: &mut Files, group: &Group) -> Option<Transferred> {
    let folder = &group.folder;
    match group.version {
        Version::V1 => {
            let name = "blkio.throttle.io_service_bytes_recursive";
            v1::transferred(files.text(&format!("{folder}/{name}"))?)
        }
        Version::V2 => v2::transferred(files.text(&format!("{folder}/io.stat"))?),
    }
}

fn oom_kills(files: &mut Files, group: &Group) -> Option<u64> {
    let name = match group.version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    files.named(&format!("{}/{name}", group.folder), "oom_kill")
}

/// Use without what the kernel may drop at any time.
fn working_set(used_bytes: Option<u64>, inactive_file_bytes: Option<u64>) -> Option<u64> {
    Some(used_bytes?.saturating_sub(inactive_file_bytes?))
}

mod v2 {
    use super::{Transferred, sum};

    /// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`, a line for each disk.
    pub(super) fn transferred(text: &str) -> Option<Transferred> {
        let all = |name: &str| {
            let values = text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name));
            sum(values.map(|value| value.parse().ok()))
        };
        Some(Transferred { in_bytes: all("rbytes=")?, out_bytes: all("wbytes=")? })
    }
}

mod v1 {
    use super::{Transferred, sum};

    /// `8:0 Read 1`, a line for each disk and kind of access.
    pub(super) fn transferred(text: &str) -> Option<Transferred> {
        let all = |kind: &str| {
            let of_kind = |line: &str| {
                let mut words = line.split_ascii_whitespace().skip(1);
                let is_it = words.next()? == kind;
                is_it.then(|| words.next().and_then(|value| value.parse().ok()))
            };
            sum(text.lines().filter_map(of_kind))
        };
        Some(Transferred { in_bytes: all("Read")?, out_bytes: all("Write")? })
    }
}

mod machine {
    use super::{Files, Transferred};

    /// Bytes of a sector in `/proc/diskstats`, whatever the disk's own are.
    const SECTOR_BYTES: u64 = 512;

    /// Names of what lies over disks that are counted themselves, or is none.
    const NO_DISKS: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "sr"];

    /// Processors: `cpu0 …`, `cpu1 …`.
    pub(super) fn cores(files: &mut Files) -> Option<u64> {
        let text = files.text("/proc/stat")?;
        let is_core = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Some(text.lines().filter(is_core).count() as u64).filter(|cores| *cores > 0)
    }

    /// `8 0 sda reads merged sectors_read ms writes merged sectors_written …`
    pub(super) fn disk(files: &mut Files) -> Option<Transferred> {
        let text = files.text("/proc/diskstats")?;
        let mut sum = Transferred::default();
        let mut disk = "";
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace().skip(2);
            let name = words.next()?;
            if NO_DISKS.iter().any(|kind| name.starts_with(kind)) || is_partition(name, disk) {
                continue;
            }
            disk = name;
            let read: u64 = words.nth(2)?.parse().ok()?;
            let written: u64 = words.nth(3)?.parse().ok()?;
            sum = sum.plus(read.checked_mul(SECTOR_BYTES)?, written.checked_mul(SECTOR_BYTES)?)?;
        }
        Some(sum)
    }

    /// Whether a name is of a partition of the disk listed before: `sda1`, `nvme0n1p1`.
    pub(super) fn is_partition(name: &str, disk: &str) -> bool {
        let ends_in_digit = disk.ends_with(|c: char| c.is_ascii_digit());
        let number = name.strip_prefix(disk).filter(|_| !disk.is_empty());
        let number = if ends_in_digit { number.and_then(|n| n.strip_prefix('p')) } else { number };
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_by_their_ranges() {
        for (list, expected) in
            [("0", Some(1)), ("0-3", Some(4)), ("0-1,4,6-7", Some(5)), ("3-1", None), ("", None)]
        {
            assert_eq!(sum(list.split(',').map(range_length)), expected, "{list}");
        }
    }

    #[test]
    fn partitions_are_not_disks() {
        for (name, disk, expected) in [
            ("sda1", "sda", true),
            ("sdaa", "sda", false),
            ("nvme0n1p2", "nvme0n1", true),
            ("nvme0n10", "nvme0n1", false),
            ("vdb", "vda", false),
            ("vda", "", false),
        ] {
            assert_eq!(machine::is_partition(name, disk), expected, "{name} of {disk}");
        }
    }

    #[test]
    fn a_number_that_cannot_be_read_is_not_left_out_of_a_sum() {
        let of = |text| v2::transferred(text).map(|sum| (sum.in_bytes, sum.out_bytes));
        assert_eq!(of("8:0 rbytes=1 wbytes=2 rios=9\n8:16 rbytes=10 wbytes=20"), Some((11, 22)));
        assert_eq!(of("8:0 rbytes=x wbytes=2"), None);
        assert_eq!(of(""), Some((0, 0)));
        let of = |text| v1::transferred(text).map(|sum| (sum.in_bytes, sum.out_bytes));
        let text = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\n8:16 Read 10\n8:16 Write 20\nTotal 33\n";
        assert_eq!(of(text), Some((11, 22)));
        assert_eq!(of("8:0 Read x\n"), None);
    }
}
