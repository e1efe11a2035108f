//! How a text is written: plain where it stays a text, in the quotes that go-yaml chooses where it would not, as a block
//! where it has several lines.

use crate::yaml::{Resolved, Scalar, ScalarTag};

/// Column behind which a text is broken at its next blank.
const WIDTH: usize = 80;

/// The styles of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Appends a text that starts at `column`; further lines start at `indent`.
pub(super) fn write(out: &mut String, text: &str, column: usize, indent: usize) {
    match style(text) {
        Style::Plain => folded(out, text, column, indent, false),
        Style::Single => {
            out.push('\'');
            folded(out, &text.replace('\'', "''"), column + 1, indent, true);
            out.push('\'');
        }
        Style::Double => double(out, text, column, indent),
        Style::Literal => literal(out, text, indent),
    }
}

/// Returns a number as Go writes it: with an exponent from a million on.
pub(super) fn float(value: f64) -> String {
    let exponential = format!("{value:e}");
    let (digits, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn style(text: &str) -> Style {
    let special = text.chars().any(is_special);
    if text.contains('\n') {
        // A block cannot show blanks at the end of a line, and nothing but line ends is no block.
        let hidden = text.split('\n').any(|line| line.ends_with(' '));
        let only_ends = text.chars().all(|c| c == '\n');
        return if special || hidden || only_ends {
            Style::Double
        } else {
            Style::Literal
        };
    }
    if special || text.contains('\t') || text.is_empty() || is_other_type(text) {
        return Style::Double;
    }
    if is_old_boolean(text) || is_base_60(text) || text == "<<" || !fits_plain(text) {
        return Style::Single;
    }
    Style::Plain
}

/// Characters that are only written as an escape.
fn is_special(c: char) -> bool {
    match c {
        '\t' | '\n' => false,
        '\u{feff}' | '\u{85}' => true,
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => false,
        _ => true,
    }
}

/// Returns whether the text means the same without quotes, as far as its characters go.
fn fits_plain(text: &str) -> bool {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let Some(&first) = chars.peek() else {
        return false;
    };
    if first == ' ' || text.ends_with(' ') || text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    if "#,[]{}&*!|>'\"%@`".contains(first) {
        return false;
    }
    let blank_behind = text[first.len_utf8()..]
        .chars()
        .next()
        .is_none_or(|c| c == ' ');
    if matches!(first, '-' | '?' | ':') && blank_behind {
        return false;
    }
    while let Some(c) = chars.next() {
        let ends = chars.peek().is_none_or(|next| *next == ' ');
        if (c == ':' && ends) || (c == '#' && before == ' ') {
            return false;
        }
        before = c;
    }
    true
}

/// Returns whether a reader would take the plain text for nothing, a boolean, a number or a date.
fn is_other_type(text: &str) -> bool {
    let scalar = Scalar {
        text: text.into(),
        plain: true,
        tag: ScalarTag::None,
        template: None,
    };
    !matches!(scalar.resolve(), Ok(Resolved::Text(_))) || is_date(text)
}

/// `2020-1-2`, alone or with a time behind `T`, `t` or a blank.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
    };
    let [year, month, day] = parts[..] else {
        return false;
    };
    let date = number(year, 4..=4) && number(month, 1..=2) && number(day, 1..=2);
    let time = time.is_none_or(|time| {
        let end = time
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
            .unwrap_or(time.len());
        let clock: Vec<&str> = time[..end].split(':').collect();
        let [hour, minute, second] = clock[..] else {
            return false;
        };
        let second = second.split('.').next().unwrap_or_default();
        number(hour, 1..=2) && number(minute, 1..=2) && number(second, 1..=2)
    });
    date && time
}

/// Booleans of YAML 1.1, which older readers still take for booleans.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

/// Numbers to the base of 60 of YAML 1.1, for example `22:22`.
fn is_base_60(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = bare.split(':');
    let whole = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '_')
    };
    let below_60 = |text: &str| {
        matches!(text.len(), 1 | 2)
            && text.chars().all(|c| c.is_ascii_digit())
            && text.parse::<u8>().is_ok_and(|number| number < 60)
    };
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let fraction_fits = fraction.chars().all(|c| c.is_ascii_digit() || c == '_');
    whole(first) && middle.iter().all(|part| below_60(part)) && below_60(last) && fraction_fits
}

/// Appends a text, breaking it at single blanks behind the width.
fn folded(out: &mut String, text: &str, column: usize, indent: usize, quoted: bool) {
    let mut column = column;
    let mut after_blank = false;
    let chars: Vec<char> = text.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        let inside = index > 0 && index + 1 < chars.len();
        let next_blank = chars.get(index + 1) == Some(&' ');
        let may_break = c == ' ' && !after_blank && !next_blank && (inside || !quoted);
        if may_break && column > WIDTH {
            break_line(out, indent);
            column = indent;
        } else {
            out.push(c);
            column += 1;
        }
        after_blank = c == ' ';
    }
}

fn break_line(out: &mut String, indent: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

fn double(out: &mut String, text: &str, column: usize, indent: usize) {
    out.push('"');
    let mut column = column + 1;
    let mut after_blank = false;
    let chars: Vec<char> = text.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        let inside = index > 0 && index + 1 < chars.len();
        if c == ' ' && inside && !after_blank && column > WIDTH {
            break_line(out, indent);
            column = indent;
            if chars.get(index + 1) == Some(&' ') {
                out.push('\\');
                column += 1;
            }
            after_blank = true;
            continue;
        }
        let before = out.len();
        escape(out, c);
        column += out[before..].chars().count();
        after_blank = c == ' ';
    }
    out.push('"');
}

fn escape(out: &mut String, c: char) {
    let short = match c {
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{85}' => "\\N",
        _ if is_special(c) => {
            let code = u32::from(c);
            let text = match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
            out.push_str(&text);
            return;
        }
        _ => {
            out.push(c);
            return;
        }
    };
    out.push_str(short);
}

/// Appends a block. Its head says how far it is indented when it begins with a blank, and what becomes of its last line end.
fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with(' ') {
        out.push('2');
    }
    let body = if let Some(body) = text.strip_suffix('\n') {
        if body.ends_with('\n') {
            out.push('+');
        }
        body
    } else {
        out.push('-');
        text
    };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(line);
    }
}
