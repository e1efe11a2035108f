//! Rules that need nothing but the text: casing, names, old forms.

use std::collections::HashSet;

use super::{Findings, Rule, Subject};
use crate::build::dockerfile::{
    CommandLine, Dockerfile, Instruction, InstructionKind, Span, Stage,
};

/// Stage names that mean something else.
const RESERVED: [&str; 2] = ["context", "scratch"];
/// A part of a variable's name that says "secret".
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// A part that says that it is none, or only where one is.
const HARMLESS_WORDS: [&str; 3] = ["public", "file", "version"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let dockerfile = subject.dockerfile;
    for span in &dockerfile.empty_continuations {
        let text = "an empty line inside a continued one will become an error".to_owned();
        findings.add(Rule::NoEmptyContinuation, *span, text);
    }
    casing(dockerfile, findings);
    let mut names = HashSet::new();
    for stage in &dockerfile.stages {
        stage_line(stage, findings);
        if let Some(name) = &stage.name
            && !names.insert(name)
        {
            let text = format!("there is another stage `{name}`: names should be unique");
            findings.add(Rule::DuplicateStageName, stage.span, text);
        }
        once_only(stage, findings);
        for instruction in &stage.instructions {
            old_forms(instruction, findings);
        }
        signals(dockerfile, stage, findings);
    }
    let lines = dockerfile.preamble.iter().chain(
        dockerfile
            .stages
            .iter()
            .flat_map(|stage| &stage.instructions),
    );
    for instruction in lines {
        secrets(instruction, findings);
        argument_description(instruction, findings);
    }
}

/// Returns the first word of a line: the instruction as it is written.
fn keyword(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn is_lower(word: &str) -> bool {
    word == word.to_ascii_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_ascii_uppercase()
}

/// All instructions in the case that most of them have; the upper one when it is a draw.
fn casing(dockerfile: &Dockerfile, findings: &mut Findings) {
    let preamble = dockerfile
        .preamble
        .iter()
        .map(|line| (keyword(&line.text), line.span));
    let stages = dockerfile.stages.iter().flat_map(|stage| {
        let from = std::iter::once((keyword(&stage.text), stage.span));
        let below = stage.instructions.iter();
        from.chain(below.map(|line| (keyword(&line.text), line.span)))
    });
    let words: Vec<(&str, Span)> = preamble.chain(stages).collect();
    let lower = words.iter().filter(|(word, _)| is_lower(word)).count();
    let upper = words.iter().filter(|(word, _)| is_upper(word)).count();
    for (word, span) in words {
        let (fits, majority) = if lower > upper {
            (is_lower(word), "lowercase")
        } else {
            (is_upper(word), "uppercase")
        };
        if !fits {
            let text =
                format!("`{word}` should be {majority}, as most instructions of this file are");
            findings.add(Rule::ConsistentInstructionCasing, head(span, word), text);
        }
    }
}

/// Returns the place of the first word of a line.
fn head(line: Span, word: &str) -> Span {
    Span {
        start: line.start,
        end: line.start + word.len(),
    }
}

fn stage_line(stage: &Stage, findings: &mut Findings) {
    if let Some(platform) = &stage.platform {
        let text = platform.text.as_str();
        if matches!(text, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
            let text = format!("`--platform={text}` is the default and can be left out");
            findings.add(Rule::RedundantTargetPlatform, platform.span, text);
        } else if !text.contains('$') && !names_platform(stage, text) {
            let text = format!(
                "`--platform={text}` should not be a constant: it ignores the platform that is asked for"
            );
            findings.add(Rule::FromPlatformFlagConstDisallowed, platform.span, text);
        }
    }
    let words: Vec<&str> = stage.text.split_whitespace().collect();
    let [from, .., keyword, name] = words[..] else {
        return;
    };
    let Some(lower) = &stage.name else { return };
    if (is_upper(from) && !is_upper(keyword)) || (is_lower(from) && !is_lower(keyword)) {
        let text = format!("`{keyword}` should have the case of `{from}`");
        findings.add(Rule::FromAsCasing, stage.span, text);
    }
    if name != lower {
        let text = format!("stage name `{name}` should be lowercase");
        findings.add(Rule::StageNameCasing, stage.span, text);
    }
    if RESERVED.contains(&lower.as_str()) {
        let text = format!("stage name `{name}` is reserved");
        findings.add(Rule::ReservedStageName, stage.span, text);
    }
    if !stage.comments.is_empty() && !describes(&stage.comments, lower) {
        let text = format!(
            "a comment right above FROM should be `# {lower} <description>`; leave an empty line when it is no description"
        );
        findings.add(Rule::InvalidDefinitionDescription, stage.span, text);
    }
}

/// A stage that is chosen by its name (`FROM build-$TARGETARCH`) has its platform on purpose.
fn names_platform(stage: &Stage, platform: &str) -> bool {
    let name = stage.name.as_deref().unwrap_or_default();
    let arch = platform.split('/').nth(1).unwrap_or(platform);
    !arch.is_empty() && name.contains(&arch.to_lowercase())
}

fn describes(comments: &[String], name: &str) -> bool {
    comments.iter().any(|comment| {
        comment
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    })
}

fn argument_description(line: &Instruction, findings: &mut Findings) {
    if let InstructionKind::Arg(definitions) = &line.kind
        && let [only] = &definitions[..]
        && !line.comments.is_empty()
        && !describes(&line.comments, &only.name.text)
    {
        let name = &only.name.text;
        let text = format!(
            "a comment right above ARG should be `# {name} <description>`; leave an empty line when it is no description"
        );
        findings.add(Rule::InvalidDefinitionDescription, line.span, text);
    }
}

/// CMD, ENTRYPOINT and HEALTHCHECK: only the last of a stage counts.
fn once_only(stage: &Stage, findings: &mut Findings) {
    let mut last: [Option<Span>; 3] = [None; 3];
    for line in &stage.instructions {
        let (slot, name) = match &line.kind {
            InstructionKind::Cmd(_) => (0, "CMD"),
            InstructionKind::Entrypoint(_) => (1, "ENTRYPOINT"),
            InstructionKind::Healthcheck(_) => (2, "HEALTHCHECK"),
            _ => continue,
        };
        if let Some(earlier) = last[slot].replace(line.span) {
            let text = format!("this {name} has no effect: a later one of the stage replaces it");
            findings.add(Rule::MultipleInstructionsDisallowed, earlier, text);
        }
    }
}

fn old_forms(line: &Instruction, findings: &mut Findings) {
    match &line.kind {
        InstructionKind::Maintainer(_) => {
            let text =
                "MAINTAINER is deprecated: use LABEL org.opencontainers.image.authors".to_owned();
            findings.add(Rule::MaintainerDeprecated, line.span, text);
        }
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs)
            if pairs.iter().any(|pair| pair.legacy) =>
        {
            let name = keyword(&line.text).to_ascii_uppercase();
            let text = format!("write `{name} key=value` instead of `{name} key value`");
            findings.add(Rule::LegacyKeyValueFormat, line.span, text);
        }
        _ => {}
    }
}

/// The shell form has a shell as process 1, which does not pass signals on. Who sets SHELL has chosen.
fn signals(dockerfile: &Dockerfile, stage: &Stage, findings: &mut Findings) {
    let mut has_shell = inherits_shell(dockerfile, stage, dockerfile.stages.len());
    for line in &stage.instructions {
        let (name, command) = match &line.kind {
            InstructionKind::Shell(_) => {
                has_shell = true;
                continue;
            }
            InstructionKind::Cmd(command) => ("CMD", command),
            InstructionKind::Entrypoint(command) => ("ENTRYPOINT", command),
            _ => continue,
        };
        if let CommandLine::Shell(text) = command
            && !text.is_empty()
            && !has_shell
        {
            let text = format!(
                "write {name} as a JSON array: in the shell form the program does not get signals"
            );
            findings.add(Rule::JsonArgsRecommended, line.span, text);
        }
    }
}

/// Whether a stage below this one sets SHELL. `left` bounds the walk.
fn inherits_shell(dockerfile: &Dockerfile, stage: &Stage, left: usize) -> bool {
    let base = stage.base.text.to_lowercase();
    let below = dockerfile.stages.iter().rfind(|other| {
        other.span.start < stage.span.start && other.name.as_deref() == Some(base.as_str())
    });
    below.is_some_and(|below| {
        let sets = |line: &Instruction| matches!(line.kind, InstructionKind::Shell(_));
        below.instructions.iter().any(sets)
            || (left > 0 && inherits_shell(dockerfile, below, left - 1))
    })
}

fn secrets(line: &Instruction, findings: &mut Findings) {
    let names: Vec<(&str, Span)> = match &line.kind {
        InstructionKind::Env(pairs) => pairs
            .iter()
            .map(|pair| (pair.name.text.as_str(), pair.name.span))
            .collect(),
        InstructionKind::Arg(definitions) => definitions
            .iter()
            .map(|definition| (definition.name.text.as_str(), definition.name.span))
            .collect(),
        _ => return,
    };
    let instruction = keyword(&line.text).to_ascii_uppercase();
    for (name, span) in names {
        if is_secret(name) {
            let text = format!(
                "{instruction} `{name}` looks like a secret and would be in the image: use RUN --mount=type=secret"
            );
            findings.add(Rule::SecretsUsedInArgOrEnv, span, text);
        }
    }
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    has(&SECRET_WORDS) && !has(&HARMLESS_WORDS)
}
