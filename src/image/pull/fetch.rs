//! One layer of a pull: the download feeds a blocking thread through a bounded channel.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{
    LayerPhase, Pull, PullError, PullProgress,
    job::{Done, Job, JobError, Source},
};
use crate::{
    image::{
        joined,
        manifest::Descriptor,
        registry::Sink,
        store::{Ingest, LayerMeta, Staged, Workspace},
    },
    model::Digest,
};

/// Chunks between the network and the thread: with those of the transport's size 2 MiB a layer, whatever the image's size.
const WAITING_MAX: usize = 16;
/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 256 << 10;

/// One layer to fetch.
pub(super) struct Fetch<'a> {
    pub(super) pull: &'a Pull<'a>,
    pub(super) index: usize,
    pub(super) layers: usize,
    pub(super) descriptor: &'a Descriptor,
    pub(super) diff_id: &'a Digest,
    pub(super) workspace: &'a Arc<Workspace>,
    /// Another layer has failed.
    pub(super) cancel: &'a CancellationToken,
}

/// How a layer came out.
pub(super) enum FetchedLayer {
    /// The store has it.
    Exists,
    /// Unpacked and verified; the lock is held until it is committed.
    Finished(Box<Staged>, Ingest),
    /// Unpacked and verified, but it needs the layers below.
    Open(Box<Staged>),
    /// Given up because another layer has failed.
    Cancelled,
}

/// What a try ended with.
enum Attempt {
    Layer(FetchedLayer),
    /// What was kept of an earlier download was damaged, and is gone now.
    DamagedPart,
}

impl Fetch<'_> {
    /// Brings the layer into the workspace, verified.
    pub(super) async fn run(&self) -> Result<FetchedLayer, PullError> {
        // A second round only after a damaged part was thrown away, which cannot happen twice.
        loop {
            match self.attempt().await? {
                Attempt::Layer(layer) => return Ok(layer),
                Attempt::DamagedPart => {}
            }
        }
    }

    pub(super) fn report(&self, phase: LayerPhase) {
        (self.pull.progress)(PullProgress {
            layer: self.descriptor.digest.clone(),
            index: self.index,
            layers: self.layers,
            phase,
        });
    }

    async fn attempt(&self) -> Result<Attempt, PullError> {
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared?,
            () = self.cancel.cancelled() => return Ok(Attempt::Layer(FetchedLayer::Cancelled)),
        };
        let Some(source) = prepared else {
            self.report(LayerPhase::Exists);
            return Ok(Attempt::Layer(FetchedLayer::Exists));
        };
        let kept = source.kept;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let job = Job {
            workspace: Arc::clone(self.workspace),
            source,
            receiver,
            size: self.descriptor.size,
        };
        let worker = spawn_blocking(move || job.run());
        let mut feed = Feed {
            fetch: self,
            sender,
            current: kept,
            reported: 0,
        };
        self.report(LayerPhase::Fetching {
            current_bytes: kept,
            total_bytes: self.descriptor.size,
        });
        let streamed = tokio::select! {
            streamed = self.pull.repository.stream_blob(self.descriptor, kept, &mut feed) => Some(streamed),
            () = self.cancel.cancelled() => None,
        };
        if !matches!(streamed, Some(Ok(()))) {
            // The thread must not take the early end for the end of the layer. It may be gone already.
            drop(feed.sender.send(Err(())).await);
        }
        drop(feed);
        self.report(LayerPhase::Unpacking);
        let done = joined(worker.await);
        match streamed {
            Some(Ok(())) => {}
            Some(Err(failures)) => return Err(self.pull.registry_error(failures)),
            None => return Ok(Attempt::Layer(FetchedLayer::Cancelled)),
        }
        let done = done.map_err(|error| match error {
            JobError::Layer(error) => self.pull.layer_error(&self.descriptor.digest, error),
            JobError::Store(error) => self.pull.store_error(error),
        });
        self.verify(done, kept)
    }

    /// Waits for the right to fetch it and finds what is there already; `None` when the store has the layer.
    async fn prepare(&self) -> Result<Option<Source>, PullError> {
        let (digest, diff_id, size) = (
            self.descriptor.digest.clone(),
            self.diff_id.clone(),
            self.descriptor.size,
        );
        let prepare = self.pull.blocking(move |store| {
            if store.has_layer_and_blob(&diff_id)? {
                return Ok(None);
            }
            let ingest = Ingest::begin(store, &digest)?;
            // Somebody may have brought it while we waited.
            if store.has_layer_and_blob(&diff_id)? {
                return Ok(None);
            }
            Source::open(ingest, size).map(Some)
        });
        prepare.await
    }

    fn verify(&self, done: Result<Done, PullError>, kept: u64) -> Result<Attempt, PullError> {
        let wanted = &self.descriptor.digest;
        let done = done?;
        let discard = |ingest: &Ingest| {
            ingest
                .discard()
                .map_err(|error| self.pull.store_error(error))
        };
        if done.digest != *wanted {
            discard(&done.ingest)?;
            if kept > 0 {
                return Ok(Attempt::DamagedPart);
            }
            return Err(self.pull.corrupt(wanted, "digest", wanted, done.digest));
        }
        let (diff_id, unpacked) = done
            .unpacked
            .map_err(|error| self.pull.layer_error(wanted, error))?;
        if diff_id != *self.diff_id {
            discard(&done.ingest)?;
            return Err(self.pull.corrupt(wanted, "diff id", self.diff_id, diff_id));
        }
        for note in &unpacked.notes {
            tracing::warn!(layer = %wanted, note, "unpacked with a difference");
        }
        let staged = Box::new(Staged {
            directory: done.directory,
            meta: LayerMeta::new(diff_id, &unpacked).of_blob(wanted),
            links: unpacked.external_links,
        });
        if staged.links.is_empty() {
            return Ok(Attempt::Layer(FetchedLayer::Finished(staged, done.ingest)));
        }
        self.pull
            .store
            .commit_blob(&done.ingest)
            .map_err(|error| self.pull.store_error(error))?;
        self.report(LayerPhase::Done);
        Ok(Attempt::Layer(FetchedLayer::Open(staged)))
    }
}

/// Hands the bytes of the network to the thread.
struct Feed<'a, 'b> {
    fetch: &'a Fetch<'b>,
    sender: mpsc::Sender<Result<Bytes, ()>>,
    current: u64,
    reported: u64,
}

impl Sink for Feed<'_, '_> {
    async fn take(&mut self, bytes: Bytes) -> bool {
        self.current += bytes.len() as u64;
        if self.current - self.reported >= REPORT_BYTES {
            self.reported = self.current;
            self.fetch.report(LayerPhase::Fetching {
                current_bytes: self.current,
                total_bytes: self.fetch.descriptor.size,
            });
        }
        self.sender.send(Ok(bytes)).await.is_ok()
    }
}
