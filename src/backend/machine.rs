//! The limits of the process and of its container, as the system tells them. What it does not tell
//! is `None`: on hosts without /proc, all that is read from there.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// Files that the process may have open; `None` where there is no limit.
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Bytes that the process may lock in memory.
pub fn locked_bytes_max() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The processor's name, as its maker gives it.
pub fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// Whether this is a virtual machine that hands free memory back to its host (free page reporting,
/// Linux 5.7). The first touch of each page there is a fault on the host as well.
pub fn reports_free_pages() -> bool {
    has_reporting_balloon(Path::new("/sys/bus/virtio/devices"))
}

/// A memory balloon is virtio device 5, and reporting its feature 5 (virtio 1.2, section 5.5).
fn has_reporting_balloon(devices: &Path) -> bool {
    let is_one = |device: &Path| {
        let read = |name: &str| fs::read_to_string(device.join(name)).unwrap_or_default();
        read("device").trim() == "0x0005" && read("features").as_bytes().get(5) == Some(&b'1')
    };
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|device| is_one(&device))
}

/// `disabled`, `strict` or `filter`, by the names of seccomp(2).
pub fn seccomp_mode() -> Option<&'static str> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?;
    match mode.trim() {
        "0" => Some("disabled"),
        "1" => Some("strict"),
        "2" => Some("filter"),
        _ => None,
    }
}

/// The signals that the process was started to ignore, as nohup(1) does with SIGHUP; none where
/// the system does not say.
#[derive(Clone, Copy, Debug)]
pub struct IgnoredSignals {
    /// The lowest bit stands for signal 1.
    mask: u64,
}

impl IgnoredSignals {
    pub fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// `SigIgn` is a mask in hexadecimal.
    fn parse(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self { mask: mask.unwrap_or(0) }
    }

    pub fn contains(self, signal: i32) -> bool {
        let bit = u32::try_from(signal - 1).ok();
        bit.and_then(|bit| self.mask.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
    }
}

/// What the control groups of the process allow it: the least of its own and those above.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupLimits {
    /// 1, 2, or `None` where no group is found.
    pub version: Option<u8>,
    /// How many processors' time.
    pub processors: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub processes: Option<u64>,
}

/// Groups are nested no deeper than this anywhere that is known.
const DEPTH_MAX: usize = 64;

/// Limits that are set and below what version 1 writes for none: a number near 2^63.
const MEMORY_BYTES_MAX: u64 = 1 << 62;

impl GroupLimits {
    pub fn read() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// `groups` is the text of /proc/self/cgroup, and `root` where the hierarchies are mounted.
    fn find(groups: &str, root: &Path) -> Self {
        let group = |controller: &str| {
            groups.lines().find_map(|line| {
                let (_, line) = line.split_once(':')?;
                let (controllers, path) = line.split_once(':')?;
                controllers.split(',').any(|one| one == controller).then(|| path.to_owned())
            })
        };
        if root.join("cgroup.controllers").exists() {
            let group = group("").unwrap_or_default();
            let least = |file: &str, parse| least(root, &group, file, parse);
            return Self {
                version: Some(2),
                processors: least("cpu.max", processors),
                memory_bytes: least("memory.max", number).map(whole),
                processes: least("pids.max", number).map(whole),
            };
        }
        let least = |controller: &str, file: &str, parse| {
            least(&root.join(controller), &group(controller)?, file, parse)
        };
        let memory = least("memory", "memory.limit_in_bytes", number).map(whole);
        let quota = least("cpu", "cpu.cfs_quota_us", number);
        let period = least("cpu", "cpu.cfs_period_us", number);
        Self {
            version: root.is_dir().then_some(1),
            processors: quota.zip(period).map(|(quota, period)| quota / period),
            memory_bytes: memory.filter(|bytes| *bytes < MEMORY_BYTES_MAX),
            processes: least("pids", "pids.max", number).map(whole),
        }
    }
}

/// The least value that a file has in a group and the groups above it. In a container the path of
/// the group may be that of the host, of which nothing is there but the root.
fn least(root: &Path, group: &str, file: &str, parse: fn(&str) -> Option<f64>) -> Option<f64> {
    let group = root.join(group.trim_start_matches('/'));
    let folders = group.ancestors().take_while(|folder| folder.starts_with(root)).take(DEPTH_MAX);
    let values = folders.filter_map(|folder| parse(&fs::read_to_string(folder.join(file)).ok()?));
    values.reduce(f64::min)
}

/// `max` and negative numbers stand for none.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number| *number >= 0.0)
}

/// cpu.max is a quota and its period, in microseconds.
fn processors(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    Some(number(quota)? / number(period).filter(|period| *period > 0.0)?)
}

#[expect(clippy::cast_possible_truncation, reason = "limits are whole numbers below 2^63")]
#[expect(clippy::cast_sign_loss, reason = "`number` gives none below zero")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn ignored_signals_are_bits_of_a_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\n";
        let ignored = IgnoredSignals::parse(status);
        let is_ignored = |signal| ignored.contains(signal);
        let expected = [true, false, false, true, false, false];
        assert_eq!([1, 2, 12, 13, 0, 65].map(is_ignored), expected);
        assert!(!IgnoredSignals::parse("").contains(1));
    }

    #[test]
    fn a_balloon_with_the_sixth_feature_reports_free_pages() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert!(!has_reporting_balloon(&root.join("absent")));
        write(root, "virtio0/device", "0x0001\n");
        write(root, "virtio0/features", "11111111\n");
        write(root, "virtio1/device", "0x0005\n");
        write(root, "virtio1/features", "01100000\n");
        assert!(!has_reporting_balloon(root));
        write(root, "virtio1/features", "01100100\n");
        assert!(has_reporting_balloon(root));
    }

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "cgroup.controllers", "cpu memory pids\n");
        write(root, "a/cpu.max", "150000 100000\n");
        write(root, "a/b/cpu.max", "max 100000\n");
        write(root, "a/memory.max", "536870912\n");
        write(root, "a/b/memory.max", "1073741824\n");
        write(root, "a/b/pids.max", "max\n");
        let expected = GroupLimits {
            version: Some(2),
            processors: Some(1.5),
            memory_bytes: Some(512 << 20),
            processes: None,
        };
        assert_eq!(GroupLimits::find("0::/a/b\n", root), expected);
    }

    #[test]
    fn groups_of_version_1_have_a_hierarchy_each() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "cpu/x/cpu.cfs_quota_us", "50000\n");
        write(root, "cpu/x/cpu.cfs_period_us", "100000\n");
        write(root, "cpu/cpu.cfs_quota_us", "-1\n");
        write(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
        write(root, "pids/y/pids.max", "77\n");
        let groups = "4:memory:/absent/here\n3:pids:/y\n2:cpu,cpuacct:/x\n1:name=systemd:/\n0::/\n";
        let expected = GroupLimits {
            version: Some(1),
            processors: Some(0.5),
            memory_bytes: None,
            processes: Some(77),
        };
        assert_eq!(GroupLimits::find(groups, root), expected);
    }

    #[test]
    fn where_there_are_no_groups_there_are_no_limits() {
        let absent = Path::new("/proc/no-such-folder");
        assert_eq!(GroupLimits::find("", absent), GroupLimits::default());
    }
}
