//! What a command said and how it ended, with everything that differs between runs replaced.

use std::process::Output;

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// `names` are texts and what to write in their place, the longest first.
    pub fn new(output: &Output, names: &[(String, &str)]) -> Self {
        let text = |bytes: &[u8]| {
            let mut text = String::from_utf8(bytes.to_vec()).unwrap();
            for (from, to) in names {
                text = text.replace(from, to);
            }
            without_durations(&text)
        };
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Success, with nothing to complain of.
    #[track_caller]
    pub fn assert_quiet_success(&self) {
        self.assert_success();
        assert_eq!(self.stderr, "");
    }

    #[track_caller]
    pub fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
    }

    /// Exit code 1, nothing on stdout, and exactly these lines on stderr.
    #[track_caller]
    pub fn assert_failure(&self, expected: &[&str]) {
        let expected: String = expected.iter().flat_map(|line| [*line, "\n"]).collect();
        assert!(self.stderr == expected, "stderr is\n{}\nbut should be\n{expected}\n", self.stderr);
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""));
    }

    /// Exit code 1, nothing on stdout, and one error with this code. Gives its message.
    #[track_caller]
    pub fn assert_error(&self, code: &str) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{}", self.stderr);
        let errors: Vec<_> =
            self.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "one error is reported once:\n{}", self.stderr);
        let message = errors[0].strip_prefix(code).and_then(|rest| rest.strip_prefix(": "));
        message.unwrap_or_else(|| panic!("the error should be {code}:\n{}", self.stderr))
    }

    /// The object that `--json` printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.assert_success();
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// `in 0.1 s`, `in 12 ms` and their like become `in [TIME]`.
fn without_durations(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let mut place = 0;
    while place + 2 < words.len() {
        let is_number = words[place + 1].parse::<f64>().is_ok();
        let unit = ["ms", "s", "µs", "min"]
            .into_iter()
            .find(|unit| words[place + 2].trim_end_matches(['\n', ',', ')', ':']) == *unit);
        if let Some(unit) = unit.filter(|_| is_number && words[place] == "in") {
            let end = words[place + 2][unit.len()..].to_owned();
            words.splice(place + 1..=place + 2, [format!("[TIME]{end}")]);
        }
        place += 1;
    }
    words.join(" ")
}
