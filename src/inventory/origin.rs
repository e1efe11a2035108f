//! Which layer brought a package, where one file lists them all.
//!
//! Every layer that changes a package writes the whole list anew. A package belongs to the lowest layer from which on all copies
//! of the list have it as it is: one that was removed and installed again belongs to the layer that installed it again.

use std::collections::HashSet;

use super::{
    InventoryError, Package, ReadError, StoredFile,
    files::{Collector, Owner},
    path::shown,
};

/// A package of a list, with the files that it owns.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) package: Package,
    /// Absolute paths.
    pub(super) files: Vec<Vec<u8>>,
}

/// What tells packages of a list apart.
type Key = (String, String, Option<String>);

/// Reads a list by its path in the image, if it is there, and adds its packages. Returns whether it was there.
pub(super) fn read_list(
    collector: &mut Collector<'_>,
    path: &[u8],
    parse: impl Fn(&StoredFile) -> Result<Vec<Listed>, ReadError>,
) -> Result<bool, InventoryError> {
    let Some((path, node)) = collector.tree.file(path)? else {
        return Ok(false);
    };
    let top = parse(&collector.tree.open_file(&path, &node)?);
    let Some(top) = collector.or_unread(&path, top) else {
        return Ok(true);
    };
    let mut below = Vec::new();
    for (layer, file) in collector.tree.copies(&path)? {
        if layer < node.layer {
            // A copy that cannot be read ends the search: what it listed counts as brought by the next layer.
            let listed = parse(&file).unwrap_or_default();
            below.push((
                layer,
                listed.iter().map(|listed| key(&listed.package)).collect(),
            ));
        }
    }
    for mut listed in top {
        listed.package.layer = brought(&below, &key(&listed.package)).unwrap_or(node.layer);
        if listed.package.location.is_empty() {
            listed.package.location = shown(&path);
        }
        for file in &listed.files {
            collector.own(file, Owner::Distro)?;
        }
        collector.add(listed.package);
    }
    Ok(true)
}

fn key(package: &Package) -> Key {
    (
        package.name.clone(),
        package.version.clone(),
        package.architecture.clone(),
    )
}

/// Finds the lowest of the copies, the lowest first, from which on all have the key.
fn brought(copies: &[(usize, HashSet<Key>)], key: &Key) -> Option<usize> {
    let having = copies.iter().rev();
    let having = having.take_while(|(_, keys)| keys.contains(key));
    having.last().map(|(layer, _)| *layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_belongs_to_the_layer_that_brought_it_as_it_is() {
        let key = |name: &str, version: &str| (name.to_owned(), version.to_owned(), None);
        let copies = [
            (
                0,
                HashSet::from([key("a", "1"), key("b", "1"), key("c", "1")]),
            ),
            (2, HashSet::from([key("a", "1"), key("b", "2")])),
            (
                3,
                HashSet::from([key("a", "1"), key("b", "2"), key("c", "1")]),
            ),
        ];
        assert_eq!(brought(&copies, &key("a", "1")), Some(0));
        assert_eq!(brought(&copies, &key("b", "2")), Some(2));
        assert_eq!(
            brought(&copies, &key("c", "1")),
            Some(3),
            "it was away meanwhile"
        );
        assert_eq!(brought(&copies, &key("d", "1")), None);
    }
}
