//! Keeping threads that write packages at the same time apart, on xfs.
//!
//! xfs makes a file in the allocation group of its folder, and whoever makes one has the group's
//! inodes to itself for so long: two threads that make files in the same group wait for each other
//! at every few files. Folders go round the groups, whoever makes them (`xfs_dialloc_pick_ag` in
//! fs/xfs/libxfs/xfs_ialloc.c). So one that has come to be where somebody else writes is laid by,
//! for whoever will be alone there. Other filesystems are not asked for anything.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, mkdirat, renameat, statat};
use rustix::io::Errno;

use super::temporary_name;
use crate::backend::{AllocationGroups, Base, Bases, allocation_groups};
use crate::error::{Error, Result};

/// Who writes where. Folders that are laid by are removed with it.
#[derive(Debug)]
pub(super) struct Seats {
    directory: PathBuf,
    /// `None` where there are none, or none to choose from.
    groups: Option<AllocationGroups>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many write in a group; nobody does where it is not named.
    writers: HashMap<u64, u32>,
    /// Empty folders, relative to the cache's directory, and their groups.
    spares: Vec<(u64, String)>,
}

/// The group that one writer is in. It has left when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    group: Option<u64>,
}

/// How many folders are made for one. Those that are made in turn are in as many groups, unless
/// others make some in between.
const TRIES_MAX: usize = 4;
/// Folders that are laid by; with as many, some are in every group where anyone will look.
const SPARES_MAX: usize = 256;

impl Seats {
    /// Of the cache whose folder for one umask is `directory`.
    pub fn of(directory: &Path) -> Arc<Self> {
        let groups = File::open(directory).ok().and_then(allocation_groups);
        Arc::new(Self {
            directory: directory.to_owned(),
            groups: groups.filter(|groups| groups.count() > 1),
            state: Mutex::default(),
        })
    }

    fn leave(&self, group: Option<u64>) {
        if let Some(group) = group {
            self.lock().leave(group);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether nowhere are fewer writers than there.
    fn is_best(&self, group: u64, groups: u32) -> bool {
        let is_somewhere_free = self.writers.len() < groups as usize;
        let fewest = self.writers.values().min().filter(|_| !is_somewhere_free);
        self.writers.get(&group) <= fewest
    }

    fn enter(&mut self, group: u64) {
        *self.writers.entry(group).or_default() += 1;
    }

    /// Enters a group that is good, or any where there is no choice left.
    fn enter_good(&mut self, group: u64, groups: u32, has_no_choice: bool) -> bool {
        let is_entered =
            has_no_choice || self.spares.len() >= SPARES_MAX || self.is_best(group, groups);
        if is_entered {
            self.enter(group);
        }
        is_entered
    }

    fn leave(&mut self, group: u64) {
        if let Some(count) = self.writers.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.writers.remove(&group);
            }
        }
    }

    /// A spare in a good group, which is entered.
    fn take_spare(&mut self, groups: u32) -> Option<(u64, String)> {
        let position = self.spares.iter().position(|(group, _)| self.is_best(*group, groups))?;
        let (group, spare) = self.spares.swap_remove(position);
        self.enter(group);
        Some((group, spare))
    }
}

impl Seat {
    pub fn new(seats: &Arc<Seats>) -> Self {
        Self { seats: Arc::clone(seats), group: None }
    }

    /// Makes a folder, relative to the cache's directory, and takes a seat there in place of that
    /// before.
    pub fn make_folder(&mut self, bases: &Bases, path: &str) -> Result<()> {
        let cache = bases.fd(Base::Cache);
        let failed = |errno: Errno| {
            Error::io("make directory", self.seats.directory.join(path), errno.into())
        };
        let Some(groups) = self.seats.groups else {
            return mkdirat(cache, path, Mode::RWXU).map_err(failed);
        };
        self.seats.leave(self.group.take());
        let spare = self.seats.lock().take_spare(groups.count());
        if let Some((group, spare)) = spare {
            if renameat(cache, &spare, cache, path).is_ok() {
                self.group = Some(group);
                return Ok(());
            }
            // Somebody has cleared it away.
            self.seats.leave(Some(group));
        }
        for tries_left in (0..TRIES_MAX).rev() {
            mkdirat(cache, path, Mode::RWXU).map_err(failed)?;
            let stat = statat(cache, path, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            let group = groups.of_inode(stat.st_ino);
            if self.seats.lock().enter_good(group, groups.count(), tries_left == 0) {
                self.group = Some(group);
                break;
            }
            let spare = temporary_name()?;
            renameat(cache, path, cache, &spare).map_err(failed)?;
            self.seats.lock().spares.push((group, spare));
        }
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.leave(self.group.take());
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (_, spare) in &state.spares {
            // One that stays is removed when the cache is opened a day later.
            let _ = std::fs::remove_dir(self.directory.join(spare));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(writers: &[u64], spares: &[u64]) -> State {
        let mut state = State::default();
        for group in writers {
            state.enter(*group);
        }
        state.spares = spares.iter().map(|group| (*group, format!("tmp/{group}"))).collect();
        state
    }

    #[test]
    fn the_best_groups_are_those_with_the_fewest_writers() {
        let best = |writers: &[u64]| {
            let state = state(writers, &[]);
            (0..4).filter(|group| state.is_best(*group, 4)).collect::<Vec<_>>()
        };
        assert_eq!(best(&[]), [0, 1, 2, 3]);
        assert_eq!(best(&[1, 1, 3]), [0, 2]);
        assert_eq!(best(&[0, 1, 2, 3, 0, 3]), [1, 2]);
    }

    #[test]
    fn a_group_is_free_when_its_last_writer_has_left() {
        let mut state = state(&[2, 2], &[]);
        state.leave(2);
        assert!(!state.is_best(2, 4));
        state.leave(2);
        assert!(state.is_best(2, 4));
    }

    #[test]
    fn a_spare_is_taken_where_nobody_writes_and_by_one_only() {
        let mut state = state(&[0], &[0, 1, 1]);
        assert_eq!(state.take_spare(4), Some((1, "tmp/1".to_owned())));
        assert_eq!(state.take_spare(4), None);
        state.leave(1);
        assert_eq!(state.take_spare(4), Some((1, "tmp/1".to_owned())));
        assert_eq!(state.spares, [(0, "tmp/0".to_owned())]);
    }
}
