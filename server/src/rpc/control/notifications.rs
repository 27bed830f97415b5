//! What people were told, and trials of the ways to them.

use std::time::Instant;

use futures::future::join_all;
use stopover_model::cause;
use stopover_model::id::OperatorName;
use stopover_model::notice::{Notice, NotificationState};
use stopover_model::pipeline::{HookWay, Pipeline};
use stopover_proto::convert::field::{
    duration, enumeration, name, optional_text, optional_timestamp, timestamp,
};
use stopover_proto::v1;
use stopover_proto::v1::test_notifications_response::Trial;
use uuid::Uuid;

use super::Api;
use crate::rpc::status::RpcError;
use crate::store::Notification;

/// What one call answers with, unless it asks for another number, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 500;

impl Api {
    pub(super) async fn notifications(
        &self,
        request: &v1::ListNotificationsRequest,
    ) -> Result<v1::ListNotificationsResponse, RpcError> {
        let limit = if request.limit == 0 { USUAL } else { request.limit.min(MOST) };
        let state = request.failed.then_some(NotificationState::GivenUp);
        let found = self.services.store.notifications(state, limit).await?;
        Ok(v1::ListNotificationsResponse { notifications: found.into_iter().map(row).collect() })
    }

    /// Once to each, all at the same time, past the outbox.
    pub(super) async fn try_notifications(
        &self,
        by: OperatorName,
        pipeline: &str,
    ) -> Result<v1::TestNotificationsResponse, RpcError> {
        let pipeline = self.pipeline_named(pipeline).await?.pipeline;
        if pipeline.notify.is_empty() {
            return Err(RpcError::NobodyIsTold(pipeline.name));
        }
        let now = (self.services.clock)();
        let (notice, id) = (Notice::trial(&pipeline, &by, now), format!("trial-{}", Uuid::new_v4()));
        let trials = pipeline.notify.iter().map(async |notify| {
            let begun = Instant::now();
            let sent = self.services.sender.send(&notify.to, &notice, &id, now).await;
            let error = sent.err().map(|error| cause::chain(&error)).unwrap_or_default();
            Trial { target: notify.to.to_string(), error, took: duration::write(begun.elapsed()) }
        });
        Ok(v1::TestNotificationsResponse {
            trials: join_all(trials).await,
            pipeline: name::write(pipeline.name),
        })
    }

    /// Refuses a pipeline of which nobody could ever be told anything, or whose hooks could never be called.
    pub(super) fn check_notify(&self, pipeline: &Pipeline) -> Result<(), RpcError> {
        for hook in pipeline.stages.iter().flat_map(|stage| &stage.hooks) {
            let HookWay::Webhook { secret, .. } = &hook.way else { continue };
            self.services.sender.check_secret(secret).map_err(|error| RpcError::CannotTell {
                target: format!("the hook {}", hook.name),
                why: cause::chain(&error),
            })?;
        }
        for notify in &pipeline.notify {
            self.services.sender.check(&notify.to).map_err(|error| RpcError::CannotTell {
                target: notify.to.to_string(),
                why: cause::chain(&error),
            })?;
        }
        Ok(())
    }
}

fn row(from: Notification) -> v1::Notification {
    let about = from.notice.about.as_ref();
    v1::Notification {
        number: from.number,
        target: from.target.to_string(),
        pipeline: name::write(from.notice.pipeline.clone()),
        deployment: about.map(|about| name::write(about.deployment.clone())).unwrap_or_default(),
        kind: enumeration::write(from.notice.kind),
        subject: from.notice.subject(),
        state: enumeration::write(from.state),
        tries: from.tries,
        error: optional_text::write(from.error),
        created_at: timestamp::write(from.created_at),
        settled_at: optional_timestamp::write(from.settled_at),
    }
}
