//! Who does what: one task a project, so that calls for one project are carried out one after the other and projects do not wait for each other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use compose_spec::model::ProjectName;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{images, project};
use crate::{
    apply::Context,
    model::RegistryAccess,
    protocol::{Call, Event, Request},
};

/// Calls and changes that may wait for one project.
const MESSAGES_WAITING_MAX: usize = 256;

/// What a project's task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A client's call; answers go to `events`.
    Call {
        /// The call.
        request: Box<Request>,
        /// How the client reaches registries.
        access: Option<Arc<RegistryAccess>>,
        /// Where progress and the outcome go.
        events: mpsc::Sender<Event>,
    },
    /// Look whether everything is as wanted.
    Look,
}

/// All project tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    projects: Mutex<HashMap<ProjectName, Handle>>,
    tasks: TaskTracker,
    leave: CancellationToken,
    /// Calls in work that belong to no project, and projects with a task.
    busy: AtomicUsize,
    idle: Notify,
}

/// The token of the call in work.
pub(super) type Current = Arc<Mutex<CancellationToken>>;

#[derive(Debug, Clone)]
struct Handle {
    messages: mpsc::Sender<Message>,
    /// What the task's current call waits under; cancelled when a newer call comes.
    current: Current,
}

impl Registry {
    pub(super) fn new(context: Context, leave: CancellationToken) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                projects: Mutex::default(),
                tasks: TaskTracker::new(),
                leave,
                busy: AtomicUsize::new(0),
                idle: Notify::new(),
            }),
        }
    }

    /// Carries out a call; its answers go to `events`, the last one is `Finished`.
    pub(super) async fn call(&self, call: Call, events: mpsc::Sender<Event>) {
        let Call { request, access } = call;
        let access = access.map(Arc::new);
        if let Some(name) = project_of(&request) {
            // What the project's current call waits for does not matter any more.
            lock(&self.project(&name).current).cancel();
            self.send(
                &name,
                Message::Call {
                    request: Box::new(request),
                    access,
                    events,
                },
            )
            .await;
            return;
        }
        let busy = Busy::new(&self.inner);
        let context = self.inner.context.clone();
        drop(self.inner.tasks.spawn(async move {
            images::call(&context, request, access, events).await;
            drop(busy);
        }));
    }

    /// Makes a project's task, if it has none, look whether everything is as wanted.
    pub(super) async fn look(&self, name: &ProjectName) {
        self.send(name, Message::Look).await;
    }

    /// Sends a message; a task that ends at this very moment is replaced by a new one.
    async fn send(&self, name: &ProjectName, mut message: Message) {
        while let Err(mpsc::error::SendError(unsent)) =
            self.project(name).messages.send(message).await
        {
            message = unsent;
        }
    }

    /// Returns whether nothing is in work and no project wants anything.
    pub(super) fn is_idle(&self) -> bool {
        self.inner.busy.load(Ordering::SeqCst) == 0
    }

    /// Returns once nothing is in work and no project wants anything.
    pub(super) async fn idle(&self) {
        loop {
            let woken = self.inner.idle.notified();
            if self.is_idle() {
                return;
            }
            woken.await;
        }
    }

    /// Waits until every task has ended; call it after `leave`.
    pub(super) async fn finish(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn project(&self, name: &ProjectName) -> Handle {
        let mut projects = self.inner.projects();
        if let Some(handle) = projects.get(name)
            && !handle.messages.is_closed()
        {
            return handle.clone();
        }
        let (messages, inbox) = mpsc::channel(MESSAGES_WAITING_MAX);
        let current = Current::default();
        let handle = Handle {
            messages,
            current: Arc::clone(&current),
        };
        projects.insert(name.clone(), handle.clone());
        let busy = Busy::new(&self.inner);
        let task = project::Task {
            name: name.clone(),
            context: self.inner.context.clone(),
            inbox,
            current,
            leave: self.inner.leave.clone(),
            access: None,
        };
        drop(self.inner.tasks.spawn(async move {
            task.run().await;
            drop(busy);
        }));
        handle
    }
}

impl Inner {
    fn projects(&self) -> MutexGuard<'_, HashMap<ProjectName, Handle>> {
        lock(&self.projects)
    }
}

/// Counts as work until dropped.
struct Busy(Arc<Inner>);

impl Busy {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.busy.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(inner))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

fn project_of(request: &Request) -> Option<ProjectName> {
    match request {
        Request::Up(up) => Some(up.project.name.clone()),
        Request::Down(down) => Some(down.project.clone()),
        Request::Lifecycle(lifecycle) => Some(lifecycle.project.clone()),
        Request::Run(run) => Some(run.project.name.clone()),
        Request::Pull(_)
        | Request::Pin(_)
        | Request::Build(_)
        | Request::Commit(_)
        | Request::ImageImport(_)
        | Request::Push(_)
        | Request::Login(_)
        | Request::Search(_)
        | Request::BuilderPrune(_)
        | Request::ImageLoad(_)
        | Request::ImagePrune(_)
        | Request::ImageRemove(_)
        | Request::ImageTag(_)
        | Request::VolumePrune(_) => None,
    }
}
