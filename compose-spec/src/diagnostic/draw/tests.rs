use insta::assert_snapshot;

use super::*;
use crate::diagnostic::Code;

fn drawn(text: &str, primary: &str, secondary: Option<&str>, drawing: Drawing) -> String {
    let mut sources = Sources::default();
    let id = sources.add("compose.yaml", text);
    let span = |part: &str| {
        let at = text.find(part).unwrap();
        Span::new(id, at, at + part.len())
    };
    let mut diagnostic = Diagnostic::error(Code::BadValue, "something is wrong")
        .at(span(primary), "here")
        .help("write it another way");
    if let Some(part) = secondary {
        diagnostic = diagnostic.and(span(part), "because of this");
    }
    drawing.draw(&diagnostic, &sources)
}

#[test]
fn tabs_and_wide_characters_keep_the_mark_below_its_text() {
    assert_snapshot!(drawn("a:\t\"日本語\" # é\u{301} x\r\n", "x", None, Drawing::default()), @r#"
    error[S0303]: something is wrong
      --> compose.yaml:1:15
    1 | a:    "日本語" # é́ x
      |                    ^ here
      = help: write it another way
    "#);
}

#[test]
fn of_a_long_line_the_part_around_the_mark_is_shown() {
    let text = format!("{}wrong{}", "left ".repeat(60), " right".repeat(60));
    let narrow = Drawing {
        width: 40,
        ..Drawing::default()
    };
    let picture = drawn(&text, "wrong", None, narrow);
    assert!(
        picture.lines().all(|line| line.chars().count() <= 40),
        "{picture}"
    );
    assert_snapshot!(picture, @r#"
    error[S0303]: something is wrong
      --> compose.yaml:1:301
    1 | ~eft left wrong right right right r~
      |           ^^^^^ here
      = help: write it another way
    "#);
}

#[test]
fn marks_that_are_far_apart_have_their_own_windows() {
    let text = format!("first{}second", " filler".repeat(60));
    assert_snapshot!(drawn(&text, "second", Some("first"), Drawing { width: 50, ..Drawing::default() }), @r#"
    error[S0303]: something is wrong
      --> compose.yaml:1:426
    1 | ~ler filler filler filler filler fillersecond
      |                                        ^^^^^^
      |                        here
    1 | first filler filler filler filler filler fil~
      | ----- because of this
      = help: write it another way
    "#);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let picture = drawn(
        "a: \u{1b}[31mred\u{7} \u{202e}x y",
        "y",
        None,
        Drawing::default(),
    );
    assert!(
        !picture.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{picture:?}"
    );
    assert_snapshot!(picture, @r#"
    error[S0303]: something is wrong
      --> compose.yaml:1:17
    1 | a: ␛[31mred␇ �x y
      |                 ^ here
      = help: write it another way
    "#);
}

#[test]
fn colours_surround_words_and_the_text_stays_the_same() {
    let (text, colour) = ("a: b\nc: d\n\n\n\ne: f", true);
    let coloured = drawn(
        text,
        "f",
        Some("b"),
        Drawing {
            colour,
            ..Drawing::default()
        },
    );
    let mut bare = String::new();
    for part in coloured.split('\u{1b}') {
        let end = if bare.is_empty() && !coloured.starts_with('\u{1b}') {
            0
        } else {
            part.find('m').map_or(0, |at| at + 1)
        };
        bare.push_str(&part[end..]);
    }
    assert_eq!(bare, drawn(text, "f", Some("b"), Drawing::default()));
    assert!(coloured.starts_with("\u{1b}[1;31merror[S0303]\u{1b}[0m"));
}

#[test]
fn a_frame_of_lines_where_the_terminal_has_them() {
    let unicode = Drawing {
        ascii: false,
        ..Drawing::default()
    };
    assert_snapshot!(drawn("a: b\nc: d\n\n\n\ne: f", "f", Some("b"), unicode), @r#"
    error[S0303]: something is wrong
      ┌─ compose.yaml:6:4
    1 │ a: b
      │    - because of this
    ⋮
    6 │ e: f
      │    ^ here
      = help: write it another way
    "#);
}
