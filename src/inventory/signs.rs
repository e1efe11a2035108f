//! By which names files tell of packages. Pure.

use super::tree::Node;

/// Whether files of this name may be candidates.
pub(super) fn tells_of_packages(name: &[u8]) -> bool {
    matches!(
        name,
        b"METADATA" | b"PKG-INFO" | b"package.json" | b"package-lock.json"
    ) || name.ends_with(b".egg-info")
        || is_java(name)
}

/// A Java archive.
pub(super) fn is_java(name: &[u8]) -> bool {
    let ends = [&b".jar"[..], b".war", b".ear", b".jpi", b".hpi"];
    ends.iter().any(|end| name.ends_with(end))
}

/// The metadata of an installed Python package.
pub(super) fn is_python(name: &[u8], directory: &[u8]) -> bool {
    match name {
        b"METADATA" => directory.ends_with(b".dist-info"),
        b"PKG-INFO" => directory.ends_with(b".egg-info") || directory == b"EGG-INFO",
        // What distutils leaves: a file, not a directory.
        name => name.ends_with(b".egg-info"),
    }
}

/// `…/node_modules/NAME/package.json` and `…/node_modules/@SCOPE/NAME/package.json`. Of the last, `above` is the rest of the path.
pub(super) fn is_node_package(second: &[u8], above: &[u8]) -> bool {
    let last = above.rsplit(|byte| *byte == b'/').next();
    second == b"node_modules"
        || second.starts_with(b"@") && last.is_some_and(|name| name == b"node_modules")
}

/// Managers that are not read, by the files that they leave.
pub(super) fn unsupported(path: &[u8], name: &[u8], directory: &[u8]) -> Option<&'static str> {
    let ends = |end: &[u8]| name.ends_with(end);
    Some(match (directory, name) {
        (b"specifications" | b"default", _) if ends(b".gemspec") => "Ruby gems",
        (b"composer", b"installed.json") => "PHP packages (Composer)",
        (b"conda-meta", _) if ends(b".json") => "conda packages",
        (_, _) if ends(b".deps.json") => ".NET packages",
        (_, b"yarn.lock" | b"pnpm-lock.yaml") if !contains(path, b"node_modules/") => {
            "lock files of yarn and pnpm"
        }
        (_, b"Cargo.lock") => "lock files of Cargo",
        (_, b"poetry.lock" | b"Pipfile.lock" | b"uv.lock") => "lock files of Python",
        (_, b"desc") if path.starts_with(b"var/lib/pacman/local/") => "pacman packages",
        (_, b"PF") if path.starts_with(b"var/db/pkg/") => "Portage packages",
        (_, b"status") if contains(path, b"lib/opkg/") => "the package list of opkg",
        (_, b"db.sqlite") if path.starts_with(b"nix/var/nix/db/") => "the Nix store",
        (_, b"DESCRIPTION") if contains(path, b"R/library/") => "R packages",
        (_, _) if ends(b".rockspec") => "Lua rocks",
        (_, _) if ends(b".egg") => "zipped Python eggs",
        _ => return None,
    })
}

/// Whether a part is anywhere in a path.
pub(super) fn contains(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|window| window == part)
}

/// Programs have a mode that says so; Debian's shared libraries do not.
pub(super) fn may_be_binary(name: &[u8], node: Node) -> bool {
    node.size >= 64
        && (node.mode & 0o111 != 0
            || name.ends_with(b".so")
            || name.ends_with(b".node")
            || contains(name, b".so."))
}
