//! Scalars: what a text must look like for its attribute, and its canonical form.

use std::rc::Rc;

use super::{Reader, any, units};
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
            Value::Scalar(ref scalar) => scalar.clone(),
            // Short forms hand typed values to the long form.
            Value::Text(ref text) => Scalar {
                text: Rc::clone(text),
                plain: false,
                tag: ScalarTag::None,
                template: None,
            },
            Value::Int(_) | Value::Bool(_) | Value::Float(_) => return Some(node),
            Value::Null if matches!(kind, Kind::Command) => return Some(node),
            Value::Sequence(_) if matches!(kind, Kind::Command) => return self.command_list(node),
            _ => return self.wrong_form(&node, self.expects(kind)),
        };
        // A path with variables in it starts where every other one does.
        if self.is_open(&scalar.text)
            && !matches!(kind, Kind::Path | Kind::SpelledPath | Kind::Context)
        {
            return Some(Node {
                value: Value::Text(scalar.text),
                ..node
            });
        }
        let resolved = scalar.resolve().ok()?;
        if matches!((kind, resolved), (Kind::Command, Resolved::Null)) {
            return Some(Node {
                value: Value::Null,
                ..node
            });
        }
        if !takes(kind, resolved) {
            let quoted = matches!(kind, Kind::Text | Kind::SizeText) && resolved != Resolved::Null;
            return if quoted {
                self.quote_it(&node, &scalar)
            } else {
                self.wrong_form(&node, self.expects(kind))
            };
        }
        let model = self.is_model();
        if matches!(kind, Kind::Command) {
            return if model {
                Some(any(node))
            } else {
                self.command_line(&scalar.text, node.span)
            };
        }
        let value = self.converted(kind, resolved, &scalar, node.span)?;
        let value = if model
            && !matches!(
                kind,
                Kind::Path | Kind::SpelledPath | Kind::Context | Kind::TextOrFlag
            ) {
            typed(&scalar)
        } else {
            value
        };
        Some(Node { value, ..node })
    }

    /// Returns what a scalar may be, in words.
    fn expects(&self, kind: &Kind) -> &'static str {
        match kind {
            // The one size that is none.
            Kind::Size if self.last_key() == "mem_swappiness" => "a number from 0 to 100",
            _ => kind.expects(),
        }
    }

    /// Returns the canonical value of a scalar whose form is right.
    fn converted(
        &mut self,
        kind: &Kind,
        resolved: Resolved<'_>,
        scalar: &Scalar,
        span: Span,
    ) -> Option<Value> {
        let text = Rc::clone(&scalar.text);
        let shown = scalar.shown();
        Some(match kind {
            Kind::Flag | Kind::StrictFlag => Value::Bool(match resolved {
                Resolved::Bool(value) => value,
                _ => self.flag(&text, shown, span)?,
            }),
            Kind::Int(..) | Kind::Number => {
                let number = match resolved {
                    Resolved::Int(value) => Some(value),
                    Resolved::Float(value) => units::whole(value),
                    _ => text.trim().parse().ok(),
                };
                let number = self.parsed(number, shown, "an integer", span)?;
                self.within(kind, number, span)?
            }
            Kind::Float => {
                let number = float(resolved, &text);
                Value::Float(self.parsed(number, shown, "a number", span)?)
            }
            Kind::Size | Kind::SizeText => {
                // Limits of `deploy` have no -1 for "none".
                let bytes =
                    size(resolved, &text).filter(|bytes| *bytes >= 0 || matches!(kind, Kind::Size));
                let bytes = self.parsed(bytes, shown, self.expects(kind), span)?;
                Value::Text(bytes.to_string().into())
            }
            Kind::Duration => {
                let duration = units::parse_duration(&text);
                let nanos = self.parsed(duration, shown, kind.expects(), span)?;
                if nanos < 0 {
                    return self.refuse(
                        Code::BadQuantity,
                        span,
                        "a duration must not be negative",
                        "",
                    );
                }
                Value::Text(units::format_duration(nanos).into())
            }
            Kind::Mode => {
                let mode = self.parsed(mode(resolved, &text), shown, kind.expects(), span)?;
                Value::Text(format!("0{mode:o}").into())
            }
            Kind::ModeNumber => {
                let mode = self.parsed(mode(resolved, &text), shown, kind.expects(), span)?;
                Value::Int(mode.into())
            }
            Kind::OneOf(words) if !words.contains(&&*text) => {
                return self.not_one_of(words, shown, span);
            }
            Kind::Checked(rule) if !(rule.holds)(&text) => {
                return self.breaks_rule(rule, shown, span);
            }
            Kind::Path | Kind::SpelledPath if text.is_empty() => {
                return self.bad_value(span, "the path is empty");
            }
            Kind::Path => Value::Text(self.absolute(&text, span)),
            Kind::SpelledPath => {
                // Noted as what it becomes.
                self.absolute(&text, span);
                Value::Text(self.joined(&text))
            }
            Kind::Context => Value::Text(self.context(&text, span)),
            _ => Value::Text(text),
        })
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
            "true" => return Some(true),
            "false" => return Some(false),
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

    /// Reports an integer outside of its bounds.
    fn within(&mut self, kind: &Kind, value: i64, span: Span) -> Option<Value> {
        match *kind {
            Kind::Int(least, _) if value < least => self.refuse(
                Code::BadQuantity,
                span,
                format_args!("must be at least {least}"),
                "",
            ),
            Kind::Int(_, most) if value > most => self.refuse(
                Code::BadQuantity,
                span,
                format_args!("must be at most {most}"),
                "",
            ),
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
        // What is wanted is told in a word; the words that are valid stand at the place.
        let (wanted, valid) = rule.wanted.split_once(": ").unwrap_or((rule.wanted, ""));
        let message = format!("`{}`: `{shown}` is not {wanted}", self.path);
        let diagnostic = Diagnostic::error(Code::BadValue, message)
            .at(span, valid)
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
            let number = ["a size", "a duration", "an integer", "a number", "an octal"]
                .iter()
                .any(|start| wanted.starts_with(start));
            let code = if number {
                Code::BadQuantity
            } else {
                Code::BadValue
            };
            let message = if shown.is_empty() {
                format!("`{}`: an empty text is not {wanted}", self.path)
            } else {
                format!("`{}`: `{shown}` is not {wanted}", self.path)
            };
            let mut diagnostic = Diagnostic::error(code, message).at(span, "");
            if wanted.starts_with("a duration") && shown.parse::<u32>().is_ok() {
                diagnostic = diagnostic.help(format!("give it a unit: `{shown}s`"));
            }
            if wanted.starts_with("a size") && shown.parse::<f64>().is_ok_and(|size| size > 0.0) {
                diagnostic = diagnostic.help(format!("give it a unit: `{shown}g`"));
            }
            self.sink.push(diagnostic);
        }
        value
    }

    /// A build context: a path unless it names a remote or another service.
    pub(super) fn context(&self, text: &str, span: Span) -> Rc<str> {
        let remote = text.contains("://")
            || ["service:", "github.com/", "git@"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
        if remote {
            text.into()
        } else {
            self.absolute(text, span)
        }
    }
}

/// Returns whether a kind takes a scalar of this type.
fn takes(kind: &Kind, resolved: Resolved<'_>) -> bool {
    match resolved {
        Resolved::Null => false,
        Resolved::Text(_) => !matches!(kind, Kind::StrictFlag),
        Resolved::Bool(_) => matches!(kind, Kind::Flag | Kind::StrictFlag | Kind::TextOrFlag),
        Resolved::Int(_) if matches!(kind, Kind::Int(..) | Kind::TextOrNumber) => true,
        Resolved::Int(_) | Resolved::Float(_) => {
            matches!(
                kind,
                Kind::Size | Kind::Mode | Kind::ModeNumber | Kind::Number | Kind::Float
            )
        }
    }
}

fn float(resolved: Resolved<'_>, text: &str) -> Option<f64> {
    let number = match resolved {
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 processors")]
        Resolved::Int(value) => Some(value as f64),
        Resolved::Float(value) => Some(value),
        _ => text.trim().parse().ok(),
    };
    number.filter(|number| number.is_finite())
}

/// A number of bytes; a number with a fraction and without a unit is a slip.
fn size(resolved: Resolved<'_>, text: &str) -> Option<i64> {
    match resolved {
        Resolved::Int(value) => Some(value),
        Resolved::Float(value) if value.fract() == 0.0 => units::whole(value),
        Resolved::Float(_) => None,
        _ => units::parse_size(text),
    }
}

/// Permission bits: a number in the base that YAML reads, or octal digits in quotes.
fn mode(resolved: Resolved<'_>, text: &str) -> Option<u32> {
    let mode = match resolved {
        Resolved::Int(value) => u32::try_from(value).ok(),
        _ => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
    };
    mode.filter(|mode| *mode <= 0o7777)
}
