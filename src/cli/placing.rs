//! How packages get from the cache into node_modules.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(next_help_heading = "Placing")]
pub struct PlacingArguments {
    /// How files get from the cache into node_modules
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub link_mode: LinkModeArgument,
    /// How many threads place files, and how many scripts of dependencies run at once [default:
    /// the number of processors, and one less for scripts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LinkModeArgument {
    /// Hard link, else clone, else copy
    #[default]
    Auto,
    Hardlink,
    /// Share the extents but not the inode (btrfs, xfs)
    Clone,
    Copy,
}
