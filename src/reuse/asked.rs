//! All that decides what is installed, as one digest: where it is the same as before, so is the
//! plan, and none has to be made.

use ring::digest;

use super::record::Digest;
use crate::platform::{Engines, Platform};
use crate::project::ProjectText;
use crate::selection::Selection;
use crate::workspaces::Workspace;

/// The machine that is installed for, and the one that this is.
#[derive(Debug)]
pub struct Machine {
    pub platform: Platform,
    pub host: Platform,
    pub engines: Engines,
}

/// What a plan is made from.
#[derive(Debug)]
pub struct Asked<'a> {
    pub text: &'a ProjectText,
    pub workspaces: &'a [Workspace],
    pub selection: &'a Selection,
    pub machine: &'a Machine,
    /// Settings and options, in any form that differs where they differ.
    pub settings: &'a str,
}

impl Asked<'_> {
    /// `targets` are the folders that links lead to, with their package.json where they have one.
    pub fn digest<'t>(
        &self,
        targets: impl Iterator<Item = (&'t str, Option<&'t str>)>,
    ) -> Option<Digest> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut put = |text: &str| {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        };
        self.text.texts().into_iter().for_each(&mut put);
        let Self { workspaces, selection, machine, settings, .. } = self;
        put(&format!("{workspaces:?} {selection:?} {machine:?}"));
        put(settings);
        for (path, manifest) in targets {
            put(path);
            put(if manifest.is_some() { "there" } else { "absent" });
            put(manifest.unwrap_or_default());
        }
        Digest::try_from(context.finish().as_ref()).ok()
    }
}
