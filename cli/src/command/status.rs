//! `stopover status ID`: a deployment in full, as it is now.

use stopover_model::deployment::{Deployment, FORM, Glance};
use stopover_model::digest::Digest;
use stopover_model::event::Record;
use stopover_model::id::DatabaseName;
use stopover_proto::convert::field::{self, names};
use stopover_proto::v1;
use stopover_proto::v1::watch_update::Kind;
use tonic::Code;

use super::Context;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::follow::makes_no_sense;
use crate::render::json::Status;
use crate::render::{Depth, tree};

pub(crate) async fn run(
    context: &Context,
    id: &str,
    database: Option<&DatabaseName>,
) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    if context.output.json {
        context.output.json(&Status::of(&fetch(&mut control, id).await?))?;
        return Ok(Exit::Done);
    }
    let (deployment, _) = look(&mut control, id, database).await?;
    if let Some(database) = database {
        if deployment.stages.iter().all(|stage| stage.target(database).is_none()) {
            let hint =
                "stopover status ID --json lists its databases; a stage that has not begun has none yet";
            return Err(Failure::usage(format!("{id} has no database {database}")).with_hint(hint));
        }
        context.output.lines(&tree::of_database(&deployment, database, context.output.view()))?;
    } else {
        context.output.lines(&tree::lines(&deployment, context.output.view(), Depth::Full))?;
    }
    Ok(Exit::Done)
}

/// What there is to be shown of a deployment, with this database in full; and what an approval is bound to, of a stage that
/// waits for its gates. Of a server of another build the log is read.
pub(crate) async fn look(
    control: &mut Control,
    id: &str,
    database: Option<&DatabaseName>,
) -> Result<(Deployment, Option<Digest>), Failure> {
    let databases = names::write(database.cloned().into_iter().collect());
    let request = v1::GlanceRequest { deployment: id.to_owned(), databases, form: FORM.to_owned() };
    let glance = match control.glance(request).await {
        Ok(answer) => answer.into_inner().glance,
        Err(status) if status.code() == Code::Unimplemented => Vec::new(),
        Err(status) => return Err(status.into()),
    };
    if let Ok(glance) = serde_json::from_slice::<Glance>(&glance) {
        return Ok(glance.into_shown());
    }
    let deployment = fetch(control, id).await?;
    let plan = deployment.waiting_plan();
    Ok((deployment, plan))
}

/// A deployment's whole state, folded from its log piece by piece.
pub(crate) async fn fetch(control: &mut Control, id: &str) -> Result<Deployment, Failure> {
    let request = v1::WatchRequest { deployment: id.to_owned(), after_seq: 0 };
    let mut updates = control.watch(request).await?.into_inner();
    let mut state: Option<Deployment> = None;
    while let Some(update) = updates.message().await? {
        match update.kind {
            Some(Kind::Record(record)) => {
                let record: Record = field::direct::read(record, "record")?;
                let folded = match &mut state {
                    Some(state) => state.apply(&record),
                    None => Deployment::open(&record).map(|begun| state = Some(begun)),
                };
                folded.map_err(|error| makes_no_sense(&error))?;
            }
            Some(Kind::CaughtUp(_)) => break,
            _ => {}
        }
    }
    state.ok_or_else(|| Failure::failed(format!("the deployment {id} has no log")))
}
