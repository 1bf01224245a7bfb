//! One line of advice for each thing that is refused or stands in the way.

use super::{Folder, Report, Trial};
use crate::backend::{Filesystem, RingPart, RingPartRole};

/// Fewer are not enough for all the connections that are wanted, a quarter of them.
const OPEN_FILES_WANTED: u64 = 256;

impl Report {
    /// What could be done so that more is allowed; nothing where all is.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let ring = [&self.ring.files, &self.ring.sockets];
        for refused in ring.into_iter().flatten() {
            let line = format!("io_uring: {}", refused.advice);
            if !advice.contains(&line) {
                advice.push(line);
            }
        }
        advice.extend(missing_parts(&self.ring.parts));
        advice.extend(self.placement_advice());
        advice.extend(layer_advice(&self.cache));
        if let Some(most) = self.open_files_max.filter(|most| *most < OPEN_FILES_WANTED) {
            advice.push(format!(
                "open files: only {most} are allowed, so that fewer connections are used; raise \
                 the limit (ulimit -n)"
            ));
        }
        advice
    }

    fn placement_advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        match &self.hard_link {
            Trial::Works => {}
            Trial::Fails(_) => advice.push(
                "hard link: keep the cache on the filesystem of the project (--cache), or files \
                 are cloned or copied"
                    .to_owned(),
            ),
            Trial::Unknown(_) => advice.push(
                "hard link: let this user write to the cache and the project, or it cannot be tried"
                    .to_owned(),
            ),
        }
        if let Trial::Fails(_) = &self.reflink {
            advice.push(
                "reflink: keep both folders on one btrfs or xfs if projects should have inodes of \
                 their own without a copy; hard links do not need it"
                    .to_owned(),
            );
        }
        advice
    }
}

fn missing_parts(parts: &[RingPart]) -> Option<String> {
    let is_missed = |part: &&RingPart| part.errno.is_some() && part.role == RingPartRole::Faster;
    let missing = parts.iter().filter(is_missed);
    let names: Vec<_> = missing.map(|part| format!("{} ({})", part.name, part.since)).collect();
    (!names.is_empty())
        .then(|| format!("io_uring: a kernel that has {} would be faster", names.join(", ")))
}

/// In a container the layers have names of the host's, and what lies in them cannot be told.
fn layer_advice(cache: &Folder) -> Option<String> {
    let what = if !cache.layers.is_empty() {
        "the cache lies in a lower layer"
    } else if cache.missing.is_none() && cache.filesystem == Filesystem::Overlay {
        "what came into the cache with an image lies in a lower layer"
    } else {
        return None;
    };
    Some(format!(
        "overlay: {what}, where the first hard link to a file copies it; fill the cache in the \
         step that installs, or keep it and the project on one volume"
    ))
}
