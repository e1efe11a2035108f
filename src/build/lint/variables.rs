//! Rules that follow the variables: who is set where, and what words become.

use std::collections::HashMap;

use super::{Environment, Findings, Rule, Subject};
use crate::build::{
    dockerfile::{
        ExpandError, Instruction, InstructionKind, Pair, Span, Stage, Transfer, Word, nearest,
    },
    scope::{Args, Scope, is_proxy},
};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let mut results: Vec<Left> = Vec::new();
    for (index, stage) in subject.dockerfile.stages.iter().enumerate() {
        from_line(subject, stage, findings);
        let below = below(subject, index, &results);
        let env = below.env;
        let mut walk = Walk {
            subject,
            findings,
            known: env.is_some(),
            env: env.clone().unwrap_or_default(),
            scope: Scope::new(subject.globals, env.unwrap_or_default()).inherit(below.args),
            workdir_seen: below.workdir_seen,
        };
        for line in &stage.instructions {
            walk.line(line);
        }
        results.push(Left {
            env: walk.known.then_some(walk.env),
            args: walk.scope.args().clone(),
            workdir_seen: walk.workdir_seen,
        });
    }
}

/// What a stage leaves to those that build on it.
#[derive(Clone, Default)]
struct Left {
    /// `None` = its base is unknown.
    env: Option<Environment>,
    args: Args,
    workdir_seen: bool,
}

fn from_line(subject: &Subject<'_>, stage: &Stage, findings: &mut Findings) {
    for word in std::iter::once(&stage.base).chain(&stage.platform) {
        let Ok(expanded) = subject.globals.expand(&word.text) else {
            continue;
        };
        for name in unique(&expanded.unset) {
            let declared =
                |definition: &crate::build::dockerfile::ArgDefinition| definition.name.text == name;
            if subject.dockerfile.global_args.iter().any(declared) || is_proxy(&name) {
                continue;
            }
            let near = suggestion(&name, subject.globals.names(), "");
            let text = format!("FROM uses `{name}`, which no ARG before it declares{near}");
            findings.add(Rule::UndefinedArgInFrom, word.span, text);
        }
    }
    let word = &stage.base;
    if !word.text.contains('$') {
        return;
    }
    let Ok(expanded) = subject.defaults.expand(&word.text) else {
        return;
    };
    let name = expanded.text.to_lowercase();
    let stages = &subject.dockerfile.stages;
    let is_stage = stages
        .iter()
        .any(|other| other.name.as_deref() == Some(name.as_str()));
    if !is_stage && name != "scratch" && !(subject.is_image_name)(&expanded.text) {
        let shown = &word.text;
        let text = format!(
            "with the defaults of its ARGs `{shown}` is `{}`, which names no image",
            expanded.text
        );
        findings.add(Rule::InvalidDefaultArgInFrom, word.span, text);
    }
}

/// Returns what a stage begins with.
fn below(subject: &Subject<'_>, index: usize, results: &[Left]) -> Left {
    let stages = &subject.dockerfile.stages;
    let Ok(base) = subject.globals.expand(&stages[index].base.text) else {
        return Left::default();
    };
    let lower = base.text.to_lowercase();
    let earlier = stages[..index]
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
    if let Some(earlier) = earlier {
        return results[earlier].clone();
    }
    let env = match base.text.as_str() {
        "scratch" => Some(Vec::new()),
        name => (subject.base_env)(name),
    };
    Left {
        env: env.map(|mut env| {
            // Every image gets one.
            env.push(("PATH".to_owned(), String::new()));
            env
        }),
        args: Args::new(),
        workdir_seen: false,
    }
}

/// One stage while its variables are followed.
struct Walk<'a, 'b> {
    subject: &'a Subject<'a>,
    findings: &'b mut Findings,
    known: bool,
    env: Environment,
    scope: Scope,
    workdir_seen: bool,
}

impl Walk<'_, '_> {
    fn line(&mut self, line: &Instruction) {
        match &line.kind {
            InstructionKind::Arg(definitions) => {
                for definition in definitions {
                    if let Some(default) = &definition.default {
                        self.word(default);
                    }
                    // A default that cannot be expanded is the build's error, not a finding.
                    drop(self.scope.declare(definition));
                }
            }
            InstructionKind::Env(pairs) => self.environment(pairs),
            InstructionKind::Label(pairs) => {
                for pair in pairs {
                    self.word(&pair.name);
                    self.word(&pair.value);
                }
            }
            InstructionKind::Copy(copy) => {
                self.transfer(&copy.transfer, copy.from.is_none(), line, "COPY");
            }
            InstructionKind::Add(add) => {
                self.transfer(&add.transfer, true, line, "ADD");
                if let Some(checksum) = &add.checksum {
                    self.word(checksum);
                }
            }
            InstructionKind::Expose(words) => self.expose(words),
            InstructionKind::Volume(words) => words.iter().for_each(|word| drop(self.word(word))),
            InstructionKind::User(word) | InstructionKind::StopSignal(word) => {
                self.word(word);
            }
            InstructionKind::Workdir(word) => self.workdir(word, line.span),
            InstructionKind::Run(run) => {
                for mount in &run.mounts {
                    for field in mount.fields.iter().filter(|field| field.key != "from") {
                        let text = field.value.clone().unwrap_or_default();
                        let span = mount.span;
                        self.word(&Word { text, span });
                    }
                }
            }
            // Commands are the shell's business; triggers are checked where they run.
            InstructionKind::Cmd(_)
            | InstructionKind::Entrypoint(_)
            | InstructionKind::Healthcheck(_)
            | InstructionKind::Shell(_)
            | InstructionKind::Onbuild(_)
            | InstructionKind::Maintainer(_) => {}
        }
    }

    /// Expands a word and reports the variables that nothing sets.
    fn word(&mut self, word: &Word) -> Option<String> {
        let expanded: Result<_, ExpandError> = self.scope.expand_fully(&word.text);
        let expanded = expanded.ok()?;
        for name in unique(&expanded.unset) {
            if !self.known || self.scope.is_declared(&name) || is_proxy(&name) {
                continue;
            }
            let near = suggestion(&name, self.scope.names(), "$");
            let text = format!("`${name}` is not set here{near}");
            self.findings.add(Rule::UndefinedVar, word.span, text);
        }
        Some(expanded.text)
    }

    fn environment(&mut self, pairs: &[Pair]) {
        let mut set = HashMap::new();
        for pair in pairs {
            let name = self.word(&pair.name);
            let value = self.word(&pair.value);
            if let (Some(name), Some(value)) = (name, value) {
                set.insert(name, value);
            }
        }
        self.env.retain(|(name, _)| !set.contains_key(name));
        let names: Vec<String> = set.keys().cloned().collect();
        self.env.extend(set);
        self.scope.set_env(self.env.clone(), &names);
    }

    fn transfer(
        &mut self,
        transfer: &Transfer,
        from_context: bool,
        line: &Instruction,
        instruction: &str,
    ) {
        let flags = transfer.chown.iter().chain(&transfer.chmod);
        for word in flags
            .chain(&transfer.exclude)
            .chain([&transfer.destination])
        {
            self.word(word);
        }
        for document in transfer.documents.iter().filter(|document| document.expand) {
            let span = line.span;
            let text = document.text();
            // Quotes mean nothing inside a document: they must not hide what follows.
            let text = text.replace(['\'', '"'], "");
            self.word(&Word { text, span });
        }
        for word in &transfer.sources {
            let Some(source) = self.word(word) else {
                continue;
            };
            if from_context && self.is_ignored(&source) {
                let text = format!("{instruction} names `{source}`, which .dockerignore hides");
                self.findings.add(Rule::CopyIgnoredFile, word.span, text);
            }
        }
    }

    fn is_ignored(&self, source: &str) -> bool {
        let remote = source.contains("://") || source.starts_with("git@");
        if remote || source.contains(['*', '?', '[']) {
            return false;
        }
        let path = crate::build::path::below_root(source);
        let path = std::path::Path::new(&path);
        let ignore = self.subject.ignore;
        !path.as_os_str().is_empty() && ignore.hides(path) && ignore.prunes(path)
    }

    fn expose(&mut self, words: &[Word]) {
        for word in words {
            let Some(text) = self.word(word) else {
                continue;
            };
            for port in text.split_whitespace() {
                let protocol = port.rsplit_once('/').map_or("", |(_, protocol)| protocol);
                if protocol.chars().any(|c| c.is_ascii_uppercase()) {
                    let text = format!("protocol `{protocol}` of EXPOSE should be lowercase");
                    self.findings.add(Rule::ExposeProtoCasing, word.span, text);
                }
                if port.contains(':') {
                    let text = format!(
                        "EXPOSE takes a container port, not `{port}`: addresses and host ports belong to `run`"
                    );
                    self.findings
                        .add(Rule::ExposeInvalidFormat, word.span, text);
                }
            }
        }
    }

    /// Only the first WORKDIR of a stage can depend on the base image.
    fn workdir(&mut self, word: &Word, span: Span) {
        let path = self.word(word).unwrap_or_default();
        if !self.workdir_seen && !path.starts_with('/') {
            let text = format!(
                "relative WORKDIR `{path}` changes its meaning when the base image changes"
            );
            self.findings.add(Rule::WorkdirRelativePath, span, text);
        }
        self.workdir_seen = true;
    }
}

fn unique(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>, sign: &str) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!(", did you mean {sign}{near}?"))
}
