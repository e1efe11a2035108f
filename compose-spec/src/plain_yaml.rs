//! YAML that is no Compose file: device specifications and the like.

use crate::{
    diagnostic::{Sink, Sources},
    render, yaml,
};

/// Reads one YAML document as data, within the limits that hold for Compose files. Every scalar is a text, because what it means depends
/// on the reader. An error is one line with its place.
pub fn plain_yaml(text: &str) -> Result<serde_json::Value, String> {
    let mut sources = Sources::default();
    let source = sources.add("", text);
    let mut sink = Sink::default();
    let documents = yaml::parse(source, text, &mut sink);
    let (errors, _) = sink.finish();
    if let Some(error) = errors.first() {
        let place = error.primary.as_ref();
        let place = place.map(|label| sources.location(label.span));
        let line = place.map_or_else(String::new, |place| format!("line {}: ", place.line));
        return Err(format!("{line}{}", error.message));
    }
    match documents.as_slice() {
        [document] => Ok(render::plain(document)),
        documents => Err(format!("{} documents instead of one", documents.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_and_errors_have_their_place() {
        let value = plain_yaml("kind: v/c\nlist: [1, two]\n").unwrap();
        assert_eq!(value.to_string(), r#"{"kind":"v/c","list":["1","two"]}"#);
        assert!(plain_yaml("a: [").unwrap_err().starts_with("line "));
        assert!(
            plain_yaml("a: 1\n---\nb: 2\n")
                .unwrap_err()
                .contains("2 documents")
        );
    }
}
