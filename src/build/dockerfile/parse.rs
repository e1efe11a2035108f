//! From one logical line to one typed instruction.

use super::{
    error::{Located, Problem},
    instruction::{
        Add, ArgDefinition, CommandLine, Copy, InstructionKind, Pair, Run, RunNetwork, Transfer,
    },
    lines::{Heredoc, Joined, Line},
    mount::MountFlag,
    source::{Span, Word},
    words::{
        Flags, blank_words, json_or_words, json_strings, quoted_words, split_flags, split_name,
    },
};

const INSTRUCTIONS: [&str; 18] = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "ARG",
    "LABEL",
    "EXPOSE",
    "VOLUME",
    "USER",
    "WORKDIR",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "SHELL",
    "ONBUILD",
    "MAINTAINER",
];

/// A line once its instruction is known.
#[derive(Debug)]
pub(crate) enum Parsed {
    From(From),
    Instruction(InstructionKind),
}

/// FROM before its stage is filled.
#[derive(Debug)]
pub(crate) struct From {
    pub(crate) base: Word,
    pub(crate) platform: Option<Word>,
    pub(crate) name: Option<String>,
}

/// One line cut into name, flags and arguments.
struct Request<'a> {
    name: String,
    name_span: Span,
    flags: Flags,
    arguments: Joined,
    heredocs: &'a [Heredoc],
    escape: char,
}

/// Parses one logical line.
pub(crate) fn line(line: &Line, escape: char) -> Result<Parsed, Located> {
    let (word, rest) = split_name(&line.text);
    let name = word.text.to_ascii_uppercase();
    let (flags, arguments) = split_flags(&name, &rest, escape);
    let mut request = Request {
        name,
        name_span: word.span,
        flags,
        arguments,
        heredocs: &line.heredocs,
        escape,
    };
    let parsed = match request.name.as_str() {
        "FROM" => Parsed::From(from(&mut request)?),
        "ONBUILD" => Parsed::Instruction(onbuild(&request, &rest)?),
        "HEALTHCHECK" => Parsed::Instruction(super::health::parse(
            &mut request.flags,
            &request.arguments,
            request.name_span,
        )?),
        name if INSTRUCTIONS.contains(&name) => Parsed::Instruction(instruction(&mut request)?),
        _ => {
            let problem = Problem::UnknownInstruction(word.text.clone());
            return Err(Located::new(word.span, problem).near(&word.text, INSTRUCTIONS));
        }
    };
    request.flags.finish()?;
    Ok(parsed)
}

fn instruction(request: &mut Request<'_>) -> Result<InstructionKind, Located> {
    Ok(match request.name.as_str() {
        "RUN" => InstructionKind::Run(run(request)?),
        "COPY" => InstructionKind::Copy(copy(request)?),
        "ADD" => InstructionKind::Add(add(request)?),
        "CMD" => InstructionKind::Cmd(request.command()?),
        "ENTRYPOINT" => InstructionKind::Entrypoint(request.command()?),
        "ENV" => InstructionKind::Env(request.pairs()?),
        "LABEL" => InstructionKind::Label(request.pairs()?),
        "ARG" => InstructionKind::Arg(request.definitions()?),
        "EXPOSE" => InstructionKind::Expose(request.some(blank_words(&request.arguments))?),
        "VOLUME" => InstructionKind::Volume(request.volumes()?),
        "USER" => InstructionKind::User(request.exactly_one()?),
        "WORKDIR" => InstructionKind::Workdir(request.exactly_one()?),
        "STOPSIGNAL" => InstructionKind::StopSignal(request.exactly_one()?),
        "SHELL" => InstructionKind::Shell(request.shell()?),
        _ => InstructionKind::Maintainer(request.exactly_one()?.text),
    })
}

impl Request<'_> {
    fn fail(&self, problem: fn(String) -> Problem) -> Located {
        Located::new(self.name_span, problem(self.name.clone()))
    }

    fn some(&self, words: Vec<Word>) -> Result<Vec<Word>, Located> {
        if words.is_empty() {
            return Err(self.fail(Problem::AtLeastOne));
        }
        Ok(words)
    }

    /// Takes the whole rest of the line as one argument.
    fn exactly_one(&self) -> Result<Word, Located> {
        if self.arguments.text.is_empty() {
            return Err(self.fail(Problem::ExactlyOne));
        }
        Ok(self.arguments.word(0, self.arguments.text.len()))
    }

    /// Parses the shell or exec form; no arguments are an empty shell line, which clears.
    fn command(&self) -> Result<CommandLine, Located> {
        Ok(match json_strings(&self.arguments)? {
            Some(arguments) => CommandLine::Exec(arguments),
            None => CommandLine::Shell(self.arguments.text.clone()),
        })
    }

    fn pairs(&self) -> Result<Vec<Pair>, Located> {
        let words = self.some(quoted_words(&self.arguments, self.escape))?;
        if !words[0].text.contains('=') {
            return self.legacy_pair().map(|pair| vec![pair]);
        }
        words
            .into_iter()
            .map(|word| match word.text.split_once('=') {
                None => Err(Located::new(word.span, Problem::NoEquals(word.text))),
                Some(("", _)) => Err(Located::new(
                    word.span,
                    Problem::BlankName(self.name.clone()),
                )),
                Some((name, value)) => Ok(Pair {
                    name: part(&word, name),
                    value: part(&word, value),
                    legacy: false,
                }),
            })
            .collect()
    }

    /// `ENV name the rest of the line`.
    fn legacy_pair(&self) -> Result<Pair, Located> {
        let text = &self.arguments.text;
        let Some(end) = text.find(char::is_whitespace) else {
            return Err(self.fail(Problem::LegacyPair));
        };
        let value = self.arguments.trimmed(end, text.len());
        Ok(Pair {
            name: self.arguments.word(0, end),
            value: value.word(0, value.text.len()),
            legacy: true,
        })
    }

    fn definitions(&self) -> Result<Vec<ArgDefinition>, Located> {
        self.some(quoted_words(&self.arguments, self.escape))?
            .into_iter()
            .map(|word| match word.text.split_once('=') {
                Some(("", _)) => Err(Located::new(
                    word.span,
                    Problem::BlankName(self.name.clone()),
                )),
                Some((name, value)) => Ok(ArgDefinition {
                    name: part(&word, name),
                    default: Some(part(&word, value)),
                }),
                None => Ok(ArgDefinition {
                    name: word,
                    default: None,
                }),
            })
            .collect()
    }

    fn volumes(&self) -> Result<Vec<Word>, Located> {
        let words = self.some(json_or_words(&self.arguments)?)?;
        match words.iter().find(|word| word.text.trim().is_empty()) {
            Some(word) => Err(Located::new(word.span, Problem::EmptyVolume)),
            None => Ok(words),
        }
    }

    fn shell(&self) -> Result<Vec<String>, Located> {
        match json_strings(&self.arguments)? {
            Some(words) if !words.is_empty() => Ok(words),
            None if !self.arguments.text.is_empty() => Err(self.fail(Problem::NotJson)),
            _ => Err(self.fail(Problem::AtLeastOne)),
        }
    }
}

/// Returns a part of a word; its place is exact when the word was not continued over lines.
fn part(word: &Word, text: &str) -> Word {
    let offset = text.as_ptr() as usize - word.text.as_ptr() as usize;
    let start = word.span.start + offset;
    Word {
        text: text.to_owned(),
        span: Span {
            start: start.min(word.span.end),
            end: (start + text.len()).min(word.span.end),
        },
    }
}

fn from(request: &mut Request<'_>) -> Result<From, Located> {
    let platform = request.flags.text("platform")?;
    let mut words = blank_words(&request.arguments).into_iter();
    let arity = || Located::new(request.name_span, Problem::FromArity);
    let base = words.next().ok_or_else(arity)?;
    let name = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some(keyword), Some(name), None) if keyword.text.eq_ignore_ascii_case("as") => {
            let lower = name.text.to_lowercase();
            let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower.chars().all(|c| {
                    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
                });
            if !valid {
                return Err(Located::new(name.span, Problem::StageName(name.text)));
            }
            Some(lower)
        }
        _ => return Err(arity()),
    };
    Ok(From {
        base,
        platform,
        name,
    })
}

fn run(request: &mut Request<'_>) -> Result<Run, Located> {
    let mounts = request.flags.texts("mount")?;
    let network = match request.flags.text("network")? {
        None => RunNetwork::Default,
        Some(word) => match word.text.as_str() {
            "default" => RunNetwork::Default,
            "none" => RunNetwork::None,
            "host" => RunNetwork::Host,
            _ => return Err(choice("network", &word, "default, none, host")),
        },
    };
    let insecure = match request.flags.text("security")? {
        None => None,
        Some(word) => match word.text.as_str() {
            "sandbox" => None,
            "insecure" => Some(word.span),
            _ => return Err(choice("security", &word, "sandbox, insecure")),
        },
    };
    let devices = request.flags.texts("device")?;
    let command = request.command()?;
    let empty = match &command {
        CommandLine::Shell(line) => line.is_empty(),
        CommandLine::Exec(arguments) => arguments.is_empty(),
    };
    if empty {
        return Err(request.fail(Problem::AtLeastOne));
    }
    Ok(Run {
        command,
        heredocs: request.heredocs.to_vec(),
        mounts: mounts
            .iter()
            .map(MountFlag::parse)
            .collect::<Result<_, _>>()?,
        network,
        insecure,
        devices,
    })
}

fn choice(flag: &str, word: &Word, allowed: &'static str) -> Located {
    let error = Located::new(
        word.span,
        Problem::FlagChoice {
            flag: flag.to_owned(),
            value: word.text.clone(),
            allowed,
        },
    );
    error.near(&word.text, allowed.split(", "))
}

fn copy(request: &mut Request<'_>) -> Result<Copy, Located> {
    let from = request.flags.text("from")?;
    if let Some(word) = from.as_ref().filter(|word| word.text.contains('$')) {
        return Err(Located::new(word.span, Problem::FromVariable));
    }
    let parents = request.flags.boolean("parents")?.unwrap_or(false);
    Ok(Copy {
        transfer: transfer(request)?,
        from: from.filter(|word| !word.text.is_empty()),
        parents,
    })
}

fn add(request: &mut Request<'_>) -> Result<Add, Located> {
    Ok(Add {
        keep_git_dir: request.flags.boolean("keep-git-dir")?,
        checksum: request.flags.text("checksum")?,
        unpack: request.flags.boolean("unpack")?,
        transfer: transfer(request)?,
    })
}

fn transfer(request: &mut Request<'_>) -> Result<Transfer, Located> {
    let chown = request.flags.text("chown")?;
    let chmod = request.flags.text("chmod")?;
    let link = request.flags.boolean("link")?.unwrap_or(false);
    let exclude = request.flags.texts("exclude")?;
    let mut words = json_or_words(&request.arguments)?;
    let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
        return Err(request.fail(Problem::NoDestination));
    };
    if Heredoc::announced(&destination.text).is_some() {
        return Err(Located::new(
            destination.span,
            Problem::HeredocDestination(request.name.clone()),
        ));
    }
    let mut documents = Vec::new();
    let mut sources = Vec::new();
    for word in words {
        let announced = Heredoc::announced(&word.text);
        let document = announced.and_then(|announced| {
            let mut heredocs = request.heredocs.iter();
            heredocs.find(|heredoc| heredoc.name == announced.name)
        });
        match document {
            Some(document) => documents.push(document.clone()),
            None => sources.push(word),
        }
    }
    Ok(Transfer {
        sources,
        documents,
        destination,
        chown: chown.filter(|word| !word.text.is_empty()),
        chmod: chmod.filter(|word| !word.text.is_empty()),
        link,
        exclude,
    })
}

/// Checks the trigger and keeps its text, with its heredocs, for the image that will run it.
fn onbuild(request: &Request<'_>, rest: &Joined) -> Result<InstructionKind, Located> {
    if rest.text.is_empty() {
        return Err(request.fail(Problem::AtLeastOne));
    }
    let (word, _) = split_name(rest);
    let name = word.text.to_ascii_uppercase();
    match name.as_str() {
        "ONBUILD" => return Err(Located::new(word.span, Problem::OnbuildChain)),
        "FROM" | "MAINTAINER" => {
            return Err(Located::new(word.span, Problem::OnbuildTrigger(name)));
        }
        _ => {}
    }
    let trigger = Line {
        text: rest.clone(),
        heredocs: request.heredocs.to_vec(),
        comments: Vec::new(),
        span: rest.whole(),
    };
    line(&trigger, request.escape)?;
    let mut text = rest.text.clone();
    for heredoc in request.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    Ok(InstructionKind::Onbuild(text))
}
