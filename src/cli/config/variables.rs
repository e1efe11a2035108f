//! `config --variables`: which variables the files use.

use compose_spec::{Passes, Variable, variables};
use serde_json::{Map, Value, json};

use crate::cli::{failure::Failure, session::Session};

/// Smallest width of a column and blanks between two, as docker compose has them.
const COLUMN_MIN: usize = 20;
const GAP: usize = 3;

/// Returns the variables as a table, or as one object by name.
pub(super) fn text(session: &Session<'_>, json: bool) -> Result<String, Failure> {
    let passes = Passes {
        interpolation: false,
        env_resolution: false,
        ..Passes::default()
    };
    let found = session.configuration(&[], passes)?;
    let variables = variables(&found.canonical);
    Ok(if json {
        object(&variables)
    } else {
        table(&variables)
    })
}

fn object(variables: &[Variable]) -> String {
    let map: Map<String, Value> = variables
        .iter()
        .map(|variable| {
            let value = json!({
                "Name": variable.name,
                "DefaultValue": variable.default,
                "PresenceValue": variable.alternate,
                "Required": variable.required,
            });
            (variable.name.clone(), value)
        })
        .collect();
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&map, &mut serializer).expect("plain data is always written");
    text.extend(b"\n");
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn table(variables: &[Variable]) -> String {
    let header = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let rows = variables.iter().map(|variable| {
        let required = variable.required.to_string();
        let Variable {
            name,
            default,
            alternate,
            ..
        } = variable;
        [name.clone(), required, default.clone(), alternate.clone()]
    });
    let lines: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    let mut widths = [0; 4];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = COLUMN_MIN.max(cell.chars().count() + GAP).max(*width);
        }
    }
    let mut text = String::new();
    for [a, b, c, d] in &lines {
        let [first, second, third, _] = widths;
        let line = format!("{a:first$}{b:second$}{c:third$}{d}\n");
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_those_of_compose() {
        let variables = [Variable {
            name: "A_VERY_LONG_VARIABLE".to_owned(),
            default: "1.2".to_owned(),
            ..Variable::default()
        }];
        assert_eq!(
            table(&variables),
            "NAME                   REQUIRED            DEFAULT VALUE       ALTERNATE VALUE\n\
             A_VERY_LONG_VARIABLE   false               1.2                 \n"
        );
        assert!(
            object(&variables).starts_with("{\n    \"A_VERY_LONG_VARIABLE\": {\n        \"Name\"")
        );
    }
}
