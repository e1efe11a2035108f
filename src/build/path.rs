//! Lexical work on slash-separated paths of images and contexts. No file is looked at.

/// Cleans a path: no empty, `.` or inner `..` component; `..` cannot climb above `/`; the empty path is `.`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Joins and cleans: an absolute second path stands alone. The result is absolute.
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        clean(path)
    } else {
        clean(&format!("/{directory}/{path}"))
    }
}

/// Returns the cleaned path without its leading slash: relative to a root; the root itself is empty.
pub(crate) fn below_root(path: &str) -> String {
    clean(&format!("/{path}"))[1..].to_owned()
}

/// Returns the last component; empty for a root.
pub(crate) fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("", "."),
            ("/", "/"),
            ("a//b/../c/", "a/c"),
            ("/../a", "/a"),
            ("../a", "../a"),
            ("a/..", "."),
            ("./a/.", "a"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!(absolute("/app", "x/"), "/app/x");
        assert_eq!(absolute("", "x"), "/x");
        assert_eq!(absolute("/app", "/x"), "/x");
        assert_eq!(below_root("../../etc"), "etc");
        assert_eq!(below_root("."), "");
        assert_eq!((base("a/b/c/"), base("/")), ("c", ""));
    }
}
