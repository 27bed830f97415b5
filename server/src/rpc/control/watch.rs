//! A deployment's log and what happens to it, as it happens.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use stopover_model::id::Seq;
use stopover_proto::v1;
use stopover_proto::v1::watch_update::{Kind, StepProgress};
use tonic::Status;

use super::Api;
use crate::hub::WatchItem;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;

impl Api {
    pub(super) async fn follow(
        &self,
        by: Operator,
        request: v1::WatchRequest,
    ) -> Result<BoxStream<'static, Result<v1::WatchUpdate, Status>>, RpcError> {
        if let Some(ended) = by.ended((self.services.clock)()) {
            return Err(ended);
        }
        let id = self.deployment_named(&request.deployment).await?;
        let items = self.services.conductor.watch(&id, Seq(request.after_seq)).await?;
        let updates = items.map(|item| match item {
            Ok(item) => Ok(update(item)),
            Err(error) => Err(Status::from(RpcError::from(error))),
        });
        let stopping = self.services.stopping.clone();
        // Watches are ended when the server stops, and a slow reader may see that end before it sees the stop.
        let stopped = stopping.clone();
        let last =
            stream::once(
                async move { stopped.is_cancelled().then(|| Err(Status::from(RpcError::Stopping))) },
            );
        let updates = updates.chain(last.filter_map(std::future::ready));
        let gone = by.gone(self.services.store.clone(), self.services.clock);
        let end = async move {
            tokio::select! {
                () = stopping.cancelled_owned() => Status::from(RpcError::Stopping),
                gone = gone => gone.into(),
            }
        };
        Ok(until(updates, end).boxed())
    }
}

/// Passes a stream on, and ends it with the status of `end` when that comes first: a stream that just ends would say that the
/// deployment has.
fn until<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
    end: impl Future<Output = Status> + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    // The whole stream ends with whichever of the two ends first: after the last item, or after the status.
    let ending = stream::once(end).map(|status| Some(Err(status))).chain(stream::iter([None]));
    let items = items.map(Some).chain(stream::iter([None]));
    let mut done = false;
    stream::select(items, ending)
        .take_while(move |item| {
            let go_on = !done && item.is_some();
            done |= matches!(item, Some(Err(_)));
            std::future::ready(go_on)
        })
        .filter_map(std::future::ready)
}

fn update(item: WatchItem) -> v1::WatchUpdate {
    let kind = match item {
        WatchItem::Record(record) => Kind::Record(Arc::unwrap_or_clone(record).into()),
        WatchItem::Progress(step, progress) => {
            Kind::Progress(StepProgress { step: Some(step.into()), progress: Some((*progress).into()) })
        }
        WatchItem::CaughtUp => Kind::CaughtUp(true),
    };
    v1::WatchUpdate { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collected(
        items: impl Stream<Item = Result<u32, Status>> + Send + 'static,
        end: impl Future<Output = Status> + Send + 'static,
    ) -> Vec<Result<u32, String>> {
        let all = until(items, end);
        all.map(|item| item.map_err(|status| status.message().to_owned())).collect().await
    }

    #[tokio::test]
    async fn a_stream_that_ends_by_itself_ends_without_a_status() {
        let items = stream::iter([Ok(1), Ok(2)]);
        assert_eq!(collected(items, std::future::pending()).await, [Ok(1), Ok(2)]);
    }

    #[tokio::test]
    async fn a_stop_ends_a_waiting_stream_with_its_status() {
        let (go, end) = tokio::sync::oneshot::channel::<()>();
        let items = stream::iter([Ok(1)]).chain(stream::once(async move {
            let _ = go.send(());
            std::future::pending::<Result<u32, Status>>().await
        }));
        let end = async move {
            end.await.unwrap();
            Status::unavailable("stopping")
        };
        assert_eq!(collected(items, end).await, [Ok(1), Err("stopping".to_owned())]);
    }
}
