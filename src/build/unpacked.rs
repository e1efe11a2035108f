//! A context that is a tar archive: `stack image build - < context.tar`.

use std::os::fd::AsFd;

use super::{
    error::BuildError,
    input::BuildInput,
    workspace::{StepRoom, Workspace},
};
use crate::{image::unpack_archive, store::Root};

/// An unpacked context; it is removed when this is dropped.
#[derive(Debug)]
pub struct UnpackedContext {
    // In this order: the room lies in the workspace.
    _room: StepRoom,
    _workspace: Workspace,
}

impl BuildInput {
    /// Unpacks a context that is a file, and makes the build read what was in it; `None` when it is a directory.
    ///
    /// # Errors
    ///
    /// A file that is no archive, or one that holds what is refused: names that lead out stay inside, removals are refused.
    pub fn unpack_context(&mut self, root: &Root) -> Result<Option<UnpackedContext>, BuildError> {
        let read = |source| BuildError::Read {
            path: self.context.display().to_string(),
            source,
        };
        let metadata = fs_err::metadata(&self.context).map_err(read)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        let archive = fs_err::File::open(&self.context).map_err(read)?;
        let workspace = Workspace::create(&root.tmp()).map_err(BuildError::Workspace)?;
        let room = workspace.step().map_err(BuildError::Workspace)?;
        let directory = room.directory("context").map_err(BuildError::Workspace)?;
        let opened = fs_err::File::open(&directory).map_err(BuildError::Workspace)?;
        unpack_archive(archive, opened.as_fd(), metadata.len()).map_err(|source| {
            BuildError::Archive {
                path: self.context.display().to_string(),
                source,
            }
        })?;
        self.context = directory;
        self.one_time_context = true;
        Ok(Some(UnpackedContext {
            _room: room,
            _workspace: workspace,
        }))
    }
}
