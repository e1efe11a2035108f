//! The supervisor: one process per host that makes projects true and keeps them true.
//!
//! It owns nothing that cannot be read back from disk and kernel: killed at any instruction, its successor re-adopts every container. A lock on
//! `supervisor.lock` lets one process be it; it is started by the first command that writes, or by a monitor whose supervisor is gone, and it ends
//! when no project wants anything any more.

mod boot;
mod calls;
mod captures;
mod desired;
mod images;
mod networks;
mod presence;
mod project;
mod prune;
mod registries;
mod registry;
mod server;
mod volumes;

use std::{
    ffi::OsString,
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use runtime::spec::ContainerState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::registry::Registry;
use crate::{
    apply::{BuildNetwork, Context, Engine},
    container::{self, Change, Live, Steps, journal::Journal},
    image::ImageStore,
    model::chain,
    network::{Changes, Fabric},
    store::{self, Root, StoreError},
};

/// Changes of containers that may wait for the loop.
const CHANGES_WAITING_MAX: usize = 1024;
/// How long an idle supervisor stays: a script's next command finds it.
const LINGER: Duration = Duration::from_millis(500);

/// How a supervisor is started.
#[derive(Debug)]
pub struct Arguments {
    /// The state root.
    pub root: Root,
    /// The `stack` program, for monitors.
    pub program: PathBuf,
    /// Command line (program first) that starts a supervisor of this root.
    pub respawn: Vec<OsString>,
    /// Gets one byte once the socket listens (or another supervisor has the lock), then is closed.
    pub ready: Option<OwnedFd>,
}

/// A supervisor could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("take the supervisor's lock")]
    Lock(#[source] StoreError),
    #[error("start the async runtime")]
    Runtime(#[source] std::io::Error),
    #[error("listen on the supervisor's socket")]
    Listen(#[source] std::io::Error),
    #[error("handle signals")]
    Signals(#[source] std::io::Error),
    #[error("take over the network")]
    Network(#[source] crate::network::NetworkError),
    #[error("adopt what is there")]
    Adopt(#[source] boot::BootError),
}

/// Runs the supervisor to its end and returns its exit status. Does nothing when another one has the lock.
pub fn run(arguments: Arguments) -> i32 {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return 1;
    }
    match start(arguments) {
        Ok(()) => 0,
        Err(error) => {
            error!("{}", chain(&error).join(": "));
            1
        }
    }
}

fn start(arguments: Arguments) -> Result<(), StartError> {
    let Some(lock) =
        store::try_lock(&arguments.root.supervisor_lock()).map_err(StartError::Lock)?
    else {
        tell_ready(arguments.ready);
        return Ok(());
    };
    // Containers and layers are made in the first, log directories in the second.
    for directory in [arguments.root.tmp(), arguments.root.all_logs()] {
        store::scatter(&directory);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let result = runtime.block_on(supervise(arguments));
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(lock);
    result
}

async fn supervise(arguments: Arguments) -> Result<(), StartError> {
    let root = arguments.root.clone();
    let listener = server::bind(&root).map_err(StartError::Listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signals)?;
    let sealed = runtime::process::seal::own_executable();
    let program = sealed_program(&sealed, arguments.program);
    let (changes, mut changed) = mpsc::channel(CHANGES_WAITING_MAX);
    let fabric = Fabric::open(&root).await.map_err(StartError::Network)?;
    let context = Context {
        images: ImageStore::open(&root),
        build_network: BuildNetwork::new(root.clone(), fabric.clone()),
        fabric,
        live: Live::new(root.clone(), changes),
        journal: Journal::open(&root, has_containers(&root)),
        steps: Steps::new(
            root.clone(),
            program.clone(),
            tokio::runtime::Handle::current(),
        ),
        engine: Engine::default(),
        program,
        supervisor: arguments.respawn,
        root: root.clone(),
    };
    let network_changes = Changes::open(&root).map_err(StartError::Network)?;
    let mut watching = true;
    let leave = CancellationToken::new();
    let registry = Registry::new(context.clone(), leave.clone());
    boot::settle_images(&context.images).await;
    boot::adopt(&context).await.map_err(StartError::Adopt)?;
    boot::note_boot(&root).map_err(StartError::Adopt)?;
    for name in boot::projects(&root).map_err(StartError::Adopt)? {
        registry.look(&name).await;
    }
    let stop_serving = CancellationToken::new();
    let serving = server::serve(listener, registry.clone(), stop_serving.clone());
    tokio::pin!(serving);
    tell_ready(arguments.ready);
    info!(pid = std::process::id(), root = %root.state().display(), "supervisor started");
    let on_purpose = loop {
        tokio::select! {
            () = &mut serving => break false,
            Some(change) = changed.recv() => Box::pin(dispatch(&context, &registry, change)).await,
            removed = network_changes.removed(), if watching => match removed {
                Ok(()) => repair(&context).await,
                Err(error) => {
                    warn!(%error, "removals of links and tables are not noticed any more");
                    watching = false;
                }
            },
            _ = terminate.recv() => break false,
            _ = interrupt.recv() => break false,
            () = lingered(&registry, &context.images) => break true,
        }
    };
    registry.presence().close();
    stop_serving.cancel();
    leave.cancel();
    if on_purpose {
        // The socket goes first: a client that finds none starts the next supervisor, which waits for nothing but the lock.
        if let Err(error) = fs_err::remove_file(root.supervisor_socket()) {
            warn!(%error, "remove the socket");
        }
    }
    serving.await;
    registry.finish().await;
    context.build_network.removed().await;
    context.live.release().await;
    boot::flush_images(&context.images).await;
    info!("supervisor left");
    Ok(())
}

/// Returns the path of this program that monitors are started by: a read-only mount of its file, so that no container can write it through the
/// `/proc/<pid>/exe` of its monitor (CVE-2019-5736).
fn sealed_program(sealed: &Result<OwnedFd, runtime::Error>, own: PathBuf) -> PathBuf {
    match sealed {
        Ok(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into(),
        Err(error) => {
            warn!(%error, "monitors run the program's own file");
            own
        }
    }
}

/// Tells whether there are containers of which an earlier supervisor told; one that cannot be read is told of when it is adopted.
fn has_containers(root: &Root) -> bool {
    fs_err::read_dir(root.containers()).is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns once nothing was wanted for a while; from then on no call is begun.
async fn lingered(registry: &Registry, images: &ImageStore) {
    loop {
        registry.presence().idle().await;
        tokio::time::sleep(LINGER).await;
        if !registry.presence().is_idle() {
            continue;
        }
        // While it still can be called: this may take the disk a while.
        boot::flush_images(images).await;
        if registry.presence().close_if_idle() {
            return;
        }
    }
}

/// Puts back bridges and packet filter that somebody removed.
async fn repair(context: &Context) {
    if let Err(error) = context.fabric.repair().await {
        warn!(%error, "repair the network");
    }
}

/// Passes a container's change to the network at once, and to its project's loop.
async fn dispatch(context: &Context, registry: &Registry, change: Change) {
    let running = matches!(change.status.state, ContainerState::Running { .. });
    if let Err(error) = context.fabric.set_running(&change.id, running).await {
        warn!(container = %change.id, %error, "publish");
    }
    match container::read_record(&context.root, &change.id) {
        Ok(Some(record)) => {
            context.journal.look(&record, &change.status.state);
            info!(
                project = %record.project, container = record.name,
                state = ?change.status.state, "changed"
            );
            registry.look(&record.project).await;
        }
        Ok(None) => {}
        Err(error) => warn!(container = %change.id, %error, "changed"),
    }
}

fn tell_ready(ready: Option<OwnedFd>) {
    let Some(fd) = ready else { return };
    if let Err(error) = std::fs::File::from(fd).write_all(b"1") {
        warn!(%error, "nobody waits for this supervisor");
    }
}
