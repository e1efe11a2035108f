//! Paragraphs of `Key: value` lines: dpkg's databases (deb822(5)), Python's METADATA, machine-readable copyright files.

/// A paragraph, its fields in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stanza<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Stanza<'a> {
    /// Returns the first line of a field's value; names are compared without case. Empty counts as absent.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Returns the first lines of every field of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = (self.fields.iter()).filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, line)| *line).filter(|line| !line.is_empty())
    }

    /// Tells whether there are no fields.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Splits text into paragraphs. Lines that are neither a field nor the continuation of one are passed over.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut stanza = Stanza::default();
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if stanza.is_empty() {
                    continue;
                }
                return Some(stanza);
            }
            // Nothing that is asked for here goes on in a second line.
            let continues = line.starts_with([' ', '\t']);
            if let Some((key, value)) = line.split_once(':').filter(|_| !continues) {
                stanza.fields.push((key.trim(), value.trim()));
            }
        }
        (!stanza.is_empty()).then_some(stanza)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_continue_and_paragraphs_end_at_blank_lines() {
        let text = "\nPackage: a\nDescription: one\n two\n .\nversion:1\n\n\n\nnoise\nPackage:\nPackage: b\n";
        let found: Vec<Stanza<'_>> = stanzas(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].field("package"), Some("a"));
        assert_eq!(found[0].field("Description"), Some("one"));
        assert_eq!(found[0].field("Version"), Some("1"));
        assert_eq!(found[1].field("Package"), Some("b"));
        assert_eq!(found[1].field("Version"), None);
    }
}
