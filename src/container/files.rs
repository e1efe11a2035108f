//! The files that a container gets from stack: /etc/hosts, /etc/resolv.conf, /etc/hostname, secrets and configs.
//!
//! They lie in `containers/<id>/files/` and are bind-mounted; so they never end up in the writable layer.

use std::{io, path::Path};

use compose_spec::model::FileSource;
use fs_err as fs;

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Name below the directory; may have one directory part (`secrets/token`).
    pub name: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// Writes the files below a directory that only root can enter.
pub fn write_files(directory: &Path, files: &[FileSpec]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for file in files {
        let path = directory.join(&file.name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.content)?;
        std::os::unix::fs::chown(&path, Some(file.owner.0), Some(file.owner.1))?;
        fs::set_permissions(&path, std::fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

/// Returns the content of a secret or config, or why there is none.
pub fn object_content(source: &FileSource) -> Result<Vec<u8>, String> {
    match source {
        FileSource::File(path) => fs::read(path).map_err(|error| error.to_string()),
        FileSource::Environment {
            value: Some(value), ..
        } => Ok(value.clone().into_bytes()),
        FileSource::Environment {
            variable,
            value: None,
        } => Err(format!("environment variable `{variable}` is not set")),
        FileSource::Content(text) => Ok(text.clone().into_bytes()),
        FileSource::External => Err("external secrets and configs do not exist here".to_owned()),
    }
}
