//! Options that choose among the workspaces of a project.

use std::ffi::OsString;

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Workspaces")]
pub struct WorkspaceArguments {
    /// Install what this workspace needs, and nothing else; a name, or the path of a workspace or
    /// of a folder that holds some; can be given several times
    #[arg(short, long, value_name = "NAME|PATH")]
    pub workspace: Vec<String>,
    /// Install what all workspaces need, but not the root's own dependencies
    #[arg(long, value_name = "BOOL", overrides_with = "no_workspaces")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    workspaces: Option<bool>,
    /// Install what the root needs, and no workspaces; in a workspace's folder, take that for the
    /// project
    #[arg(long, overrides_with = "workspaces")]
    no_workspaces: bool,
    /// With --workspace or --workspaces, install the root's own dependencies too
    #[arg(long, value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub include_workspace_root: Option<bool>,
}

/// npm's shorthands with one dash and several letters, which no parser of options knows.
const SHORTHANDS: [(&str, &str); 2] =
    [("-ws", "--workspaces"), ("-iwr", "--include-workspace-root")];

/// The command line with npm's shorthands written out, up to `--`.
pub fn without_shorthands(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut is_option = true;
    let long = |argument: OsString| {
        is_option &= argument != "--";
        let shorthand = SHORTHANDS.iter().find(|(short, _)| is_option && argument == *short);
        shorthand.map_or(argument, |(_, long)| OsString::from(long))
    };
    arguments.map(long).collect()
}

impl WorkspaceArguments {
    /// The last of `--workspaces` and `--no-workspaces`.
    pub fn all(&self) -> Option<bool> {
        if self.no_workspaces { Some(false) } else { self.workspaces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthands_are_written_out_up_to_two_dashes() {
        let given = ["ci", "-ws", "-iwr", "-w", "a", "--", "-ws"].map(OsString::from);
        let expected = ["ci", "--workspaces", "--include-workspace-root", "-w", "a", "--", "-ws"];
        assert_eq!(without_shorthands(given.into_iter()), expected);
    }
}
