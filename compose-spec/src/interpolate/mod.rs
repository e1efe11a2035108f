//! Interpolation: `$VAR` and `${VAR…}` in the values of a tree, before anything looks at what they mean.
//!
//! Keys are never touched. A value that changed is a text from then on (`user: ${UID}` is not a number), and remembers
//! its template, which is what messages show: the values of variables may be secrets.

mod template;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, rc::Rc};

pub(crate) use template::{Fault, substitute, variables};

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Sources, Span},
    env::Environment,
    yaml::{Node, Scalar, Value},
};

/// Most bytes that interpolation may produce for one project: variables can double themselves.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Interpolates trees with one environment.
pub(crate) struct Interpolator<'a> {
    environment: &'a Environment,
    sources: &'a Sources,
    sink: &'a mut Sink,
    memory: &'a mut Memory,
}

/// What interpolation remembers from one document to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Variables that were reported as unset.
    unset: HashSet<String>,
    /// Bytes produced so far.
    bytes: usize,
}

impl<'a> Interpolator<'a> {
    /// Starts with one document.
    pub(crate) fn new(
        environment: &'a Environment,
        sources: &'a Sources,
        sink: &'a mut Sink,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            environment,
            sources,
            sink,
            memory,
        }
    }

    /// Interpolates every value below `node`.
    pub(crate) fn node(&mut self, node: &mut Node) {
        let span = node.span;
        match &mut node.value {
            Value::Scalar(scalar) if scalar.text.contains('$') => self.scalar(scalar, span),
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Mapping(mapping) => {
                mapping
                    .iter_mut()
                    .for_each(|(_, entry)| self.node(&mut entry.value));
            }
            _ => {}
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span) {
        let template = Rc::clone(&scalar.text);
        let environment = self.environment;
        let lookup = |name: &str| environment.get(name).map(str::to_owned);
        let mut unset = Vec::new();
        let outcome = substitute(&template, &lookup, &mut |use_| unset.push(use_));
        for (name, start, end) in unset {
            if self.memory.unset.insert(name.clone()) {
                let place = self.narrow(&template, span, start, end);
                let message = format!("variable `{name}` is not set and becomes an empty text");
                self.sink.push(
                    Diagnostic::warning(Code::UnsetVariable, message)
                        .at(place, "")
                        .help(format!("give a default: `${{{name}:-default}}`")),
                );
            }
        }
        match outcome {
            Ok(text) if self.memory.bytes + text.len() <= OUTPUT_BYTES_MAX => {
                self.memory.bytes += text.len();
                if *text != *template {
                    scalar.text = text.into();
                    scalar.plain = false;
                    scalar.template = Some(template);
                }
            }
            Ok(_) => self.fault(Fault::TooLarge, &template, span),
            Err(fault) => self.fault(fault, &template, span),
        }
    }

    fn fault(&mut self, fault: Fault, template: &str, span: Span) {
        let diagnostic = match fault {
            Fault::Malformed { start, end } => {
                Diagnostic::error(Code::BadInterpolation, "invalid interpolation")
                    .at(
                        self.narrow(template, span, start, end),
                        "not of the form `${NAME}`",
                    )
                    .help("write `$$` for a `$` that is meant literally")
            }
            Fault::Required {
                name,
                message,
                start,
                end,
            } => {
                let place = self.narrow(template, span, start, end);
                let what = format!("required variable `{name}` is not set");
                let text = if message.is_empty() {
                    what
                } else {
                    format!("{what}: {message}")
                };
                Diagnostic::error(Code::RequiredVariable, text)
                    .at(place, "")
                    .help(format!("set it in the environment or in `.env`: {name}=…"))
            }
            Fault::TooLarge => {
                Diagnostic::error(Code::TooLarge, "interpolation makes the value too large")
                    .at(span, "")
            }
        };
        self.sink.push(diagnostic);
    }

    /// Returns the place of a part of a template, or that of the whole value when escapes or folding moved it.
    fn narrow(&self, template: &str, span: Span, start: usize, end: usize) -> Span {
        let written = self.sources.slice(span);
        if written == template {
            return span.part(start, end);
        }
        let inner = written.get(1..written.len().saturating_sub(1));
        if written.starts_with(['"', '\'']) && inner == Some(template) {
            return span.part(start + 1, end + 1);
        }
        span
    }
}
