//! `--format`: table, JSON, or the part of Go's templates that people use.
//!
//! A template is text with `{{.Field}}`, `{{.A.B}}`, `{{json .}}`, `{{json .Field}}`, `{{upper .Field}}`,
//! `{{lower .Field}}` and `{{println .Field}}`; outside of braces `\t` and `\n` mean what they do in Go. Anything else is
//! refused by name: a template that prints something else than asked for is worse than none.

use std::{fmt::Write, str::FromStr};

use serde_json::Value;

use super::{lines, table::Table};

/// What `--format` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The command's own table.
    Table,
    /// One JSON object a line.
    Json,
    /// One JSON array.
    JsonArray,
    /// One line of text for each object.
    Template(Template),
    /// A table of the template's fields, titles from their names.
    TableTemplate(Template),
}

impl FromStr for Format {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        match text {
            "table" | "" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "json-array" => Ok(Self::JsonArray),
            text => match text.strip_prefix("table ") {
                Some(rest) => rest.trim_start().parse().map(Self::TableTemplate),
                None => text.parse().map(Self::Template),
            },
        }
    }
}

impl Format {
    /// The form of `inspect`: docker prints one array there, whatever the number of objects.
    pub fn of_inspect(given: Option<&Self>) -> &Self {
        match given {
            None | Some(Self::Json | Self::Table) => &Self::JsonArray,
            Some(format) => format,
        }
    }

    /// Returns the text for objects that have a table of their own.
    pub fn render(
        &self,
        objects: &[Value],
        table: impl FnOnce() -> Table,
    ) -> Result<String, InvalidTemplate> {
        match self {
            Self::Table => Ok(table().render()),
            Self::Json => Ok(lines(objects.iter().map(Value::to_string))),
            Self::JsonArray => Ok(format!("{:#}\n", Value::Array(objects.to_vec()))),
            Self::Template(template) => objects
                .iter()
                .map(|object| Ok(template.render(object)? + "\n"))
                .collect(),
            Self::TableTemplate(template) => template.table(objects),
        }
    }
}

/// Text that is not a template we can honour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// `{{` without `}}`.
    #[error("template: `{{{{` without `}}}}` in `{text}`")]
    Unclosed {
        /// The template.
        text: String,
    },
    /// Something of Go's templates that is not here.
    #[error(
        "template: `{{{{{action}}}}}` is not supported; fields, json, upper, lower and println are"
    )]
    Unsupported {
        /// What is between the braces.
        action: String,
    },
    /// A field that the objects do not have.
    #[error("template: there is no field `{field}`; fields are {known}")]
    NoField {
        /// The field.
        field: String,
        /// Those there are.
        known: String,
    },
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value {
        function: Function,
        path: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Print,
    Println,
    Json,
    Upper,
    Lower,
}

impl FromStr for Template {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) =
                after
                    .split_once("}}")
                    .ok_or_else(|| InvalidTemplate::Unclosed {
                        text: text.to_owned(),
                    })?;
            pieces.push(Piece::Text(unescape(before)));
            pieces.push(parse_action(action.trim())?);
            rest = after;
        }
        pieces.push(Piece::Text(unescape(rest)));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { pieces })
    }
}

impl Template {
    fn render(&self, object: &Value) -> Result<String, InvalidTemplate> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { function, path } => {
                    render_value(*function, find(object, path)?, &mut out);
                }
            }
        }
        Ok(out)
    }

    /// `table {{.A}}\t{{.B}}`: columns are separated by tabs.
    fn table(&self, objects: &[Value]) -> Result<String, InvalidTemplate> {
        let titles: String = self.pieces.iter().map(Piece::title).collect();
        let mut table = Table::new(titles.split('\t'));
        let columns = titles.split('\t').count();
        for object in objects {
            let line = self.render(object)?;
            // A value with a tab of its own must not make a column.
            table.row(
                line.splitn(columns, '\t')
                    .chain(std::iter::repeat(""))
                    .take(columns),
            );
        }
        Ok(table.render())
    }
}

impl Piece {
    fn title(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Value { path, .. } => path
                .last()
                .map_or_else(|| "JSON".to_owned(), |field| field.to_uppercase()),
        }
    }
}

fn parse_action(action: &str) -> Result<Piece, InvalidTemplate> {
    let unsupported = || InvalidTemplate::Unsupported {
        action: action.to_owned(),
    };
    let (function, field) = match action.split_once(char::is_whitespace) {
        None => (Function::Print, action),
        Some(("json", field)) => (Function::Json, field.trim()),
        Some(("upper", field)) => (Function::Upper, field.trim()),
        Some(("lower", field)) => (Function::Lower, field.trim()),
        Some(("println", field)) => (Function::Println, field.trim()),
        Some(("print", field)) => (Function::Print, field.trim()),
        Some(_) => return Err(unsupported()),
    };
    let path: Vec<String> = match field.strip_prefix('.').ok_or_else(unsupported)? {
        "" => Vec::new(),
        fields => fields.split('.').map(str::to_owned).collect(),
    };
    let is_name =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !path.iter().all(is_name) {
        return Err(unsupported());
    }
    Ok(Piece::Value { function, path })
}

fn find<'v>(object: &'v Value, path: &[String]) -> Result<&'v Value, InvalidTemplate> {
    path.iter().try_fold(object, |value, field| {
        value.get(field).ok_or_else(|| InvalidTemplate::NoField {
            field: field.clone(),
            known: value.as_object().map_or_else(String::new, |object| {
                object
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            }),
        })
    })
}

fn render_value(function: Function, value: &Value, out: &mut String) {
    let plain = match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let written = match function {
        Function::Print => write!(out, "{plain}"),
        Function::Println => writeln!(out, "{plain}"),
        Function::Json => write!(out, "{value}"),
        Function::Upper => write!(out, "{}", plain.to_uppercase()),
        Function::Lower => write!(out, "{}", plain.to_lowercase()),
    };
    written.expect("writing to a String cannot fail");
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(format: &str) -> Result<String, InvalidTemplate> {
        let objects = [
            json!({"Name": "web-1", "State": "running", "Ports": {"First": 80}}),
            json!({"Name": "db-1", "State": "exited", "Ports": {"First": null}}),
        ];
        format
            .parse::<Format>()?
            .render(&objects, || Table::new(["NAME"]))
    }

    #[test]
    fn templates_print_fields() {
        for (format, text) in [
            ("table", "NAME\n"),
            ("{{.Name}}", "web-1\ndb-1\n"),
            (
                "{{ .Name }}={{upper .State}}",
                "web-1=RUNNING\ndb-1=EXITED\n",
            ),
            (
                "{{.Ports.First}}\\t{{json .Name}}",
                "80\t\"web-1\"\nnull\t\"db-1\"\n",
            ),
            (
                "table {{.Name}}\\t{{.State}}",
                "NAME      STATE\nweb-1     running\ndb-1      exited\n",
            ),
            ("no field", "no field\nno field\n"),
        ] {
            assert_eq!(render(format).unwrap(), text, "{format}");
        }
        assert!(
            render("{{json .}}")
                .unwrap()
                .starts_with("{\"Name\":\"web-1\",")
        );
        assert!(render("json-array").unwrap().starts_with("[\n"));
        assert_eq!(render("json").unwrap().lines().count(), 2);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (format, message) in [
            ("{{.Name", "template: `{{` without `}}` in `{{.Name`"),
            (
                "{{range .}}",
                "template: `{{range .}}` is not supported; fields, json, upper, lower and println are",
            ),
            (
                "{{Name}}",
                "template: `{{Name}}` is not supported; fields, json, upper, lower and println are",
            ),
            (
                "{{.Nam}}",
                "template: there is no field `Nam`; fields are Name, State, Ports",
            ),
        ] {
            assert_eq!(render(format).unwrap_err().to_string(), message, "{format}");
        }
    }
}
