//! `stopover baseline`: a person says up to which migration everything is in the databases already.

use stopover_model::history::baseline;

use super::Context;
use super::applied::{carry_out, histories, read_directory};
use crate::answer::DatabaseAdoption;
use crate::args::BaselineArgs;
use crate::failure::{Exit, Failure};
use crate::render::line::{Line, Tone};

pub(crate) async fn run(context: &Context, args: &BaselineArgs) -> Result<Exit, Failure> {
    let directory = read_directory(context, &args.applied)?;
    let adoption =
        baseline(&directory.migrations, &args.through).map_err(|error| Failure::usage(error.to_string()))?;
    let mut control = context.control().await?;
    let mut targets = Vec::new();
    for found in histories(&mut control, &args.applied, &directory).await? {
        let mut target = DatabaseAdoption {
            database: found.database,
            history: None,
            adoption: None,
            in_ledger: Vec::new(),
            recorded: None,
            failed: None,
        };
        match found.found {
            Ok(histories) => {
                for table in &histories.tables {
                    let (tool, name, environment) = (table.tool, &table.table, &args.applied.environment);
                    let text = format!(
                        "{} has the history of {tool} in {name}: stopover adopt {environment} DIR would believe that one",
                        target.database
                    );
                    context.output.note(&Line::of(Tone::Warn, "! ").plain(text));
                }
                let mut adoption = adoption.clone();
                target.in_ledger = adoption.compare_with_ledger(&histories.ledger);
                target.adoption = Some(adoption);
            }
            Err(error) => target.failed = Some(error),
        }
        targets.push(target);
    }
    carry_out(context, &mut control, &args.applied, targets).await
}
