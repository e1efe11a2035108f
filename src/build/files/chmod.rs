//! `--chmod`: octal or symbolic (`u=rwX,go=rX`, `+x`). Pure.

/// A parsed mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// All bits.
    Octal(u32),
    /// Changes in order.
    Symbolic(Vec<Change>),
}

/// One `who operator permissions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Mask of the classes: 0o4700 user, 0o2070 group, 0o1007 other.
    who: u32,
    operator: char,
    permissions: String,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl Chmod {
    /// Parses a mode; `None` = neither octal up to 7777 nor symbolic.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok()?;
            return (mode <= 0o7777).then_some(Self::Octal(mode));
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let at = clause.find(['+', '-', '='])?;
            let mut who = 0;
            for class in clause[..at].chars() {
                who |= match class {
                    'u' => USER,
                    'g' => GROUP,
                    'o' => OTHER,
                    'a' => USER | GROUP | OTHER,
                    _ => return None,
                };
            }
            if who == 0 {
                who = USER | GROUP | OTHER;
            }
            let mut rest = &clause[at..];
            while let Some(operator) = rest.chars().next() {
                rest = &rest[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let (permissions, tail) = rest.split_at(end);
                let copies = matches!(permissions, "u" | "g" | "o");
                if !copies && !permissions.chars().all(|c| "rwxXst".contains(c)) {
                    return None;
                }
                changes.push(Change {
                    who,
                    operator,
                    permissions: permissions.to_owned(),
                });
                rest = tail;
            }
        }
        Some(Self::Symbolic(changes))
    }

    /// Returns the mode of a file that had `mode`.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(changes) => changes.iter().fold(mode, |mode, change| {
                let bits = change.bits(mode, is_directory) & change.who;
                match change.operator {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => (mode & !change.who) | bits,
                }
            }),
        }
    }

    /// Returns the mode of directories that are made on the way to a destination.
    pub(crate) fn of_new_directory(&self) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(_) => 0o755,
        }
    }
}

impl Change {
    fn bits(&self, mode: u32, is_directory: bool) -> u32 {
        let spread = |bits: u32| bits << 6 | bits << 3 | bits;
        match self.permissions.as_str() {
            "u" => return spread(mode >> 6 & 7),
            "g" => return spread(mode >> 3 & 7),
            "o" => return spread(mode & 7),
            _ => {}
        }
        self.permissions.chars().fold(0, |bits, c| {
            bits | match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_directory || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                _ => 0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_modes_apply() {
        for (text, mode, directory, expected) in [
            ("755", 0o600, false, 0o755),
            ("0", 0o600, false, 0),
            ("4711", 0o600, false, 0o4711),
            ("+x", 0o644, false, 0o755),
            ("go-r", 0o644, false, 0o600),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a=", 0o777, false, 0),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, false, 0o2755),
            ("+t", 0o777, true, 0o1777),
            ("u+r-w", 0o200, false, 0o400),
        ] {
            let chmod = Chmod::parse(text).unwrap();
            let got = chmod.apply(mode, directory);
            assert_eq!(got, expected, "{text} of {mode:o}: {got:o}");
        }
        for bad in ["", "8", "10000", "x", "u", "z+x", "u+y", "u=rw,", "755,u+x"] {
            assert_eq!(Chmod::parse(bad), None, "{bad}");
        }
    }
}
