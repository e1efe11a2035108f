//! What the errors of a child are about, where that is not a list.

use super::user::UserSpec;
use crate::cgroup::{JoinPlan, JoinV1};
use crate::fault::{Subject, Subjects};
use crate::spec::Process;

/// Subjects of what is not a list.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) process: Subject,
    pub(crate) container: Subject,
    pub(crate) users: Subject,
    pub(crate) loopback: Subject,
    pub(crate) procfs: Subject,
    pub(crate) terminal: Subject,
    pub(crate) streams: Subject,
    pub(crate) passwd: Subject,
    pub(crate) group: Subject,
    pub(crate) user: Subject,
    pub(crate) user_part: Subject,
    pub(crate) group_part: Subject,
    pub(crate) additional: Vec<Subject>,
    pub(crate) cwd: Subject,
    pub(crate) program: Subject,
    /// One for each v1 hierarchy.
    pub(crate) tasks: Vec<Subject>,
}

impl Names {
    /// Registers them.
    pub(crate) fn of(
        process: &Process,
        user: &UserSpec<'_>,
        cgroup: &JoinPlan,
        subjects: &mut Subjects,
    ) -> Self {
        let program = process.argv.first().cloned().unwrap_or_default();
        let group = user
            .group
            .map(|group| group.to_string())
            .unwrap_or_default();
        let user_text = if process.user.is_empty() {
            "root"
        } else {
            &process.user
        };
        let mut list =
            |texts: Vec<String>| texts.into_iter().map(|text| subjects.add(text)).collect();
        let additional = list(process.groups.clone());
        let tasks = list(cgroup.v1.iter().map(shown).collect());
        Self {
            process: subjects.add(format!("the process of `{program}`")),
            container: subjects.add("the container's"),
            users: subjects.add("user namespace of the container"),
            loopback: subjects.add("lo"),
            procfs: subjects.add("proc"),
            terminal: subjects.add("in /dev/pts"),
            streams: subjects.add("standard streams"),
            passwd: subjects.add("/etc/passwd of the container"),
            group: subjects.add("/etc/group of the container"),
            user: subjects.add(format!("user `{user_text}`")),
            user_part: subjects.add(user.user.to_string()),
            group_part: subjects.add(group),
            additional,
            cwd: subjects.add(&process.cwd),
            program: subjects.add(program),
            tasks,
        }
    }
}

fn shown(group: &JoinV1) -> String {
    group.directory.join("tasks").display().to_string()
}
