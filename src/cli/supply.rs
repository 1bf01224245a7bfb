//! Where packages may be taken from: the caches, and whether the network may be asked at all.

use clap::Args;
use clap::builder::FalseyValueParser;

#[derive(Debug, Args)]
#[command(next_help_heading = "Caches and network")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct SupplyArguments {
    /// Ask nothing of the network; what the caches lack is an error that names all of it
    #[arg(long)]
    pub offline: bool,
    /// Take what the caches have without asking whether it is still right, as is always done
    #[arg(long)]
    pub prefer_offline: bool,
    /// Take nothing from npm's cache that the lockfile has no integrity of
    #[arg(long)]
    pub prefer_online: bool,
    /// Take nothing from npm's own cache, which is otherwise read before the network is asked
    #[arg(long, env = "RINGSTALL_NO_NPM_CACHE", value_parser = FalseyValueParser::new())]
    pub no_npm_cache: bool,
}
