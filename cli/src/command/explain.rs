//! `stopover explain`: what a deployment waits for, and nothing else of it.

use super::{Context, fetch};
use crate::failure::{Exit, Failure};
use crate::render::explain::Explanation;

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let deployment = fetch(&mut control, id).await?;
    let output = context.output;
    let view = output.view();
    let explanation = Explanation::of(&deployment, view);
    if output.json {
        output.json(&explanation)?;
    } else {
        output.lines(&explanation.lines(&deployment, view))?;
    }
    Ok(Exit::Done)
}
