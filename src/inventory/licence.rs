//! What packages state as their licence, as SPDX license expressions where that is certain (SPDX 2.3, annex D).
//!
//! Debian, rpm and Python have short names of their own. Those that mean exactly one licence are translated; `BSD`, which may be
//! any of several, is not. A statement with one unknown name is unknown as a whole: half an expression would be a wrong one.

use std::{collections::BTreeMap, sync::LazyLock};

use super::stanza::stanzas;

/// Identifiers of the SPDX License List, by their lower-case form.
static LICENCES: LazyLock<BTreeMap<String, &str>> =
    LazyLock::new(|| by_lower_case(include_str!("licences.txt")));

/// Identifiers of exceptions, by their lower-case form.
static EXCEPTIONS: LazyLock<BTreeMap<String, &str>> =
    LazyLock::new(|| by_lower_case(include_str!("exceptions.txt")));

fn by_lower_case(list: &'static str) -> BTreeMap<String, &'static str> {
    let lines = list.lines();
    lines.map(|id| (id.to_lowercase(), id)).collect()
}

/// Other names, in lower case, that mean one licence: of Debian (copyright-format 1.0), of rpm before it used SPDX, and of PyPI.
const ALIASES: [(&str, &str); 36] = [
    ("expat", "MIT"),
    ("mit license", "MIT"),
    ("the mit license", "MIT"),
    ("apache 2.0", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("apache2", "Apache-2.0"),
    ("asl 2.0", "Apache-2.0"),
    ("bsd-2-clauses", "BSD-2-Clause"),
    ("bsd-3-clauses", "BSD-3-Clause"),
    ("boost", "BSL-1.0"),
    ("gplv2", "GPL-2.0-only"),
    ("gplv2+", "GPL-2.0-or-later"),
    ("gplv3", "GPL-3.0-only"),
    ("gplv3+", "GPL-3.0-or-later"),
    ("lgplv2", "LGPL-2.0-only"),
    ("lgplv2+", "LGPL-2.0-or-later"),
    ("lgplv2.1", "LGPL-2.1-only"),
    ("lgplv2.1+", "LGPL-2.1-or-later"),
    ("lgplv3", "LGPL-3.0-only"),
    ("lgplv3+", "LGPL-3.0-or-later"),
    ("agplv3", "AGPL-3.0-only"),
    ("agplv3+", "AGPL-3.0-or-later"),
    ("mplv1.1", "MPL-1.1"),
    ("mplv2.0", "MPL-2.0"),
    ("mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"),
    ("isc license (iscl)", "ISC"),
    ("isc license", "ISC"),
    ("python software foundation license", "PSF-2.0"),
    ("the unlicense (unlicense)", "Unlicense"),
    ("the 3-clause bsd license", "BSD-3-Clause"),
    ("bsd 3-clause license", "BSD-3-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("cc0", "CC0-1.0"),
    ("zlib/libpng license", "Zlib"),
];

/// What a package states, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stated {
    /// One identifier of the SPDX License List.
    Id(String),
    /// An expression of such identifiers.
    Expression(String),
    /// Something else, as it was written.
    Other(String),
}

/// Understands a statement.
pub(super) fn understand(text: &str) -> Stated {
    let text = text.trim();
    if let Some(id) = identifier(text) {
        return Stated::Id(id);
    }
    match expression(text) {
        // `, MIT`: what is left is one name.
        Some(expression) => match identifier(&expression) {
            Some(id) => Stated::Id(id),
            None => Stated::Expression(expression),
        },
        None => Stated::Other(text.to_owned()),
    }
}

/// Returns the identifier that a name means.
fn identifier(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let id = alias.map(|(_, id)| *id);
    let id = id
        .or_else(|| gnu(&name))
        .or_else(|| LICENCES.get(&name).copied())?;
    Some(id.to_owned())
}

/// Debian's `gpl-2+`, and the identifiers that SPDX has given up for them.
fn gnu(name: &str) -> Option<&'static str> {
    let (stem, later) = match name.strip_suffix('+') {
        Some(stem) => (stem, "or-later"),
        None => (name, "only"),
    };
    let (family, version) = stem.split_once('-')?;
    let version = if version.contains('.') {
        version.to_owned()
    } else {
        format!("{version}.0")
    };
    let is_gnu = matches!(family, "gpl" | "lgpl" | "agpl" | "gfdl");
    let id = format!("{family}-{version}-{later}");
    is_gnu.then(|| LICENCES.get(&id).copied()).flatten()
}

/// Translates names joined by and, or, with and parentheses.
fn expression(text: &str) -> Option<String> {
    let spaced = text
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(',', " ");
    let mut out: Vec<String> = Vec::new();
    let mut name: Vec<&str> = Vec::new();
    let mut depth: usize = 0;
    let mut is_exception = false;
    let words = spaced.split_ascii_whitespace().chain(["\n"]);
    for word in words {
        let operator = match word.to_lowercase().as_str() {
            "and" | "&" => "AND",
            "or" | "|" => "OR",
            "with" => "WITH",
            "(" => "(",
            ")" => ")",
            "\n" => "",
            _ => {
                name.push(word);
                continue;
            }
        };
        if name.is_empty() {
            // Only an opening parenthesis stands before a name, only operators and closing ones behind one.
            let after_name = out.last().is_some_and(|last| last == ")");
            if (operator == "(") == after_name {
                return None;
            }
        } else {
            let name = std::mem::take(&mut name).join(" ");
            out.push(operand(&name, is_exception)?);
            if operator == "(" {
                return None;
            }
        }
        is_exception = operator == "WITH";
        match operator {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if !operator.is_empty() {
            out.push(operator.to_owned());
        }
    }
    if depth != 0 {
        return None;
    }
    Some(out.join(" ").replace("( ", "(").replace(" )", ")"))
}

fn operand(name: &str, is_exception: bool) -> Option<String> {
    if !is_exception {
        return identifier(name);
    }
    let lower = name.to_lowercase();
    let known = EXCEPTIONS.get(&lower).map(|id| (*id).to_owned());
    known.or_else(|| {
        // Debian's words for them.
        let id = match lower.as_str() {
            "autoconf exception" => "Autoconf-exception-2.0",
            "bison exception" => "Bison-exception-2.2",
            "classpath exception" => "Classpath-exception-2.0",
            "font exception" => "Font-exception-2.0",
            "libtool exception" => "Libtool-exception",
            _ => return None,
        };
        Some(id.to_owned())
    })
}

/// Returns the short names of licences in a machine-readable copyright file, sorted; none where the file is of another form.
pub(super) fn of_copyright(text: &str) -> Vec<String> {
    let mut paragraphs = stanzas(text);
    let is_machine_readable = paragraphs.next().is_some_and(|header| {
        let format = header
            .field("Format")
            .or_else(|| header.field("Format-Specification"));
        format.is_some_and(|format| format.contains("copyright-format") || format.contains("dep5"))
    });
    if !is_machine_readable {
        return Vec::new();
    }
    let mut names: Vec<String> = paragraphs
        .filter_map(|paragraph| paragraph.field("License").map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Brings several statements together: all of them hold.
pub(super) fn together(statements: &[String]) -> Vec<Stated> {
    let mut found: Vec<Stated> = Vec::new();
    for statement in statements {
        let stated = understand(statement);
        if !found.contains(&stated) && stated != Stated::Other(String::new()) {
            found.push(stated);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn certain_names_become_identifiers() {
        for (text, expected) in [
            ("MIT", "MIT"),
            (", MIT", "MIT"),
            ("mit", "MIT"),
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            ("GPL-3.0-or-later", "GPL-3.0-or-later"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("ASL 2.0", "Apache-2.0"),
            ("Apache License 2.0", "Apache-2.0"),
            ("BSD-3-clause", "BSD-3-Clause"),
        ] {
            assert_eq!(understand(text), Stated::Id(expected.to_owned()), "{text}");
        }
        for (text, expected) in [
            ("(MIT OR Apache-2.0)", "(MIT OR Apache-2.0)"),
            (
                "GPLv2+ and (LGPLv2+ or MIT)",
                "GPL-2.0-or-later AND (LGPL-2.0-or-later OR MIT)",
            ),
            ("GPL-2+ or Apache-2.0", "GPL-2.0-or-later OR Apache-2.0"),
            (
                "GPL-3+ with autoconf exception",
                "GPL-3.0-or-later WITH Autoconf-exception-2.0",
            ),
            (
                "GPL-2.0-only WITH Classpath-exception-2.0 AND MIT",
                "GPL-2.0-only WITH Classpath-exception-2.0 AND MIT",
            ),
        ] {
            assert_eq!(
                understand(text),
                Stated::Expression(expected.to_owned()),
                "{text}"
            );
        }
        for text in [
            "BSD",
            "MIT or",
            "or MIT",
            "(MIT",
            "MIT)",
            "MIT (ISC)",
            "MIT AND BSD",
            "public-domain",
            "()",
            "see LICENSE",
            "GPL-2+ with nonsense",
            "(MIT) (ISC)",
            "MIT and and ISC",
        ] {
            assert_eq!(understand(text), Stated::Other(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn only_machine_readable_copyright_files_state_licences() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n\nFiles: *\nCopyright: a\nLicense: GPL-2+\n text\n .\n more\n\nFiles: b\nLicense: Expat\n\nLicense: GPL-2+\n text\n";
        assert_eq!(of_copyright(text), ["Expat", "GPL-2+"]);
        assert!(of_copyright("This package was debianized.\n\nLicense: GPL\n").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_understood_is_understood_again(text in "(MIT|ISC|or|and|with|\\(|\\)|BSD|GPL-2\\+|[a-z ,]){0,12}( (MIT|ISC|or|and|\\(|\\)))*") {
            match understand(&text) {
                Stated::Id(id) => prop_assert_eq!(understand(&id), Stated::Id(id)),
                Stated::Expression(found) => {
                    prop_assert_eq!(understand(&found), Stated::Expression(found));
                }
                Stated::Other(_) => {}
            }
        }
    }
}
