//! `stopover status ID`: a deployment in full, as it is now.

use stopover_model::deployment::Deployment;
use stopover_model::event::Record;
use stopover_model::id::DatabaseName;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::render::json::Status;
use crate::render::{Depth, tree};

pub(crate) async fn run(
    context: &Context,
    id: &str,
    database: Option<&DatabaseName>,
) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let deployment = fetch(&mut control, id).await?;
    if context.output.json {
        context.output.json(&Status::of(&deployment))?;
    } else if let Some(database) = database {
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

/// A deployment's state, folded from its log.
pub(crate) async fn fetch(control: &mut Control, id: &str) -> Result<Deployment, Failure> {
    let request = v1::GetDeploymentRequest { deployment: id.to_owned() };
    let answer = control.get_deployment(request).await?.into_inner();
    let records: Vec<Record> = field::messages::read(answer.records, "records")?;
    let folded = Deployment::fold(&records).map_err(|error| {
        Failure::failed("the deployment's log makes no sense to this version")
            .because(&error)
            .with_hint("the server may be newer: use the stopover that came with it")
    })?;
    folded.ok_or_else(|| Failure::failed(format!("the deployment {id} has no log")))
}
