//! The options of `ringstall bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ProjectArguments;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Nothing is written to the project. Example: \
    ringstall bench -C app --against bun,npm --rounds 5")]
pub struct BenchArguments {
    #[command(subcommand)]
    pub action: Option<BenchAction>,
    #[command(flatten)]
    pub project: ProjectArguments,
    #[command(flatten)]
    pub contest: ContestArguments,
    #[command(flatten)]
    pub source: MirrorArguments,
    #[command(flatten)]
    pub line: LineArguments,
    #[command(flatten)]
    pub place: PlaceArguments,
    #[command(flatten)]
    pub form: FormArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is measured")]
pub struct ContestArguments {
    /// p0 full cold, p1 resolve, p3 cold install, p4 warm install, p5 nothing changed
    #[arg(long, value_name = "PHASE", value_delimiter = ',', default_value = "p3,p4")]
    #[arg(value_parser = ["p0", "p1", "p3", "p4", "p5"])]
    pub phases: Vec<String>,
    /// How often everything is done; npm takes part in the first round only
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// bun, utoo, npm, pnpm: by name, as NAME=PATH, or `none` [default: those on the search path]
    #[arg(long, value_name = "RIVAL", value_delimiter = ',')]
    pub against: Vec<String>,
    /// Another build of ringstall, as NAME=PATH; can be given several times
    #[arg(long, value_name = "NAME=PATH")]
    pub ours: Vec<String>,
    /// A program that makes the folders, links and (p3) bytes of the tree by plain calls, too
    #[arg(long)]
    pub floor: bool,
    /// Ours with all combinations of io=, net=, jobs=, batch=, link=; on new filesystems with
    /// fs= (root)
    #[arg(long, value_name = "KEY=VALUE,VALUE", num_args = 1..)]
    pub matrix: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct MirrorArguments {
    /// The folder of a frozen registry, filled as far as it is not [default: one for this bench]
    #[arg(long, value_name = "DIR")]
    pub registry_mirror: Option<PathBuf>,
    /// The registry that it is filled from
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
}

/// How a frozen registry is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct LineArguments {
    /// Over https, with a certificate that is made at the start
    #[arg(long)]
    pub https: bool,
    /// A round trip's time: on each connection, handshake and request
    #[arg(long, value_name = "MS", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub latency: u64,
    /// Of all connections together, in Mbit/s [default: no limit]
    #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub bandwidth: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Where it takes place")]
pub struct PlaceArguments {
    /// Where the new folder is made in which everything takes place [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Leave that folder as it is in the end
    #[arg(long)]
    pub keep: bool,
    /// A folder for images of filesystems [default: /dev/shm]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The size of each of these filesystems, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub image_size: u64,
    /// Set where mounts are private already
    #[arg(long, hide = true)]
    pub is_private: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct FormArguments {
    /// Print all runs as JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print all runs as CSV
    #[arg(long)]
    pub csv: bool,
    /// Draw wall time against context switches, and one cold install over time, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Fail where a run does not count, when all is told
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Subcommand)]
pub enum BenchAction {
    /// Fill the folder of a frozen registry with what a project's lockfile needs
    Mirror(FillArguments),
    /// Serve such a folder as a registry on loopback
    Serve(ServeArguments),
    /// Run a command and write what it used to a file
    #[command(hide = true)]
    Measure {
        report: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Make the folders and hard links of a tree again; with a cache, its files as well
    #[command(hide = true)]
    Floor {
        source: PathBuf,
        target: PathBuf,
        #[arg(id = "written", long = "written")]
        cache: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct FillArguments {
    #[command(flatten)]
    pub project: ProjectArguments,
    /// The folder to fill; what is there is kept, what is missing is added
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The registry that it is filled from
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// What packuments are made of
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub packuments: PackumentsArgument,
    /// Leave out versions published after this date, as 2026-09-20; for published packuments
    #[arg(long, value_name = "DATE")]
    pub before: Option<String>,
    /// More packuments than those of the lockfile's packages; for published packuments
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<String>,
    /// Tarballs of packages for every os and cpu [default: this machine's, for any libc]
    #[arg(long)]
    pub all_platforms: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PackumentsArgument {
    /// The lockfile: a resolution finds its versions and no others
    #[default]
    Locked,
    /// Those of the registry, whole: large, and resolutions take as long as in life
    Published,
}

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The mirror
    pub directory: PathBuf,
    /// The port on 127.0.0.1 [default: any that is free]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    #[command(flatten)]
    pub line: LineArguments,
    /// A package that is only talked about, as NAME@VERSION
    #[arg(long, hide = true)]
    pub known: Vec<String>,
    /// Count by what is said on the standard input, and end with it
    #[arg(long, hide = true)]
    pub controlled: bool,
}
