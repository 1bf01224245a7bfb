//! A failure as JSON: npm's names for what npm tells, and ours for the causes and the hint.

use std::error::Error as StdError;

use serde_json::{Value, json};

use super::remedy::remedy;
use crate::error::Error;

/// The document of `--json`.
pub fn json_text(error: &Error) -> String {
    format!("{:#}", json!({"schemaVersion": 1, "error": value(error)}))
}

/// `summary` and `detail` are npm's (npm 11.19, lib/utils/output-error.js): what happened, and
/// what led to it, a line each.
pub fn value(error: &Error) -> Value {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(source) = cause {
        causes.push(source.to_string());
        cause = source.source();
    }
    json!({
        "code": error.code().as_str(),
        "summary": error.to_string(),
        "detail": causes.join("\n"),
        "causes": causes,
        "hint": remedy(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::io;

    #[test]
    fn it_has_the_code_the_causes_and_the_hint() {
        let cause = Error::io("open", "a", io::Error::other("disk on fire"));
        let error = Error::new(Code::Cache, "no cache").with_source(cause).with_hint("buy a disk");
        let expected = json!({
            "code": "ECACHE",
            "summary": "no cache",
            "detail": "failed to open `a`\ndisk on fire",
            "causes": ["failed to open `a`", "disk on fire"],
            "hint": "buy a disk",
        });
        assert_eq!(value(&error), expected);
    }
}
