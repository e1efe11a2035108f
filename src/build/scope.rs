//! Variables of a build: who sees which. Pure.
//!
//! ARG before the first FROM is seen by FROM lines only; a stage sees it once it declares it again. Of ENV and an ARG with a value the later
//! one wins while the image is built, as in BuildKit (whose documentation says that ENV always does); the image has what ENV says. A stage
//! that begins with another has its ARGs too. Proxy variables are in the environment of RUN without being declared, but count for the cache
//! only when declared.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::dockerfile::{ArgDefinition, ExpandError, Expanded, Variables, expand};

/// Proxy variables, lower case; both cases work without ARG.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// Variables of FROM lines: predefined ones, and ARG before the first FROM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    /// What the caller gave (`--build-arg`).
    given: IndexMap<String, String>,
    values: IndexMap<String, String>,
    escape: Option<char>,
}

/// Variables of one stage.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    globals: Globals,
    /// ENV, of the base image first.
    env: Vec<(String, String)>,
    args: Args,
    /// ARGs that beat ENV, because they stand behind it.
    later: BTreeSet<String>,
}

/// ARG in the order of declaration; `None` = declared without a value.
pub(crate) type Args = IndexMap<String, Option<String>>;

impl Globals {
    /// Sets the predefined variables.
    pub(crate) fn new(
        given: &IndexMap<String, String>,
        build: &str,
        target: &str,
        stage: &str,
        escape: char,
    ) -> Self {
        let mut globals = Self {
            given: given.clone(),
            values: IndexMap::new(),
            escape: Some(escape),
        };
        for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
            let mut parts = platform.split('/');
            let mut set = |name: &str, value: &str| {
                globals
                    .values
                    .insert(format!("{prefix}{name}"), value.to_owned());
            };
            set("PLATFORM", platform);
            set("OS", parts.next().unwrap_or_default());
            set("ARCH", parts.next().unwrap_or_default());
            set("VARIANT", parts.next().unwrap_or_default());
            set("OSVERSION", "");
        }
        globals
            .values
            .insert("TARGETSTAGE".to_owned(), stage.to_owned());
        for (name, value) in &mut globals.values {
            if let Some(given) = given.get(name) {
                value.clone_from(given);
            }
        }
        globals
    }

    /// Adds an ARG before the first FROM.
    pub(crate) fn declare(&mut self, definition: &ArgDefinition) -> Result<(), ExpandError> {
        let name = &definition.name.text;
        let value = match (self.given.get(name), &definition.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(&default.text)?.text),
            (None, None) => None,
        };
        if let Some(value) = value {
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Expands a word of a FROM line.
    pub(crate) fn expand(&self, word: &str) -> Result<Expanded, ExpandError> {
        expand(word, self.escape.unwrap_or('\\'), self)
    }

    /// Returns every name that FROM lines may use.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Returns a value that the caller gave.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }
}

impl Variables for Globals {
    fn value(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

impl Scope {
    /// Begins a stage.
    pub(crate) fn new(globals: &Globals, env: Vec<(String, String)>) -> Self {
        Self {
            globals: globals.clone(),
            env,
            args: Args::new(),
            later: BTreeSet::new(),
        }
    }

    /// Begins with the ARGs of the stage below.
    pub(crate) fn inherit(mut self, args: Args) -> Self {
        self.args = args;
        self
    }

    /// Returns what a stage on this one begins with.
    pub(crate) fn args(&self) -> &Args {
        &self.args
    }

    /// Declares an ARG and returns it as history shows it.
    pub(crate) fn declare(&mut self, definition: &ArgDefinition) -> Result<String, ExpandError> {
        let name = &definition.name.text;
        let value = match (self.globals.given(name), &definition.default) {
            (Some(given), _) => Some(given.to_owned()),
            (None, Some(default)) => Some(self.expand(&default.text)?),
            (None, None) => self.globals.value(name),
        };
        let shown = match &value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        if value.is_some() {
            self.later.insert(name.clone());
            self.args.insert(name.clone(), value);
        } else {
            // Declared again without a value it keeps the one that it has.
            self.args.entry(name.clone()).or_default();
        }
        Ok(shown)
    }

    /// Replaces the variables of ENV, of which one instruction has just set `names`.
    pub(crate) fn set_env<'a>(
        &mut self,
        env: Vec<(String, String)>,
        names: impl IntoIterator<Item = &'a String>,
    ) {
        self.env = env;
        for name in names {
            self.later.remove(name);
        }
    }

    /// Expands a word.
    pub(crate) fn expand(&self, word: &str) -> Result<String, ExpandError> {
        Ok(expand(word, self.globals.escape.unwrap_or('\\'), self)?.text)
    }

    /// Expands a word and tells which variables it names that are not set.
    pub(crate) fn expand_fully(&self, word: &str) -> Result<Expanded, ExpandError> {
        expand(word, self.globals.escape.unwrap_or('\\'), self)
    }

    /// Whether an ARG of this stage declared the name, with a value or without.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.args.contains_key(name)
    }

    /// Returns every name that is declared or set.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let env = self.env.iter().map(|(name, _)| name.as_str());
        env.chain(self.args.keys().map(String::as_str))
    }

    /// Expands a text and splits it into words.
    pub(crate) fn expand_words(&self, text: &str) -> Result<Vec<String>, ExpandError> {
        Ok(expand(text, self.globals.escape.unwrap_or('\\'), self)?.words)
    }

    /// Returns the environment of RUN that counts for the cache: the names of ENV first, then the other ARGs that have a value.
    pub(crate) fn environment(&self) -> Vec<String> {
        let of_env = self.env.iter().map(|(name, _)| name);
        let has_env = |name: &&String| self.env.iter().any(|(known, _)| known == *name);
        let of_args = self.args.keys().filter(|name| !has_env(name));
        of_env
            .chain(of_args)
            .filter_map(|name| Some(format!("{name}={}", self.value(name)?)))
            .collect()
    }

    /// Returns the proxy variables that were given but not declared.
    pub(crate) fn proxies(&self) -> Vec<String> {
        self.globals
            .given
            .iter()
            .filter(|(name, _)| is_proxy(name) && self.value(name).is_none())
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// Returns the declared ARGs with what their names stand for now, as history shows them before a RUN.
    pub(crate) fn declared(&self) -> Vec<(&str, String)> {
        let value = |name: &str| self.value(name).unwrap_or_default();
        let names = self.args.keys().map(String::as_str);
        names.map(|name| (name, value(name))).collect()
    }
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<String> {
        let env = self.env.iter().find(|(known, _)| known == name);
        match env {
            Some((_, value)) if !self.later.contains(name) => Some(value.clone()),
            _ => self.args.get(name).cloned().flatten(),
        }
    }
}

/// Whether a variable is a proxy setting.
pub(crate) fn is_proxy(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    PROXIES.contains(&lower.as_str()) && (name == lower || name == lower.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::{Span, Word};

    fn arg(name: &str, default: Option<&str>) -> ArgDefinition {
        let word = |text: &str| Word {
            text: text.to_owned(),
            span: Span::default(),
        };
        ArgDefinition {
            name: word(name),
            default: default.map(word),
        }
    }

    fn globals(given: &[(&str, &str)]) -> Globals {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Globals::new(&given, "linux/amd64", "linux/arm64/v8", "app", '\\')
    }

    #[test]
    fn a_stage_sees_a_global_only_after_declaring_it() {
        let mut globals = globals(&[("GIVEN", "g")]);
        globals.declare(&arg("BASE", Some("debian"))).unwrap();
        globals.declare(&arg("TAG", Some("${BASE}:12"))).unwrap();
        globals.declare(&arg("GIVEN", Some("default"))).unwrap();
        assert_eq!(globals.expand("$TAG-$GIVEN").unwrap().text, "debian:12-g");
        let mut scope = Scope::new(&globals, Vec::new());
        assert_eq!(scope.value("TAG"), None);
        assert_eq!(scope.declare(&arg("TAG", None)).unwrap(), "TAG=debian:12");
        assert_eq!(scope.value("TAG").unwrap(), "debian:12");
        assert_eq!(scope.declare(&arg("NONE", None)).unwrap(), "NONE");
        scope.declare(&arg("TAG", Some("own"))).unwrap();
        assert_eq!(scope.value("TAG").unwrap(), "own");
    }

    #[test]
    fn the_later_of_env_and_arg_wins() {
        let base = vec![("A".to_owned(), "base".to_owned())];
        let mut scope = Scope::new(&globals(&[("A", "given")]), base.clone());
        scope.declare(&arg("B", Some("\"b c\""))).unwrap();
        scope.declare(&arg("C", None)).unwrap();
        assert_eq!(scope.environment(), ["A=base", "B=b c"]);
        scope.declare(&arg("A", Some("default"))).unwrap();
        assert_eq!(scope.environment(), ["A=given", "B=b c"]);
        let shown = [("B", "b c"), ("C", ""), ("A", "given")];
        assert_eq!(
            scope.declared(),
            shown.map(|(name, value)| (name, value.to_owned()))
        );
        let env = vec![("A".to_owned(), "env".to_owned())];
        scope.set_env(env.clone(), [&"A".to_owned()]);
        assert_eq!(scope.value("A").unwrap(), "env");
        // Without a value of its own an ARG changes nothing.
        let mut scope = Scope::new(&globals(&[]), base);
        scope.declare(&arg("A", None)).unwrap();
        assert_eq!(scope.value("A").unwrap(), "base");
    }

    #[test]
    fn a_stage_on_another_has_its_args_below_its_env() {
        let mut below = Scope::new(&globals(&[]), Vec::new());
        below.declare(&arg("A", Some("arg"))).unwrap();
        below.declare(&arg("B", Some("b"))).unwrap();
        below.declare(&arg("B", None)).unwrap();
        let env = vec![("A".to_owned(), "env".to_owned())];
        let above = Scope::new(&globals(&[]), env).inherit(below.args().clone());
        assert_eq!(above.environment(), ["A=env", "B=b"]);
    }

    #[test]
    fn proxies_need_no_declaration_but_then_do_not_count() {
        let mut scope = Scope::new(
            &globals(&[("HTTP_PROXY", "p"), ("no_proxy", "n"), ("Http_Proxy", "x")]),
            Vec::new(),
        );
        assert_eq!(scope.environment(), Vec::<String>::new());
        assert_eq!(scope.proxies(), ["HTTP_PROXY=p", "no_proxy=n"]);
        scope.declare(&arg("HTTP_PROXY", None)).unwrap();
        assert_eq!(scope.environment(), ["HTTP_PROXY=p"]);
        assert_eq!(scope.proxies(), ["no_proxy=n"]);
    }

    #[test]
    fn platforms_are_predefined() {
        let globals = globals(&[("TARGETOS", "other")]);
        let text = "$BUILDPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT $TARGETSTAGE";
        assert_eq!(
            globals.expand(text).unwrap().text,
            "linux/amd64 other arm64 v8 app"
        );
    }
}
