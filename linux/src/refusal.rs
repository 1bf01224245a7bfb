//! Why io_uring, or a part of it, cannot be had, and what can be done about it.
//!
//! An errno alone says little: EPERM comes from a seccomp filter, a security module or a sysctl.
//! What tells them apart is read from /proc; the kernel's version is never asked for.

use std::error::Error;
use std::fmt;
use std::io;

use crate::probe::{Use, probe};
use crate::surroundings::{Seccomp, Surroundings};

/// Why io_uring cannot be had. The text names the reason; [`Refusal::advice`] names the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A seccomp filter answers for the kernel: the default of container runtimes.
    Seccomp { errno: i32 },
    /// Neither a sysctl nor a filter forbids it: SELinux, AppArmor and their like remain.
    SecurityModule { errno: i32 },
    /// The sysctl `kernel.io_uring_disabled` is 1 (for those without privilege) or 2 (for all).
    Disabled { level: u8 },
    /// The kernel was built without io_uring, or is older than it (ENOSYS).
    NoSystemCall,
    /// Its memory is more than may be locked, or than there is (ENOMEM).
    LockedMemory { limit: Option<u64> },
    /// The process may open no more files (EMFILE), or nobody may (ENFILE).
    OpenFiles { limit: Option<u64> },
    /// The kernel lacks something that cannot be done without.
    TooOld { what: &'static str, since: &'static str },
    /// The ring can be had, and one opcode is forbidden.
    Opcode { name: &'static str, errno: i32 },
    /// None of the known reasons.
    Other { errno: i32 },
}

impl Refusal {
    /// Finds the reason for an error that making or using a ring has met.
    pub fn explain(error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        if errno == libc::EINVAL {
            // The kernel does not know something that was asked for: only trying tells what.
            let missing = [Use::Files, Use::Sockets].map(|purpose| probe().refusal(purpose));
            return missing.into_iter().flatten().next().unwrap_or(Self::Other { errno });
        }
        Self::of(errno, &Surroundings::read())
    }

    pub(crate) fn of(errno: i32, surroundings: &Surroundings) -> Self {
        let is_filtered = surroundings.seccomp == Seccomp::Filter;
        match errno {
            libc::EPERM => match surroundings.forbidding_level() {
                Some(level) => Self::Disabled { level },
                None if is_filtered => Self::Seccomp { errno },
                None => Self::SecurityModule { errno },
            },
            // The sysctl is there: so is the system call, and the answer is not the kernel's.
            libc::ENOSYS if is_filtered && surroundings.ring_disabled.is_some() => {
                Self::Seccomp { errno }
            }
            libc::ENOSYS => Self::NoSystemCall,
            libc::EACCES | libc::EOPNOTSUPP if is_filtered => Self::Seccomp { errno },
            libc::EACCES => Self::SecurityModule { errno },
            libc::ENOMEM => Self::LockedMemory { limit: surroundings.locked_bytes_max },
            libc::EMFILE => Self::OpenFiles { limit: surroundings.open_files_max },
            libc::ENFILE => Self::OpenFiles { limit: None },
            errno => Self::Other { errno },
        }
    }

    /// What can be done about it: one line, without a full stop.
    pub fn advice(&self) -> String {
        match self {
            Self::Seccomp { .. } => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in \
                the seccomp profile of the container (docker run --security-opt seccomp=PROFILE)"
                    .to_owned()
            }
            Self::SecurityModule { .. } => {
                "let the policy of SELinux or AppArmor allow io_uring to this process".to_owned()
            }
            Self::Disabled { .. } => {
                "have it allowed by `sysctl kernel.io_uring_disabled=0` on the host".to_owned()
            }
            Self::NoSystemCall => {
                "use a kernel with CONFIG_IO_URING; gVisor and some other sandboxes have none"
                    .to_owned()
            }
            Self::LockedMemory { .. } => {
                "raise the limit of locked memory (ulimit -l) or of the container's memory"
                    .to_owned()
            }
            Self::OpenFiles { .. } => "raise the limit of open files (ulimit -n)".to_owned(),
            Self::TooOld { since, .. } => format!("use Linux {since} or newer"),
            Self::Opcode { name, .. } => {
                format!("let the sandbox of this process allow the opcode {name}")
            }
            Self::Other { .. } => {
                "see io_uring_setup(2) for what this error can come from".to_owned()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seccomp { errno } => {
                write!(formatter, "a seccomp filter answers {} to io_uring", name(*errno))
            }
            Self::SecurityModule { errno } => write!(
                formatter,
                "a security module answers {} to io_uring, no seccomp filter and no sysctl",
                name(*errno)
            ),
            Self::Disabled { level } => {
                write!(formatter, "the sysctl kernel.io_uring_disabled is {level}")
            }
            Self::NoSystemCall => formatter.write_str("this kernel has no io_uring (ENOSYS)"),
            Self::LockedMemory { limit: Some(limit) } => write!(
                formatter,
                "no memory for io_uring (ENOMEM): {limit} bytes may be locked, and \
                 kernels before 5.12 count its rings among them"
            ),
            Self::LockedMemory { limit: None } => {
                formatter.write_str("no memory for io_uring (ENOMEM)")
            }
            Self::OpenFiles { limit: Some(limit) } => {
                write!(formatter, "no file descriptor for io_uring: {limit} files may be open")
            }
            Self::OpenFiles { limit: None } => {
                formatter.write_str("no file descriptor for io_uring: the system has none left")
            }
            Self::TooOld { what, since } => {
                write!(
                    formatter,
                    "this kernel is too old for {what}, which came with Linux {since}"
                )
            }
            Self::Opcode { name: opcode, errno } => {
                write!(formatter, "io_uring answers {} to the opcode {opcode}", name(*errno))
            }
            Self::Other { errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(formatter, "io_uring cannot be had: {error}")
            }
        }
    }
}

impl Error for Refusal {}

fn name(errno: i32) -> String {
    match errno {
        libc::EPERM => "EPERM".to_owned(),
        libc::EACCES => "EACCES".to_owned(),
        libc::ENOSYS => "ENOSYS".to_owned(),
        libc::EOPNOTSUPP => "EOPNOTSUPP".to_owned(),
        libc::EINVAL => "EINVAL".to_owned(),
        errno => format!("errno {errno}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(seccomp: Seccomp, ring_disabled: Option<u8>) -> Surroundings {
        Surroundings { seccomp, ring_disabled, ..Surroundings::default() }
    }

    #[test]
    fn eperm_is_the_sysctls_then_the_filters_then_the_security_modules() {
        let errno = libc::EPERM;
        for (surroundings, expected) in [
            (with(Seccomp::Filter, Some(2)), Refusal::Disabled { level: 2 }),
            (with(Seccomp::Off, Some(1)), Refusal::Disabled { level: 1 }),
            (with(Seccomp::Filter, Some(0)), Refusal::Seccomp { errno }),
            (with(Seccomp::Filter, None), Refusal::Seccomp { errno }),
            (with(Seccomp::Off, Some(0)), Refusal::SecurityModule { errno }),
        ] {
            assert_eq!(Refusal::of(errno, &surroundings), expected, "{surroundings:?}");
        }
    }

    #[test]
    fn level_1_is_no_reason_for_the_privileged_and_the_group() {
        let errno = libc::EPERM;
        let privileged = Surroundings { is_privileged: true, ..with(Seccomp::Filter, Some(1)) };
        assert_eq!(Refusal::of(errno, &privileged), Refusal::Seccomp { errno });
        let member = Surroundings { is_in_ring_group: true, ..with(Seccomp::Filter, Some(1)) };
        assert_eq!(Refusal::of(errno, &member), Refusal::Seccomp { errno });
        let forbidden = Surroundings { is_privileged: true, ..with(Seccomp::Filter, Some(2)) };
        assert_eq!(Refusal::of(errno, &forbidden), Refusal::Disabled { level: 2 });
    }

    #[test]
    fn enosys_is_a_filters_where_the_kernel_is_known_to_have_the_call() {
        let errno = libc::ENOSYS;
        let filtered = with(Seccomp::Filter, Some(0));
        assert_eq!(Refusal::of(errno, &filtered), Refusal::Seccomp { errno });
        assert_eq!(Refusal::of(errno, &with(Seccomp::Filter, None)), Refusal::NoSystemCall);
        assert_eq!(Refusal::of(errno, &with(Seccomp::Off, None)), Refusal::NoSystemCall);
    }

    #[test]
    fn limits_are_named_with_their_value() {
        let limits = Surroundings {
            locked_bytes_max: Some(65536),
            open_files_max: Some(64),
            ..Surroundings::default()
        };
        let text = |errno| Refusal::of(errno, &limits).to_string();
        assert_eq!(
            text(libc::ENOMEM),
            "no memory for io_uring (ENOMEM): 65536 bytes may be locked, and kernels before 5.12 \
             count its rings among them"
        );
        assert_eq!(text(libc::EMFILE), "no file descriptor for io_uring: 64 files may be open");
        assert_eq!(text(libc::ENFILE), "no file descriptor for io_uring: the system has none left");
    }
}
