//! Paths of an image: bytes, relative to its root. Pure.

/// Returns a path of the image for people: absolute, what is no text replaced.
pub(super) fn shown(path: &[u8]) -> String {
    printable(&format!("/{}", String::from_utf8_lossy(path)))
}

/// Replaces control characters: what an image says is printed on terminals.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Puts a name behind a path.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return name.to_vec();
    }
    [path, b"/", name].concat()
}

/// Takes the last component off a path and returns it.
pub(super) fn parent(path: &mut Vec<u8>) -> Vec<u8> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => {
            let name = path.split_off(at + 1);
            path.truncate(at);
            name
        }
        None => std::mem::take(path),
    }
}

/// Returns the components of a path that mean something.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}
