//! `stopover agent`: join tokens, and who has joined.

use jiff::Timestamp;
use serde::Serialize;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::AgentRow;
use crate::args::AgentCommand;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::render::number::relative;

#[derive(Serialize)]
struct JoinToken {
    token: String,
    expires_at: Timestamp,
}

pub(crate) async fn run(context: &Context, command: AgentCommand) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let output = context.output;
    match command {
        AgentCommand::Token { environment } => {
            let request = v1::CreateJoinTokenRequest { environment: environment.to_string() };
            let answer = control.create_join_token(request).await?.into_inner();
            let expires_at = field::timestamp::read(answer.expires_at, "expires_at")?;
            if output.json {
                output.json(&JoinToken { token: answer.token, expires_at })?;
            } else {
                output.text(&answer.token)?;
                let ends = relative(expires_at, output.view().now);
                let words = format!(
                    "good once, for an agent of {environment}; it ends {ends}. On the agent's machine:"
                );
                output.note(&Line::new().plain(words));
                let server = context.server()?;
                let join = format!("  STOPOVER_JOIN_TOKEN=... stopover-agent join --server {server}");
                output.note(&Line::new().plain(join));
            }
        }
        AgentCommand::List => {
            let answer = control.list_agents(v1::ListAgentsRequest {}).await?.into_inner();
            let rows: Vec<AgentRow> = field::messages::read(answer.agents, "agents")?;
            if output.json {
                rows.iter().try_for_each(|row| output.json(row))?;
            } else {
                output.text(&render::list::agents(&rows, output.view()))?;
            }
        }
    }
    Ok(Exit::Done)
}
