//! Options that make an error of what is otherwise a warning.

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "What is refused")]
pub struct StrictnessArguments {
    /// Fail where the lockfile has no integrity for a tarball, instead of warning
    #[arg(long, env = "RINGSTALL_STRICT_INTEGRITY")]
    pub strict_integrity: bool,
    /// Fail where the lockfile lacks optional packages for this platform, instead of warning
    #[arg(long, env = "RINGSTALL_FAIL_ON_MISSING_OPTIONAL")]
    pub fail_on_missing_optional: bool,
}
