//! What the command line sets: npm's settings under npm's names, before all other places.

use std::fmt;

use super::ini::{Entries, Entry};

/// Settings by name. Its `Debug` shows names only: a token may be among the values.
#[derive(Clone, Default)]
pub struct Overrides {
    entries: Entries,
}

impl Overrides {
    /// Sets a key; the last value counts.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.entries.insert(key.to_owned(), Entry::one(value));
    }

    /// Adds to a key that is a list.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        let entry = self.entries.entry(key.to_owned()).or_default();
        entry.is_list = true;
        entry.values.push(value.into());
    }

    /// What is set, by key.
    pub fn values(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.as_str(), entry.values.iter().map(String::as_str).collect()))
    }

    pub(super) fn entries(&self) -> Entries {
        self.entries.clone()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Overrides {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let mut overrides = Self::default();
        for (key, value) in pairs {
            overrides.set(key, value);
        }
        overrides
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.entries.keys()).finish()
    }
}
