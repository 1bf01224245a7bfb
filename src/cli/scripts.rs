//! Whose lifecycle scripts are run; npm's own switches are among the settings.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Lifecycle scripts")]
pub struct ScriptArguments {
    /// Whose scripts are run
    #[arg(long, value_enum, default_value_t, value_name = "WHOSE")]
    pub scripts: ScriptsArgument,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScriptsArgument {
    /// All but those that `allowScripts` of package.json denies, as npm 11 does
    #[default]
    All,
    /// Of dependencies those that `allowScripts` allows, as npm 12 does
    Allowed,
    /// None, as with --ignore-scripts
    None,
}
