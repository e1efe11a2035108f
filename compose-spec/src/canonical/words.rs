//! Splits a command line into words as Compose does: quotes and backslashes, no shell.

/// Returns the words, or `None` when a quote is not closed. An unquoted `;`, `|`, `&`, `<` or `>` ends the line, as in the
/// parser that Compose uses.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => word.push(c),
            (_, '\\') => {
                in_word = true;
                word.push(chars.next()?);
            }
            (Some(_), _) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                in_word = true;
            }
            (None, ' ' | '\t' | '\r' | '\n') => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
            }
            (None, ';' | '|' | '&' | '<' | '>') => break,
            (None, _) => {
                in_word = true;
                word.push(c);
            }
        }
    }
    if quote.is_some() {
        return None;
    }
    if in_word {
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_compose() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("echo \"a b\" c", Some(&["echo", "a b", "c"])),
            ("", Some(&[])),
            ("  ", Some(&[])),
            ("echo a\necho b\n", Some(&["echo", "a", "echo", "b"])),
            ("a\\ b \\\"c", Some(&["a b", "\"c"])),
            ("a ''", Some(&["a", ""])),
            ("a'b'\"c\"d", Some(&["abcd"])),
            ("a | b", Some(&["a"])),
            ("a '|' b", Some(&["a", "|", "b"])),
            ("a && b", Some(&["a"])),
            ("echo \"x", None),
            ("a \\", None),
        ];
        for (line, wanted) in cases {
            assert_eq!(
                split(line).as_deref(),
                wanted
                    .map(|w| w.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
                    .as_deref(),
                "{line:?}"
            );
        }
    }
}
