//! Which control group is measured: the one that has the limit.
//!
//! ```text
//! /proc/self/mountinfo  31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
//! /proc/self/cgroup     0::/agents.slice/openclaw.service
//! ```
//!
//! A limit of a slice holds for all services in it together, so the use that it is compared with is
//! the slice's, not the service's. Machines may have both versions mounted, each with some of the
//! controllers: which version holds is a question to each controller.

use super::files::Files;

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// One tree for each controller.
    V1,
    /// One tree for all.
    V2,
}

/// One tree of control groups, and where this process is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tree {
    version: Version,
    /// Names between commas; empty for version 2.
    controllers: String,
    /// Where it is mounted.
    mount: String,
    /// The group that its top stands for.
    root: String,
    /// This process's group below the mount: empty, or beginning with a slash.
    own: String,
}

/// One control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) version: Version,
    /// Its folder.
    pub(super) folder: String,
}

/// The groups that are measured, and the limits that hold for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limited {
    /// What the row is called after.
    pub(super) version: Version,
    pub(super) cpu: Option<Group>,
    pub(super) memory: Option<Group>,
    pub(super) io: Option<Group>,
    /// The CPU quota in thousandths of a core.
    pub(super) quota_millicores: Option<u64>,
    /// The memory limit.
    pub(super) memory_limit_bytes: Option<u64>,
}

/// A limit, and the group that has it.
#[derive(Debug)]
struct Limit {
    value: u64,
    group: String,
}

impl Limited {
    /// The groups that hold this process within limits; `None` where nothing does.
    pub(super) fn find(files: &mut Files, memory_total_bytes: Option<u64>) -> Option<Self> {
        let trees = trees(files)?;
        let (cpu, memory) = (of(&trees, "cpu"), of(&trees, "memory"));
        let quota = cpu.and_then(|tree| tightest(files, tree, quota_millicores));
        let limit = memory.and_then(|tree| tightest(files, tree, memory_limit_bytes));
        let total = memory_total_bytes.unwrap_or(MEMORY_UNLIMITED_BYTES);
        let limit = limit.filter(|limit| limit.value < total);
        let bearers = [memory.zip(limit.as_ref()), cpu.zip(quota.as_ref())];
        let version = bearers.iter().flatten().next()?.0.version;
        // In the one tree of version 2, what has no limit of its own is measured where the other has.
        let mut in_shared =
            bearers.iter().flatten().filter(|(tree, _)| tree.version == Version::V2);
        let shared = in_shared.next().map(|(_, limit)| &*limit.group);
        let group = |name: &str, bearer: Option<&Limit>| {
            let tree = of(&trees, name)?;
            let shared = shared.filter(|_| tree.version == Version::V2);
            Some(tree.group(bearer.map(|limit| &*limit.group).or(shared).unwrap_or(&tree.own)))
        };
        Some(Self {
            version,
            cpu: group("cpuacct", quota.as_ref()),
            memory: group("memory", limit.as_ref()),
            io: group("blkio", None),
            quota_millicores: quota.as_ref().map(|limit| limit.value),
            memory_limit_bytes: limit.as_ref().map(|limit| limit.value),
        })
    }
}

/// More than any machine has: what version 1 writes where there is no limit is larger.
const MEMORY_UNLIMITED_BYTES: u64 = 1 << 60;

/// Every tree of control groups that is mounted.
fn trees(files: &mut Files) -> Option<Vec<Tree>> {
    let mut trees: Vec<Tree> =
        files.text("/proc/self/mountinfo")?.lines().filter_map(mounted).collect();
    let groups = files.text("/proc/self/cgroup")?;
    for tree in &mut trees {
        let own = groups.lines().find_map(|line| own_group(line, &tree.controllers));
        tree.own = below(own.unwrap_or_default(), &tree.root).to_owned();
    }
    Some(trees)
}

/// `34 31 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`
fn mounted(line: &str) -> Option<Tree> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = kind.nth(1)?;
    let controllers = match version {
        Version::V1 => options.split(',').filter(|name| *name != "rw" && *name != "ro"),
        Version::V2 => return Some(Tree::new(version, String::new(), mount, root)),
    };
    Some(Tree::new(version, controllers.collect::<Vec<_>>().join(","), mount, root))
}

/// `4:memory:/box/7`, or `0::/agents.slice` for version 2.
fn own_group<'l>(line: &'l str, controllers: &str) -> Option<&'l str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let is_it = parts.next()?.split(',').any(|name| is_among(controllers, name));
    parts.next().filter(|_| is_it)
}

/// A group's path below the group that a mount shows as its top. A group that is not below it, as
/// where a container sees the machine's names, is the top itself.
fn below<'g>(group: &'g str, root: &str) -> &'g str {
    let is_outside = group.contains("/..");
    let below = group.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
    let is_below = below.starts_with('/') && below.len() > 1 && !is_outside;
    if is_below { below } else { "" }
}

/// The tree that has a controller: its own of version 1, or the one of version 2.
fn of<'t>(trees: &'t [Tree], controller: &str) -> Option<&'t Tree> {
    let is_own = |tree: &&Tree| is_among(&tree.controllers, controller);
    let is_shared = |tree: &&Tree| tree.version == Version::V2;
    trees.iter().find(is_own).or_else(|| trees.iter().find(is_shared))
}

fn is_among(controllers: &str, name: &str) -> bool {
    controllers.split(',').any(|controller| controller == name)
}

impl Tree {
    fn new(version: Version, controllers: String, mount: &str, root: &str) -> Self {
        let (mount, root) = (mount.to_owned(), root.to_owned());
        Self { version, controllers, mount, root, own: String::new() }
    }

    fn group(&self, path: &str) -> Group {
        Group { version: self.version, folder: format!("{}{path}", self.mount) }
    }
}

/// The smallest limit of this process's group and those above it; of equal ones, the nearest.
fn tightest(
    files: &mut Files,
    tree: &Tree,
    read: impl Fn(&mut Files, &Group) -> Option<u64>,
) -> Option<Limit> {
    let mut tightest: Option<Limit> = None;
    let mut path = Some(&*tree.own);
    while let Some(group) = path {
        let value = read(files, &tree.group(group));
        let is_tighter = |value: &u64| tightest.as_ref().is_none_or(|limit| *value < limit.value);
        if let Some(value) = value.filter(is_tighter) {
            tightest = Some(Limit { value, group: group.to_owned() });
        }
        path = group.rsplit_once('/').map(|(above, _)| above);
    }
    tightest
}

/// Thousandths of a core that a group may use.
fn quota_millicores(files: &mut Files, group: &Group) -> Option<u64> {
    let folder = &group.folder;
    let (quota, period): (u64, u64) = match group.version {
        Version::V2 => {
            let text = files.text(&format!("{folder}/cpu.max"))?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        // Where there is no quota it is -1, which is no such number.
        Version::V1 => (
            files.number(&format!("{folder}/cpu.cfs_quota_us"))?,
            files.number(&format!("{folder}/cpu.cfs_period_us"))?,
        ),
    };
    quota.checked_mul(1_000)?.checked_div(period).filter(|millicores| *millicores > 0)
}

/// Bytes that a group may use.
fn memory_limit_bytes(files: &mut Files, group: &Group) -> Option<u64> {
    let name = match group.version {
        Version::V2 => "memory.max",
        Version::V1 => "memory.limit_in_bytes",
    };
    files.number(&format!("{}/{name}", group.folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_both_versions_are_read() {
        let v1 = "34 31 0:31 /box/7 /sys/fs/cgroup/cpu,cpuacct ro,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let tree = mounted(v1).unwrap();
        assert_eq!((tree.version, &*tree.controllers), (Version::V1, "cpu,cpuacct"));
        assert_eq!((&*tree.mount, &*tree.root), ("/sys/fs/cgroup/cpu,cpuacct", "/box/7"));
        let v2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mounted(v2).unwrap().version, Version::V2);
        for line in ["", " - ", "1 2 3 / /x rw - ext4 /dev/sda rw", "1 2 3 - cgroup2"] {
            assert_eq!(mounted(line), None, "{line}");
        }
    }

    #[test]
    fn a_group_is_looked_for_below_what_is_mounted() {
        for (group, root, expected) in [
            ("/", "/", ""),
            ("/a/b", "/", "/a/b"),
            ("/box/7", "/box/7", ""),
            ("/box/7/sub", "/box/7", "/sub"),
            ("/box/77", "/box/7", ""),
            ("/elsewhere", "/box/7", ""),
            ("/../other", "/", ""),
            ("", "/", ""),
        ] {
            assert_eq!(below(group, root), expected, "{group} below {root}");
        }
    }

    #[test]
    fn each_controller_has_its_tree() {
        let tree = |version, controllers: &str| Tree::new(version, controllers.into(), "", "/");
        let hybrid = [tree(Version::V2, ""), tree(Version::V1, "cpu,cpuacct")];
        assert_eq!(of(&hybrid, "cpuacct"), Some(&hybrid[1]));
        assert_eq!(of(&hybrid, "memory"), Some(&hybrid[0]));
        assert_eq!(of(&hybrid[1..], "memory"), None);
    }
}
