//! Starts commands that may do less than this process: for tests of what happens then.
//!
//! A filter and limits are put on the child between fork(2) and exec(2); all that it starts in turn
//! inherits them, and nothing takes them away again. A filter sees system calls, not the opcodes of
//! a ring: for those see [`crate::Options::opcodes_allowed`].

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What a command may not do; at first, nothing is kept from it.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Numbers of system calls, and what is answered to them.
    refused: Vec<(u32, u16)>,
    locked_bytes_max: Option<u64>,
    open_files_max: Option<u64>,
}

/// A system call that can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemCall {
    RingSetup,
    RingEnter,
    RingRegister,
}

impl SystemCall {
    /// These have the same number on all architectures.
    fn number(self) -> u32 {
        match self {
            Self::RingSetup => 425,
            Self::RingEnter => 426,
            Self::RingRegister => 427,
        }
    }
}

impl Confinement {
    /// The system call is not made, and fails with `errno`.
    #[must_use]
    pub fn refuse(mut self, system_call: SystemCall, errno: u16) -> Self {
        self.refused.push((system_call.number(), errno));
        self
    }

    /// All of io_uring is refused, as container runtimes do (EPERM) or as a kernel without it
    /// does (ENOSYS).
    #[must_use]
    pub fn refuse_ring(self, errno: u16) -> Self {
        [SystemCall::RingSetup, SystemCall::RingEnter, SystemCall::RingRegister]
            .into_iter()
            .fold(self, |confinement, system_call| confinement.refuse(system_call, errno))
    }

    /// RLIMIT_MEMLOCK, soft and hard.
    #[must_use]
    pub fn limit_locked_bytes(mut self, most: u64) -> Self {
        self.locked_bytes_max = Some(most);
        self
    }

    /// RLIMIT_NOFILE, soft and hard.
    #[must_use]
    pub fn limit_open_files(mut self, most: u64) -> Self {
        self.open_files_max = Some(most);
        self
    }

    /// Confines what the command will start. Without a privilege this sets `no_new_privs`, so that
    /// set-user-ID programs run without theirs.
    pub fn apply(&self, command: &mut Command) {
        let filter = if self.refused.is_empty() { Vec::new() } else { filter(&self.refused) };
        let limits =
            [(Resource::Memlock, self.locked_bytes_max), (Resource::Nofile, self.open_files_max)];
        let confine = move || {
            for (resource, most) in limits {
                if most.is_some() {
                    setrlimit(resource, Rlimit { current: most, maximum: most })?;
                }
            }
            if filter.is_empty() { Ok(()) } else { set_filter(&filter) }
        };
        // SAFETY: between fork and exec the closure makes system calls on what was prepared before,
        // and neither allocates nor locks.
        unsafe { command.pre_exec(confine) };
    }
}

/// A program for the kernel: one comparison for each number, and all else is allowed.
fn filter(refused: &[(u32, u16)]) -> Vec<libc::sock_filter> {
    let instruction = |code: u32, k: u32, if_false: u8| libc::sock_filter {
        // The codes are made for these 16 bits.
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf: if_false,
        k,
    };
    let answer = |k: u32| instruction(libc::BPF_RET | libc::BPF_K, k, 0);
    // The number is the first field of what the kernel shows to a filter.
    let mut program = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (number, errno) in refused {
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *number, 1));
        program.push(answer(libc::SECCOMP_RET_ERRNO | u32::from(*errno)));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

fn set_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_ptr().cast_mut(),
    };
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the kernel copies the program, which lives across the call, and writes nothing.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(confinement: &Confinement, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        confinement.apply(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_is_started_is_under_a_filter_and_cannot_gain() {
        let confinement = Confinement::default().refuse_ring(1);
        let script = "sh -c 'grep -E \"^(NoNewPrivs|Seccomp):\" /proc/self/status'";
        assert_eq!(output(&confinement, script), "NoNewPrivs:\t1\nSeccomp:\t2\n");
    }

    #[test]
    fn what_is_started_has_the_limits() {
        let confinement = Confinement::default().limit_locked_bytes(0).limit_open_files(17);
        assert_eq!(output(&confinement, "ulimit -l; ulimit -n; ulimit -Hn"), "0\n17\n17\n");
    }

    #[test]
    fn each_call_has_its_own_answer() {
        let program = filter(&[(425, 1), (427, 38)]);
        let plain: Vec<_> = program.iter().map(|one| (one.code, one.jf, one.k)).collect();
        let (load, compare, answer) = (0x20, 0x15, 0x06);
        assert_eq!(
            plain,
            [
                (load, 0, 0),
                (compare, 1, 425),
                (answer, 0, 0x0005_0001),
                (compare, 1, 427),
                (answer, 0, 0x0005_0026),
                (answer, 0, 0x7fff_0000),
            ]
        );
    }
}
