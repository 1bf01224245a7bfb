//! What this kernel and this sandbox allow of io_uring, found by trying.
//!
//! A ring is made with each setup flag by itself, each opcode is submitted with arguments that it
//! can only fail on, and what has to be registered is registered. So a sandbox that filters opcodes
//! or a flag that was backported is seen as it is; the kernel's version is never asked for.

use std::io;

use io_uring::squeue::Entry;
use io_uring::{Builder, IoUring, Parameters, cqueue, opcode, types};

use crate::refusal::Refusal;
use crate::ring::{Options, Ring, Wait};
use crate::surroundings::Surroundings;

/// What was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    setup: Option<Refusal>,
    trials: Vec<Trial>,
}

/// One thing that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    pub kind: Kind,
    /// As in io_uring_setup(2), io_uring_enter(2) and io_uring_register(2), without their prefix.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
    /// What cannot be done without it.
    pub need: Need,
    /// The errno that it met, if any.
    pub errno: Option<i32>,
}

/// What kind of thing a [`Trial`] tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SetupFlag,
    Feature,
    Registration,
    Opcode,
}

/// What a ring is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Files,
    Sockets,
}

/// Who cannot do without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It is not used, and told for who compares kernels.
    Nobody,
    /// It saves switches or system calls.
    Speed,
    Files,
    Sockets,
    All,
}

impl Probe {
    /// Why a ring cannot be used for this at all; `None` where it can.
    pub fn refusal(&self, purpose: Use) -> Option<Refusal> {
        let is_needed = |trial: &&Trial| match trial.need {
            Need::Nobody | Need::Speed => false,
            Need::Files => purpose == Use::Files,
            Need::Sockets => purpose == Use::Sockets,
            Need::All => true,
        };
        let missing = || self.trials.iter().filter(is_needed).find_map(Trial::refusal);
        self.setup.clone().or_else(missing)
    }

    /// All that was tried, those of a kind together; nothing where no ring can be made.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }
}

impl Trial {
    /// Whether it can be used.
    pub fn works(&self) -> bool {
        self.errno.is_none()
    }

    /// Whether files or sockets cannot do without it.
    pub fn is_needed(&self) -> bool {
        !matches!(self.need, Need::Nobody | Need::Speed)
    }

    fn refusal(&self) -> Option<Refusal> {
        let errno = self.errno?;
        Some(match (self.kind, errno) {
            (_, libc::EINVAL) => Refusal::TooOld { what: self.name, since: self.since },
            (Kind::Opcode, errno) => Refusal::Opcode { name: self.name, errno },
            (_, errno) => Refusal::of(errno, &Surroundings::read()),
        })
    }
}

/// Makes one small ring as [`Ring`] makes them, and sees one entry through it.
pub fn try_ring() -> Result<(), Refusal> {
    small_ring(None)
        .and_then(|mut ring| submit(&mut ring, &opcode::Nop::new().build()))
        .map(drop)
        .map_err(|error| Refusal::explain(&error))
}

/// Tries everything. It makes and drops some ten rings, so it is for who asks, not for each run.
pub fn probe() -> Probe {
    let refused =
        |error: io::Error| Refusal::of(error.raw_os_error().unwrap_or(0), &Surroundings::read());
    let ring = match IoUring::new(ENTRIES) {
        Ok(ring) => ring,
        Err(error) => return Probe { setup: Some(refused(error)), trials: Vec::new() },
    };
    let mut trials = setup_flags();
    trials.extend(features(ring.params()));
    trials.extend(registrations(&ring));
    drop(ring);
    let first = small_ring(None).and_then(|mut ring| {
        submit(&mut ring, &opcode::Nop::new().build())?;
        Ok(opcodes(&mut ring))
    });
    let setup = match first {
        Ok(tried) => {
            trials.extend(tried);
            None
        }
        // Where something is missing, its own trial says what.
        Err(_) if trials.iter().any(|trial| trial.is_needed() && !trial.works()) => None,
        Err(error) => Some(refused(error)),
    };
    Probe { setup, trials }
}

const ENTRIES: u32 = 4;

fn small_ring(opcodes_allowed: Option<Vec<u8>>) -> io::Result<Ring> {
    Ring::new(&Options {
        submissions: ENTRIES,
        completions: 2 * ENTRIES,
        workers_max: Some(1),
        opcodes_allowed,
    })
}

fn trial(
    kind: Kind,
    (name, since): (&'static str, &'static str),
    need: Need,
    outcome: io::Result<()>,
) -> Trial {
    let errno = outcome.err().map(|error| error.raw_os_error().unwrap_or(libc::EIO));
    Trial { kind, name, since, need, errno }
}

/// A setup flag, its first kernel, and what sets it.
type SetupFlag = (&'static str, &'static str, fn(&mut Builder<Entry, cqueue::Entry>));

const SETUP_FLAGS: [SetupFlag; 9] = [
    ("CQSIZE", "5.5", |builder| {
        builder.setup_cqsize(2 * ENTRIES);
    }),
    ("CLAMP", "5.6", |builder| {
        builder.setup_clamp();
    }),
    ("R_DISABLED", "5.10", |builder| {
        builder.setup_r_disabled();
    }),
    ("SUBMIT_ALL", "5.18", |builder| {
        builder.setup_submit_all();
    }),
    ("COOP_TASKRUN", "5.19", |builder| {
        builder.setup_coop_taskrun();
    }),
    // Means nothing without another that defers work.
    ("TASKRUN_FLAG", "5.19", |builder| {
        builder.setup_coop_taskrun().setup_taskrun_flag();
    }),
    ("SINGLE_ISSUER", "6.0", |builder| {
        builder.setup_single_issuer();
    }),
    ("DEFER_TASKRUN", "6.1", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun();
    }),
    ("NO_SQARRAY", "6.6", |builder| {
        builder.setup_no_sqarray();
    }),
];

fn setup_flags() -> Vec<Trial> {
    let try_flag = |(name, since, set): SetupFlag| {
        let mut builder = IoUring::builder();
        set(&mut builder);
        let need = match name {
            "CQSIZE" | "CLAMP" => Need::All,
            "TASKRUN_FLAG" | "SINGLE_ISSUER" | "DEFER_TASKRUN" => Need::Speed,
            _ => Need::Nobody,
        };
        trial(Kind::SetupFlag, (name, since), need, builder.build(ENTRIES).map(drop))
    };
    SETUP_FLAGS.map(try_flag).into()
}

fn features(parameters: &Parameters) -> Vec<Trial> {
    let all = [
        ("NODROP", "5.5", Need::All, parameters.is_feature_nodrop()),
        ("EXT_ARG", "5.11", Need::All, parameters.is_feature_ext_arg()),
        ("CQE_SKIP", "5.17", Need::Files, parameters.is_feature_skip_cqe_on_success()),
        ("LINKED_FILE", "5.17", Need::Files, parameters.is_feature_linked_file()),
        ("RECVSEND_BUNDLE", "6.10", Need::Nobody, parameters.is_feature_recvsend_bundle()),
        ("MIN_TIMEOUT", "6.12", Need::Speed, parameters.is_feature_min_timeout()),
    ];
    let unknown = || io::Error::from_raw_os_error(libc::EINVAL);
    let try_one = |(name, since, need, has)| {
        let outcome = if has { Ok(()) } else { Err(unknown()) };
        trial(Kind::Feature, (name, since), need, outcome)
    };
    all.map(try_one).into()
}

/// A ring of buffers begins on a page; pages are no larger than this.
const PAGE_BYTES_MAX: usize = 1 << 16;

fn registrations(ring: &IoUring) -> Vec<Trial> {
    let submitter = ring.submitter();
    let workers = submitter.register_iowq_max_workers(&mut [1, 1]);
    let files = submitter.register_files_sparse(1).and_then(|()| submitter.unregister_files());
    let memory = vec![0_u8; 2 * PAGE_BYTES_MAX];
    let start = memory.as_ptr().addr().next_multiple_of(PAGE_BYTES_MAX) as u64;
    // SAFETY: a whole page of the memory begins at `start`. It stays until the kernel has given it
    // up, which writes to none of it, for no entry asks for a buffer.
    let buffers = unsafe { submitter.register_buf_ring_with_flags(start, 1, 0, 0) };
    let buffers = match buffers {
        Ok(()) => submitter.unregister_buf_ring(0).inspect_err(|_| {
            // The kernel still has it.
            std::mem::forget(memory);
        }),
        Err(error) => Err(error),
    };
    let kind = Kind::Registration;
    vec![
        trial(kind, ("IOWQ_MAX_WORKERS", "5.15"), Need::All, workers),
        trial(kind, ("FILES2 (sparse)", "5.19"), Need::Files, files),
        trial(kind, ("PBUF_RING", "5.19"), Need::Sockets, buffers),
    ]
}

/// Submits each opcode that the kernel lists (`IORING_REGISTER_PROBE`) with arguments on which it
/// fails before it does anything: an empty path, a descriptor or an entry that there is not. What
/// comes back is what the opcode itself says, unless it is forbidden, which the list does not tell.
fn opcodes(ring: &mut Ring) -> Vec<Trial> {
    let here = types::Fd(libc::AT_FDCWD);
    let none = types::Fd(-1);
    let empty = c"".as_ptr();
    let address = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr>()).unwrap_or_default();
    let at_once = types::Timespec::new();
    let byte = [0_u8; 1];
    let mut target = [0_u8; 1];
    let entries: [(&str, &str, Need, Entry); 18] = [
        ("NOP", "5.1", Need::All, opcode::Nop::new().build()),
        ("TIMEOUT", "5.4", Need::Nobody, opcode::Timeout::new(&raw const at_once).build()),
        ("ASYNC_CANCEL", "5.5", Need::Sockets, opcode::AsyncCancel::new(NOBODYS).build()),
        ("CONNECT", "5.5", Need::Sockets, {
            opcode::Connect::new(none, &raw const address, length).build()
        }),
        ("OPENAT", "5.6", Need::Files, opcode::OpenAt::new(here, empty).build()),
        ("CLOSE", "5.6", Need::All, opcode::Close::new(none).build()),
        ("READ", "5.6", Need::Sockets, opcode::Read::new(none, target.as_mut_ptr(), 1).build()),
        ("WRITE", "5.6", Need::Files, opcode::Write::new(none, byte.as_ptr(), 1).build()),
        ("SEND", "5.6", Need::Sockets, opcode::Send::new(none, byte.as_ptr(), 1).build()),
        ("RECV", "5.6", Need::Nobody, opcode::Recv::new(none, target.as_mut_ptr(), 1).build()),
        ("SHUTDOWN", "5.11", Need::Nobody, opcode::Shutdown::new(none, libc::SHUT_WR).build()),
        ("RENAMEAT", "5.11", Need::Files, opcode::RenameAt::new(here, empty, here, empty).build()),
        ("UNLINKAT", "5.11", Need::Files, opcode::UnlinkAt::new(here, empty).build()),
        ("MKDIRAT", "5.15", Need::Files, opcode::MkDirAt::new(here, empty).build()),
        ("SYMLINKAT", "5.15", Need::Files, opcode::SymlinkAt::new(here, empty, empty).build()),
        ("LINKAT", "5.15", Need::Files, opcode::LinkAt::new(here, empty, here, empty).build()),
        ("SOCKET", "5.19", Need::Nobody, opcode::Socket::new(-1, 0, 0).build()),
        ("RECV (multishot)", "6.0", Need::Sockets, opcode::RecvMulti::new(none, 0).build()),
    ];
    let mut known = io_uring::Probe::new();
    let has_list = ring.submitter().register_probe(&mut known).is_ok();
    let try_one = |(name, since, need, entry): (_, _, _, Entry)| {
        let code = u8::try_from(entry.get_opcode()).unwrap_or(u8::MAX);
        let is_unknown = has_list && !known.is_supported(code);
        let outcome = if is_unknown {
            Err(io::Error::from_raw_os_error(libc::EINVAL))
        } else {
            submit(ring, &entry).and_then(verdict)
        };
        trial(Kind::Opcode, (name, since), need, outcome)
    };
    entries.map(try_one).into()
}

/// No entry has this.
const NOBODYS: u64 = u64::MAX;

/// What a completion says of the opcode, not of its arguments.
fn verdict(result: i32) -> io::Result<()> {
    match -result {
        errno @ (libc::EINVAL | libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EOPNOTSUPP) => {
            Err(io::Error::from_raw_os_error(errno))
        }
        _ => Ok(()),
    }
}

/// Submits one entry and waits for its completion.
fn submit(ring: &mut Ring, entry: &Entry) -> io::Result<i32> {
    let entry = entry.clone().user_data(1);
    // SAFETY: what the entry points to outlives this call, which waits for its completion. Should
    // the wait fail, nothing is looked at later: paths, addresses and times are copied when the
    // kernel takes the entry, and buffers are not reached without a file.
    unsafe { ring.push(&[entry]) }?;
    loop {
        ring.wait(&Wait { completions: 1, ..Wait::default() })?;
        if let Some(completion) = ring.completion() {
            return Ok(completion.result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_agrees_with_a_ring_that_is_made() {
        let probe = probe();
        match try_ring() {
            Ok(()) => {
                assert_eq!(probe.refusal(Use::Files), None);
                let kinds = [Kind::SetupFlag, Kind::Feature, Kind::Registration, Kind::Opcode];
                for kind in kinds {
                    assert!(probe.trials().iter().any(|trial| trial.kind == kind && trial.works()));
                }
            }
            Err(refusal) => assert_eq!(probe.refusal(Use::Files), Some(refusal)),
        }
    }

    #[test]
    fn an_opcode_that_is_filtered_is_seen_by_trying_it() {
        // Of the opcodes that are tried, LINKAT and SOCKET came last.
        let Ok(mut ring) = small_ring(Some((0..opcode::LinkAt::CODE).collect())) else {
            assert_ne!(try_ring(), Ok(()));
            return;
        };
        let trials = opcodes(&mut ring);
        let refused: Vec<_> = trials.iter().filter(|trial| !trial.works()).collect();
        let names: Vec<_> = refused.iter().map(|trial| (trial.name, trial.errno)).collect();
        assert_eq!(names, ["LINKAT", "SOCKET"].map(|name| (name, Some(libc::EACCES))));
        let probe = Probe { setup: None, trials };
        let expected = Refusal::Opcode { name: "LINKAT", errno: libc::EACCES };
        assert_eq!(probe.refusal(Use::Files), Some(expected));
        assert_eq!(probe.refusal(Use::Sockets), None);
    }

    #[test]
    fn what_a_kernel_does_not_know_is_named_with_the_first_that_does() {
        let unknown = |name, since, need| Trial {
            kind: Kind::Opcode,
            name,
            since,
            need,
            errno: Some(libc::EINVAL),
        };
        let trials = vec![
            unknown("SOCKET", "5.19", Need::Nobody),
            unknown("RECV (multishot)", "6.0", Need::Sockets),
        ];
        let probe = Probe { setup: None, trials };
        assert_eq!(probe.refusal(Use::Files), None);
        let too_old = Refusal::TooOld { what: "RECV (multishot)", since: "6.0" };
        assert_eq!(probe.refusal(Use::Sockets), Some(too_old));
    }
}
