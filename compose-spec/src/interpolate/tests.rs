use proptest::prelude::*;

use super::{Fault, substitute};

fn value(template: &str) -> Result<String, Fault> {
    let lookup = |name: &str| match name {
        "FOO" => Some("first".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    substitute(template, &lookup, &mut |_| {})
}

#[test]
fn forms_mean_what_compose_says() {
    let cases = [
        ("$FOO", "first"),
        ("${FOO}bar", "firstbar"),
        ("$FOO_bar", ""),
        ("$$FOO", "$FOO"),
        ("$${FOO}", "${FOO}"),
        ("$$$FOO", "$first"),
        ("$$$$", "$$"),
        ("${X-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${EMPTY:-d}", "d"),
        ("${FOO:-d}", "first"),
        ("${EMPTY+p}", "p"),
        ("${EMPTY:+p}", ""),
        ("${X+p}", ""),
        ("${FOO:+p}", "p"),
        ("${FOO:?m}", "first"),
        ("${X:-${Y:-deep}}", "deep"),
        ("${X:-a}b}", "ab}"),
        ("${X:-$FOO}", "first"),
        ("${FOO:-a:-b}", "first"),
        ("${X-a?b}", "a?b"),
        ("a$", "a$"),
        ("$ x", "$ x"),
        ("$}", "$}"),
        ("$-", "$-"),
        ("$1", "$1"),
        ("$(cmd)", "$(cmd)"),
        ("${X:- s }", " s "),
        ("${X:-{\"a\":1}}", "{\"a\":1}"),
        ("${FOO-}", "first"),
        ("%${FOO}%", "%first%"),
    ];
    for (template, wanted) in cases {
        assert_eq!(value(template).as_deref(), Ok(wanted), "{template}");
    }
}

#[test]
fn malformed_forms_are_errors() {
    for template in [
        "${FOO",
        "${}",
        "${ FOO}",
        "${FOO }",
        "${FOO/a/b}",
        "${FOO:0:1}",
        "${#FOO}",
        "${1}",
        "${V.W}",
        "${X:-a\nb}",
        "${É}",
        "${FOO:}",
    ] {
        assert!(
            matches!(value(template), Err(Fault::Malformed { .. })),
            "{template}"
        );
    }
}

#[test]
fn required_variables_name_themselves_and_their_place() {
    let fault = value("a ${X:?msg with $FOO}").unwrap_err();
    let (name, message) = ("X".to_owned(), "msg with $FOO".to_owned());
    assert_eq!(
        fault,
        Fault::Required {
            name,
            message,
            start: 2,
            end: 21
        }
    );
    assert!(matches!(
        value("${FOO:+${X:?x}}"),
        Err(Fault::Required { start: 7, .. })
    ));
}

#[test]
fn growth_and_nesting_are_bounded() {
    let long = "x".repeat(1 << 20);
    let lookup = |_: &str| Some(long.clone());
    assert_eq!(
        substitute(&"$A".repeat(100), &lookup, &mut |_| {}),
        Err(Fault::TooLarge)
    );
    let deep = format!("{}x{}", "${A:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(
        substitute(&deep, &|_| None, &mut |_| {}),
        Err(Fault::TooLarge)
    );
}

proptest! {
    #[test]
    fn any_text_is_answered_without_a_panic(text in "[$A-C{}:?+\\-a\n é]{0,40}") {
        drop(value(&text));
    }

    #[test]
    fn text_without_a_dollar_is_unchanged(text in "[^$]{0,40}") {
        prop_assert_eq!(value(&text), Ok(text));
    }

    #[test]
    fn doubled_dollars_survive(text in "\\PC{0,40}") {
        let doubled = text.replace('$', "$$");
        prop_assert_eq!(value(&doubled), Ok(text));
    }
}
