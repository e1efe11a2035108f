//! The instructions, typed. Values are as written: variables are expanded when a step runs.

use std::time::Duration;

use super::{
    lines::{Directives, Heredoc},
    mount::MountFlag,
    source::{Source, Span, Word},
};

/// A parsed Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its text.
    pub source: Source,
    /// The parser directives.
    pub directives: Directives,
    /// ARG before the first FROM.
    pub global_args: Vec<ArgDefinition>,
    /// The lines of these ARGs.
    pub preamble: Vec<Instruction>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// Continued lines with an empty line inside.
    pub empty_continuations: Vec<Span>,
}

impl Dockerfile {
    /// Returns the escape character.
    pub fn escape(&self) -> char {
        self.directives.escape.unwrap_or('\\')
    }
}

/// FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The base as written: an image, a stage, or `scratch`.
    pub base: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// Its name, lower case.
    pub name: Option<String>,
    /// The FROM line.
    pub span: Span,
    /// The whole FROM line as written, continuations joined.
    pub text: String,
    /// Comments right above it.
    pub comments: Vec<String>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub kind: InstructionKind,
    /// The whole line as written, continuations joined.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// Comments right above it.
    pub comments: Vec<String>,
}

/// What an instruction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// RUN.
    Run(Run),
    /// COPY.
    Copy(Copy),
    /// ADD.
    Add(Add),
    /// CMD.
    Cmd(CommandLine),
    /// ENTRYPOINT.
    Entrypoint(CommandLine),
    /// ENV.
    Env(Vec<Pair>),
    /// ARG.
    Arg(Vec<ArgDefinition>),
    /// LABEL.
    Label(Vec<Pair>),
    /// EXPOSE.
    Expose(Vec<Word>),
    /// VOLUME.
    Volume(Vec<Word>),
    /// USER.
    User(Word),
    /// WORKDIR.
    Workdir(Word),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// STOPSIGNAL.
    StopSignal(Word),
    /// SHELL.
    Shell(Vec<String>),
    /// ONBUILD: the trigger as text, heredocs included, checked when it was read.
    Onbuild(String),
    /// MAINTAINER.
    Maintainer(String),
}

/// A command in shell or exec form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A line for the image's shell.
    Shell(String),
    /// A program with arguments.
    Exec(Vec<String>),
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// Documents that follow the line.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`.
    pub mounts: Vec<MountFlag>,
    /// `--network`.
    pub network: RunNetwork,
    /// `--security=insecure`, with its place.
    pub insecure: Option<Span>,
    /// `--device`.
    pub devices: Vec<Word>,
}

/// `--network` of RUN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunNetwork {
    /// That of the build.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// Sources and destination of COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Paths, patterns, or URLs.
    pub sources: Vec<Word>,
    /// Inline files.
    pub documents: Vec<Heredoc>,
    /// Where to.
    pub destination: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`.
    pub exclude: Vec<Word>,
}

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Sources and destination.
    pub transfer: Transfer,
    /// `--from`: a stage, its number, an image, or a named context.
    pub from: Option<Word>,
    /// `--parents`.
    pub parents: bool,
}

/// ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Sources and destination.
    pub transfer: Transfer,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// `name=value` of ENV or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name as written.
    pub name: Word,
    /// The value as written, quotes included.
    pub value: Word,
    /// Written `name value`, without `=`.
    pub legacy: bool,
}

/// One variable of ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDefinition {
    /// Its name.
    pub name: Word,
    /// Its default as written.
    pub default: Option<Word>,
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// NONE.
    None,
    /// CMD. Zero durations and retries mean "inherit".
    Check {
        /// The probe.
        command: CommandLine,
        /// `--interval`.
        interval: Duration,
        /// `--timeout`.
        timeout: Duration,
        /// `--start-period`.
        start_period: Duration,
        /// `--start-interval`.
        start_interval: Duration,
        /// `--retries`.
        retries: u32,
    },
}
