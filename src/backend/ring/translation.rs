//! From the installer's operations to those of the ring and, where one failed, back.

use ringstall_linux::{FileOperation, Fill};

use crate::backend::engines::Class;
use crate::backend::place::Placement;
use crate::backend::{At, Base, Operation};

/// What an operation on the ring needs to be done anew.
#[derive(Debug)]
pub(super) struct Tag {
    pub class: Class,
    /// Of a file that is placed.
    placing: Option<(Placement, u32)>,
}

impl Tag {
    pub fn new(class: Class) -> Self {
        Self { class, placing: None }
    }
}

pub(super) fn at_on_ring(at: At) -> ringstall_linux::At {
    ringstall_linux::At { directory: at.base as usize, path: at.path }
}

/// All but removals, which are many operations.
pub(super) fn to_ring(operation: Operation, class: Class) -> (FileOperation, Tag) {
    let at = at_on_ring;
    let mut tag = Tag::new(class);
    let operation = match operation {
        Operation::MakeDirectory { at: path, mode } => {
            FileOperation::MakeDirectory { at: at(path), mode }
        }
        Operation::WriteFile { at: path, mode, bytes } => {
            FileOperation::WriteFile { at: at(path), mode, bytes }
        }
        Operation::PlaceFile { source, target, mode, placement } => {
            let (source, target) = (at(source), at(target));
            let fill = match class {
                Class::Clone => Some(Fill::Clone),
                Class::Copy => Some(Fill::Copy),
                _ => None,
            };
            tag.placing = Some((placement, mode));
            match fill {
                None => FileOperation::Link { source, target },
                Some(fill) => FileOperation::Duplicate { source, target, mode, fill },
            }
        }
        Operation::MakeSymlink { target, at: path } => {
            FileOperation::Symlink { target, at: at(path) }
        }
        Operation::MoveAside { from, to } => FileOperation::Rename { from: at(from), to: at(to) },
        Operation::Remove { .. } => unreachable!("a removal is many operations"),
    };
    (operation, tag)
}

pub(super) fn from_ring(operation: FileOperation, tag: Tag) -> Operation {
    let at = |at: ringstall_linux::At| {
        let base = if at.directory == Base::Cache as usize { Base::Cache } else { Base::Project };
        At { base, path: at.path }
    };
    match operation {
        FileOperation::MakeDirectory { at: path, mode } => {
            Operation::MakeDirectory { at: at(path), mode }
        }
        FileOperation::WriteFile { at: path, mode, bytes } => {
            Operation::WriteFile { at: at(path), mode, bytes }
        }
        FileOperation::Link { source, target }
        | FileOperation::Duplicate { source, target, .. } => {
            let (placement, mode) = tag.placing.unwrap_or_default();
            Operation::PlaceFile { source: at(source), target: at(target), mode, placement }
        }
        FileOperation::Symlink { target, at: path } => {
            Operation::MakeSymlink { target, at: at(path) }
        }
        FileOperation::Rename { from, to } => Operation::MoveAside { from: at(from), to: at(to) },
        FileOperation::RemoveFile { at: path } | FileOperation::RemoveDirectory { at: path } => {
            Operation::Remove { at: at(path) }
        }
    }
}
