//! Who does what: one task a project, so that calls for one project are carried out one after the other and projects do not wait for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use compose_spec::model::ProjectName;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{images, presence::Presence, project};
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
    presence: Presence,
}

/// The token of the call in work.
pub(super) type Current = Arc<Mutex<CancellationToken>>;

#[derive(Debug, Clone)]
struct Handle {
    messages: mpsc::Sender<Message>,
    /// What the task's current call waits under; cancelled when a newer call comes.
    current: Current,
    /// Held by the task that works for the project: one that ends may have a last message to carry out when its successor is made already.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Registry {
    pub(super) fn new(context: Context, leave: CancellationToken) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                projects: Mutex::default(),
                tasks: TaskTracker::new(),
                leave,
                presence: Presence::default(),
            }),
        }
    }

    /// Carries out a call; its answers go to `events`, the last one is `Finished`, or `Leaving` when it came too late to be begun.
    pub(super) async fn call(&self, call: Call, events: mpsc::Sender<Event>) {
        let Some(busy) = self.inner.presence.begin_call() else {
            turn_away(&events).await;
            return;
        };
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

    /// Whether the supervisor is needed.
    pub(super) fn presence(&self) -> &Presence {
        &self.inner.presence
    }

    /// Waits until every task has ended; call it after `leave`.
    pub(super) async fn finish(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn project(&self, name: &ProjectName) -> Handle {
        let mut projects = self.inner.projects();
        let (current, turn) = match projects.get(name) {
            Some(handle) if !handle.messages.is_closed() => return handle.clone(),
            Some(ended) => (Arc::clone(&ended.current), Arc::clone(&ended.turn)),
            None => (Current::default(), Arc::default()),
        };
        let (messages, inbox) = mpsc::channel(MESSAGES_WAITING_MAX);
        let handle = Handle {
            messages,
            current: Arc::clone(&current),
            turn: Arc::clone(&turn),
        };
        projects.insert(name.clone(), handle.clone());
        let busy = self.inner.presence.busy();
        let task = project::Task {
            name: name.clone(),
            context: self.inner.context.clone(),
            inbox,
            current,
            leave: self.inner.leave.clone(),
            access: None,
        };
        drop(self.inner.tasks.spawn(async move {
            let turn = turn.lock_owned().await;
            task.run().await;
            drop(turn);
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

/// Tells the clients of all messages that wait that their calls were not begun: the supervisor leaves.
pub(super) async fn turn_all_away(mut inbox: mpsc::Receiver<Message>) {
    inbox.close();
    while let Some(message) = inbox.recv().await {
        if let Message::Call { events, .. } = message {
            turn_away(&events).await;
        }
    }
}

/// Tells a client that its call was not begun: it asks the next supervisor. A client that went away needs no answer.
async fn turn_away(events: &mpsc::Sender<Event>) {
    if events.send(Event::Leaving).await.is_err() {
        tracing::debug!("the client did not wait");
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
        | Request::Network(_)
        | Request::Volume(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::DownRequest;

    #[tokio::test]
    async fn calls_that_wait_when_the_supervisor_leaves_are_for_the_next_one() {
        let (messages, inbox) = mpsc::channel(4);
        let (events, mut answers) = mpsc::channel(4);
        let down = Request::Down(DownRequest {
            project: "shop".parse().unwrap(),
            options: crate::plan::DownOptions::default(),
        });
        for _ in 0..2 {
            let call = Message::Call {
                request: Box::new(down.clone()),
                access: None,
                events: events.clone(),
            };
            messages.send(call).await.unwrap();
            messages.send(Message::Look).await.unwrap();
        }
        drop(events);
        turn_all_away(inbox).await;
        for _ in 0..2 {
            assert_eq!(answers.recv().await, Some(Event::Leaving));
        }
        assert_eq!(answers.recv().await, None);
        assert!(messages.is_closed(), "one that comes later finds no task");
    }
}
