//! Flags before the command, the environment and the terminals, resolved once. The only reader of the environment.
//!
//! Which files and which project they mean is decided by [`compose_spec::load`], because a `.env` file has a say in it;
//! here only flags are collected and the environment is handed on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use compose_spec::model::ProjectName;

use super::{failure::Failure, terminal};
use crate::{
    store::Root,
    ui::{
        MessageFormat, UiOptions,
        progress::ProgressMode,
        style::{Ansi, Palette, Signs},
    },
};

/// Terminal size when there is none.
const ROWS_DEFAULT: u16 = 24;
const COLUMNS_DEFAULT: u16 = 80;

/// Flags that come before the command; those marked global may also come after it.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Flags {
    /// Compose file; may be given several times, later ones override; `-` = standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Project name
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(super) project_name: Option<String>,
    /// Enable a profile; may be given several times
    #[arg(long = "profile", value_name = "PROFILE")]
    pub(super) profiles: Vec<String>,
    /// Environment file in place of `.env`; may be given several times
    #[arg(long = "env-file", value_name = "FILE")]
    pub(super) env_files: Vec<PathBuf>,
    /// Directory that relative paths start from [default: that of the first Compose file]
    #[arg(long, value_name = "DIR", alias = "workdir")]
    pub(super) project_directory: Option<PathBuf>,
    /// How progress is shown [default: auto]
    #[arg(long, value_enum, value_name = "MODE", global = true)]
    pub(super) progress: Option<ProgressFlag>,
    /// When to use colours [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", global = true, alias = "color")]
    pub(super) ansi: Option<AnsiFlag>,
    /// Form of errors and warnings
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        global = true,
        default_value = "human"
    )]
    pub(super) message_format: MessageFlag,
    /// Print what would be done, change nothing
    #[arg(long, global = true)]
    pub(super) dry_run: bool,
    /// State directory in place of /var/lib/stack [env: STACK_ROOT]
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) root: Option<PathBuf>,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressFlag {
    /// A region that is repainted on a terminal, plain lines elsewhere
    Auto,
    /// A region that is repainted
    Tty,
    /// One line a change
    Plain,
    /// One JSON object a change
    Json,
    /// Nothing but warnings and errors
    Quiet,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AnsiFlag {
    /// On a terminal
    Auto,
    /// Never
    Never,
    /// Always
    Always,
}

/// `--message-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageFlag {
    /// With excerpts and hints
    #[default]
    Human,
    /// One JSON object a line
    Json,
    /// One line each, FILE:LINE:COLUMN: error[CODE]: TEXT
    Short,
}

impl From<MessageFlag> for MessageFormat {
    fn from(flag: MessageFlag) -> Self {
        match flag {
            MessageFlag::Human => Self::Human,
            MessageFlag::Json => Self::Json,
            MessageFlag::Short => Self::Short,
        }
    }
}

/// What the process is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terminals {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) rows: u16,
    pub(super) columns: u16,
}

impl Terminals {
    pub(super) fn detect() -> Self {
        let size = terminal::size(io::stderr());
        Self {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            rows: size.map_or(ROWS_DEFAULT, |size| size.ws_row),
            columns: size.map_or(COLUMNS_DEFAULT, |size| size.ws_col),
        }
    }
}

/// What `up` and its kin do about containers of services that are gone from the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orphans {
    /// Remove them without a flag (`COMPOSE_REMOVE_ORPHANS`).
    pub(super) remove: bool,
}

/// Everything decided before the command begins.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where state lies.
    pub(super) root: Root,
    /// Where relative paths of flags start.
    pub(super) working_dir: PathBuf,
    /// Flags that choose the project; the environment's part is in `environment`.
    pub(super) flags: Flags,
    /// The environment, for interpolation; variables that are not UTF-8 are left out.
    pub(super) environment: BTreeMap<String, String>,
    /// How output looks.
    pub(super) ui: UiOptions,
    /// What the process is connected to.
    pub(super) terminals: Terminals,
    /// Orphans.
    pub(super) orphans: Orphans,
    /// Things to tell the user once, before work begins.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// Decides everything; pure.
    pub(super) fn resolve(
        flags: Flags,
        environment: BTreeMap<String, String>,
        working_dir: PathBuf,
        terminals: Terminals,
    ) -> Result<Self, Failure> {
        let variables = Variables(&environment);
        let root = match (&flags.root, variables.text("STACK_ROOT")) {
            (Some(root), _) => Root::below(working_dir.join(root)),
            (None, Some(root)) => Root::below(working_dir.join(root)),
            (None, None) => Root::system(),
        };
        let ansi = variables.ansi(flags.ansi)?;
        let palette = |terminal| Palette::new(variables.has_colour(ansi, terminal));
        let ui = UiOptions {
            progress: variables.progress(flags.progress, ansi, terminals)?,
            out: palette(terminals.stdout),
            err: palette(terminals.stderr),
            signs: variables.signs(),
            rows: terminals.rows,
            columns: terminals.columns,
            interactive: terminals.stdin && terminals.stderr,
            messages: flags.message_format.into(),
        };
        Ok(Self {
            root,
            ui,
            terminals,
            working_dir,
            orphans: Orphans {
                remove: variables.is_on("COMPOSE_REMOVE_ORPHANS"),
            },
            notes: variables.notes(),
            flags,
            environment,
        })
    }

    /// How a failure of deciding is shown.
    pub(super) fn plain_ui(terminals: Terminals) -> UiOptions {
        UiOptions {
            progress: ProgressMode::Plain,
            out: Palette::new(false),
            err: Palette::new(false),
            signs: Signs::ASCII,
            rows: terminals.rows,
            columns: terminals.columns,
            interactive: false,
            messages: MessageFormat::Human,
        }
    }

    /// Returns the project that the user named without a Compose file: `-p`, `COMPOSE_PROJECT_NAME`.
    pub(super) fn named_project(&self) -> Result<Option<ProjectName>, Failure> {
        let text = match &self.flags.project_name {
            Some(name) => Some(name.as_str()),
            None => Variables(&self.environment).text("COMPOSE_PROJECT_NAME"),
        };
        text.map(|name| {
            name.parse::<ProjectName>()
                .map_err(|error| Failure::Usage(error.to_string()))
        })
        .transpose()
    }
}

/// Reads the process's environment.
pub(super) fn environment() -> BTreeMap<String, String> {
    let text = |text: OsString| text.into_string().ok();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// The environment as switches.
struct Variables<'a>(&'a BTreeMap<String, String>);

impl<'a> Variables<'a> {
    /// Returns a variable that is set and not empty.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| {
            matches!(
                value.to_lowercase().as_str(),
                "1" | "t" | "true" | "y" | "yes" | "on"
            )
        })
    }

    /// `--ansi`, then `STACK_COLOR`, then `COMPOSE_ANSI`.
    fn ansi(&self, flag: Option<AnsiFlag>) -> Result<Ansi, Failure> {
        let flag = match flag {
            Some(flag) => Some(flag),
            None => match self.choice::<AnsiFlag>("STACK_COLOR")? {
                Some(choice) => Some(choice),
                None => self.choice("COMPOSE_ANSI")?,
            },
        };
        Ok(match flag {
            None | Some(AnsiFlag::Auto) => Ansi::Auto,
            Some(AnsiFlag::Never) => Ansi::Never,
            Some(AnsiFlag::Always) => Ansi::Always,
        })
    }

    /// What was said by flag, then `NO_COLOR`, then `CLICOLOR_FORCE` and `FORCE_COLOR`, then what the stream is.
    fn has_colour(&self, ansi: Ansi, terminal: bool) -> bool {
        match ansi {
            Ansi::Always => true,
            Ansi::Never => false,
            Ansi::Auto if self.text("NO_COLOR").is_some() => false,
            Ansi::Auto if self.is_forced("CLICOLOR_FORCE") || self.is_forced("FORCE_COLOR") => true,
            Ansi::Auto => terminal && self.text("TERM") != Some("dumb"),
        }
    }

    fn is_forced(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value != "0")
    }

    /// `--progress`, then `COMPOSE_PROGRESS`, then what standard error is. A dumb terminal and `CI` get plain lines.
    fn progress(
        &self,
        flag: Option<ProgressFlag>,
        ansi: Ansi,
        terminals: Terminals,
    ) -> Result<ProgressMode, Failure> {
        let flag = match flag {
            Some(flag) => flag,
            None => self
                .choice("COMPOSE_PROGRESS")?
                .unwrap_or(ProgressFlag::Auto),
        };
        let can_repaint = terminals.stderr
            && self.text("TERM") != Some("dumb")
            && self.text("CI").is_none()
            && ansi != Ansi::Never;
        Ok(match flag {
            ProgressFlag::Auto if can_repaint => ProgressMode::Tty,
            ProgressFlag::Auto | ProgressFlag::Plain => ProgressMode::Plain,
            // Without a terminal there is nothing that could be repainted.
            ProgressFlag::Tty if terminals.stderr => ProgressMode::Tty,
            ProgressFlag::Tty => ProgressMode::Plain,
            ProgressFlag::Json => ProgressMode::Json,
            ProgressFlag::Quiet => ProgressMode::Quiet,
        })
    }

    fn choice<T: ValueEnum>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name)
            .map(|value| {
                T::from_str(value, true).map_err(|_unknown| {
                    let known: Vec<String> = T::value_variants()
                        .iter()
                        .filter_map(|variant| {
                            Some(variant.to_possible_value()?.get_name().to_owned())
                        })
                        .collect();
                    Failure::Usage(format!(
                        "{name}: unknown value `{value}`; it can be {}",
                        known.join(", ")
                    ))
                })
            })
            .transpose()
    }

    fn signs(&self) -> Signs {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| self.text(name));
        let is_utf8 = locale.is_none_or(|locale| {
            let locale = locale.to_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        if self.is_on("STACK_ASCII") || !is_utf8 {
            Signs::ASCII
        } else {
            Signs::UNICODE
        }
    }

    fn notes(&self) -> Vec<String> {
        ["DOCKER_HOST", "DOCKER_CONTEXT"]
            .into_iter()
            .filter(|name| self.text(name).is_some())
            .map(|name| format!("{name} is set and ignored: stack works on this machine only"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
