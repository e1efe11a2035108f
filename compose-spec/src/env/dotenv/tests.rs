//! What each form of a line means.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<(String, Option<String>)> {
    let outer = |name: &str| (name == "OS").then(|| "os".to_owned());
    let found = parse(text, Scope::alone(&outer))
        .map_err(|error| error.message)
        .expect("parses");
    found.into_iter().map(|a| (a.name, a.value)).collect()
}

#[test]
fn forms_mean_what_compose_says() {
    let cases = [
        ("A=1", "1"),
        ("A=single\r\n", "single"),
        ("A='single $A'", "single $A"),
        ("A=\"dbl $OS \\n x\"", "dbl os \n x"),
        ("A=un # comment", "un"),
        ("A=un#nocomment", "un#nocomment"),
        ("export A=exp", "exp"),
        ("A: yaml", "yaml"),
        ("A=", ""),
        ("A=\"multi\nline\"", "multi\nline"),
        ("A=a b c", "a b c"),
        ("A='it\\'s'", "it's"),
        ("A=\\$OS", "\\os"),
        ("A=\"\\$OS\"", "$OS"),
        ("A=${ZZ:-def}", "def"),
        ("  A=indented", "indented"),
        ("A=trail   ", "trail"),
        ("A=\"a\" # c", "a"),
        ("A=\"tab\\tx\\\\y\"", "tab\tx\\y"),
        ("A.b-c[0]=1", "1"),
    ];
    for (text, wanted) in cases {
        assert_eq!(read(text)[0].1.as_deref(), Some(wanted), "{text:?}");
    }
}

#[test]
fn later_lines_see_earlier_ones_and_the_caller_wins() {
    let found = read("OS=file\nA=$OS\nB=$A$A\nC\nOS\n");
    let value = |name: &str| found.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(value("A").as_deref(), Some("os"));
    assert_eq!(value("B").as_deref(), Some("osos"));
    assert_eq!(value("C"), None);
}

#[test]
fn a_file_sees_the_callers_variables_before_its_own_and_those_of_earlier_files_last() {
    let scope = Scope {
        outer: &|name| (name == "OS").then(|| "os".to_owned()),
        earlier: &|name| matches!(name, "A" | "OS" | "E").then(|| "earlier".to_owned()),
    };
    let found = parse("OS=own\nX=$OS\nY=$E\nZ=$A\nA=own\nG=$A\n", scope);
    let found = found.map_err(|error| error.message).expect("parses");
    let value = |name: &str| {
        let mut found = found.iter();
        found.find_map(|one| one.value.as_deref().filter(|_| one.name == name))
    };
    assert_eq!(value("X"), Some("os"));
    assert_eq!(value("Y"), Some("earlier"));
    assert_eq!(value("Z"), Some("earlier"));
    assert_eq!(value("G"), Some("own"));
}

#[test]
fn broken_lines_are_reported_without_their_value() {
    let outer = |_: &str| None;
    for (text, wanted) in [
        ("A B=secret", "blanks"),
        ("=${secret", "not well formed"),
        ("A=\"secret", "no end"),
        ("A=${secret", "not well formed"),
        ("A!=x", "`!`"),
        ("A=1\nexport ", "missing"),
        ("export \u{85}\u{85}", "missing"),
    ] {
        let error = parse(text, Scope::alone(&outer)).err().expect(text);
        assert!(error.message.contains(wanted), "{text}: {}", error.message);
        let marked = text.get(error.start..error.end);
        assert!(marked.is_some_and(|marked| !marked.is_empty()), "{text}");
        assert!(
            !error.message.contains("secret"),
            "{text}: {}",
            error.message
        );
    }
}

#[test]
fn raw_takes_everything_literally() {
    let outer = |_: &str| None;
    let found = parse_raw("# c\nA=\"q\" $X # y\n  B=2\nC\n", Scope::alone(&outer))
        .ok()
        .unwrap();
    let found: Vec<_> = found.into_iter().map(|a| (a.name, a.value)).collect();
    assert_eq!(found[0], ("A".to_owned(), Some("\"q\" $X # y".to_owned())));
    assert_eq!(found[1], ("B".to_owned(), Some("2".to_owned())));
    assert_eq!(found[2], ("C".to_owned(), None));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(export )?[A-C='\"\\\\$\\{\\}:# \n\t.é-]{0,60}(export )?") {
        let outer = |_: &str| None;
        let scope = Scope::alone(&outer);
        for outcome in [parse(&text, scope), parse_raw(&text, scope)] {
            if let Err(error) = outcome {
                prop_assert!(error.start < error.end);
                prop_assert!(error.start <= text.len());
            }
        }
    }

    #[test]
    fn quoted_values_survive(value in "[^\\\\']{0,20}") {
        let found = read(&format!("A='{value}'\nB=1"));
        prop_assert_eq!(found[0].1.as_deref(), Some(value.as_str()));
        prop_assert_eq!(found[1].1.as_deref(), Some("1"));
    }
}
