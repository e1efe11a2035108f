//! What can be wrong with a Dockerfile.

use std::fmt;

use super::source::{Place, Source, Span};

/// One error of a Dockerfile, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
    /// A word near the one that is unknown.
    pub suggestion: Option<String>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason())
    }
}

impl SyntaxError {
    /// Returns what is wrong, without the place, for texts that are one instruction.
    pub fn reason(&self) -> String {
        match &self.suggestion {
            Some(word) => format!("{}, did you mean {word}?", self.problem),
            None => self.problem.to_string(),
        }
    }
}

impl std::error::Error for SyntaxError {}

/// Every error of a Dockerfile; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxErrors(pub Vec<SyntaxError>);

impl fmt::Display for SyntaxErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SyntaxErrors {}

/// A problem before its place is resolved: what the parsers return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) span: Span,
    pub(crate) problem: Problem,
    pub(crate) suggestion: Option<String>,
}

impl Located {
    pub(crate) fn new(span: Span, problem: Problem) -> Self {
        Self {
            span,
            problem,
            suggestion: None,
        }
    }

    /// Adds the nearest of `candidates` to `word` as suggestion.
    pub(crate) fn near<'a>(
        mut self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.suggestion = nearest(word, candidates);
        self
    }

    pub(crate) fn resolve(self, source: &Source) -> SyntaxError {
        SyntaxError {
            place: source.place(self.span),
            problem: self.problem,
            suggestion: self.suggestion,
        }
    }
}

/// What is wrong. The wording follows the reference frontend where people search for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("the file is empty")]
    Empty,
    #[error("the file is not UTF-8")]
    NotUtf8,
    #[error("no FROM: the file has no stage to build")]
    NoStage,
    #[error("no build stage in current context: only ARG may stand before the first FROM")]
    BeforeFrom,
    #[error("only one {0} parser directive can be used")]
    DirectiveTwice(String),
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    #[error("unknown frontend `{0}`: only docker/dockerfile is built in")]
    Frontend(String),
    #[error("unterminated heredoc {0}")]
    HeredocEnd(String),
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("unknown flag: --{flag} of {instruction}")]
    UnknownFlag { instruction: String, flag: String },
    #[error("duplicate flag specified: --{0}")]
    FlagTwice(String),
    #[error("missing a value on flag: --{0}")]
    FlagValue(String),
    #[error("expecting boolean value for flag --{flag}, not: {value}")]
    FlagBoolean { flag: String, value: String },
    #[error("invalid value for flag --{flag}: {value}, it is one of {allowed}")]
    FlagChoice {
        flag: String,
        value: String,
        allowed: &'static str,
    },
    #[error("FROM requires either one or three arguments")]
    FromArity,
    #[error(
        "invalid name for build stage: \"{0}\", name can't start with a number or contain symbols"
    )]
    StageName(String),
    #[error("{0} requires at least one argument")]
    AtLeastOne(String),
    #[error("{0} requires exactly one argument")]
    ExactlyOne(String),
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination(String),
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(String),
    #[error("{0} must have two arguments")]
    LegacyPair(String),
    #[error("can't find = in \"{0}\": it must be of the form name=value")]
    NoEquals(String),
    #[error("{0} names can not be blank")]
    BlankName(String),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnbuildTrigger(String),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnbuildChain,
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthNone,
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthCommand,
    #[error("Unknown type \"{0}\" in HEALTHCHECK (try CMD)")]
    HealthType(String),
    #[error("invalid duration `{0}`")]
    Duration(String),
    #[error("interval `{0}` cannot be less than 1ms")]
    ShortInterval(String),
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    #[error("invalid number `{0}`")]
    Number(String),
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    FromVariable,
    #[error("{0}")]
    Mount(MountProblem),
    #[error("{0}")]
    Expand(ExpandError),
}

/// What is wrong with a `--mount` of RUN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MountProblem {
    #[error("quotes of `{0}` are not balanced")]
    Csv(String),
    #[error("invalid field '{0}' must be a key=value pair")]
    Bare(String),
    #[error("unexpected key '{key}' in '{field}'")]
    UnknownKey { key: String, field: String },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    Key { key: String, kind: String },
    #[error("unsupported mount type \"{0}\"")]
    Kind(String),
    #[error("unsupported sharing value \"{0}\"")]
    Sharing(String),
    #[error("invalid value for {key}: {value}")]
    Value { key: String, value: String },
    #[error("'from' doesn't support variable expansion, define alias stage instead")]
    FromVariable,
    #[error("{key} not allowed for \"{kind}\" type mounts")]
    NotAllowed { key: &'static str, kind: String },
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("invalid secret mount. one of source, target required")]
    SecretSource,
    #[error("both source and id can't be set")]
    SecretTwice,
    #[error("invalid cache sharing set for {0} mount")]
    SharingKind(String),
    #[error("ssh does not support source")]
    SshSource,
    #[error("invalid mount target \"{0}\"")]
    Target(String),
}

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExpandError {
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    #[error("invalid pattern ({0}) in substitution")]
    Pattern(String),
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    #[error("{name}: {message}")]
    Required { name: String, message: String },
}

/// Returns the candidate nearest to `word`, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let lower = word.to_lowercase();
    let allowed = match lower.chars().count() {
        0 => return None,
        1..=3 => 1,
        4..=6 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance, with the swap of two neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["RUN", "COPY", "ENTRYPOINT"];
        assert_eq!(nearest("rnu", names), Some("RUN".to_owned()));
        assert_eq!(nearest("COYP", names), Some("COPY".to_owned()));
        assert_eq!(nearest("ENTRYPIONT", names), Some("ENTRYPOINT".to_owned()));
        assert_eq!(nearest("FOO", names), None);
        assert_eq!(nearest("", names), None);
    }
}
