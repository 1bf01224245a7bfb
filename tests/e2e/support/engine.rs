//! The engines that the command runs on: each test target has its own, and the rules are the same.
//!
//! The target is known by its name. Where the kernel refuses io_uring, a target that forces it is
//! not run: it says why and passes. With `RINGSTALL_TEST_RING=require` in the environment it fails.

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use super::RINGSTALL;
use super::package::Package;
use super::project::Project;
use super::registry::Registry;

/// What `--io` and `--net` would be, given by the environment so that tests can have their own.
pub type Engines = [(&'static str, &'static str); 2];

/// Whether this target runs the command as people run it. It is held against npm; the others are
/// held against the default engines, whose trees are npm's then.
pub const IS_DEFAULT: bool = matches!(TARGET.as_bytes(), b"e2e");

const TARGET: &str = env!("CARGO_CRATE_NAME");

/// The engines that this target forces. Does not return where they cannot be had.
pub fn forced() -> Option<Engines> {
    static AVAILABLE: OnceLock<Option<Engines>> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let (engines, needs_ring) = match TARGET {
            "e2e" => return None,
            "e2e_threads" => ([("RINGSTALL_IO", "threads"), ("RINGSTALL_NET", "epoll")], false),
            "e2e_ring" => ([("RINGSTALL_IO", "ring"), ("RINGSTALL_NET", "ring")], true),
            "e2e_tokio_uring" => {
                ([("RINGSTALL_IO", "threads"), ("RINGSTALL_NET", "tokio-uring")], true)
            }
            other => panic!("no engines are set for the target `{other}`"),
        };
        if needs_ring {
            check_ring(engines);
        }
        Some(engines)
    })
}

/// Ends the process where the kernel refuses io_uring: with success unless it has to be there.
fn check_ring(engines: Engines) {
    let Some(reason) = refusal(engines) else { return };
    let is_required = std::env::var("RINGSTALL_TEST_RING").is_ok_and(|value| value == "require");
    let verdict = if is_required { "failed, RINGSTALL_TEST_RING=require" } else { "not run" };
    // The harness keeps what a test prints to itself, and has no word for a test that is left out.
    let _ = writeln!(std::io::stderr(), "{TARGET}: {verdict}: {reason}");
    std::process::exit(i32::from(is_required));
}

/// Why one package cannot be installed on these engines. Any other failure is for the tests to
/// find.
fn refusal(engines: Engines) -> Option<String> {
    let registry = Registry::start();
    let package = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::on_any_engine(&registry).with(&package);
    let mut command = project.command_on(Some(engines), Path::new(RINGSTALL), "022");
    command.args(["ci", "-C"]).arg(project.path()).arg("--cache").arg(project.cache());
    command.args(project.registry_arguments());
    let outcome = project.run(command);
    let is_refused = outcome.code == Some(1) && outcome.stderr.contains(REFUSED);
    is_refused.then(|| outcome.stderr.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// In every error that says that a forced engine is refused, whatever the reason.
const REFUSED: &str = "cannot be had: io_uring is refused";
