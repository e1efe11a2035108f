//! The command line of the low-level runtime: that of runc and crun, as far as their callers use it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs OCI bundles
///
/// Callers of other runtimes can be pointed at it: a link named `stack-oci` to the `stack` program takes these arguments directly.
#[derive(Debug, Parser)]
#[command(name = "stack oci", version, max_term_width = 100)]
pub(super) struct CommandLine {
    /// Where the state of containers lies
    #[arg(long, default_value = "/run/stack-oci")]
    pub(super) root: PathBuf,
    /// Append errors to this file too
    #[arg(long)]
    pub(super) log: Option<PathBuf>,
    /// Form of these
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Accepted for callers; nothing more is printed
    #[arg(long)]
    pub(super) debug: bool,
    /// Accepted when it is `cgroupfs`: the control groups are always made directly
    #[arg(long, value_parser = ["cgroupfs", "disabled", "systemd"], default_value = "cgroupfs")]
    pub(super) cgroup_manager: String,
    /// Refused: systemd is not asked
    #[arg(long)]
    pub(super) systemd_cgroup: bool,
    /// Accepted for callers; what can be done without root is done
    #[arg(long)]
    pub(super) rootless: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a container; its program waits for `start`
    Create(Create),
    /// Remove a container that has ended
    Delete(Delete),
    /// Run a process in a container
    Exec(Exec),
    /// Print what this runtime can do, as JSON
    Features,
    /// Send a signal to a container's first process
    Kill(Kill),
    /// List containers
    List(List),
    /// Freeze a container
    Pause(Id),
    /// List the processes of a container
    Ps(Ps),
    /// Thaw a container
    Resume(Id),
    /// Make a container, start it, and remove it when it has ended
    Run(Run),
    /// Write a config.json to begin with
    Spec(Spec),
    /// Let the program of a container run
    Start(Id),
    /// Print the state of a container as JSON
    State(Id),
    /// Change limits of a container
    Update(Update),
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// Name of the container
    pub(super) id: String,
}

/// Where a process's pid and terminal go, and which files it gets.
#[derive(Debug, Args)]
pub(super) struct Handover {
    /// Write the pid of the process to this file
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// Send the terminal to this socket
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// Hand on this many descriptors after the standard streams
    #[arg(long, default_value_t = 0)]
    pub(super) preserve_fds: u32,
}

/// How a list is printed.
#[derive(Debug, Args)]
pub(super) struct Form {
    #[arg(short, long, value_parser = ["table", "json"], default_value = "table")]
    pub(super) format: String,
}

/// A bundle's directory.
#[derive(Debug, Args)]
pub(super) struct BundleDirectory {
    /// The bundle's directory
    #[arg(short, long, default_value = ".")]
    pub(super) bundle: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    pub(super) id: Id,
    #[command(flatten)]
    pub(super) directory: BundleDirectory,
    /// Description in place of the bundle's config.json
    #[arg(short = 'f', long)]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) handover: Handover,
    /// Accepted for callers: the root is always changed by pivot_root(2)
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Accepted for callers: the session keyring is always new
    #[arg(long)]
    pub(super) no_new_keyring: bool,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) create: Create,
    /// Return once it runs
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Leave its state when it has ended
    #[arg(long)]
    pub(super) keep: bool,
    /// Accepted for callers: orphans are always taken by the host
    #[arg(long)]
    pub(super) no_subreaper: bool,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    pub(super) id: Id,
    /// Kill it first; no error when it does not exist
    #[arg(short, long)]
    pub(super) force: bool,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    #[command(flatten)]
    pub(super) id: Id,
    #[arg(default_value = "SIGTERM")]
    pub(super) signal: String,
    /// To every process of the container
    #[arg(short, long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) form: Form,
    /// Only ids
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct Ps {
    #[command(flatten)]
    pub(super) id: Id,
    #[command(flatten)]
    pub(super) form: Form,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    pub(super) id: Id,
    /// Description of the limits, `linux.resources` of config.json; `-` = standard input
    #[arg(short, long)]
    pub(super) resources: Option<PathBuf>,
    /// Bytes
    #[arg(long, allow_negative_numbers = true)]
    pub(super) memory: Option<i64>,
    /// Memory plus swap in bytes
    #[arg(long, allow_negative_numbers = true)]
    pub(super) memory_swap: Option<i64>,
    /// Bytes
    #[arg(long, allow_negative_numbers = true)]
    pub(super) memory_reservation: Option<i64>,
    /// Microseconds
    #[arg(long)]
    pub(super) cpu_period: Option<u64>,
    /// Microseconds per period
    #[arg(long, allow_negative_numbers = true)]
    pub(super) cpu_quota: Option<i64>,
    #[arg(long, alias = "cpu-shares")]
    pub(super) cpu_share: Option<u64>,
    #[arg(long)]
    pub(super) cpuset_cpus: Option<String>,
    #[arg(long)]
    pub(super) cpuset_mems: Option<String>,
    #[arg(long, allow_negative_numbers = true)]
    pub(super) pids_limit: Option<i64>,
    #[arg(long)]
    pub(super) blkio_weight: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct Spec {
    #[command(flatten)]
    pub(super) directory: BundleDirectory,
    /// For a user who is not root: users of its own, no limits
    #[arg(long)]
    pub(super) rootless: bool,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// Description of the process; then there are no arguments
    #[arg(short, long)]
    pub(super) process: Option<PathBuf>,
    #[arg(short, long)]
    pub(super) tty: bool,
    #[arg(short, long)]
    pub(super) detach: bool,
    #[arg(long)]
    pub(super) cwd: Option<String>,
    /// NAME=value; may be given several times
    #[arg(short, long)]
    pub(super) env: Vec<String>,
    /// uid[:gid]
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// May be given several times
    #[arg(short = 'g', long)]
    pub(super) additional_gids: Vec<u32>,
    /// Capability that the process has too; may be given several times
    #[arg(short, long)]
    pub(super) cap: Vec<String>,
    #[arg(long)]
    pub(super) no_new_privs: bool,
    #[command(flatten)]
    pub(super) handover: Handover,
    /// Also in a container that is frozen; it waits there
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// Put the process into this group, which exists below the container's
    #[arg(long)]
    pub(super) cgroup: Option<String>,
    #[command(flatten)]
    pub(super) id: Id,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
}
