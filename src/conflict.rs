//! Merge conflicts in JSON files.
//!
//! npm takes one side of a conflict in a lockfile or package.json and goes on (parse-conflict-json
//! 5). Which side a machine was meant to install nobody knows, so here it is an error.

use crate::error::{Code, Error};

/// An error that names the place of a merge conflict in a file that is no JSON, where there is one.
pub fn conflict(path: &str, text: &str, remedy: &str) -> Option<Error> {
    let line = text.lines().position(|line| line.starts_with("<<<<<<<"))?;
    let message = format!("`{path}` has a merge conflict at line {}", line + 1);
    Some(Error::new(Code::JsonParse, message).with_hint(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_named_with_its_line() {
        let text = "{\n<<<<<<< HEAD\n  \"a\": 3\n=======\n>>>>>>> b\n}";
        let error = conflict("package.json", text, "settle it").unwrap();
        let expected = "EJSONPARSE: `package.json` has a merge conflict at line 2";
        assert_eq!((format!("{error:?}").as_str(), error.hint()), (expected, Some("settle it")));
    }

    #[test]
    fn markers_inside_a_line_are_no_conflict() {
        assert!(conflict("package.json", "{\"a\": \"<<<<<<< b\"", "").is_none());
    }
}
