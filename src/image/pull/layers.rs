//! The layers of one pull, side by side, and their commits.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::{
    LayerPhase, Pull, PullError, PullProgress,
    fetch::{Fetch, FetchedLayer},
};
use crate::{
    image::{
        manifest::Descriptor,
        store::{Ingest, Staged, Workspace},
    },
    model::Digest,
};

/// A finished layer that waits for its commit: its place, its files, its lock.
type Finished = (usize, Staged, Ingest);

impl Pull<'_> {
    /// Brings all layers into the store; those that need layers below them come back.
    pub(super) async fn run_layers(
        &self,
        layers: &[Descriptor],
        diff_ids: &[Digest],
        workspace: &Arc<Workspace>,
    ) -> Result<HashMap<Digest, Staged>, PullError> {
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(layers[*index].size));
        // The same layer twice in one image is fetched once.
        let mut seen = BTreeSet::new();
        order.retain(|index| seen.insert(&diff_ids[*index]));
        let slots = tokio::sync::Semaphore::new(self.registries.parallel);
        let cancel = CancellationToken::new();
        let mut running = FuturesUnordered::new();
        for index in order {
            let fetch = Fetch {
                pull: self,
                index,
                layers: layers.len(),
                descriptor: &layers[index],
                diff_id: &diff_ids[index],
                workspace,
                cancel: &cancel,
            };
            fetch.report(LayerPhase::Waiting);
            let slots = &slots;
            running.push(async move {
                let _slot = slots.acquire().await;
                (index, fetch.run().await)
            });
        }
        let collected = self.collect(&mut running, layers.len(), workspace).await;
        if collected.is_err() {
            // The threads of the other layers end before the work directory goes.
            cancel.cancel();
            while running.next().await.is_some() {}
        }
        collected
    }

    /// Commits layers in groups as they come: all that are finished share one sync of the disk.
    async fn collect<F>(
        &self,
        running: &mut FuturesUnordered<F>,
        count: usize,
        workspace: &Arc<Workspace>,
    ) -> Result<HashMap<Digest, Staged>, PullError>
    where
        F: Future<Output = (usize, Result<FetchedLayer, PullError>)>,
    {
        let mut pending = HashMap::new();
        let mut finished: Vec<Finished> = Vec::new();
        let mut committing = FuturesUnordered::new();
        let collected = loop {
            if committing.is_empty() && !finished.is_empty() {
                let group = std::mem::take(&mut finished);
                committing.push(self.commit(group, count, Arc::clone(workspace)));
            }
            tokio::select! {
                biased;
                Some((index, layer)) = running.next(), if !running.is_empty() => match layer {
                    Ok(FetchedLayer::Exists | FetchedLayer::Cancelled) => {}
                    Ok(FetchedLayer::Open(staged)) => {
                        pending.insert(staged.diff_id().clone(), *staged);
                    }
                    Ok(FetchedLayer::Finished(staged, ingest)) => {
                        finished.push((index, *staged, ingest));
                    }
                    Err(error) => break Err(error),
                },
                Some(committed) = committing.next(), if !committing.is_empty() => {
                    if let Err(error) = committed {
                        break Err(error);
                    }
                }
                else => break Ok(pending),
            }
        };
        // A commit that has begun runs to its end; its error would only hide the first one.
        while committing.next().await.is_some() {}
        collected
    }

    /// Commits a group of layers. The work directory is kept for as long as files are moved out of it, even when the
    /// pull is dropped meanwhile: otherwise half a layer could be moved.
    async fn commit(
        &self,
        finished: Vec<Finished>,
        count: usize,
        workspace: Arc<Workspace>,
    ) -> Result<(), PullError> {
        let commit = self.blocking(move |store| {
            let (mut done, mut staged, mut ingests) = (Vec::new(), Vec::new(), Vec::new());
            for (index, layer, ingest) in finished {
                done.push((index, ingest.digest().clone()));
                staged.push(layer);
                ingests.push(ingest);
            }
            store.commit_fetched(&staged, &ingests)?;
            drop(workspace);
            Ok(done)
        });
        for (index, layer) in commit.await? {
            let phase = LayerPhase::Done;
            (self.progress)(PullProgress {
                layer,
                index,
                layers: count,
                phase,
            });
        }
        Ok(())
    }
}
