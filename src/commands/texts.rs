//! `ringstall completions` and `ringstall man`: texts that are made from the command line itself.

use crate::cli::{CompletionsArguments, ManualArguments, write_completions, write_manual};
use crate::error::{Code, Error, Result};
use crate::report::Reporter;

pub fn completions(arguments: &CompletionsArguments, reporter: Reporter) -> Result<()> {
    let script = write_completions(arguments).map_err(|error| failed("completions", error))?;
    reporter.line(script.trim_end())
}

pub fn manual(arguments: &ManualArguments, reporter: Reporter) -> Result<()> {
    let page = write_manual(arguments).map_err(|error| failed("manual page", error))?;
    let Some(page) = page else {
        let name = arguments.command.join(" ");
        return Err(Error::new(Code::Usage, format!("ringstall has no command `{name}`"))
            .with_hint("`ringstall --help` lists the commands"));
    };
    reporter.line(page.trim_end())
}

fn failed(what: &str, cause: std::io::Error) -> Error {
    Error::new(Code::Io, format!("failed to write the {what}")).with_source(cause)
}
