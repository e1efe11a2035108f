//! The Dockerfile language: bytes in, typed instructions or every error with its line and column out. Pure.
//!
//! Order of the passes: `lines` (directives, continuations, heredocs), `words` (flags and arguments), `parse` (types), here
//! (stages). Variables stay as written; [`expand`] is applied when a step runs, because only then the environment is known.

mod error;
mod expand;
mod fields;
mod glob;
mod health;
mod instruction;
mod lines;
mod mount;
mod operators;
mod parse;
mod source;
mod words;

pub use error::{ExpandError, MountProblem, Problem, SyntaxError, SyntaxErrors};
pub(crate) use error::{Located, nearest};
pub use expand::{Expanded, Quotes, Syntax, Variables, expand, expand_with};
pub(crate) use glob::PathPattern;
pub use instruction::{
    Add, ArgDefinition, CommandLine, Copy, Dockerfile, Healthcheck, Instruction, InstructionKind,
    Pair, Run, RunNetwork, Stage, Transfer,
};
pub use lines::{Directives, Heredoc};
pub use mount::{FileOwner, MountField, MountFlag, RunMount, RunMountKind, Sharing};
pub use source::{Place, Position, Source, Span, Word};

use parse::Parsed;

/// Parses a Dockerfile, or reports all its errors.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Dockerfile, SyntaxErrors> {
    let source = decode(name, bytes)?;
    let lines = lines::split(&source);
    let mut errors = lines.errors;
    let mut dockerfile = Dockerfile {
        source,
        directives: lines.directives,
        global_args: Vec::new(),
        preamble: Vec::new(),
        stages: Vec::new(),
        empty_continuations: lines.empty_continuations,
    };
    let escape = dockerfile.escape();
    errors.extend(check_frontend(&dockerfile.directives));
    for line in lines.logical {
        match parse::line(&line, escape) {
            Ok(parsed) => errors.extend(dockerfile.add(&line, parsed).err()),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() && dockerfile.stages.is_empty() {
        errors.push(Located::new(Span::default(), Problem::NoStage));
    }
    if errors.is_empty() {
        return Ok(dockerfile);
    }
    Err(SyntaxErrors(
        errors
            .into_iter()
            .map(|error| error.resolve(&dockerfile.source))
            .collect(),
    ))
}

/// Parses the trigger of an ONBUILD that an image carries.
pub(crate) fn parse_trigger(text: &str, escape: char) -> Result<Vec<Instruction>, SyntaxErrors> {
    let directive = if escape == '\\' { "" } else { "# escape=`\n" };
    let bytes = format!("{directive}FROM scratch\n{text}\n");
    let mut dockerfile = parse("ONBUILD trigger", bytes.as_bytes())?;
    Ok(std::mem::take(&mut dockerfile.stages[0].instructions))
}

fn decode(name: &str, bytes: &[u8]) -> Result<Source, SyntaxErrors> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (text, problem) = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => (text, Some((0, Problem::Empty))),
        Ok(text) => (text, None),
        Err(error) => {
            let valid = error.valid_up_to();
            let text = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
            (text, Some((valid, Problem::NotUtf8)))
        }
    };
    let source = Source {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    match problem {
        None => Ok(source),
        Some((at, problem)) => {
            let span = Span { start: at, end: at };
            Err(SyntaxErrors(vec![
                Located::new(span, problem).resolve(&source),
            ]))
        }
    }
}

/// `docker/dockerfile` in any version is what this is; another frontend would read another language.
fn check_frontend(directives: &Directives) -> Option<Located> {
    let syntax = directives.syntax.as_deref()?;
    let image = syntax.split_whitespace().next().unwrap_or(syntax);
    let path = image.split('@').next().unwrap_or(image);
    let path = path.strip_prefix("docker.io/").unwrap_or(path);
    let name = path.split(':').next().unwrap_or(path);
    if matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream") {
        return None;
    }
    let problem = Problem::Frontend(syntax.to_owned());
    Some(Located::new(Span::default(), problem))
}

impl Dockerfile {
    /// Puts one parsed line where it belongs.
    fn add(&mut self, line: &lines::Line, parsed: Parsed) -> Result<(), Located> {
        let (text, comments) = (line.text.text.clone(), line.comments.clone());
        let kind = match parsed {
            Parsed::From(from) => {
                self.stages.push(Stage {
                    base: from.base,
                    platform: from.platform,
                    name: from.name,
                    span: line.span,
                    text,
                    comments,
                    instructions: Vec::new(),
                });
                return Ok(());
            }
            Parsed::Instruction(kind) => kind,
        };
        let instruction = Instruction {
            kind,
            text,
            span: line.span,
            comments,
        };
        match (self.stages.last_mut(), &instruction.kind) {
            (Some(stage), _) => stage.instructions.push(instruction),
            (None, InstructionKind::Arg(definitions)) => {
                self.global_args.extend(definitions.iter().cloned());
                self.preamble.push(instruction);
            }
            (None, _) => return Err(Located::new(line.span, Problem::BeforeFrom)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
