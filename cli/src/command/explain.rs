//! `stopover explain`: what a deployment waits for, and nothing else of it.

use super::Context;
use super::status::look;
use crate::failure::{Exit, Failure};
use crate::render::explain::Explanation;

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let (deployment, plan) = look(&mut control, id, None).await?;
    let output = context.output;
    let view = output.view();
    let explanation = Explanation::of(&deployment, plan, view);
    if output.json {
        output.json(&explanation)?;
    } else {
        output.lines(&explanation.lines(&deployment, view))?;
    }
    Ok(Exit::Done)
}
