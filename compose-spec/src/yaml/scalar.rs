//! What a scalar means: the rules of go-yaml, which every Compose file in the world was tried with.

use std::rc::Rc;

/// A scalar as written.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text after unescaping, and after interpolation.
    pub(crate) text: Rc<str>,
    /// Not quoted and not interpolated: it may mean a number, a boolean or nothing.
    pub(crate) plain: bool,
    /// The tag in front of it.
    pub(crate) tag: ScalarTag,
    /// The text before interpolation, when that changed it: what a message may show.
    pub(crate) template: Option<Rc<str>>,
}

/// The YAML tags that decide a scalar's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarTag {
    /// None, or one that means nothing here.
    None,
    /// `!!str`
    Text,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!bool`
    Bool,
    /// `!!null`
    Null,
}

/// The type and value of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved<'a> {
    /// No value.
    Null,
    /// `true` or `false`; `yes` and `on` are texts.
    Bool(bool),
    /// An integer in any base.
    Int(i64),
    /// A number that is not an integer, or too large for one.
    Float(f64),
    /// Everything else.
    Text(&'a str),
}

/// A scalar that contradicts its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TagMismatch;

impl Scalar {
    /// Returns type and value.
    pub(crate) fn resolve(&self) -> Result<Resolved<'_>, TagMismatch> {
        let text = &*self.text;
        match self.tag {
            ScalarTag::Text => Ok(Resolved::Text(text)),
            ScalarTag::None if !self.plain => Ok(Resolved::Text(text)),
            ScalarTag::None => Ok(resolve_plain(text)),
            ScalarTag::Null => match resolve_plain(text) {
                Resolved::Null => Ok(Resolved::Null),
                _ => Err(TagMismatch),
            },
            ScalarTag::Bool => match resolve_plain(text) {
                value @ Resolved::Bool(_) => Ok(value),
                _ => Err(TagMismatch),
            },
            ScalarTag::Int => match resolve_plain(text) {
                value @ Resolved::Int(_) => Ok(value),
                _ => Err(TagMismatch),
            },
            ScalarTag::Float => match resolve_plain(text) {
                value @ Resolved::Float(_) => Ok(value),
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "`!!float 3` asks for exactly this"
                )]
                Resolved::Int(number) => Ok(Resolved::Float(number as f64)),
                _ => Err(TagMismatch),
            },
        }
    }

    /// Returns what it is in the words of a message.
    pub(crate) fn describe(&self) -> &'static str {
        match self.resolve() {
            Ok(Resolved::Null) => "nothing",
            Ok(Resolved::Bool(_)) => "a boolean",
            Ok(Resolved::Float(value)) if value.fract() != 0.0 => "a number with a fraction",
            Ok(Resolved::Int(_) | Resolved::Float(_)) => "a number",
            Ok(Resolved::Text(_)) | Err(TagMismatch) => "a text",
        }
    }

    /// Returns the text as written, which holds no value of the environment.
    pub(crate) fn shown(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.text)
    }
}

/// Returns what a plain scalar without a tag means.
fn resolve_plain(text: &str) -> Resolved<'_> {
    match text {
        // go-yaml 4 reads a lone merge sign in the place of a value as nothing.
        "" | "~" | "null" | "Null" | "NULL" | "<<" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Resolved::Text(text);
    }
    let bare = if text.contains('_') {
        text.replace('_', "")
    } else {
        text.to_owned()
    };
    if let Some(number) = integer(&bare) {
        return Resolved::Int(number);
    }
    match float(&bare) {
        Some(number) => Resolved::Float(number),
        None => Resolved::Text(text),
    }
}

/// Reads an integer with an optional sign and base (`0x`, `0o`, `0b`, or `0` for octal).
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

/// Reads `1.5`, `.5`, `1.`, `1e3`; not `inf`, `infinity` or `nan`, which Rust would take.
fn float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let fits = all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_fits;
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Resolved<'_> {
        resolve_plain(text)
    }

    #[test]
    fn plain_scalars_mean_what_go_yaml_says() {
        use Resolved::{Bool, Float, Int, Null, Text};
        let cases: &[(&str, Resolved<'_>)] = &[
            ("", Null),
            ("~", Null),
            ("NULL", Null),
            ("<<", Null),
            ("TRUE", Bool(true)),
            ("false", Bool(false)),
            ("yes", Text("yes")),
            ("on", Text("on")),
            ("n", Text("n")),
            ("0o777", Int(511)),
            ("0777", Int(511)),
            ("0755", Int(493)),
            ("08", Float(8.0)),
            ("0b101", Int(5)),
            ("1_000", Int(1000)),
            ("1_000.5", Float(1000.5)),
            ("0O17", Int(15)),
            ("0X1F", Int(31)),
            ("0x_1", Int(1)),
            ("-1_000", Int(-1000)),
            ("0_", Int(0)),
            ("1__0", Int(10)),
            ("0777_7", Int(4095)),
            ("22:22", Text("22:22")),
            ("190:20:30", Text("190:20:30")),
            (".inf", Float(f64::INFINITY)),
            ("2001-12-14", Text("2001-12-14")),
            ("1.10", Float(1.1)),
            ("1e3", Float(1000.0)),
            ("18446744073709551616", Float(18_446_744_073_709_551_616.0)),
            ("-", Text("-")),
            ("+", Text("+")),
            (".", Text(".")),
            ("-x", Text("-x")),
            ("0x", Text("0x")),
            ("1e", Text("1e")),
            ("infinity", Text("infinity")),
            ("0", Int(0)),
            ("-0", Int(0)),
            ("+5", Int(5)),
            ("--5", Text("--5")),
        ];
        for (text, wanted) in cases {
            assert_eq!(plain(text), *wanted, "{text:?}");
        }
        assert!(matches!(plain(".NaN"), Float(number) if number.is_nan()));
    }

    #[test]
    fn tags_decide_or_contradict() {
        let scalar = |text: &str, plain, tag| Scalar {
            text: text.into(),
            plain,
            tag,
            template: None,
        };
        assert_eq!(
            scalar("3", true, ScalarTag::Float).resolve(),
            Ok(Resolved::Float(3.0))
        );
        assert_eq!(
            scalar("3", true, ScalarTag::Text).resolve(),
            Ok(Resolved::Text("3"))
        );
        assert_eq!(
            scalar("3", false, ScalarTag::Int).resolve(),
            Ok(Resolved::Int(3))
        );
        assert_eq!(
            scalar("yes", true, ScalarTag::Bool).resolve(),
            Err(TagMismatch)
        );
        assert_eq!(
            scalar("7", false, ScalarTag::None).resolve(),
            Ok(Resolved::Text("7"))
        );
    }
}
