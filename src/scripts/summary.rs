//! What is told about scripts when all is done: what ran, and what nobody has allowed, with the
//! lines that allow it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::packages::{DEPENDENCY_EVENTS, Unreviewed};
use super::policy::ScriptMode;
use super::{Ran, count_ran};
use crate::error::{Code, Error};
use crate::plan::count;

#[derive(Clone, Debug, Default)]
pub struct ScriptSummary {
    pub mode: ScriptMode,
    pub ran: Vec<Ran>,
    pub unreviewed: Vec<Unreviewed>,
}

/// A command longer than this tells nothing more.
const SHOWN_CHARACTERS_MAX: usize = 120;

impl ScriptSummary {
    /// What is to be warned of, if anything.
    pub fn warning(&self) -> Option<String> {
        if self.unreviewed.is_empty() {
            return None;
        }
        let done = if self.mode == ScriptMode::All { "they were run" } else { "they were not run" };
        let verb = if self.unreviewed.len() == 1 { "has" } else { "have" };
        let mut text = format!(
            "{} {verb} scripts that `allowScripts` does not speak of; {done}{}",
            count(self.unreviewed.len(), "package"),
            lines(&self.unreviewed),
        );
        // Writing to a String does not fail.
        let _ = write!(text, "\nto allow exactly these, put this into package.json:\n");
        let _ = write!(text, "\"allowScripts\": {:#}", self.allowance());
        Some(text)
    }

    /// `ran 3 scripts of 2 packages`, if any did.
    pub fn closing(&self) -> Option<String> {
        (!self.ran.is_empty()).then(|| format!("ran {}", count_ran(&self.ran)))
    }

    pub fn json(&self) -> Value {
        let ran = self
            .ran
            .iter()
            .map(|ran| json!({"name": ran.label, "path": ran.path, "event": ran.event}));
        let unreviewed = self.unreviewed.iter().map(|one| {
            let Unreviewed { label, path, key, scripts, .. } = one;
            json!({"name": label, "path": path, "key": key, "scripts": scripts})
        });
        json!({
            "ran": ran.collect::<Vec<_>>(),
            "unreviewed": unreviewed.collect::<Vec<_>>(),
            "allowScripts": self.allowance(),
        })
    }

    fn allowance(&self) -> Value {
        let keys = self.unreviewed.iter().map(|one| (one.key.clone(), true.into()));
        keys.collect::<Map<_, _>>().into()
    }
}

/// The error of `strict-allow-scripts`.
pub fn refuse_unreviewed(unreviewed: &[Unreviewed]) -> Error {
    let verb = if unreviewed.len() == 1 { "has" } else { "have" };
    let message = format!(
        "{} {verb} scripts that `allowScripts` does not speak of, and `strict-allow-scripts` is \
         set{}",
        count(unreviewed.len(), "package"),
        lines(unreviewed)
    );
    Error::new(Code::StrictAllowScripts, message)
        .with_hint("allow or deny them in `allowScripts` of package.json, with true or false")
}

/// One line a package, each after a line break.
fn lines(unreviewed: &[Unreviewed]) -> String {
    let line = |one: &Unreviewed| {
        let scripts = DEPENDENCY_EVENTS.iter().filter_map(|event| {
            let script = one.scripts.get(*event)?;
            let script = script.replace('\n', " ");
            let mut shown: String = script.chars().take(SHOWN_CHARACTERS_MAX).collect();
            if shown.len() < script.len() {
                shown.push_str("...");
            }
            Some(format!("{event}: {shown}"))
        });
        let scripts = scripts.collect::<Vec<_>>().join("; ");
        if scripts.is_empty() {
            format!("\n  {} in {}", one.label, one.path)
        } else {
            format!("\n  {} ({scripts})", one.label)
        }
    };
    unreviewed.iter().map(line).collect()
}
