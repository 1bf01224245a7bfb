//! io_uring refused, wholly or in part: who leaves the choice to the command gets the same tree and
//! reads why when asking for more, and who insists is told the reason and the remedy.
//!
//! The command is confined as a container confines it. The sysctl `kernel.io_uring_disabled` is the
//! whole machine's, other tests' too: it is not set, and the command is shown another file there.

use std::fs;
use std::path::Path;

use ringstall_linux::Refusal;
use ringstall_linux::confine::{Confinement, SystemCall};

use crate::support::outcome::Outcome;
use crate::support::tree::Tree;
use crate::support::{Package, Project, Registry};

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// Whose refusal fails with the reason.
const FORCED: [[&str; 2]; 3] = [["--io", "ring"], ["--net", "ring"], ["--net", "tokio-uring"]];
const AUTO: [&str; 4] = ["--io", "auto", "--net", "auto"];

#[test]
fn a_filter_that_forbids_io_uring_is_named() {
    let confinement = Confinement::default().refuse_ring(EPERM);
    assert_refused(&confinement, &seccomp_reason("EPERM"));
}

#[test]
fn a_filter_that_hides_io_uring_is_told_from_a_kernel_without_it() {
    let confinement = Confinement::default().refuse_ring(ENOSYS);
    let has_sysctl = fs::exists(SYSCTL).unwrap();
    let absent = [
        "this kernel has no io_uring (ENOSYS)",
        "use a kernel with CONFIG_IO_URING; gVisor and some other sandboxes have none",
    ];
    let reason = if has_sysctl { seccomp_reason("ENOSYS") } else { absent.map(str::to_owned) };
    assert_refused(&confinement, &reason);
}

#[test]
fn a_ring_that_can_be_made_and_not_used_is_refused_as_well() {
    if has_no_ring() {
        return;
    }
    for system_call in [SystemCall::RingEnter, SystemCall::RingRegister] {
        let confinement = Confinement::default().refuse(system_call, EPERM);
        assert_refused(&confinement, &seccomp_reason("EPERM"));
    }
}

#[test]
fn the_sysctl_that_forbids_io_uring_is_named() {
    let fixture = Fixture::new(1);
    let confinement = Confinement::default().refuse_ring(EPERM);
    let script = format!("echo 2 > level && mount --bind level {SYSCTL} && exec \"$0\" \"$@\"");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = fixture.project.command(Path::new("unshare"), "022");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, program]);
        command.args(["ci", "-C"]).arg(fixture.project.path()).arg("--cache").arg("cache");
        command.args(fixture.project.registry_arguments()).args(arguments);
        confinement.apply(&mut command);
        fixture.project.run(command)
    };
    let mounted = run("true", &[]);
    if mounted.code != Some(0) {
        eprintln!("not run: {}", mounted.stderr.trim());
        return;
    }
    let reason = "the sysctl kernel.io_uring_disabled is 2";

    let auto = run(RINGSTALL, &[&AUTO[..], &["--verbose"]].concat());
    auto.assert_success();
    let told: Vec<_> = auto.stderr.lines().filter(|line| line.contains("io_uring")).collect();
    assert_eq!(told, [format!("io_uring is not used: {reason}")]);
    assert_eq!(fixture.project.whole_tree(), fixture.expected);

    let forced = run(RINGSTALL, &["--io", "ring", "--net", "auto"]);
    forced.assert_failure(&[
        "error: ECONFIG: `--io ring` cannot be had: io_uring is refused",
        &format!("  caused by: {reason}"),
        "hint: have it allowed by `sysctl kernel.io_uring_disabled=0` on the host, or leave it to \
         `auto`; `ringstall doctor` says more",
    ]);
}

#[test]
fn without_locked_memory_the_tree_is_the_same_or_the_reason_is_told() {
    let fixture = Fixture::new(3);
    let confinement = Confinement::default().limit_locked_bytes(0);
    fixture.assert_installs(&confinement, &[]);
    if has_no_ring() {
        return;
    }
    let forced = fixture.ci(&confinement, &["--io", "ring"]);
    if forced.code == Some(0) {
        assert_eq!(fixture.project.whole_tree(), fixture.expected);
    } else {
        // Kernels before 5.12 count the ring's own memory.
        let cause = "no memory for io_uring (ENOMEM): 0 bytes may be locked";
        assert!(forced.stderr.contains(cause), "{}", forced.stderr);
    }
}

#[test]
fn few_open_files_are_enough_for_every_engine() {
    // More than may be open, so that connections as well have to make do.
    let fixture = Fixture::new(100);
    let confinement = Confinement::default().limit_open_files(64);
    fixture.assert_installs(&confinement, &[]);
    fixture.assert_installs(&confinement, &["--io", "threads", "--net", "epoll"]);
    if !has_no_ring() {
        fixture.assert_installs(&confinement, &["--io", "ring"]);
    }
}

const RINGSTALL: &str = env!("CARGO_BIN_EXE_ringstall");
const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// Says so where what needs a ring is not run.
fn has_no_ring() -> bool {
    let tried = ringstall_linux::try_ring();
    if let Err(refusal) = &tried {
        eprintln!("not run on the ring: {refusal}");
    }
    tried.is_err()
}

/// What a filter's answer is taken for, and what is advised. Where a sysctl forbids io_uring as
/// well, that is told, for nothing else would help.
fn seccomp_reason(errno: &str) -> [String; 2] {
    if let Err(refusal @ Refusal::Disabled { .. }) = ringstall_linux::try_ring()
        && errno == "EPERM"
    {
        return [refusal.to_string(), refusal.advice()];
    }
    let advice = "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp \
                  profile of the container (docker run --security-opt seccomp=PROFILE)";
    [format!("a seccomp filter answers {errno} to io_uring"), advice.to_owned()]
}

/// Under this, `auto` installs and says so once, and each forced engine fails.
#[track_caller]
fn assert_refused(confinement: &Confinement, [reason, advice]: &[String; 2]) {
    let fixture = Fixture::new(3);
    fixture.assert_installs(confinement, &[]);

    fixture.assert_tells(confinement, &[], reason);
    let of_network = format!("the network driver ring is refused: {reason}");
    fixture.assert_tells(confinement, &["--io", "threads"], &of_network);

    for [option, engine] in FORCED {
        fixture.ci(confinement, &[option, engine]).assert_failure(&[
            &format!("error: ECONFIG: `{option} {engine}` cannot be had: io_uring is refused"),
            &format!("  caused by: {reason}"),
            &format!("hint: {advice}, or leave it to `auto`; `ringstall doctor` says more"),
        ]);
        assert_eq!(fixture.project.whole_tree(), fixture.expected, "nothing was touched");
    }
}

/// A project, and its tree as it is without confinement.
struct Fixture {
    project: Project,
    expected: Tree,
}

impl Fixture {
    fn new(packages: usize) -> Self {
        let registry = Registry::start();
        let mut project = Project::new(&registry);
        for number in 0..packages {
            let package = Package::new(&format!("package-{number}"), "1.0.0")
                .file("lib/deep/index.js", &format!("module.exports = {number};\n"))
                .field("bin", serde_json::json!({format!("bin-{number}"): "lib/deep/index.js"}));
            project = project.with(&registry.serve(package));
        }
        let project = project.keeping(registry);
        project.ci(&["--io", "threads", "--net", "epoll"]).assert_success();
        let expected = project.whole_tree();
        Self { project, expected }
    }

    /// Neither tree nor cache is left, so that all is fetched and written again.
    fn forget(&self) {
        fs::remove_dir_all(self.project.cache()).unwrap();
        fs::remove_dir_all(self.project.path().join("node_modules")).unwrap();
    }

    /// On the engines that are named; where none is, it is left to the command.
    fn ci(&self, confinement: &Confinement, arguments: &[&str]) -> Outcome {
        let mut command = self.project.ci_command(&[&AUTO[..], arguments].concat());
        confinement.apply(&mut command);
        self.project.run(command)
    }

    /// Installs, and with --verbose says once why io_uring is not used.
    #[track_caller]
    fn assert_tells(&self, confinement: &Confinement, arguments: &[&str], why: &str) {
        self.forget();
        let outcome = self.ci(confinement, &[arguments, &["--verbose"]].concat());
        outcome.assert_success();
        let lines = outcome.stderr.lines().filter(|line| line.contains("io_uring"));
        let told: Vec<_> = lines.collect();
        assert_eq!(told, [format!("io_uring is not used: {why}")]);
        assert_eq!(self.project.whole_tree(), self.expected);
    }

    #[track_caller]
    fn assert_installs(&self, confinement: &Confinement, arguments: &[&str]) {
        self.forget();
        self.ci(confinement, arguments).assert_quiet_success();
        assert_eq!(self.project.whole_tree(), self.expected, "{arguments:?}");
    }
}
