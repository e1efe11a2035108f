//! Splits a command line into words as Compose does: quotes and backslashes, no shell.

/// Returns the words, or `None` when a quote is not closed, or a parenthesis stands outside of quotes and `$(…)`. An unquoted
/// `;`, `|`, `&`, `<` or `>` ends the line, as in the parser that Compose uses; nothing is run.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut state = State::Bare;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (state, c) {
            (State::Bare, ' ' | '\t' | '\r' | '\n') => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
                continue;
            }
            (State::Bare, ';' | '|' | '&' | '<' | '>') => {
                // The number of a descriptor belongs to its redirection.
                let is_descriptor = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
                in_word &= !(c == '>' && is_descriptor);
                break;
            }
            // Of a shell's parentheses only `$(…)` is known, and not one within another.
            (State::Bare, '(') if word.ends_with('$') && !word.ends_with("\\$") => {
                state = State::Dollar;
                word.push(c);
            }
            (State::Bare, '(' | ')') | (State::Dollar, '(') => return None,
            (State::Bare, '\'') => state = State::Single,
            (State::Bare, '"') => state = State::Double,
            (State::Single, '\'') | (State::Double, '"') => state = State::Bare,
            (State::Bare, '`') => {
                state = State::Back;
                word.push(c);
            }
            (State::Back, '`') | (State::Dollar, ')') => {
                state = State::Bare;
                word.push(c);
            }
            (State::Bare | State::Double, '\\') => word.push(match chars.next()? {
                't' => '\t',
                'n' => '\n',
                other => other,
            }),
            (State::Back | State::Dollar, '\\') => word.extend([c, chars.next()?]),
            _ => word.push(c),
        }
        in_word = true;
    }
    if state != State::Bare {
        return None;
    }
    if in_word {
        words.push(word);
    }
    Some(words)
}

/// What the next character is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No quotes.
    Bare,
    /// `'…'`, in which everything is literal.
    Single,
    /// `"…"`, in which a backslash counts.
    Double,
    /// `` `…` ``, which stays as it is.
    Back,
    /// `$(…)`, which stays as it is.
    Dollar,
}

#[cfg(test)]
mod tests {
    use super::split;

    /// Lines, and what docker compose v5.6.1 makes of them.
    #[rustfmt::skip]
    const MEASURED: &[(&str, Option<&[&str]>)] = &[
        ("a\\tb", Some(&["a\tb"])),
        ("a\\nb", Some(&["a\nb"])),
        ("\"a\\tb\"", Some(&["a\tb"])),
        ("'a\\tb'", Some(&["a\\tb"])),
        ("`a \"b c\" d` e", Some(&["`a \"b c\" d`", "e"])),
        ("`a 'b c' d` e", Some(&["`a 'b c' d`", "e"])),
        ("`a \"b c` d\" e", None),
        ("$(a b) c", Some(&["$(a b)", "c"])),
        ("x$(a b)y c", Some(&["x$(a b)y", "c"])),
        ("$(a \"b c\" d) e", Some(&["$(a \"b c\" d)", "e"])),
        ("$(a (b)) c", None),
        ("$(a $(b)) c", None),
        ("a)b", None),
        ("a )", None),
        ("\"(\" b", Some(&["(", "b"])),
        ("'(' b", Some(&["(", "b"])),
        ("\"$(a b\" c", Some(&["$(a b", "c"])),
        ("\"$(a b)\" c", Some(&["$(a b)", "c"])),
        ("a\\(b\\) c", Some(&["a(b)", "c"])),
        ("`a b c", None),
        ("$(a b", None),
        ("`a (b) c` d", Some(&["`a (b) c`", "d"])),
        ("$(a `b c`) d", Some(&["$(a `b c`)", "d"])),
        ("$(a ; b) c", Some(&["$(a ; b)", "c"])),
        ("`a | b` c", Some(&["`a | b`", "c"])),
        ("a 2>b", Some(&["a"])),
        ("a 2 >b", Some(&["a", "2"])),
        ("a2>b", Some(&["a2"])),
        ("22>b", Some(&[])),
        ("2x>b", Some(&["2x"])),
        ("a \"2\">b", Some(&["a"])),
        ("$(a\\ b) c", Some(&["$(a\\ b)", "c"])),
        ("`a\\ b` c", Some(&["`a\\ b`", "c"])),
        ("$(a\\nb)", Some(&["$(a\\nb)"])),
        ("\\$(a b)", Some(&["$(a b)"])),
        ("a\\\nb", Some(&["a\nb"])),
        ("$ (a)", None),
        ("$$(a b)", Some(&["$$(a b)"])),
        ("\"a`b\"`c d`", Some(&["a`b`c d`"])),
        ("'a`b' c", Some(&["a`b", "c"])),
        ("$() x", Some(&["$()", "x"])),
        ("`` x", Some(&["``", "x"])),
        ("a `` b", Some(&["a", "``", "b"])),
        ("a $() b", Some(&["a", "$()", "b"])),
        ("a\"\"b", Some(&["ab"])),
        ("a \"\" b", Some(&["a", "", "b"])),
        ("\"`a b`\" c", Some(&["`a b`", "c"])),
        ("\"a b`\" c", Some(&["a b`", "c"])),
        ("a'b c`'d", Some(&["ab c`d"])),
        ("$(a) (b)", None),
        (")a(", None),
        ("a)b)c", None),
        ("a) b)", None),
        ("(a)", None),
        ("`a)b` c", Some(&["`a)b`", "c"])),
        ("`a(b` c", Some(&["`a(b`", "c"])),
        ("a;b", Some(&["a"])),
        ("\"a;b\"", Some(&["a;b"])),
        ("\\;a", Some(&[";a"])),
        ("\\\"a b\\\"", Some(&["\"a", "b\""])),
        ("a\\'b c", Some(&["a'b", "c"])),
        ("a\\\\b", Some(&["a\\b"])),
        ("\"a\\\\b\"", Some(&["a\\b"])),
        ("'a\\\\b'", Some(&["a\\\\b"])),
        ("\"a\\\"b\"", Some(&["a\"b"])),
        ("'a\\'b'", None),
        ("a#b", Some(&["a#b"])),
        ("# a", Some(&["#", "a"])),
        ("12>&1", Some(&[])),
        ("1>2", Some(&[])),
        ("é>1", Some(&["é"])),
        ("a 1>", Some(&["a"])),
    ];

    #[test]
    fn measured_lines_are_split_alike() {
        for (line, words) in MEASURED {
            let split = split(line);
            let split: Option<Vec<&str>> = split
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(split.as_deref(), *words, "{line}");
        }
    }

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
