//! `--wait-timeout`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{apply::ApplyError, protocol::Outcome};

/// Cancels the work when time is up.
pub(super) struct Limit {
    pub(super) token: CancellationToken,
    after: Duration,
    timer: tokio::task::JoinHandle<()>,
    passed: CancellationToken,
}

impl Limit {
    pub(super) fn start(outer: &CancellationToken, after_ms: u64) -> Self {
        let (token, passed) = (outer.child_token(), CancellationToken::new());
        let after = Duration::from_millis(after_ms);
        let (cancelled, flag) = (token.clone(), passed.clone());
        let timer = async move {
            if after.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(after).await;
            flag.cancel();
            cancelled.cancel();
        };
        #[expect(clippy::disallowed_methods, reason = "aborted by `finish`")]
        let timer = tokio::spawn(timer);
        Self {
            token,
            after,
            timer,
            passed,
        }
    }

    /// Replaces the errors of interrupted waits by one that says so, when it was the time.
    pub(super) fn finish(self, outcome: &mut Outcome) {
        self.timer.abort();
        if self.passed.is_cancelled() {
            outcome.errors = vec![ApplyError::Timeout { after: self.after }.report()];
        }
    }
}
