//! What a sample says beside use and limits: waiting, network, processes, and the ledger's volume.
//!
//! None of it depends on limits: network and processes are those that this process can see, which in
//! a container are the container's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use trueup_core::{Pressure, scaled_decimal};

use super::files::Files;
use super::groups::{Group, Version};
use super::reading::Transferred;

/// How long work waited: of a group of version 2, or of the machine, because version 1 does not say.
///
/// ```text
/// some avg10=95.66 avg60=86.60 avg300=64.04 total=3996598415
/// full avg10=0.00 avg60=0.00 avg300=0.00 total=0
/// ```
pub(super) fn pressure(files: &mut Files, name: &str, group: Option<&Group>) -> Pressure {
    let of_group = group.filter(|group| group.version == Version::V2);
    let path = of_group.map(|group| format!("{}/{name}.pressure", group.folder));
    let text = files.text(&path.unwrap_or_else(|| format!("/proc/pressure/{name}")));
    let text = text.unwrap_or_default();
    Pressure { some_millipercent: avg10(text, "some"), full_millipercent: avg10(text, "full") }
}

fn avg10(text: &str, kind: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
    let average = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    u32::try_from(scaled_decimal(average, 3)?).ok()
}

/// Interfaces that carry what others carry as well: each byte counts once.
const NO_INTERFACES: [&str; 6] = ["lo", "veth", "docker", "br-", "virbr", "ifb"];

/// Bytes of all network interfaces: `eth0: received packets … 8 columns … sent packets …`.
pub(super) fn network(files: &mut Files) -> Option<Transferred> {
    let text = files.text("/proc/self/net/dev")?;
    let mut sum = Transferred { in_bytes: 0, out_bytes: 0 };
    for (name, values) in text.lines().filter_map(|line| line.split_once(':')) {
        let name = name.trim();
        if NO_INTERFACES.iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        let mut values = values.split_ascii_whitespace();
        sum.in_bytes = sum.in_bytes.checked_add(values.next()?.parse().ok()?)?;
        sum.out_bytes = sum.out_bytes.checked_add(values.nth(7)?.parse().ok()?)?;
    }
    Some(sum)
}

/// Processes that can be seen. Each count is of those that were still there when they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Processes {
    pub(super) all: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) zombies: Option<u64>,
}

/// Processes whose state is read: on a machine with more, reading them all would be felt.
const PROCESSES_READ_MAX: u64 = 1_024;

/// Bytes that hold a process's state and its number of threads, whatever its name.
const STAT_BYTES: usize = 512;

impl Processes {
    /// Looks at every process.
    pub(super) fn count(files: &Files) -> Self {
        let Ok(entries) = fs::read_dir(files.path("/proc")) else { return Self::default() };
        let (mut processes, mut threads, mut zombies) = (0, 0, 0);
        let mut is_complete = true;
        let is_number =
            |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        for entry in entries.filter_map(Result::ok).filter(|entry| is_number(&entry.file_name())) {
            processes += 1;
            if processes > PROCESSES_READ_MAX {
                is_complete = false;
                continue;
            }
            match Process::read(&entry.path().join("stat")) {
                Ok(Some(process)) => {
                    threads = process.threads.saturating_add(threads);
                    zombies += u64::from(process.is_zombie);
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => is_complete = false,
                // It has ended meanwhile.
                Ok(None) | Err(_) => {}
            }
        }
        Self {
            // Where there is no process, this is not the folder of processes.
            all: Some(processes).filter(|count| *count > 0),
            threads: Some(threads).filter(|count| *count > 0 && is_complete),
            zombies: Some(zombies).filter(|_| processes > 0 && is_complete),
        }
    }
}

/// One process: `17 (a) name) S 1 …`.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    is_zombie: bool,
    threads: u64,
}

impl Process {
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut bytes = [0; STAT_BYTES];
        let length = File::open(path)?.read(&mut bytes)?;
        Ok(bytes.get(..length).and_then(Self::parse))
    }

    /// The state and the 20th field, counted from behind the name, which may hold anything.
    fn parse(stat: &[u8]) -> Option<Self> {
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let mut fields = stat.get(name_end + 1..)?.split(|byte| *byte == b' ').skip(1);
        let is_zombie = fields.next()? == b"Z";
        let threads = std::str::from_utf8(fields.nth(16)?).ok()?.trim().parse().ok()?;
        Some(Self { is_zombie, threads })
    }
}

/// The volume that a file lies on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub(super) struct Volume {
    pub(super) used_bytes: Option<u64>,
    pub(super) available_bytes: Option<u64>,
    pub(super) total_bytes: Option<u64>,
}

impl Volume {
    /// Asks the system.
    pub(super) fn of(path: &Path) -> Self {
        let Ok(stat) = rustix::fs::statvfs(path) else { return Self::default() };
        Self::new(stat.f_frsize, stat.f_blocks, stat.f_bfree, stat.f_bavail)
    }

    /// Of its blocks some are free, of which only some may be taken by users.
    fn new(block_bytes: u64, blocks: u64, free: u64, available: u64) -> Self {
        Self {
            used_bytes: blocks.checked_sub(free).and_then(|used| used.checked_mul(block_bytes)),
            available_bytes: available.checked_mul(block_bytes),
            total_bytes: blocks.checked_mul(block_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_exact() {
        let text = "some avg10=95.66 avg60=1.00 total=3\nfull avg10=0.00 avg60=0.00 total=0\n";
        assert_eq!((avg10(text, "some"), avg10(text, "full")), (Some(95_660), Some(0)));
        assert_eq!(avg10("some avg60=1.00", "some"), None);
        assert_eq!(avg10("some avg10=-1.00", "some"), None);
    }

    #[test]
    fn names_of_processes_may_hold_anything() {
        let behind = "S 1 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 7 0 99 1 2";
        let seven = Some(Process { is_zombie: false, threads: 7 });
        for name in ["sh", "a) Z (b", "", "tmux: server"] {
            assert_eq!(Process::parse(format!("17 ({name}) {behind}").as_bytes()), seven, "{name}");
        }
        let zombie = behind.replacen('S', "Z", 1);
        assert!(Process::parse(format!("17 (x) {zombie}").as_bytes()).unwrap().is_zombie);
        for torn in ["", "17 (sh", "17 (sh) ", "17 (sh) S 1 1", "17 (sh) S 1 1 1 0 -1 4 1 0 0 0 3"]
        {
            assert_eq!(Process::parse(torn.as_bytes()), None, "{torn}");
        }
    }

    #[test]
    fn of_many_processes_only_the_number_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=PROCESSES_READ_MAX {
            fs::create_dir_all(folder.path().join(format!("proc/{number}"))).unwrap();
        }
        let counted = Processes::count(&Files::below(folder.path()));
        let expected = Processes { all: Some(PROCESSES_READ_MAX + 1), ..Processes::default() };
        assert_eq!(counted, expected);
    }

    #[test]
    fn defect_10_blocks_that_are_reserved_are_neither_used_nor_available() {
        // 53 % of this volume are free, 34 of which are reserved for the system.
        let volume = Volume::new(4_096, 1_000, 529, 191);
        assert_eq!(volume.used_bytes, Some(471 * 4_096));
        assert_eq!(volume.available_bytes, Some(191 * 4_096));
        assert_eq!(volume.total_bytes, Some(1_000 * 4_096));
        assert_eq!(Volume::of(Path::new("/nowhere/at/all")), Volume::default());
    }
}
