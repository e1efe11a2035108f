//! The files of an image in a directory of the host: `--output type=local`.

use std::path::{Path, PathBuf};

use super::{
    error::StepFailure,
    files::{Destination, Owner, Placer, Selector, Tree, mount},
    ignore::Ignore,
    workspace::Workspace,
};
use crate::store::Root;

/// Copies what layers show, the topmost first, into a directory, which is made when it is missing. Everything belongs to root there.
///
/// What is there already stays unless a file of the same name comes; links that are there are never followed out of the directory.
pub fn copy_out(root: &Root, layers: &[PathBuf], destination: &Path) -> Result<(), StepFailure> {
    fs_err::create_dir_all(destination).map_err(StepFailure::Prepare)?;
    let workspace = Workspace::create(&root.tmp()).map_err(StepFailure::Prepare)?;
    // Without an upper, overlayfs wants two.
    let mut lowers = layers.to_vec();
    lowers.push(workspace.empty().to_owned());
    let tree = match layers {
        [] => Tree::open(workspace.empty())?,
        _ => Tree::of_mount(mount(&lowers, None)?, "the image"),
    };
    let nothing = Ignore::default();
    let selector = Selector {
        tree: &tree,
        ignore: &nothing,
        exclude: &nothing,
        ownerless: true,
        parents: false,
    };
    let items = selector.select(".")?;
    let target = Tree::open(destination)?;
    let owner = Owner { uid: 0, gid: 0 };
    let mut placer = Placer::new(&target, Some(owner), None);
    let place = Destination {
        path: PathBuf::new(),
        directory: true,
    };
    for item in &items {
        placer.place(&tree, item, &place)?;
    }
    Ok(())
}
