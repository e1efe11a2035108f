//! `WWW-Authenticate`: how a registry says what it wants to see (RFC 9110 section 11.6.1). Pure.

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password.
    Basic,
    /// A token of a token server.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// For which registry.
        service: Option<String>,
        /// For what; `None` = the registry leaves it to the client.
        scope: Option<String>,
    },
}

/// Reads the challenges of one header value; unknown schemes and malformed rests are left out.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '\t']).unwrap_or(rest.len());
        let scheme = &rest[..end];
        rest = rest[end..].trim_start();
        let mut parameters = Vec::new();
        while let Some((name, value, tail)) = parameter(rest) {
            parameters.push((name.to_ascii_lowercase(), value));
            rest = tail;
        }
        let find = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.clone())
                .filter(|value| !value.is_empty())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = find("realm")
        {
            challenges.push(Challenge::Bearer {
                realm,
                service: find("service"),
                scope: find("scope"),
            });
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    challenges
}

/// Splits `name=value` or `name="value"` off, with the comma after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end();
    if name.is_empty() || name.contains([' ', ',', '"', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ', '\t']).unwrap_or(rest.len());
        return Some((name, rest[..end].to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    // An unclosed quote runs to the end.
    Some((name, value, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn the_forms_that_registries_send() {
        for (header, challenges) in [
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                vec![bearer(
                    "https://auth.example/token",
                    Some("registry.example"),
                    Some("repository:a/b:pull,push"),
                )],
            ),
            (
                r#"bearer realm="https://a/t""#,
                vec![bearer("https://a/t", None, None)],
            ),
            (
                r"Bearer realm=https://a/t, service=x",
                vec![bearer("https://a/t", Some("x"), None)],
            ),
            (r#"Bearer service="x""#, vec![]),
            (r#"Basic realm="Registry Realm""#, vec![Challenge::Basic]),
            ("Basic", vec![Challenge::Basic]),
            (
                r#"Negotiate, Basic realm="x", Bearer realm="https://a/t",scope="""#,
                vec![Challenge::Basic, bearer("https://a/t", None, None)],
            ),
            (
                r#"Bearer realm="https://a/\"q\"""#,
                vec![bearer(r#"https://a/"q""#, None, None)],
            ),
            (
                r#"Bearer realm="https://a"#,
                vec![bearer("https://a", None, None)],
            ),
            ("", vec![]),
            (",,", vec![]),
        ] {
            assert_eq!(parse(header), challenges, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(text in "[ -~]{0,80}") {
            let challenges = parse(&text);
            prop_assert!(challenges.len() <= text.len());
        }
    }
}
