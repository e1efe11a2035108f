//! Checks of a Dockerfile that works but should be written differently: the rules of `docker build --check`. Pure.
//!
//! [`check`] needs to know the environment of base images, because a variable may come from there; where a base is unknown, undefined
//! variables of that stage are not reported rather than guessed.

mod form;
mod options;
mod rule;
mod variables;

use std::fmt;

pub use options::CheckOptionError;
pub(crate) use options::Options;
pub use rule::Rule;

use super::{
    dockerfile::{Dockerfile, Place, Span},
    ignore::Ignore,
    scope::Globals,
};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// What, for people.
    pub text: String,
}

impl fmt::Display for Finding {
    /// Writes the rule, the message, the place and the line with carets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excerpt = self.place.excerpt();
        write!(f, "{}: {}\n{}\n{excerpt}", self.rule, self.text, self.place)
    }
}

/// Environment of a base image: name and value.
pub(crate) type Environment = Vec<(String, String)>;

/// What the rules look at.
pub(crate) struct Subject<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) ignore: &'a Ignore,
    /// With what the caller gave.
    pub(crate) globals: &'a Globals,
    /// With nothing but the defaults of the file.
    pub(crate) defaults: &'a Globals,
    /// Whether a text can name an image.
    pub(crate) is_image_name: &'a dyn Fn(&str) -> bool,
    /// Environment of an image; `None` = unknown.
    pub(crate) base_env: &'a dyn Fn(&str) -> Option<Environment>,
}

/// Findings before their places are resolved.
#[derive(Default)]
struct Findings(Vec<(Rule, Span, String)>);

impl Findings {
    fn add(&mut self, rule: Rule, span: Span, text: String) {
        self.0.push((rule, span, text));
    }
}

/// Applies the rules that the options want. Findings are in the order of the file, none twice.
pub(crate) fn check(subject: &Subject<'_>, options: &Options) -> Vec<Finding> {
    let mut findings = Findings::default();
    form::check(subject, &mut findings);
    variables::check(subject, &mut findings);
    let mut found = findings.0;
    found.retain(|(rule, ..)| options.wants(*rule));
    found.sort_by_key(|(rule, span, _)| (span.start, *rule));
    found.dedup();
    let source = &subject.dockerfile.source;
    found
        .into_iter()
        .map(|(rule, span, text)| Finding {
            rule,
            place: source.place(span),
            text,
        })
        .collect()
}

#[cfg(test)]
mod tests;
