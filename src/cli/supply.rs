//! Where packages may be taken from, beside what npm's settings say.

use clap::Args;
use clap::builder::FalseyValueParser;

#[derive(Debug, Args)]
#[command(next_help_heading = "Caches and network")]
pub struct SupplyArguments {
    /// Take nothing from npm's own cache, which is otherwise read before the network is asked
    #[arg(long, env = "RINGSTALL_NO_NPM_CACHE", value_parser = FalseyValueParser::new())]
    pub no_npm_cache: bool,
}
