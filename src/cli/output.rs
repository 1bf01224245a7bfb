//! What is told, where to, and in which form.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct OutputArguments {
    /// Print errors only
    #[arg(short, long, short_alias = 's', alias = "silent", global = true)]
    #[arg(conflicts_with = "verbose", overrides_with = "loglevel")]
    pub quiet: bool,
    /// Say more of what is done
    #[arg(short, long, global = true, overrides_with = "loglevel")]
    pub verbose: bool,
    /// How much to say, by npm's names
    #[arg(long, global = true, value_name = "LEVEL", hide_possible_values = true)]
    pub loglevel: Option<LogLevelArgument>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value_t, value_enum)]
    pub color: ColorArgument,
    /// Use no colours
    #[arg(long, global = true, hide = true, overrides_with = "color")]
    pub no_color: bool,
    /// Show no progress bar
    #[arg(long, global = true)]
    pub no_progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevelArgument {
    Silent,
    Error,
    Warn,
    Notice,
    Http,
    Info,
    Verbose,
    Silly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArgument {
    /// On a terminal, unless NO_COLOR or the like says otherwise
    #[default]
    #[value(alias = "true")]
    Auto,
    Always,
    #[value(alias = "false")]
    Never,
}

/// Of the commands that do something that can be summed up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct SummaryArguments {
    /// Print the summary as JSON, or the error
    #[arg(long)]
    pub json: bool,
    /// Print where the time went, and what was used of the machine
    #[arg(long)]
    pub stats: bool,
    /// Write what happens as it happens, a JSON object a line; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Write what each thread did when, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub timings: Option<PathBuf>,
}
