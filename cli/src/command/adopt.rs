//! `stopover adopt`: what another tool has applied counts as applied from now on.

use stopover_model::history::{Histories, HistoryTable, Options, adopt};
use stopover_model::id::DatabaseName;
use stopover_model::layout::Directory;

use super::Context;
use super::applied::{carry_out, histories, read_directory};
use crate::answer::{DatabaseAdoption, DatabaseHistories, HistoryName};
use crate::args::AdoptArgs;
use crate::failure::{Exit, Failure};

pub(crate) async fn run(context: &Context, args: &AdoptArgs) -> Result<Exit, Failure> {
    let directory = read_directory(context, &args.applied)?;
    let mut control = context.control().await?;
    let found = histories(&mut control, &args.applied, &directory).await?;
    let targets: Vec<_> =
        found.into_iter().map(|found| target(found, args, &directory)).collect::<Result<_, _>>()?;
    if targets.iter().all(|target| target.adoption.is_none() && target.failed.is_none()) {
        let environment = &args.applied.environment;
        let databases: Vec<_> = targets.iter().map(|target| target.database.as_str()).collect();
        let message = format!("no history of another tool is in {} of {environment}", databases.join(", "));
        return Err(Failure::failed(message).with_hint(format!(
            "look that the agent's url leads to the right database; where there is none, say up to which migration \
             all is there: stopover baseline {environment} DIR --through ID"
        )));
    }
    carry_out(context, &mut control, &args.applied, targets).await
}

fn target(
    found: DatabaseHistories,
    args: &AdoptArgs,
    directory: &Directory,
) -> Result<DatabaseAdoption, Failure> {
    let database = found.database;
    let mut target = DatabaseAdoption {
        database,
        history: None,
        adoption: None,
        in_ledger: Vec::new(),
        recorded: None,
        failed: None,
    };
    match found.found {
        Ok(histories) => {
            if let Some(table) = pick(&target.database, &histories, args)? {
                let options = Options { accept_changed: args.accept_changed };
                let mut adoption = adopt(table, directory, options);
                target.in_ledger = adoption.compare_with_ledger(&histories.ledger);
                target.history = Some(HistoryName { tool: table.tool, table: table.table.clone() });
                target.adoption = Some(adoption);
            }
        }
        Err(error) => target.failed = Some(error),
    }
    Ok(target)
}

/// The history that is meant. Of several, one under its tool's usual name goes before copies under other names.
fn pick<'a>(
    database: &DatabaseName,
    histories: &'a Histories,
    args: &AdoptArgs,
) -> Result<Option<&'a HistoryTable>, Failure> {
    let fits = |table: &&HistoryTable| {
        args.tool.is_none_or(|tool| table.tool == tool)
            && args.table.as_ref().is_none_or(|name| table.table == *name || bare(table) == name)
    };
    let mut meant: Vec<&HistoryTable> = histories.tables.iter().filter(fits).collect();
    if meant.len() > 1 {
        let usual: Vec<_> =
            meant.iter().copied().filter(|table| bare(table) == table.tool.usual_table()).collect();
        if usual.len() == 1 {
            meant = usual;
        }
    }
    let shown = |tables: &[&HistoryTable]| {
        tables.iter().map(|t| format!("{} in {}", t.tool, t.table)).collect::<Vec<_>>().join(", ")
    };
    match meant[..] {
        [] if histories.tables.is_empty() => Ok(None),
        [] => {
            let all: Vec<_> = histories.tables.iter().collect();
            let message = format!("{database} holds no such history; it holds {}", shown(&all));
            Err(Failure::usage(message))
        }
        [one] => Ok(Some(one)),
        _ => {
            let message = format!("{database} holds several histories: {}", shown(&meant));
            Err(Failure::usage(message).with_hint("name one with --tool, or with --table"))
        }
    }
}

/// Without its schema.
fn bare(table: &HistoryTable) -> &str {
    table.table.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use stopover_model::history::Tool;

    use super::*;
    use crate::args::{Cli, Command};

    fn picked(tables: &[(Tool, &str)], line: &str) -> Result<Option<String>, Failure> {
        let line = format!("stopover adopt staging {line}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Adopt(args) = cli.command else { panic!() };
        let table = |(tool, name): &(Tool, &str)| HistoryTable {
            tool: *tool,
            table: (*name).to_owned(),
            rows: Vec::new(),
        };
        let histories = Histories { tables: tables.iter().map(table).collect(), ledger: Vec::new() };
        pick(&"app".parse().unwrap(), &histories, &args).map(|table| table.map(|table| table.table.clone()))
    }

    #[test]
    fn of_several_histories_a_person_names_one() {
        let both = [(Tool::Goose, "public.goose_db_version"), (Tool::Sqlx, "public._sqlx_migrations")];
        assert_eq!(picked(&both[..1], ""), Ok(Some("public.goose_db_version".into())));
        assert_eq!(picked(&both, "--tool sqlx"), Ok(Some("public._sqlx_migrations".into())));
        assert_eq!(picked(&both, "--table goose_db_version"), Ok(Some("public.goose_db_version".into())));
        assert_eq!(picked(&both, "").unwrap_err().exit, Exit::Usage);
        assert_eq!(picked(&both, "--tool flyway").unwrap_err().exit, Exit::Usage);
        assert_eq!(picked(&[], ""), Ok(None));
        let copy = [(Tool::Goose, "public.goose_db_version"), (Tool::Goose, "old.goose_copy")];
        assert_eq!(picked(&copy, ""), Ok(Some("public.goose_db_version".into())));
    }
}
