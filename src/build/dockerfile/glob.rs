//! Patterns: those of variables (`*`, `?`), of COPY's sources (`filepath.Match`) and of .dockerignore (with `**`).
//!
//! Matching simulates all positions at once, so no pattern makes it slow.

/// A pattern of `${v#p}`, `${v%p}`, `${v/p/r}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellPattern(Vec<Token>);

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This character.
    Literal(char),
    /// Any one character.
    One,
    /// Any number of characters.
    Any,
    /// One character but `/`.
    OneInName,
    /// Any number of characters but `/`.
    AnyInName,
    /// Consumes nothing; the next token may be left out.
    Optional,
    /// Anything that ends with `/`.
    UpToSlash,
    /// One of a class.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl ShellPattern {
    /// Parses a pattern; `None` = an escape of something that needs none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match chars.next()? {
                    escaped @ ('*' | '?' | '\\' | '}' | '/') => Token::Literal(escaped),
                    _ => return None,
                },
                _ => Token::Literal(c),
            });
        }
        Some(Self(tokens))
    }

    /// Removes the shortest or longest matching prefix.
    pub(crate) fn trim_start(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let ends = self.ends(&chars);
        let end = if longest { ends.last() } else { ends.first() };
        chars[end.copied().unwrap_or(0)..].iter().collect()
    }

    /// Removes the shortest or longest matching suffix.
    pub(crate) fn trim_end(&self, value: &str, longest: bool) -> String {
        let chars: Vec<char> = value.chars().rev().collect();
        let reversed = Self(self.0.iter().rev().cloned().collect());
        let ends = reversed.ends(&chars);
        let end = if longest { ends.last() } else { ends.first() };
        chars[end.copied().unwrap_or(0)..].iter().rev().collect()
    }

    /// Replaces the first match or all; a pattern that matches nothing replaces nothing.
    pub(crate) fn replace(&self, value: &str, replacement: &str, all: bool) -> String {
        let chars: Vec<char> = value.chars().collect();
        let mut result = String::new();
        let mut at = 0;
        let mut active = true;
        while at < chars.len() {
            let length = match self.ends(&chars[at..]).last() {
                Some(end) if active => *end,
                _ => 0,
            };
            if length == 0 {
                result.push(chars[at]);
                at += 1;
            } else {
                result.push_str(replacement);
                at += length;
                active = all;
            }
        }
        result
    }

    /// Returns every length of a prefix that matches, ascending.
    fn ends(&self, chars: &[char]) -> Vec<usize> {
        let mut states = start(&self.0);
        let mut ends = Vec::new();
        for at in 0..=chars.len() {
            if states[self.0.len()] {
                ends.push(at);
            }
            if let Some(c) = chars.get(at) {
                states = step(&self.0, &states, *c);
            }
        }
        ends
    }
}

/// The pattern is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub(crate) struct BadPattern;

impl PathPattern {
    /// Parses `filepath.Match` syntax.
    pub(crate) fn file_match(text: &str) -> Result<Self, BadPattern> {
        parse_path(text, false)
    }

    /// Parses .dockerignore syntax.
    pub(crate) fn ignore(text: &str) -> Result<Self, BadPattern> {
        // `**name` without further wildcards is any path that ends with it.
        if let Some(rest) = text.strip_prefix("**")
            && !rest.contains(['*', '?', '[', ']', '\\'])
            && !rest.starts_with('/')
        {
            let mut tokens = vec![Token::Any];
            tokens.extend(rest.chars().map(Token::Literal));
            return Ok(Self(tokens));
        }
        parse_path(text, true)
    }

    /// Whether the whole path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut states = start(&self.0);
        for c in path.chars() {
            states = step(&self.0, &states, c);
        }
        states[self.0.len()]
    }

    /// Whether some path below the directory could match: used to prune walks, so a wrong yes is only slow.
    pub(crate) fn may_match_below(&self, directory: &str) -> bool {
        let mut states = start(&self.0);
        for c in directory.chars().chain(['/']) {
            states = step(&self.0, &states, c);
        }
        states[..self.0.len()].contains(&true)
    }
}

fn parse_path(text: &str, double_star: bool) -> Result<PathPattern, BadPattern> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        match c {
            '*' if double_star && chars.get(at) == Some(&'*') => {
                at += 1;
                if chars.get(at) == Some(&'/') {
                    at += 1;
                }
                if at == chars.len() {
                    tokens.push(Token::Any);
                } else {
                    tokens.extend([Token::Optional, Token::UpToSlash]);
                }
            }
            '*' => tokens.push(Token::AnyInName),
            '?' => tokens.push(Token::OneInName),
            '[' => {
                let (class, next) = parse_class(&chars, at)?;
                tokens.push(class);
                at = next;
            }
            '\\' => {
                tokens.push(Token::Literal(*chars.get(at).ok_or(BadPattern)?));
                at += 1;
            }
            _ => tokens.push(Token::Literal(c)),
        }
    }
    Ok(PathPattern(tokens))
}

/// Parses a class from after its `[`.
fn parse_class(chars: &[char], mut at: usize) -> Result<(Token, usize), BadPattern> {
    let negated = chars.get(at) == Some(&'^');
    if negated {
        at += 1;
    }
    let mut ranges = Vec::new();
    loop {
        if chars.get(at) == Some(&']') && !ranges.is_empty() {
            return Ok((Token::Class { negated, ranges }, at + 1));
        }
        let (low, next) = class_char(chars, at)?;
        at = next;
        let mut high = low;
        if chars.get(at) == Some(&'-') {
            (high, at) = class_char(chars, at + 1)?;
        }
        ranges.push((low, high));
    }
}

fn class_char(chars: &[char], at: usize) -> Result<(char, usize), BadPattern> {
    match chars.get(at) {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => Ok((*chars.get(at + 1).ok_or(BadPattern)?, at + 2)),
        Some(c) => Ok((*c, at + 1)),
    }
}

/// States before any character: `states[i]` = tokens before `i` are matched.
fn start(tokens: &[Token]) -> Vec<bool> {
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    close(tokens, &mut states);
    states
}

/// Adds the states reached by matching nothing.
fn close(tokens: &[Token], states: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Any | Token::AnyInName if states[index] => states[index + 1] = true,
            Token::Optional if states[index] => {
                states[index + 1] = true;
                states[index + 2] = true;
            }
            _ => {}
        }
    }
}

fn step(tokens: &[Token], states: &[bool], c: char) -> Vec<bool> {
    let mut next = vec![false; states.len()];
    for (index, token) in tokens.iter().enumerate() {
        if !states[index] {
            continue;
        }
        match token {
            Token::Literal(literal) => next[index + 1] |= *literal == c,
            Token::One => next[index + 1] = true,
            Token::Any => next[index] = true,
            Token::OneInName => next[index + 1] |= c != '/',
            Token::AnyInName => next[index] |= c != '/',
            Token::Optional => {}
            Token::UpToSlash => {
                next[index] = true;
                next[index + 1] |= c == '/';
            }
            Token::Class { negated, ranges } => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                next[index + 1] |= inside != *negated;
            }
        }
    }
    close(tokens, &mut next);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_match_follows_go() {
        for (pattern, path, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a?b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
        ] {
            assert_eq!(
                PathPattern::file_match(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
        for bad in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "a[", "\\",
        ] {
            assert_eq!(PathPattern::file_match(bad), Err(BadPattern), "{bad}");
        }
    }

    #[test]
    fn double_star_is_any_number_of_directories() {
        for (pattern, path, expected) in [
            ("**", "a/b/c", true),
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "ax", false),
            ("**/x", "a/bx", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("**/*.go", "x.go", true),
            ("**/*.go", "a/b/x.go", true),
            ("**/a*/**/b", "a1/b", true),
            ("**/a*/**/b", "x/a1/y/z/b", true),
            ("**foo", "barfoo", true),
            ("a**b", "a/x/b", true),
        ] {
            assert_eq!(
                PathPattern::ignore(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn pruning_never_loses_a_match() {
        let pattern = PathPattern::ignore("a/*/c").unwrap();
        assert!(pattern.may_match_below("a"));
        assert!(pattern.may_match_below("a/b"));
        assert!(!pattern.may_match_below("b"));
        assert!(!pattern.may_match_below("a/b/c"));
    }

    #[test]
    fn many_stars_are_not_slow() {
        let pattern = PathPattern::ignore(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(pattern.matches(&"a".repeat(5_000)));
    }
}
