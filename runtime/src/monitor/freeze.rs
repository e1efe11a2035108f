//! Stops a container's time: because somebody paused it, or for as long as a client reads its files.
//!
//! The two are apart. A pause is a state that lasts until somebody resumes. A freeze belongs to a connection and ends with
//! it: a client that is killed meanwhile, or the monitor itself, leaves no container that stands still for ever.

use std::time::Instant;

use super::{
    Monitor, Phase, Run,
    requests::{Answer, Outcome},
    setup::chain,
};
use crate::cgroup::Cgroup;

impl Run {
    /// Whether the container's processes stand still.
    pub(super) fn is_still(&self) -> bool {
        self.paused || !self.freezers.is_empty()
    }
}

impl Monitor {
    pub(super) fn pause(&mut self) -> Outcome {
        let (Phase::Running(run), Some(cgroup)) = (&mut self.phase, &self.cgroup) else {
            return Err("the container does not run".to_owned());
        };
        if run.paused {
            return Err("the container is paused already".to_owned());
        }
        if !run.is_still() {
            cgroup.freeze().map_err(|error| chain(&error))?;
        }
        run.paused = true;
        self.cancel_probe();
        self.log.event("paused");
        self.publish();
        Ok(Answer::Done)
    }

    pub(super) fn resume(&mut self) -> Outcome {
        let (Phase::Running(run), Some(cgroup)) = (&mut self.phase, &self.cgroup) else {
            return Err("the container does not run".to_owned());
        };
        if !run.paused {
            return Err("the container is not paused".to_owned());
        }
        run.paused = false;
        if !run.is_still()
            && let Err(error) = cgroup.thaw()
        {
            run.paused = true;
            return Err(chain(&error));
        }
        self.watch_again();
        self.log.event("resumed");
        self.publish();
        Ok(Answer::Done)
    }

    /// Freezes the container until a connection closes. Its state stays what it was.
    pub(super) fn freeze_for(&mut self, client: u32) -> Outcome {
        let (Phase::Running(run), Some(cgroup)) = (&mut self.phase, &self.cgroup) else {
            return Err("the container does not run".to_owned());
        };
        if !run.is_still() {
            cgroup.freeze().map_err(|error| chain(&error))?;
        }
        run.freezers.push(client);
        self.cancel_probe();
        self.log.event("frozen while its files are read");
        Ok(Answer::Done)
    }

    /// Ends the freezes of clients that are gone.
    pub(super) fn end_freezes(&mut self) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let before = run.freezers.len();
        run.freezers
            .retain(|client| self.connections.find(*client).is_some());
        if run.freezers.len() == before || run.is_still() {
            return;
        }
        if let Some(Err(error)) = self.cgroup.as_ref().map(Cgroup::thaw) {
            self.log.event(&chain(&error));
        }
        self.watch_again();
        self.log.event("thawed");
    }

    /// Lets a container that stands still run, so that it can take a signal.
    pub(super) fn thaw(&mut self) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        if !run.is_still() {
            return;
        }
        run.freezers.clear();
        let was_paused = std::mem::take(&mut run.paused);
        if let Some(Err(error)) = self.cgroup.as_ref().map(Cgroup::thaw) {
            self.log.event(&chain(&error));
        }
        if was_paused {
            self.publish();
        }
    }

    /// Probes again, if the container runs now.
    fn watch_again(&mut self) {
        if let Phase::Running(run) = &mut self.phase
            && !run.is_still()
        {
            let ran = run.since.elapsed();
            if let Some(health) = &mut run.health {
                health.next_at = Some(Instant::now() + health.watch.pause(ran));
            }
        }
    }
}
