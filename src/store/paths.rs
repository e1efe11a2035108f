//! Where everything lies.

use std::path::{Path, PathBuf};

use compose_spec::model::{ProjectName, ServiceName};

use crate::model::ContainerId;

/// The state root and its run directory. Cheap to clone; makes nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    state: PathBuf,
    run: PathBuf,
}

impl Root {
    /// State in `/var/lib/stack`, sockets and namespaces in `/run/stack`.
    pub fn system() -> Self {
        Self {
            state: "/var/lib/stack".into(),
            run: "/run/stack".into(),
        }
    }

    /// Everything below one directory (`--root`, `STACK_ROOT`): state there, the rest in its `run/`.
    pub fn below(directory: impl Into<PathBuf>) -> Self {
        let state = directory.into();
        Self {
            run: state.join("run"),
            state,
        }
    }

    /// Returns the state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the run directory: sockets, locks, pinned namespaces.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Returns the directory of unfinished things.
    pub fn tmp(&self) -> PathBuf {
        self.state.join("tmp")
    }

    /// Returns the directory of all containers.
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// Returns the directory of one container.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// Returns the layer below every image: what every container has mounted on it, empty.
    pub fn mount_points(&self) -> PathBuf {
        self.state.join("mount-points")
    }

    /// Returns the directory of all projects' desired state.
    pub fn projects(&self) -> PathBuf {
        self.state.join("projects")
    }

    /// Returns the file that says what is wanted of a project.
    pub fn desired(&self, name: &ProjectName) -> PathBuf {
        self.project(name).join("desired.json")
    }

    /// Returns the directory of one project's desired state.
    pub fn project(&self, name: &ProjectName) -> PathBuf {
        self.projects().join(name.as_str())
    }

    /// Returns the directory of the projects' ranges of user ids.
    pub fn users(&self) -> PathBuf {
        self.state.join("users")
    }

    /// Returns the directory of network records.
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }

    /// Returns the directory of volumes.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// Returns the directory of the journal.
    pub fn events(&self) -> PathBuf {
        self.state.join("events")
    }

    /// Returns the directory of all projects' logs.
    pub fn all_logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Returns the log directory of a project.
    pub fn project_logs(&self, project: &ProjectName) -> PathBuf {
        self.all_logs().join(project.as_str())
    }

    /// Returns the log directory of one replica (`web-1`) or one-off (`web-run-…`).
    pub fn logs(&self, project: &ProjectName, service: &ServiceName, suffix: &str) -> PathBuf {
        self.project_logs(project)
            .join(format!("{service}-{suffix}"))
    }

    /// Returns the directory of pinned network namespaces.
    pub fn netns(&self) -> PathBuf {
        self.run.join("netns")
    }

    /// Returns the supervisor's socket.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.run.join("supervisor.sock")
    }

    /// Returns the file whose lock makes a process the supervisor.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.run.join("supervisor.lock")
    }

    /// Returns the supervisor's own log.
    pub fn supervisor_log(&self) -> PathBuf {
        self.run.join("supervisor.log")
    }
}
