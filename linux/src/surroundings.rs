//! What the process may do, as /proc tells it: what tells one reason for a refusal from another.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Whether a seccomp filter stands between the process and the kernel (`Seccomp` in
/// /proc/self/status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    #[default]
    Off,
    Strict,
    Filter,
    /// /proc does not say.
    Unknown,
}

/// What may stand in the way of io_uring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    pub seccomp: Seccomp,
    /// `kernel.io_uring_disabled` (Linux 6.6, where io_uring is built in).
    pub ring_disabled: Option<u8>,
    /// Has CAP_SYS_ADMIN in the first user namespace, the one that the kernel asks for.
    pub is_privileged: bool,
    /// Belongs to the group that `kernel.io_uring_group` names.
    pub is_in_ring_group: bool,
    /// RLIMIT_MEMLOCK; `None` where there is no limit.
    pub locked_bytes_max: Option<u64>,
    /// RLIMIT_NOFILE.
    pub open_files_max: Option<u64>,
}

/// The bit of CAP_SYS_ADMIN in capability sets (linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;

impl Surroundings {
    /// What cannot be read is taken as not standing in the way.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let sysctl = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
            Some(text.trim().to_owned())
        };
        let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let group = sysctl("io_uring_group");
        Self {
            seccomp: seccomp(&status),
            ring_disabled: sysctl("io_uring_disabled").and_then(|level| level.parse().ok()),
            is_privileged: is_first_namespace(&uid_map) && has_capability(&status, CAP_SYS_ADMIN),
            is_in_ring_group: group.is_some_and(|group| is_in_group(&status, &group)),
            locked_bytes_max: getrlimit(Resource::Memlock).current,
            open_files_max: getrlimit(Resource::Nofile).current,
        }
    }

    /// The level of `kernel.io_uring_disabled`, if it forbids io_uring to this process.
    pub(crate) fn forbidding_level(&self) -> Option<u8> {
        match self.ring_disabled {
            None | Some(0) => None,
            Some(1) if self.is_privileged || self.is_in_ring_group => None,
            level => level,
        }
    }
}

/// The value of a line of /proc/self/status.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn seccomp(status: &str) -> Seccomp {
    match field(status, "Seccomp") {
        Some("0") => Seccomp::Off,
        Some("1") => Seccomp::Strict,
        Some("2") => Seccomp::Filter,
        _ => Seccomp::Unknown,
    }
}

fn has_capability(status: &str, bit: u32) -> bool {
    let set = field(status, "CapEff").and_then(|set| u64::from_str_radix(set, 16).ok());
    set.is_some_and(|set| set >> bit & 1 == 1)
}

/// Only the first user namespace maps every user to itself (user_namespaces(7)).
fn is_first_namespace(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn is_in_group(status: &str, group: &str) -> bool {
    let groups = ["Gid", "Groups"].map(|name| field(status, name).unwrap_or_default());
    groups.iter().flat_map(|line| line.split_whitespace()).any(|one| one == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nGid:\t5\t5\t5\t5\nGroups:\t7 990 \nCapEff:\t0000000000200000\n\
                          NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn the_status_is_understood() {
        assert_eq!(seccomp(STATUS), Seccomp::Filter);
        assert_eq!(seccomp(""), Seccomp::Unknown);
        assert!(has_capability(STATUS, CAP_SYS_ADMIN));
        assert!(!has_capability(STATUS, CAP_SYS_ADMIN - 1));
        assert_eq!(
            ["5", "990", "99", "-1"].map(|group| is_in_group(STATUS, group)),
            [true, true, false, false]
        );
    }

    #[test]
    fn a_user_namespace_of_a_container_is_not_the_first() {
        assert!(is_first_namespace("         0          0 4294967295\n"));
        assert!(!is_first_namespace("         0     100000      65536\n"));
    }
}
