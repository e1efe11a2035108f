//! A YAML writer for plain data: block style, two blanks a level, lists indented below their key.

use std::fmt::Write as _;

use serde_json::Value;

use super::scalar;

/// Blanks of one level.
const STEP: usize = 2;

/// Longest key that YAML readers must accept without a `?` in front.
const SIMPLE_KEY_MAX: usize = 128;

/// Returns a document.
pub(super) fn document(value: &Value) -> String {
    let mut writer = Writer { out: String::new() };
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(map, 0, false),
        Value::Array(items) if !items.is_empty() => writer.sequence(items, 0, false),
        value => {
            writer.scalar(value, 0);
            writer.out.push('\n');
        }
    }
    writer.out
}

struct Writer {
    out: String,
}

impl Writer {
    /// Writes a mapping at an indentation; the first line goes on behind `- ` when it is `inline`.
    fn mapping(&mut self, map: &serde_json::Map<String, Value>, indent: usize, inline: bool) {
        for (index, (key, value)) in map.iter().enumerate() {
            if index > 0 || !inline {
                self.blanks(indent);
            }
            let long = key.len() > SIMPLE_KEY_MAX || key.contains('\n');
            if long {
                self.out.push_str("? ");
            }
            self.text(key, indent + STEP);
            if long {
                self.out.push('\n');
                self.blanks(indent);
            }
            self.out.push(':');
            self.value(value, indent);
        }
    }

    fn sequence(&mut self, items: &[Value], indent: usize, inline: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !inline {
                self.blanks(indent);
            }
            self.out.push_str("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.mapping(map, indent + STEP, true),
                Value::Array(items) if !items.is_empty() => {
                    self.sequence(items, indent + STEP, true);
                }
                item => {
                    self.scalar(item, indent + STEP);
                    self.out.push('\n');
                }
            }
        }
    }

    /// Writes what stands behind a key at an indentation.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.out.push('\n');
                self.mapping(map, indent + STEP, false);
            }
            Value::Array(items) if !items.is_empty() => {
                self.out.push('\n');
                self.sequence(items, indent + STEP, false);
            }
            value => {
                self.out.push(' ');
                self.scalar(value, indent + STEP);
                self.out.push('\n');
            }
        }
    }

    /// Writes a value of one line or a text; `indent` is where its further lines start.
    fn scalar(&mut self, value: &Value, indent: usize) {
        // Writing to a String cannot fail.
        let _infallible = match value {
            Value::Object(_) => self.out.write_str("{}"),
            Value::Array(_) => self.out.write_str("[]"),
            Value::String(text) => {
                self.text(text, indent);
                Ok(())
            }
            Value::Number(number) if number.is_f64() => self
                .out
                .write_str(&scalar::float(number.as_f64().unwrap_or_default())),
            value => write!(self.out, "{value}"),
        };
    }

    fn text(&mut self, text: &str, indent: usize) {
        let line_start = self.out.rfind('\n').map_or(0, |at| at + 1);
        let column = self.out[line_start..].chars().count();
        scalar::write(&mut self.out, text, column, indent);
    }

    fn blanks(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }
}
