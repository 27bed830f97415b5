//! `stopover token`: who may ask this server for something.

use serde::Serialize;
use stopover_proto::convert::field;
use stopover_proto::v1;

use super::Context;
use crate::answer::TokenRow;
use crate::args::{CreateTokenArgs, GoodFor, TokenCommand};
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::render::number::relative;

#[derive(Serialize)]
struct Created<'a> {
    token: &'a str,
    #[serde(flatten)]
    stored: &'a TokenRow,
}

pub(crate) async fn run(context: &Context, command: TokenCommand) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let output = context.output;
    match command {
        TokenCommand::Create(args) => create(context, &args).await?,
        TokenCommand::List => {
            let answer = control.list_tokens(v1::ListTokensRequest {}).await?.into_inner();
            let rows: Vec<TokenRow> = field::messages::read(answer.tokens, "tokens")?;
            if output.json {
                rows.iter().try_for_each(|row| output.json(row))?;
            } else {
                output.text(&render::list::tokens(&rows, output.view()))?;
            }
        }
        TokenCommand::Revoke { id } => {
            let answer = control.revoke_token(v1::RevokeTokenRequest { id: id.to_string() }).await?;
            let row: TokenRow = field::message::read(answer.into_inner().stored, "stored")?;
            if output.json {
                output.json(&row)?;
            } else {
                let words = format!("the token {id} of {} opens nothing any more", row.operator);
                output.note(&Line::new().plain(words));
            }
        }
    }
    Ok(Exit::Done)
}

async fn create(context: &Context, args: &CreateTokenArgs) -> Result<(), Failure> {
    let request = v1::CreateTokenRequest {
        operator: args.name.to_string(),
        groups: field::names::write(args.group.clone()),
        admin: args.admin,
        roles: args.role.iter().map(ToString::to_string).collect(),
        good_for: match args.expires {
            GoodFor::Ever => None,
            GoodFor::Time(time) => field::duration::write(time),
        },
    };
    let mut control = context.control().await?;
    let answer = control.create_token(request).await?.into_inner();
    let row: TokenRow = field::message::read(answer.stored, "stored")?;
    let output = context.output;
    if output.json {
        return output.json(&Created { token: &answer.token, stored: &row });
    }
    output.text(&answer.token)?;
    let ends = row.expires_at.map_or_else(
        || "it never ends".to_owned(),
        |at| format!("it ends {}", relative(at, output.view().now)),
    );
    let words =
        format!("for {} ({}), and shown only now; {ends}. On their machine:", row.operator, row.roles);
    output.note(&Line::new().plain(words));
    output.note(&Line::new().plain(format!("  export STOPOVER_SERVER={}", context.server()?)));
    output.note(&Line::new().plain("  export STOPOVER_TOKEN=..."));
    output.note(&Line::new().plain(format!("take it back: stopover token revoke {}", row.id)));
    Ok(())
}
