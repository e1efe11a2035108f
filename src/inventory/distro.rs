//! The distribution, as os-release(5) of the image tells it.

use serde::Serialize;

use super::{InventoryError, ReadAt, files::Collector};

/// Largest file: it has 500 bytes.
const BYTES_MAX: u64 = 64 << 10;

/// What os-release says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Distro {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; rolling distributions have none.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: Option<String>,
    /// `ID_LIKE`, split.
    pub like: Vec<String>,
    /// `PRETTY_NAME`, else `NAME`, else the id.
    pub name: String,
}

impl Distro {
    /// Returns it as package URLs have it: `debian-12`.
    pub fn slug(&self) -> String {
        match &self.version_id {
            Some(version) => format!("{}-{version}", self.id),
            None => self.id.clone(),
        }
    }
}

/// Reads `/etc/os-release`, else `/usr/lib/os-release`; an image without packages has none.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<Option<Distro>, InventoryError> {
    for path in [&b"etc/os-release"[..], b"usr/lib/os-release"] {
        let Some((path, node)) = collector.tree.file(path)? else {
            continue;
        };
        let bytes = collector.tree.open_file(&path, &node)?.all(BYTES_MAX);
        let bytes = collector.or_unread(&path, bytes);
        if let Some(distro) = bytes.and_then(|bytes| parse(&super::files::text(bytes))) {
            return Ok(Some(distro));
        }
    }
    Ok(None)
}

fn parse(text: &str) -> Option<Distro> {
    let field = |name: &str| {
        // As in a shell, the last one counts.
        let lines = text.lines().rev();
        let mut fields = lines.filter_map(|line| line.trim().split_once('='));
        let value = fields.find(|(key, _)| *key == name)?.1;
        Some(unquote(value)).filter(|value| !value.is_empty())
    };
    let id = field("ID")?;
    Some(Distro {
        version_id: field("VERSION_ID"),
        codename: field("VERSION_CODENAME"),
        like: field("ID_LIKE")
            .map(|like| like.split_ascii_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        name: field("PRETTY_NAME")
            .or_else(|| field("NAME"))
            .unwrap_or_else(|| id.clone()),
        id,
    })
}

/// Values are quoted as in a shell, without expansion.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    let inner = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\nID_LIKE=\"a b\"\n# x\n";
        let distro = parse(text).unwrap();
        assert_eq!(distro.name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(distro.slug(), "debian-12");
        assert_eq!(distro.like, ["a", "b"]);
        assert_eq!(parse("NAME=x\n"), None);
        assert_eq!(
            parse("ID=arch\nNAME=\"Arch \\\"x\\\"\"").unwrap().name,
            "Arch \"x\""
        );
    }
}
