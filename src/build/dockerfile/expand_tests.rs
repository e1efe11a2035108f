use super::*;

fn variables(name: &str) -> Option<String> {
    match name {
        "v" => Some("value".to_owned()),
        "empty" => Some(String::new()),
        "path" => Some("/usr/local/lib/libx.so.1".to_owned()),
        "words" => Some("one two  three".to_owned()),
        "star" => Some("a*b?c\\d".to_owned()),
        "uni" => Some("äöü-äöü".to_owned()),
        "1" => Some("first".to_owned()),
        _ => None,
    }
}

fn text(word: &str) -> Result<String, String> {
    expand(word, '\\', &variables)
        .map(|expanded| expanded.text)
        .map_err(|error| error.to_string())
}

#[test]
fn every_form_of_a_variable_expands() {
    for (word, expected) in [
        ("$v", "value"),
        ("${v}", "value"),
        ("x${v}y$v/z", "xvalueyvalue/z"),
        ("$vx", ""),
        ("$", "$"),
        ("$/", "$/"),
        ("$1x", "firstx"),
        ("$none", ""),
        ("${none}", ""),
        ("${none:-w}", "w"),
        ("${empty:-w}", "w"),
        ("${v:-w}", "value"),
        ("${none-w}", "w"),
        ("${empty-w}", ""),
        ("${none:+w}", ""),
        ("${empty:+w}", ""),
        ("${v:+w}", "w"),
        ("${none+w}", ""),
        ("${empty+w}", "w"),
        ("${v:?m}", "value"),
        ("${empty?m}", ""),
        ("${path#*/}", "usr/local/lib/libx.so.1"),
        ("${path##*/}", "libx.so.1"),
        ("${path%.*}", "/usr/local/lib/libx.so"),
        ("${path%%.*}", "/usr/local/lib/libx"),
        ("${path%nothing}", "/usr/local/lib/libx.so.1"),
        ("${v#va?}", "ue"),
        ("${star#a\\*}", "b?c\\d"),
        ("${star%%\\?*}", "a*b"),
        ("${path/lib/LIB}", "/usr/local/LIB/libx.so.1"),
        ("${path//lib/LIB}", "/usr/local/LIB/LIBx.so.1"),
        ("${path/\\/usr/}", "/local/lib/libx.so.1"),
        ("${path//\\//-}", "-usr-local-lib-libx.so.1"),
        ("${path/l*b/X}", "/usr/Xx.so.1"),
        ("${uni//ö/oe}", "äoeü-äoeü"),
        ("${none:-${v}}", "value"),
        ("${none:-a${none:-b$v}c}", "abvaluec"),
        ("${none:-'}'}", "}"),
        ("${none:-\\}}", "}"),
        ("\\$v", "$v"),
        ("'$v'", "$v"),
        ("\"$v\"", "value"),
        ("\"\\$v \\\" \\n\"", "$v \" \\n"),
        ("a\\ b", "a b"),
        ("trailing\\", "trailing"),
        ("'it'\"s\"", "its"),
    ] {
        assert_eq!(text(word), Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn errors_are_those_of_the_reference() {
    for (word, expected) in [
        ("${none:?}", "none: is not allowed to be unset"),
        ("${none?}", "none: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${none:?set me}", "none: set me"),
        ("${v", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${v:-x", "syntax error: missing '}'"),
        ("${v/x", "syntax error: missing '/' in ${}"),
        ("${v/x/y", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:-x}", "syntax error: bad substitution"),
        ("${{v}}", "syntax error: bad substitution"),
        ("${v:#x}", "unsupported modifier (:#) in substitution"),
        ("${v:%x}", "unsupported modifier (:%) in substitution"),
        ("${v^x}", "unsupported modifier (^) in substitution"),
        ("${v#a\\b}", "invalid pattern (a\\b) in substitution"),
        (
            "'x",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"x",
            "unexpected end of statement while looking for matching double-quote",
        ),
    ] {
        assert_eq!(text(word), Err(expected.to_owned()), "{word}");
    }
    let deep = "${a:-".repeat(10_000);
    assert!(text(&deep).is_err());
}

#[test]
fn words_are_split_after_substitution_but_not_in_quotes() {
    let words = |word: &str| expand(word, '\\', &variables).unwrap().words;
    assert_eq!(words("$words"), ["one", "two", "three"]);
    assert_eq!(words("\"$words\" x"), ["one two  three", "x"]);
    assert_eq!(words("a\\ b c"), ["a b", "c"]);
    assert_eq!(words("  "), Vec::<String>::new());
}

#[test]
fn the_other_escape_and_the_plain_syntax() {
    assert_eq!(
        expand("`$v \\$v", '`', &variables).unwrap().text,
        "$v \\value"
    );
    let plain = |quotes, keep_unset| {
        expand_with(
            "'$v' \"$none\" ${none:-x}",
            Syntax {
                escape: '\\',
                quotes,
                keep_unset,
            },
            &variables,
        )
        .unwrap()
        .text
    };
    assert_eq!(plain(Quotes::Plain, false), "'value' \"\" x");
    assert_eq!(plain(Quotes::Keep, true), "'$v' \"$none\" ${none:-x}");
}

#[test]
fn unset_variables_are_reported() {
    let expanded = expand("$a ${b:-x} $v", '\\', &variables).unwrap();
    assert_eq!(expanded.unset, ["a"]);
}

proptest::proptest! {
    #[test]
    fn expansion_never_panics(word in "[$\\{\\}:#%/?*+\\-a-c'\"\\\\ <=]{0,40}") {
        drop(expand(&word, '\\', &variables));
        drop(expand(&word, '`', &variables));
    }

    #[test]
    fn text_without_special_characters_is_itself(word in "[a-zA-Z0-9_/.: =-]{0,40}") {
        proptest::prop_assert_eq!(expand(&word, '\\', &variables).unwrap().text, word);
    }
}
