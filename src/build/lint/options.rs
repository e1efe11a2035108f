//! `# check=skip=A,B;error=true;experimental=C`: which rules apply, and whether a finding fails the build.

use super::Rule;
use crate::build::dockerfile::nearest;

/// What a Dockerfile says about its checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    skipped: Names,
    experimental: Names,
    /// Findings fail the build.
    pub(crate) error: bool,
}

/// Names of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Names {
    #[default]
    None,
    All,
    Some(Vec<Rule>),
}

impl Names {
    fn holds(&self, rule: Rule) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(rules) => rules.contains(&rule),
        }
    }
}

/// The value of `check` is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckOptionError {
    /// Unknown key.
    #[error("unknown check option `{0}`: it is one of skip, error, experimental")]
    Key(String),
    /// Not a boolean.
    #[error("check option `error` is true or false, not `{0}`")]
    Boolean(String),
    /// No such rule.
    #[error("unknown check `{name}`{}", suggestion.as_deref().map_or_else(String::new, |near| format!(", did you mean {near}?")))]
    Rule {
        /// The name.
        name: String,
        /// A name near it.
        suggestion: Option<String>,
    },
}

impl Options {
    /// Parses the directive's value.
    pub(crate) fn parse(text: &str) -> Result<Self, CheckOptionError> {
        let mut options = Self::default();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "skip" => options.skipped = names(value)?,
                "experimental" => options.experimental = names(value)?,
                "error" => {
                    options.error = match value.trim().to_ascii_lowercase().as_str() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(CheckOptionError::Boolean(value.trim().to_owned())),
                    };
                }
                key => return Err(CheckOptionError::Key(key.to_owned())),
            }
        }
        Ok(options)
    }

    /// Whether findings of a rule are wanted.
    pub(crate) fn wants(&self, rule: Rule) -> bool {
        !self.skipped.holds(rule) && (!rule.is_experimental() || self.experimental.holds(rule))
    }
}

fn names(text: &str) -> Result<Names, CheckOptionError> {
    let words = text.split(',').map(str::trim);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| word.eq_ignore_ascii_case("all")) {
        return Ok(Names::All);
    }
    let rule = |word: &&str| {
        Rule::ALL
            .into_iter()
            .find(|rule| rule.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| CheckOptionError::Rule {
                name: (*word).to_owned(),
                suggestion: nearest(word, Rule::ALL.map(Rule::name)),
            })
    };
    words
        .iter()
        .map(rule)
        .collect::<Result<_, _>>()
        .map(Names::Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_rules_and_bad_ones_are_named() {
        let options = Options::parse("skip=StageNameCasing, undefinedvar;error=true").unwrap();
        assert!(options.error);
        assert!(!options.wants(Rule::StageNameCasing) && !options.wants(Rule::UndefinedVar));
        assert!(options.wants(Rule::FromAsCasing));
        assert!(!options.wants(Rule::InvalidDefinitionDescription));
        let all = Options::parse("skip=all").unwrap();
        assert!(Rule::ALL.into_iter().all(|rule| !all.wants(rule)));
        let experimental = Options::parse("experimental=all").unwrap();
        assert!(experimental.wants(Rule::InvalidDefinitionDescription));
        for (text, expected) in [
            (
                "skip=StageNameCasin",
                "unknown check `StageNameCasin`, did you mean StageNameCasing?",
            ),
            (
                "error=maybe",
                "check option `error` is true or false, not `maybe`",
            ),
            (
                "skop=all",
                "unknown check option `skop`: it is one of skip, error, experimental",
            ),
        ] {
            assert_eq!(Options::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
