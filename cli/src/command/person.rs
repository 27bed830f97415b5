//! `stopover person`: whom the accounts of the identity provider stand for.

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::OperatorName;
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

use super::Context;
use crate::args::PersonCommand;
use crate::failure::{Exit, Failure};
use crate::render;
use crate::render::line::Line;
use crate::render::number::stamp;

#[derive(Serialize)]
struct PersonRow {
    name: OperatorName,
    issuer: String,
    subject: String,
    since: Timestamp,
}

pub(crate) async fn run(context: &Context, command: PersonCommand) -> Result<Exit, Failure> {
    let mut control = context.control().await?;
    let output = context.output;
    match command {
        PersonCommand::List => {
            let answer = control.list_people(v1::ListPeopleRequest {}).await?.into_inner();
            let rows: Vec<PersonRow> = field::messages::read(answer.people, "people")?;
            if output.json {
                rows.iter().try_for_each(|row| output.json(row))?;
            } else {
                let cells = rows.iter().map(|row| {
                    [row.name.to_string(), row.issuer.clone(), row.subject.clone(), stamp(row.since)]
                });
                output.text(&render::list::table(
                    ["NAME", "AT", "ACCOUNT", "SINCE"],
                    cells,
                    output.view(),
                ))?;
            }
        }
        PersonCommand::Forget { name } => {
            let request = v1::ForgetPersonRequest { name: name.to_string() };
            let answer = control.forget_person(request).await?.into_inner();
            let rows: Vec<PersonRow> = field::messages::read(answer.forgotten, "forgotten")?;
            if output.json {
                rows.iter().try_for_each(|row| output.json(row))?;
            } else {
                let accounts: Vec<_> = rows.iter().map(|row| row.subject.as_str()).collect();
                let words = format!(
                    "{name} was the account {}; whoever signs in with the name next has it",
                    accounts.join(", ")
                );
                output.note(&Line::new().plain(words));
            }
        }
    }
    Ok(Exit::Done)
}

impl TryFrom<v1::Person> for PersonRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::Person) -> Result<Self, InvalidWire> {
        Ok(Self {
            name: field::name::read(wire.name, "name")?,
            issuer: wire.issuer,
            subject: wire.subject,
            since: field::timestamp::read(wire.since, "since")?,
        })
    }
}
