//! rpm: the package database in each of its three forms, and the headers in it.
//!
//! ```text
//! rpmdb.sqlite   SQLite          Fedora, RHEL 9 and later, Amazon Linux 2023
//! Packages.db    ndb, rpm's own  SUSE
//! Packages       Berkeley DB     RHEL 8 and before, Amazon Linux 2
//! ```

mod bdb;
mod header;
mod ndb;
mod sqlite;

use super::{
    InventoryError, ReadAt, ReadError, StoredFile,
    files::Collector,
    origin::{Listed, read_list},
};

/// Where databases are: as rpm's macro `_dbpath` says on the distributions there are.
const DIRECTORIES: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

/// Largest header of one package: that of a kernel's sources has 10 MB.
const HEADER_BYTES_MAX: u64 = 64 << 20;

/// Largest database: those of full desktops have 300 MB.
const DATABASE_BYTES_MAX: u64 = 2 << 30;

/// A reader of one form: gives the header of every package.
type Reader = fn(&dyn ReadAt, &mut dyn FnMut(Vec<u8>)) -> Result<(), ReadError>;

const FORMS: [(&str, Reader); 3] = [
    ("rpmdb.sqlite", sqlite::headers),
    ("Packages.db", ndb::headers),
    ("Packages", bdb::headers),
];

/// Adds the packages of rpm.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    for directory in DIRECTORIES {
        for (name, reader) in FORMS {
            let path = format!("{directory}/{name}");
            if read_list(collector, path.as_bytes(), |file| parse(file, reader))? {
                log(collector, &path)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn parse(file: &StoredFile, reader: Reader) -> Result<Vec<Listed>, ReadError> {
    if file.size() > DATABASE_BYTES_MAX {
        return Err(ReadError::TooBig {
            bytes: file.size(),
            most: DATABASE_BYTES_MAX,
        });
    }
    let mut found = Vec::new();
    let mut broken = None;
    reader(file, &mut |bytes| match header::parse(&bytes) {
        Ok(listed) => found.extend(listed),
        Err(error) => broken = Some(error),
    })?;
    match broken {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// SQLite keeps recent changes in a file beside the database until somebody moves them into it.
fn log(collector: &mut Collector<'_>, path: &str) -> Result<(), InventoryError> {
    let log = format!("{path}-wal");
    if let Some((path, node)) = collector.tree.file(log.as_bytes())?
        && node.size > 0
    {
        collector.unread(&path, "changes in a write-ahead log are not read");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
