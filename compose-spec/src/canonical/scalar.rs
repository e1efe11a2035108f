//! Scalars: what a text must look like for its attribute, and its canonical form.

use std::rc::Rc;

use super::{Reader, units};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    schema::{Kind, Rule},
    yaml::{Node, Resolved, Scalar, ScalarTag, Value},
};

/// Returns a scalar by its own type.
pub(super) fn typed(scalar: &Scalar) -> Value {
    match scalar.resolve() {
        Ok(Resolved::Null) => Value::Null,
        Ok(Resolved::Bool(value)) => Value::Bool(value),
        Ok(Resolved::Int(value)) => Value::Int(value),
        Ok(Resolved::Float(value)) => Value::Float(value),
        Ok(Resolved::Text(_)) | Err(_) => Value::Text(Rc::clone(&scalar.text)),
    }
}

impl Reader<'_> {
    /// Reads a value of a scalar kind.
    pub(super) fn scalar(&mut self, kind: &'static Kind, node: Node) -> Option<Node> {
        let scalar = match node.value {
            Value::Scalar(ref scalar) => scalar,
            // Short forms hand typed values to the long form.
            Value::Text(ref text) => &Scalar {
                text: Rc::clone(text),
                plain: false,
                tag: ScalarTag::None,
                template: None,
            },
            Value::Int(_) | Value::Bool(_) | Value::Float(_) => return Some(node),
            Value::Null if matches!(kind, Kind::Command) => return Some(node),
            Value::Sequence(_) if matches!(kind, Kind::Command) => return self.command_list(node),
            _ => return self.wrong_form(&node, kind.expects()),
        };
        let Ok(resolved) = scalar.resolve() else {
            return None;
        };
        let span = node.span;
        let text = match (kind, resolved) {
            (Kind::Command, Resolved::Null) => {
                return Some(Node {
                    value: Value::Null,
                    ..node
                });
            }
            (
                Kind::TextOrNumber | Kind::Size | Kind::Mode | Kind::Number | Kind::Float,
                Resolved::Int(_) | Resolved::Float(_),
            )
            | (Kind::Int(..), Resolved::Int(_))
            | (Kind::Flag | Kind::StrictFlag | Kind::TextOrFlag, Resolved::Bool(_)) => &scalar.text,
            (Kind::StrictFlag, _) => return self.wrong_form(&node, kind.expects()),
            (_, Resolved::Text(_)) => &scalar.text,
            (Kind::Text, Resolved::Int(_) | Resolved::Float(_) | Resolved::Bool(_)) => {
                return self.quote_it(&node, scalar);
            }
            _ => return self.wrong_form(&node, kind.expects()),
        };
        let text = Rc::clone(text);
        let shown: Rc<str> = scalar.shown().into();
        let value = match (kind, resolved) {
            (Kind::Flag | Kind::StrictFlag, Resolved::Bool(value)) => Value::Bool(value),
            (Kind::Flag, _) => Value::Bool(self.flag(&text, &shown, span)?),
            (Kind::Int(..) | Kind::Number, Resolved::Int(value)) => {
                self.integer(kind, value, span)?
            }
            (Kind::Int(..) | Kind::Number, _) => {
                let value = self.parsed(integer(kind, &text), &shown, "an integer", span)?;
                self.integer(kind, value, span)?
            }
            (Kind::Float, Resolved::Int(value)) => float(value),
            (Kind::Float, Resolved::Float(value)) if value.is_finite() => Value::Float(value),
            (Kind::Float, _) => {
                let number = text
                    .trim()
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite());
                Value::Float(self.parsed(number, &shown, "a number", span)?)
            }
            (Kind::Size, resolved) => {
                let size = match resolved {
                    Resolved::Int(value) => Some(value),
                    Resolved::Float(value) if value.fract() == 0.0 => units::whole(value),
                    Resolved::Float(_) => None,
                    _ => units::parse_size(&text),
                };
                Value::Text(
                    self.parsed(size, &shown, kind.expects(), span)?
                        .to_string()
                        .into(),
                )
            }
            (Kind::Duration, _) => {
                let duration = units::parse_duration(&text);
                let nanos = self.parsed(duration, &shown, kind.expects(), span)?;
                if nanos < 0 {
                    return self.bad_value(span, "a duration must not be negative");
                }
                Value::Text(units::format_duration(nanos).into())
            }
            (Kind::Mode, resolved) => {
                let mode = match resolved {
                    Resolved::Int(value) => u32::try_from(value).ok(),
                    _ => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
                };
                let mode = mode.filter(|mode| *mode <= 0o7777);
                let mode = self.parsed(mode, &shown, kind.expects(), span)?;
                Value::Text(format!("0{mode:o}").into())
            }
            (Kind::Command, _) => return self.command_line(&text, span),
            (Kind::OneOf(words), _) => {
                if !words.contains(&&*text) {
                    return self.not_one_of(words, &shown, span);
                }
                Value::Text(text)
            }
            (Kind::Checked(rule), _) => {
                if !(rule.holds)(&text) {
                    return self.breaks_rule(rule, &shown, span);
                }
                Value::Text(text)
            }
            (Kind::Path, _) if text.is_empty() => {
                return self.bad_value(span, "the path is empty");
            }
            (Kind::Path, _) => Value::Text(self.absolute(&text)),
            (Kind::Context, _) => Value::Text(self.context(&text)),
            _ => Value::Text(text),
        };
        Some(Node { value, ..node })
    }

    /// A number or boolean where only a text will do.
    fn quote_it(&mut self, node: &Node, scalar: &Scalar) -> Option<Node> {
        let message = format!("`{}` must be a text", self.path);
        self.sink.push(
            Diagnostic::error(Code::WrongForm, message)
                .at(node.span, format!("this is {}", scalar.describe()))
                .help(format!("quote it: \"{}\"", scalar.shown())),
        );
        None
    }

    /// Reads a text where a boolean is wanted.
    fn flag(&mut self, text: &str, shown: &str, span: Span) -> Option<bool> {
        let value = match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => return Some(true),
            "false" | "0" | "f" => return Some(false),
            "yes" | "y" | "on" => true,
            "no" | "n" | "off" => false,
            _ => return self.parsed(None, shown, "true or false", span),
        };
        self.sink.push(
            Diagnostic::warning(
                Code::Deprecated,
                format!("`{}`: `{shown}` is not a boolean in YAML 1.2", self.path),
            )
            .at(span, "")
            .help(format!("write `{value}`")),
        );
        Some(value)
    }

    fn integer(&mut self, kind: &Kind, value: i64, span: Span) -> Option<Value> {
        match *kind {
            Kind::Int(least, _) if value < least => {
                self.bad_value(span, format_args!("must be at least {least}"))
            }
            Kind::Int(_, most) if value > most => {
                self.bad_value(span, format_args!("must be at most {most}"))
            }
            _ => Some(Value::Int(value)),
        }
    }

    fn not_one_of<T>(&mut self, words: &[&'static str], shown: &str, span: Span) -> Option<T> {
        let message = format!("`{}` cannot be `{shown}`", self.path);
        let diagnostic = Diagnostic::error(Code::BadValue, message)
            .at(span, format!("one of {}", words.join(", ")))
            .did_you_mean(shown, words.iter().copied());
        self.sink.push(diagnostic);
        None
    }

    fn breaks_rule<T>(&mut self, rule: &Rule, shown: &str, span: Span) -> Option<T> {
        let message = format!("`{}`: `{shown}` is not {}", self.path, rule.wanted);
        let diagnostic = Diagnostic::error(Code::BadValue, message)
            .at(span, "")
            .did_you_mean(shown, rule.words.iter().copied());
        self.sink.push(diagnostic);
        None
    }

    /// Reports a text that could not be read; `shown` is the text as written.
    pub(super) fn parsed<T>(
        &mut self,
        value: Option<T>,
        shown: &str,
        wanted: &str,
        span: Span,
    ) -> Option<T> {
        if value.is_none() {
            let message = format!("`{}`: `{shown}` is not {wanted}", self.path);
            self.sink
                .push(Diagnostic::error(Code::BadValue, message).at(span, ""));
        }
        value
    }

    /// A build context: a path unless it names a remote or another service.
    pub(super) fn context(&self, text: &str) -> Rc<str> {
        let remote = text.contains("://")
            || ["service:", "github.com/", "git@"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
        if remote {
            text.into()
        } else {
            self.absolute(text)
        }
    }
}

fn integer(kind: &Kind, text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| match kind {
        Kind::Number => text.parse().ok().and_then(units::whole),
        _ => None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 processors")]
fn float(value: i64) -> Value {
    Value::Float(value as f64)
}
