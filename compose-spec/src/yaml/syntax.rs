//! Texts that are not YAML: what is wrong in our own words, where it began, and what to do about it.

use granit_parser::ErrorKind;

use crate::diagnostic::{Code, Diagnostic, SourceId, Span};

/// How far back the beginning of what is wrong is looked for, in bytes.
const BACK_MAX: usize = 16 << 10;

const QUOTE_IT: &str = "a text that begins with such a character must be in quotes";
const COLUMNS: &str = "keys of one mapping begin in one column: compare with the lines above";
const TABS: &str = "YAML is indented with spaces, not with tabs";
const BRACKETS: &str = "separate the items with commas, and close what is open";

/// What is wrong, and what to do about it; the latter may be empty.
type Words = (&'static str, &'static str);

/// Returns what is wrong, and what to do about it.
fn words(kind: &ErrorKind) -> (String, &'static str) {
    match kind {
        ErrorKind::UnexpectedCharacter { character } => {
            let what = format!("a value cannot begin with `{}`", character.escape_debug());
            return (what, QUOTE_IT);
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), "");
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("`{open}` is not closed"), "");
        }
        _ => {}
    }
    let (what, help) = in_brackets(kind)
        .or_else(|| in_lines(kind))
        .or_else(|| in_texts(kind))
        .unwrap_or_else(|| in_properties(kind));
    (what.to_owned(), help)
}

/// Errors within `[…]` and `{…}`.
fn in_brackets(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::UnexpectedEofFlowSequence
        | K::UnexpectedEofFlowMapping
        | K::UnexpectedEofImplicitFlowMapping => ("a bracket is not closed", ""),
        K::MisplacedFlowCollectionEnd => ("a bracket is closed that was not opened", ""),
        K::ExpectedFlowMappingSeparator => ("`,` or `}` is missing", BRACKETS),
        K::ExpectedFlowSequenceSeparator => ("`,` or `]` is missing", BRACKETS),
        K::InvalidColonPlacement | K::FlowMappingValueAdjacentCollection => {
            ("`:` cannot stand here within brackets", BRACKETS)
        }
        K::BlockEntryInFlowCollection => (
            "`- ` cannot stand within brackets",
            "write `[a, b]`, or each item on a line of its own without brackets",
        ),
        K::PlainScalarStartsWithDashFlowIndicator => {
            ("a text cannot begin so within brackets", QUOTE_IT)
        }
        K::RecursionLimitExceeded => ("it is nested too deep", ""),
        _ => return None,
    })
}

/// Errors of keys, items and indentation.
fn in_lines(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::ExpectedBlockMappingKey => ("a key is expected here", COLUMNS),
        K::InvalidIndentation => ("the indentation fits no line above", COLUMNS),
        K::ExpectedBlockSequenceEntry => (
            "an item of the list above is expected here, or less indentation",
            "items of one list begin with `- ` in one column",
        ),
        K::BlockSequenceEntryNotAllowed => (
            "a list cannot begin here",
            "put its first `- ` on a line of its own, indented below the key",
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey => (
            "a key without `:`",
            "write `key: value`; a text that goes on in the next line is indented deeper than its key",
        ),
        K::MappingValueNotAllowed => ("`:` cannot stand here", ""),
        K::MappingKeyNotAllowed => ("a key cannot stand here", COLUMNS),
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabAtBlockScalarStart
        | K::TabInPlainScalar
        | K::InvalidBlockEntryWhitespace
        | K::InvalidMappingValueWhitespace => ("a tab stands where blanks are wanted", TABS),
        K::CommentNotSeparated => ("a blank is missing before `#`", ""),
        K::ExpectedWhitespace => ("a blank is missing", ""),
        K::UnexpectedEndOfPlainScalar | K::ExpectedNodeContent => ("a value is missing", ""),
        K::UnexpectedEof | K::UnexpectedEofBlockSequence | K::UnexpectedEofBlockMapping => {
            ("the text ends too early", "")
        }
        K::ExpectedDocumentStart | K::InvalidDocumentEnd => (
            "something follows the end of the document",
            "a further document begins with `---`",
        ),
        K::BomInsideDocument => (
            "a byte order mark stands within the text",
            "remove it: most editors do not show it",
        ),
        _ => return None,
    })
}

/// Errors within quoted texts and text blocks.
fn in_texts(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::UnclosedQuotedScalar => ("a quote is not closed", ""),
        K::InvalidQuotedScalarIndent => (
            "the quoted text goes on here with too little indentation",
            "a quote above is not closed",
        ),
        K::DocumentIndicatorInQuotedScalar => (
            "a document ends within a quoted text",
            "a quote above is not closed",
        ),
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => (
            "something follows the closing quote",
            "put the whole value in quotes; within single quotes a quote is written twice",
        ),
        K::UnknownQuotedScalarEscape => (
            "an escape that does not exist",
            "write `\\\\` for a backslash, or use single quotes, which have no escapes",
        ),
        K::InvalidQuotedScalarHexEscape
        | K::InvalidLowSurrogateHexEscape
        | K::InvalidLowSurrogate
        | K::MissingLowSurrogate
        | K::UnpairedLowSurrogate
        | K::InvalidUnicodeEscape => (
            "an escape that names no character",
            "`\\x` takes two, `\\u` four and `\\U` eight hexadecimal digits",
        ),
        K::ZeroBlockScalarIndent => (
            "a text block cannot be indented by 0",
            "leave the digit out: the first line shows the indentation",
        ),
        K::InvalidBlockScalarHeader => (
            "something follows `|` or `>`",
            "the text begins in the next line, indented",
        ),
        K::InvalidBlockScalarIndent => (
            "a line of the text block is indented less than its first one",
            "",
        ),
        K::CommentInterceptedScalar => (
            "a comment stands within a text of several lines",
            "put the text in quotes",
        ),
        K::InvalidFlowScalarIndent => ("the text goes on with too little indentation", ""),
        _ => return None,
    })
}

/// Errors of anchors, tags and directives; what is left has no better words.
fn in_properties(kind: &ErrorKind) -> Words {
    use ErrorKind as K;
    match kind {
        K::MissingAnchorOrAliasName => ("a name is missing behind `&` or `*`", QUOTE_IT),
        K::UnknownAnchor => ("an alias whose anchor is not defined above", ""),
        K::UndeclaredTagHandle => (
            "a tag whose handle is not declared",
            "known tags are !reset and !override",
        ),
        K::UnsupportedYamlMajorVersion => {
            ("this version of YAML does not exist", "leave `%YAML` out")
        }
        K::ExpectedTagBang
        | K::ExpectedTagDirectiveBang
        | K::InvalidGlobalTagCharacter
        | K::InvalidTagTerminator
        | K::InvalidTagDirectiveTerminator
        | K::MissingTagUri
        | K::UnclosedVerbatimTag
        | K::InvalidTagEscape
        | K::InvalidTagUtf8LeadingByte
        | K::InvalidTagUtf8TrailingByte
        | K::InvalidTagUtf8 => ("a tag that is not well formed", QUOTE_IT),
        K::DuplicateVersionDirective
        | K::DuplicateTagDirective
        | K::MissingDocumentEndBeforeDirective
        | K::InvalidDirectiveTerminator
        | K::MissingYamlVersionSeparator
        | K::MissingDirectiveName
        | K::InvalidDirectiveName
        | K::YamlVersionTooLong
        | K::MissingYamlVersion => (
            "a directive that is not well formed",
            "a line that begins with `%` is a directive: leave it out",
        ),
        _ => ("the text is not well formed", ""),
    }
}

/// Returns the error for a place, in bytes, at which the reader gave up.
pub(super) fn syntax_error(
    kind: &ErrorKind,
    source: SourceId,
    at: usize,
    text: &str,
) -> Diagnostic {
    use ErrorKind as K;
    let code = match kind {
        K::RecursionLimitExceeded => Code::TooLarge,
        _ => Code::YamlSyntax,
    };
    let span = |from: usize| Span::new(source, from, from + 1);
    let (what, help) = words(kind);
    let mut diagnostic =
        Diagnostic::error(code, format!("invalid YAML: {what}")).at(Span::new(source, at, at), "");
    let line = &text[line_start(text, at)..];
    if line.starts_with('\t') {
        return diagnostic.help(TABS);
    }
    match kind {
        K::ExpectedFlowMappingSeparator
        | K::ExpectedFlowSequenceSeparator
        | K::InvalidColonPlacement
        | K::UnexpectedEofFlowSequence
        | K::UnexpectedEofFlowMapping => {
            if let Some(open) = open_bracket(text, at) {
                diagnostic = diagnostic.and(span(open), "this is open");
            }
        }
        K::InvalidQuotedScalarIndent | K::DocumentIndicatorInQuotedScalar => {
            if let Some(open) = open_quote(text, at) {
                diagnostic = diagnostic.and(span(open), "this quote is not closed");
            }
        }
        K::MappingValueNotAllowed => return stray_colon(diagnostic, source, at, text),
        _ => {}
    }
    if help.is_empty() {
        diagnostic
    } else {
        diagnostic.help(help)
    }
}

/// A second `: ` in one line belongs to a text; else the line above was meant to be a key.
fn stray_colon(diagnostic: Diagnostic, source: SourceId, at: usize, text: &str) -> Diagnostic {
    let start = line_start(text, at);
    let before = &text[start..at];
    if let Some((_, value)) = before.split_once(": ") {
        let line = text[start..].lines().next().unwrap_or_default();
        let whole = line
            .split_once(": ")
            .map_or(value, |(_, whole)| whole)
            .trim();
        let help = if whole.contains(['\'', '"', '$']) || whole.len() > 60 {
            "a text with `: ` in it must be in quotes".to_owned()
        } else {
            format!("a text with `: ` in it must be in quotes: \"{whole}\"")
        };
        return diagnostic.help(help);
    }
    let above = text[..start].trim_end();
    let above_start = line_start(text, above.len());
    let line = &above[above_start..];
    let key = line.trim_start();
    if key.is_empty() || key.starts_with('#') || line.contains(": ") || line.ends_with(':') {
        return diagnostic.help(COLUMNS);
    }
    let end = above_start + line.len();
    let from = end - key.len();
    diagnostic
        .and(
            Span::new(source, from, end),
            "this is read as a text that goes on",
        )
        .help(format!(
            "if it is a key, write `{}:`",
            key.trim_start_matches("- ")
        ))
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Returns where to begin to look at the text before a place.
fn back(text: &str, at: usize) -> usize {
    let mut start = at.saturating_sub(BACK_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    line_start(text, start)
}

/// Returns the last bracket before a place that is not closed before it. Quoted texts and comments are not looked into.
fn open_bracket(text: &str, at: usize) -> Option<usize> {
    let start = back(text, at);
    let mut open = Vec::new();
    let mut quote = None;
    let mut comment = false;
    let mut before = '\n';
    for (offset, c) in text[start..at].char_indices() {
        match (quote, c) {
            (_, '\n') => comment = false,
            _ if comment => {}
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (None, '[' | '{') => open.push(start + offset),
            (None, ']' | '}') => drop(open.pop()),
            _ => {}
        }
        before = c;
    }
    open.pop()
}

/// Returns the quote that opens the text in which a place lies: the last one at the begin of a value.
fn open_quote(text: &str, at: usize) -> Option<usize> {
    let start = back(text, at);
    let mut found = None;
    let mut before = ' ';
    for (offset, c) in text[start..at].char_indices() {
        if matches!(c, '"' | '\'') && matches!(before, ' ' | '[' | '{' | ',' | '\n') {
            found = Some(start + offset);
        }
        before = c;
    }
    found
}
