//! What is asked about things that were dropped and are kept.

use stopover_model::event::StepKind;
use stopover_model::id::{OperatorName, SavedId};
use stopover_model::sql::Name;
use stopover_proto::convert::field::{messages, name, names, optional_name};
use stopover_proto::v1;
use tonic::Status;

use super::{AgentService, invalid};
use crate::saved::{self, RestoreWork};

impl AgentService {
    pub(super) async fn look_at_saved(
        &self,
        request: v1::ReadSavedRequest,
    ) -> Result<v1::ReadSavedResponse, Status> {
        use v1::read_saved_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let id: Option<SavedId> = optional_name::read(request.id, "id").map_err(|e| invalid(&e))?;
        let result = match saved::list(&context, id.as_ref(), request.purged).await {
            Ok(found) => Answer::Found(v1::SavedList { items: messages::write(found) }),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::ReadSavedResponse { result: Some(result) })
    }

    pub(super) async fn put_back(
        &self,
        request: v1::RestoreSavedRequest,
    ) -> Result<v1::RestoreSavedResponse, Status> {
        use v1::restore_saved_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Migrate)?;
        let by: OperatorName = name::read(request.by, "by").map_err(|e| invalid(&e))?;
        let into = Some(request.into).filter(|into| !into.is_empty());
        let into = into.map(|into| into.parse::<Name>()).transpose();
        let work = RestoreWork {
            id: name::read(request.id, "id").map_err(|e| invalid(&e))?,
            by: by.to_string(),
            into: into.map_err(|e| Status::invalid_argument(format!("`into`: {e}")))?,
            overwrite: request.overwrite,
            goes_on: request.goes_on,
        };
        let restored = self.at_its_turn(&context, async || saved::restore(&context, &work).await).await;
        let database = context.database.name();
        let result = match restored {
            Ok(restored) => {
                tracing::info!(%database, saved = %work.id, rows = restored.restored, "{by} put values back");
                Answer::Restored(restored.into())
            }
            Err(error) => {
                tracing::warn!(%database, saved = %work.id, "values were not put back: {}", error.message);
                Answer::Failed(error.into())
            }
        };
        Ok(v1::RestoreSavedResponse { result: Some(result) })
    }

    pub(super) async fn purge(
        &self,
        request: v1::PurgeSavedRequest,
    ) -> Result<v1::PurgeSavedResponse, Status> {
        let context = self.context_of(request.act, StepKind::Migrate)?;
        let by: OperatorName = name::read(request.by, "by").map_err(|e| invalid(&e))?;
        let ids: Vec<SavedId> = names::read(request.ids, "ids").map_err(|e| invalid(&e))?;
        let purged =
            self.at_its_turn(&context, async || saved::purge(&context, &ids, by.as_str()).await).await;
        let database = context.database.name();
        match &purged {
            Ok(()) => tracing::info!(%database, ids = ids.len(), "{by} purged what was saved"),
            Err(error) => tracing::warn!(%database, "nothing was purged: {}", error.message),
        }
        Ok(v1::PurgeSavedResponse { failed: purged.err().map(Into::into) })
    }
}
