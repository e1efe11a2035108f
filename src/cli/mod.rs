//! The command line: parse, settings, one call, render. One file a command; nothing here decides about containers.
//!
//! The process is synchronous and single-threaded, and it starts nothing but, where needed, the supervisor: `ps`, `logs`,
//! `config`, `images`, `port` and `top` read the state root themselves.

mod access;
mod attach;
mod attached;
mod build;
mod builder;
mod clock;
mod commit;
mod config;
mod cp;
mod disk;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod failure;
mod filter;
mod follow;
mod image;
mod images;
mod lifecycle;
mod login;
mod logout;
mod logs;
mod ls;
mod network;
mod observed;
mod overrides;
mod poll;
mod port;
mod ps;
mod pull;
mod push;
mod rehearse;
mod removal;
mod run;
mod search;
mod session;
mod settings;
mod stats;
mod system;
mod terminal;
#[cfg(test)]
mod testing;
mod top;
mod up;
mod values;
mod version;
mod volume;
mod wait;
mod watch;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use failure::Failure;
use session::Session;
use settings::{Flags, Settings, Terminals};

use crate::ui::Ui;

/// What a `docker` program that found this one among its plugins asks for.
const PLUGIN_METADATA: &str = "docker-cli-plugin-metadata";

/// Name of a link to this program that is the low-level runtime.
const OCI_PROGRAM: &str = "stack-oci";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 invalid Compose file, 4 image not pulled or built,
5 service not ready, 6 time is up, 7 port, name or lock taken, 8 not possible on this host,
9 vulnerabilities found, 130 interrupted; `run`, `exec` and `up --exit-code-from` end with the
container's own code.";

/// Makes a Compose file true on this machine, and keeps it true
#[derive(Debug, Parser)]
#[command(name = "stack", version, disable_version_flag = true, after_help = EXIT_CODES, max_term_width = 100, args_override_self = true)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Attach(attach::Arguments),
    Build(build::Arguments),
    #[command(subcommand)]
    Builder(builder::BuilderCommand),
    Commit(commit::CommitArguments),
    #[command(alias = "convert")]
    Config(config::Arguments),
    Cp(cp::Arguments),
    Create(up::CreateArguments),
    Doctor(doctor::Arguments),
    Down(down::Arguments),
    Events(events::Arguments),
    Exec(exec::Arguments),
    Explain(explain::Arguments),
    Export(commit::ExportArguments),
    /// Images of the store
    #[command(subcommand)]
    Image(image::ImageCommand),
    Images(images::Arguments),
    /// Send a signal to containers
    Kill(lifecycle::Kill),
    Load(image::LoadArguments),
    Login(login::Arguments),
    Logout(logout::Arguments),
    Logs(logs::Arguments),
    #[command(alias = "list")]
    Ls(ls::Arguments),
    /// Networks of this machine
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Run OCI bundles, as runc does; `stack oci --help` tells more
    #[command(disable_help_flag = true)]
    Oci(OciArguments),
    /// Freeze containers
    Pause(lifecycle::Services),
    Port(port::Arguments),
    Ps(ps::Arguments),
    Pull(pull::Arguments),
    Push(push::Arguments),
    /// Stop and start containers as they are
    Restart(lifecycle::WithGrace),
    /// Remove stopped containers
    Rm(lifecycle::Remove),
    Run(run::Arguments),
    Save(image::SaveArguments),
    Scale(up::ScaleArguments),
    Search(search::Arguments),
    /// Start containers that exist
    Start(lifecycle::Services),
    Stats(stats::Arguments),
    /// Stop containers, leave them in place
    Stop(lifecycle::WithGrace),
    /// The disk, and what of it nothing uses
    #[command(subcommand)]
    System(system::SystemCommand),
    Top(top::Arguments),
    /// Thaw frozen containers
    Unpause(lifecycle::Services),
    Up(up::Arguments),
    Version(version::Arguments),
    /// Volumes of this machine
    #[command(subcommand)]
    Volume(volume::VolumeCommand),
    Volumes(volume::Arguments),
    Wait(wait::Arguments),
    Watch(watch::Arguments),
}

/// What follows `oci`: the low-level runtime reads it itself, because it has flags of its own by the same names.
#[derive(Debug, clap::Args)]
struct OciArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Runs a command line and returns the exit code.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let arguments = without_alias(arguments);
    if let Some(arguments) = for_oci(&arguments) {
        return ExitCode::from(run_oci(arguments));
    }
    if arguments
        .get(1)
        .is_some_and(|first| first == PLUGIN_METADATA)
    {
        return print_plugin_metadata();
    }
    let command_line = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help for a reader that has gone is nobody's loss.
            let _closed = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    ExitCode::from(execute(command_line))
}

/// `stack compose up`, and `docker-compose compose up` as docker calls its plugins, are `stack up`.
fn without_alias(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "compose") {
        arguments.remove(1);
    }
    arguments
}

/// The arguments of the low-level runtime, when this is it: by its command, or by the name of the program.
fn for_oci(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let program = Path::new(arguments.first()?).file_name()?;
    if program == OCI_PROGRAM {
        return Some(arguments.to_vec());
    }
    (arguments.get(1)? == "oci").then(|| arguments[1..].to_vec())
}

fn run_oci(arguments: Vec<OsString>) -> u8 {
    crate::oci::main(arguments, &settings::environment())
}

fn execute(command_line: CommandLine) -> u8 {
    if let Command::Oci(OciArguments { arguments }) = command_line.command {
        let program = OsString::from("oci");
        return run_oci([program].into_iter().chain(arguments).collect());
    }
    let terminals = Terminals::detect();
    let settings = std::env::current_dir()
        .map_err(|error| Failure::intent("find the current directory", &error))
        .and_then(|directory| {
            Settings::resolve(
                command_line.flags,
                settings::environment(),
                directory,
                terminals,
            )
        });
    let settings = match settings {
        Ok(settings) => settings,
        Err(failure) => return failure.report(&Ui::new(Settings::plain_ui(terminals))),
    };
    let ui = Ui::new(settings.ui);
    match dispatch(&Session::new(&settings, &ui), &command_line.command) {
        Ok(()) => 0,
        Err(failure) => failure.report(&ui),
    }
}

fn dispatch(session: &Session<'_>, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Attach(arguments) => attach::run(session, arguments),
        Command::Build(arguments) => build::run(session, arguments),
        Command::Builder(command) => builder::run(session, command),
        Command::Commit(arguments) => commit::commit(session, arguments),
        Command::Config(arguments) => config::run(session, arguments),
        Command::Cp(arguments) => cp::run(session, arguments),
        Command::Create(arguments) => up::create(session, arguments),
        Command::Doctor(arguments) => doctor::run(session, arguments),
        Command::Down(arguments) => down::run(session, arguments),
        Command::Events(arguments) => events::run(session, arguments),
        Command::Exec(arguments) => exec::run(session, arguments),
        Command::Explain(arguments) => explain::run(session, arguments),
        Command::Export(arguments) => commit::export(session, arguments),
        Command::Image(command) => image::run(session, command),
        Command::Images(arguments) => images::run(session, arguments),
        Command::Kill(arguments) => lifecycle::kill(session, arguments),
        Command::Load(arguments) => image::load(session, arguments),
        Command::Login(arguments) => login::run(session, arguments),
        Command::Logout(arguments) => logout::run(session, arguments),
        Command::Logs(arguments) => logs::run(session, arguments),
        Command::Ls(arguments) => ls::run(session, arguments),
        Command::Network(command) => network::run(session, command),
        Command::Oci(_) => Ok(()), // `execute` has run it.
        Command::Pause(arguments) => lifecycle::pause(session, arguments),
        Command::Port(arguments) => port::run(session, arguments),
        Command::Ps(arguments) => ps::run(session, arguments),
        Command::Pull(arguments) => pull::run(session, arguments),
        Command::Push(arguments) => push::run(session, arguments),
        Command::Restart(arguments) => lifecycle::restart(session, arguments),
        Command::Rm(arguments) => lifecycle::remove(session, arguments),
        Command::Run(arguments) => run::run(session, arguments),
        Command::Save(arguments) => image::save(session, arguments),
        Command::Scale(arguments) => up::scale(session, arguments),
        Command::Search(arguments) => search::run(session, arguments),
        Command::Start(arguments) => lifecycle::start(session, arguments),
        Command::Stats(arguments) => stats::run(session, arguments),
        Command::Stop(arguments) => lifecycle::stop(session, arguments),
        Command::System(command) => system::run(session, command),
        Command::Top(arguments) => top::run(session, arguments),
        Command::Unpause(arguments) => lifecycle::unpause(session, arguments),
        Command::Up(arguments) => up::run(session, arguments),
        Command::Version(arguments) => version::run(session, arguments),
        Command::Volume(command) => volume::run(session, command),
        Command::Volumes(arguments) => volume::of_project(session, arguments),
        Command::Wait(arguments) => wait::run(session, arguments),
        Command::Watch(arguments) => watch::run(session, arguments),
    }
}

fn print_plugin_metadata() -> ExitCode {
    let metadata = serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "stack",
        "Version": env!("CARGO_PKG_VERSION"),
        "ShortDescription": "Compose without a daemon",
    });
    match writeln!(io::stdout(), "{metadata}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
