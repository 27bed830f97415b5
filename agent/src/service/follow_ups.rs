//! Follow-ups: asked in their turn on the database, like everything else there.

use stopover_model::event::StepKind;
use stopover_model::migration::FollowUp;
use stopover_proto::convert::field::message;
use stopover_proto::v1;
use tonic::Status;

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
        let ask = async || follow_up::run(&context, &follow_up, &request.system_identifier).await;
        let result = match self.at_its_turn(&context, ask).await {
            Ok(report) => Answer::Seen(report.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::FollowUpResponse { result: Some(result) })
    }
}
