//! `stopover watch`: a deployment as it happens, from its beginning.

use stopover_model::id::Seq;

use super::Context;
use super::deploy::exit_of;
use super::show::{Ended, show};
use crate::failure::{Exit, Failure};

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let control = context.control().await?;
    Ok(match show(context.output, control, id, Seq::ZERO).await? {
        Ended::Deployment(state) => exit_of(&state),
        Ended::Detached => Exit::Detached,
    })
}
