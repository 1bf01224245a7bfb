//! What becomes of a script that fails, or that a signal ends: the error and the status.

use std::io;
use std::os::unix::process::ExitStatusExt as _;

use super::packages::Package;
use super::run::{Ended, Launch, Stream};
use crate::error::{Code, Error};
use crate::running::status_of;

/// The error of a script that did not end well.
pub fn failure(
    package: &Package,
    event: &str,
    launch: &Launch,
    ended: io::Result<Ended>,
) -> Option<Error> {
    let place = match (package.label.as_str(), package.path.as_str()) {
        ("", _) => "the project".to_owned(),
        (label, "") => label.to_owned(),
        (label, path) => format!("{label} in `{path}`"),
    };
    let what = format!("the `{event}` script of {place}");
    let ended = match ended {
        Ok(ended) if ended.is_success() => return None,
        Ok(ended) => ended,
        Err(cause) => {
            let message = format!("{what} could not be run with `{}`", launch.shell);
            return Some(Error::new(Code::Lifecycle, message).with_source(cause));
        }
    };
    let script = launch.script.trim().replace('\n', "\n> ");
    let mut message = format!("{what} {}\n\n> {script}", ended.describe());
    let output = ended.output.text();
    if !output.is_empty() {
        message.push('\n');
        message.push_str(&output);
    }
    Some(Error::new(Code::Lifecycle, message).with_exit_code(exit_code(&ended, launch.stream)))
}

/// npm ends with the script's own code. A script with the terminal that a signal has ended makes
/// npm end by that signal; one in the background makes it end with 1.
fn exit_code(ended: &Ended, stream: Stream) -> u8 {
    match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1).max(1),
        (None, Some(signal)) if stream != Stream::Kept => status_of(signal),
        _ => 1,
    }
}
