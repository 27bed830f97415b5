//! What there is to be shown of a deployment: of one that goes on from the memory of its task, of one that has ended from
//! what was kept of it, and else from its log.

use std::collections::BTreeSet;
use std::time::Duration;

use stopover_model::deployment::Glance;
use stopover_model::id::{DatabaseName, DeploymentId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::message::Message;
use super::{ConductError, Conductor, keep};

/// A task that can't reach the store answers nothing.
const PATIENCE: Duration = Duration::from_secs(10);

impl Conductor {
    /// Databases in `also` are there in full.
    pub async fn glance(
        &self,
        id: &DeploymentId,
        also: BTreeSet<DatabaseName>,
    ) -> Result<Glance, ConductError> {
        if let Some(glance) = self.glance_of_task(id, &also).await {
            return Ok(glance);
        }
        if also.is_empty()
            && let Some(glance) = keep::glance(&self.shared.store, id).await?
        {
            return Ok(glance);
        }
        Ok(self.state_of(id).await?.glance(&also))
    }

    /// None: there is no task, or it ends just now.
    async fn glance_of_task(&self, id: &DeploymentId, also: &BTreeSet<DatabaseName>) -> Option<Glance> {
        let task = self.shared.actors().get(id).filter(|task| !task.is_closed()).cloned()?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            task.send(Message::Glance { also: also.clone(), reply }).await.ok()?;
            answer.await.ok()
        };
        timeout(PATIENCE, asked).await.ok()?
    }
}
