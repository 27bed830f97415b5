//! Follow-ups: asked in their turn on the database, like everything else there.

use stopover_model::event::StepKind;
use stopover_model::migration::FollowUp;
use stopover_proto::convert::field::message;
use stopover_proto::v1;
use tonic::Status;

use super::act::{TURN, busy};
use super::{AgentService, invalid};
use crate::follow_up;

impl AgentService {
    pub(super) async fn follow_up_on(
        &self,
        request: v1::FollowUpRequest,
    ) -> Result<v1::FollowUpResponse, Status> {
        use v1::follow_up_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let follow_up: FollowUp = message::read(request.follow_up, "follow_up").map_err(|e| invalid(&e))?;
        let turn = self.work.turn_on(context.database.name());
        let seen = match tokio::time::timeout(TURN, turn.lock()).await {
            Ok(_turn) => follow_up::run(&context, &follow_up, &request.system_identifier).await,
            Err(_) => Err(busy(&context)),
        };
        let result = match seen {
            Ok(report) => Answer::Seen(report.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::FollowUpResponse { result: Some(result) })
    }
}
