//! Placing packages that the cache holds: who makes their folders, and who links their files.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::{Depot, PACKAGES_AT_ONCE, Parcel};
use crate::backend::{Base, Class, Engine, FileQueue};
use crate::cache::Index;
use crate::error::Result;
use crate::integrity::CacheKey;
use crate::journal::PackageSource;
use crate::link::{Placed, make_directories, place_files};
use crate::site::Pieces;

/// A package that the cache holds, and who wants it.
#[derive(Clone, Copy)]
pub(super) struct Held<'h> {
    pub parcel: &'h Parcel<'h>,
    pub key: &'h CacheKey,
    pub index: &'h Index,
}

/// What the cache had before anything was downloaded, as the workers share it.
pub(super) struct Stored {
    pieces: Pieces,
    folders: Folders,
}

/// Who makes the folders of a piece.
enum Folders {
    /// Whoever places its files, just before.
    WithFiles,
    /// All workers, before any file is placed: whoever hands files to the kernel has a large
    /// share, and may be the only one.
    Before(Pieces),
    /// One worker, ahead of the others.
    Ahead(Ahead),
}

/// Two workers that make folders at the same time wait for each other in `node_modules` and, on
/// ext4, for the block of the inode table that both new folders are in. One that does nothing else
/// is some three times as fast as one that links what is in them, so that it is soon far ahead.
/// Nobody waits for it: who finds no folders made makes some.
struct Ahead {
    has_maker: AtomicBool,
    maker: Sender<Range<usize>>,
    made: Receiver<Range<usize>>,
}

impl Stored {
    pub fn new(depot: &Depot<'_, '_>) -> Self {
        let class = depot.placing_class();
        let engine = |class| depot.site.engines.engine(class, Base::Project);
        let weights: Vec<_> =
            depot.stored.iter().map(|number| depot.parcels[*number].weight()).collect();
        let pieces = |class| Pieces::new(depot.site, class, &weights, PACKAGES_AT_ONCE);
        let folders = match (engine(Class::MakeDirectory), engine(class)) {
            (Engine::Threads, Engine::Ring) => Folders::Before(pieces(Class::MakeDirectory)),
            (Engine::Threads, Engine::Threads) if depot.site.workers.count() > 1 => {
                let (maker, made) = crossbeam_channel::unbounded();
                Folders::Ahead(Ahead { has_maker: AtomicBool::new(false), maker, made })
            }
            _ => Folders::WithFiles,
        };
        Self { pieces: pieces(class), folders }
    }

    /// The folders that are made before any file is placed.
    pub fn folders_before(&self) -> Option<&Pieces> {
        match &self.folders {
            Folders::Before(pieces) => Some(pieces),
            Folders::WithFiles | Folders::Ahead(_) => None,
        }
    }
}

impl Depot<'_, '_> {
    /// One worker's part of it.
    pub(super) fn place_stored(
        &self,
        stored: &Stored,
        queue: &mut FileQueue,
        placed: &mut Placed,
    ) -> Result<()> {
        let Stored { pieces, folders } = stored;
        let made = match folders {
            Folders::Ahead(ahead) => {
                if !ahead.has_maker.swap(true, Ordering::Relaxed) {
                    // There is someone to take it as long as this is here.
                    let hand_on = |piece| drop(ahead.maker.send(piece));
                    self.make_folders(pieces, queue, placed, hand_on)?;
                }
                Some(&ahead.made)
            }
            Folders::Before(_) | Folders::WithFiles => None,
        };
        while !self.is_stopped.load(Ordering::Relaxed) {
            let made = made.and_then(|made| made.try_recv().ok());
            let has_folders = made.is_some() || matches!(folders, Folders::Before(_));
            let Some(piece) = made.or_else(|| pieces.take()) else { break };
            let packages = self.held(piece);
            let _span = self.site.journal.span(|| format!("place {} packages", packages.len()));
            if !has_folders {
                self.make_directories(queue, &packages, placed)?;
            }
            self.place_files(queue, &packages, placed)?;
            self.tell_placed(packages.iter().map(|held| (held.parcel, PackageSource::Cache, None)));
        }
        Ok(())
    }

    /// Makes the folders of pieces until none is left; each is handed on as soon as it has them.
    pub(super) fn make_folders(
        &self,
        pieces: &Pieces,
        queue: &mut FileQueue,
        placed: &mut Placed,
        hand_on: impl Fn(Range<usize>),
    ) -> Result<()> {
        while !self.is_stopped.load(Ordering::Relaxed) {
            let Some(piece) = pieces.take() else { break };
            let packages = self.held(piece.clone());
            let count = packages.len();
            let _span = self.site.journal.span(|| format!("make folders of {count} packages"));
            self.make_directories(queue, &packages, placed)?;
            hand_on(piece);
        }
        Ok(())
    }

    /// All directories first, so that those of a level are one batch.
    pub(super) fn place(
        &self,
        queue: &mut FileQueue,
        packages: &[Held<'_>],
        placed: &mut Placed,
    ) -> Result<()> {
        self.make_directories(queue, packages, placed)?;
        self.place_files(queue, packages, placed)
    }

    fn make_directories(
        &self,
        queue: &mut FileQueue,
        packages: &[Held<'_>],
        placed: &mut Placed,
    ) -> Result<()> {
        for Held { parcel, index, .. } in packages {
            for target in &parcel.targets {
                *placed += make_directories(queue, index, target)?;
            }
            if index.has_install_scripts() {
                let nodes = parcel.targets.iter().map(|target| target.node);
                self.lock().delivered.with_scripts.extend(nodes);
            }
        }
        Ok(())
    }

    fn place_files(
        &self,
        queue: &mut FileQueue,
        packages: &[Held<'_>],
        placed: &mut Placed,
    ) -> Result<()> {
        for Held { parcel, key, index } in packages {
            for target in &parcel.targets {
                *placed += place_files(queue, key, index, target, self.site.cache.umask())?;
                if let Some(stranger) = target.stranger(index) {
                    self.lock().strangers.push(stranger);
                }
            }
            if self.is_stopped.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// How most files will be placed.
    fn placing_class(&self) -> Class {
        let first = self.parcels.iter().find_map(|parcel| parcel.targets.first());
        first.map_or(Class::HardLink, |target| target.placement.mode().into())
    }

    fn held(&self, piece: Range<usize>) -> Vec<Held<'_>> {
        let held = self.stored[piece].iter().filter_map(|number| {
            let parcel = &self.parcels[*number];
            parcel.stored.as_ref().map(|(key, index)| Held { parcel, key, index })
        });
        held.collect()
    }
}
