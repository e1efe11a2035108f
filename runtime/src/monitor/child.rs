//! Reaps children: the container's PID 1, execs, probes, and orphans that come to this process as a subreaper.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus as WaitStatus};

use rustix::process::{Pid, WaitOptions, wait};

use super::{Monitor, Parent, Phase};

impl Monitor {
    /// Takes what signals say: ended children, and the wish to stop.
    pub(super) fn signals(&mut self) {
        let mut stop = false;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            stop |= signal.ssi_signo == libc::SIGTERM.unsigned_abs();
        }
        self.reap();
        if stop {
            self.stop(None, None, None);
        }
    }

    /// Reaps every child that has ended. The container's end is dealt with last, so that execs are reported before it.
    pub(super) fn reap(&mut self) {
        let mut init = None;
        // ECHILD ends it as well as "nobody has ended".
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let status = WaitStatus::from_raw(status.as_raw());
            if self.is_init(pid) {
                init = Some(status);
            } else {
                self.child_ended(pid.as_raw_pid(), status);
            }
        }
        if let Some(status) = init {
            self.run_ended(status);
        }
    }

    fn is_init(&self, pid: Pid) -> bool {
        matches!(&self.phase, Phase::Running(run) if run.pid == pid.as_raw_pid() && run.parent == Parent::This)
    }

    fn child_ended(&mut self, pid: i32, status: WaitStatus) {
        if let Some(at) = self.execs.iter().position(|exec| exec.pid == pid) {
            let exec = self.execs.swap_remove(at);
            self.exec_ended(&exec, status);
        } else {
            self.probe_ended(pid, status);
        }
    }
}
