//! Paths as text: they are joined and cleaned by name, never looked up.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use crate::{
    diagnostic::Span,
    yaml::{Node, Value},
};

/// Paths as they were written, by place and absolute path.
#[derive(Debug, Default)]
pub(crate) struct Written {
    notes: HashMap<(Span, Rc<str>), Option<String>>,
}

impl Written {
    /// Notes that `absolute` was written as `path`; `None` when it starts from the directory of another file.
    pub(crate) fn note(&mut self, span: Span, absolute: &str, path: Option<&str>) {
        let note = path.map(str::to_owned);
        self.notes.insert((span, absolute.into()), note);
    }

    /// Puts the paths of a tree back as they were written, those of other directories relative to `directory`.
    pub(crate) fn restore(&self, node: &mut Node, directory: &Path) {
        match &mut node.value {
            Value::Text(text) => {
                if let Some(path) = self.notes.get(&(node.span, Rc::clone(text))) {
                    *text = match path {
                        Some(path) => path.as_str().into(),
                        None => shown(Path::new(&**text), directory).into(),
                    };
                }
            }
            Value::Sequence(items) => {
                for item in items.iter_mut() {
                    self.restore(item, directory);
                }
            }
            Value::Mapping(mapping) => mapping
                .iter_mut()
                .for_each(|(_, entry)| self.restore(&mut entry.value, directory)),
            _ => {}
        }
    }
}

/// Returns `path` made absolute: `~` is `home`, anything relative starts from `base`.
pub(crate) fn absolute(base: &Path, home: Option<&str>, path: &str) -> String {
    clean(Path::new(&joined(base, home, path)))
        .to_string_lossy()
        .into_owned()
}

/// As [`absolute`], with `.` and `..` as they are written.
pub(crate) fn joined(base: &Path, home: Option<&str>, path: &str) -> String {
    let expanded = match (path.strip_prefix('~'), home) {
        // Whatever follows: docker compose knows no homes of other users.
        (Some(rest), Some(home)) => Path::new(home).join(rest.trim_start_matches('/')),
        _ => base.join(path),
    };
    expanded.to_string_lossy().into_owned()
}

/// Returns the path without `.`, `..` and doubled slashes.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if matches!(out.components().next_back(), Some(Component::Normal(_))) {
                    out.pop();
                } else if !out.has_root() {
                    out.push("..");
                }
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        out
    }
}

/// Returns the path as users see it: relative when it is below `directory`.
pub(crate) fn shown(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory)
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let base = Path::new("/p/x");
        for (path, wanted) in [
            ("./a", "/p/x/a"),
            (".", "/p/x"),
            ("../a/./b//c", "/p/a/b/c"),
            ("../../../..", "/"),
            ("/abs/../q", "/q"),
            ("~", "/home/u"),
            ("~/a", "/home/u/a"),
            ("~other/a", "/home/u/other/a"),
        ] {
            assert_eq!(absolute(base, Some("/home/u"), path), wanted, "{path}");
        }
        assert_eq!(absolute(base, None, "~/a"), "/p/x/~/a");
        assert_eq!(clean(Path::new("b/../..")), Path::new(".."));
    }
}
