//! What is told, where to, and in which form.

use clap::{Args, ColorChoice};

/// Of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more of what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// Of the commands that do something that can be summed up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct SummaryArguments {
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// Print where the time went, and what was used of the machine
    #[arg(long)]
    pub stats: bool,
}
