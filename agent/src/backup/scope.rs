//! Whose rows a backup holds: those of all tables, or of the touched ones alone, where the database knows them all.

use std::collections::{BTreeMap, BTreeSet};

use stopover_model::pipeline::BackupScope;
use stopover_model::plan::Touched;
use stopover_model::report::StepError;
use tokio_postgres::types::Type;

use super::BackupRequest;
use super::contents::quoted;
use super::restore_command::Into;
use crate::postgres::{Purpose, Session, SessionName, shown};
use crate::step::StepContext;

/// Arguments are no place for more; the whole database is dumped then.
const MOST_PATTERNS: usize = 10_000;

/// Whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of all tables; because, where the touched ones alone were asked for.
    Whole {
        because: Option<String>,
    },
    Only(Only),
}

/// The rows of some tables, and the whole schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Only {
    /// For people: those that are touched.
    pub(super) shown: Vec<String>,
    /// As SQL takes them, the ledger's among them.
    pub(super) quoted: Vec<String>,
    /// What `pg_dump` leaves out.
    patterns: Vec<String>,
}

impl Scope {
    pub(super) async fn of(context: &StepContext, request: &BackupRequest) -> Result<Self, StepError> {
        let tables = match (request.wanted.scope, &request.touched) {
            (BackupScope::Database, _) => return Ok(Self::Whole { because: None }),
            (BackupScope::Touched, Touched::Untold(why)) => return Ok(Self::because(why.clone())),
            (BackupScope::Touched, Touched::Known(tables)) => tables,
        };
        let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
        let found = only(&session, tables).await;
        session.close().await;
        let scope = found?;
        if let Self::Whole { because: Some(why) } = &scope {
            context.reporter.message(format!("the rows of all tables are backed up: {why}"));
        }
        Ok(scope)
    }

    fn because(why: String) -> Self {
        Self::Whole { because: Some(why) }
    }

    pub(super) fn only(&self) -> Option<&Only> {
        match self {
            Self::Whole { .. } => None,
            Self::Only(only) => Some(only),
        }
    }

    pub(super) fn comes_back(&self) -> Into {
        match self {
            Self::Whole { .. } => Into::Place,
            Self::Only(_) => Into::New,
        }
    }

    /// As a manifest says it: the tables, where there are only some, or why there are not.
    pub(super) fn told(self) -> (Vec<String>, Option<String>) {
        match self {
            Self::Whole { because } => (Vec::new(), because),
            Self::Only(only) => (only.shown, None),
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let Self::Only(only) = self else { return Vec::new() };
        // Who owns a large object can't be told: they come with the whole database alone.
        let mut arguments = vec!["--no-blobs".to_owned()];
        arguments.extend(only.patterns.iter().map(|pattern| format!("--exclude-table-data={pattern}")));
        arguments
    }
}

async fn only(session: &Session, touched: &[String]) -> Result<Scope, StepError> {
    let failed =
        |error: crate::postgres::QueryError| error.into_step_error("look for the tables that are touched");
    let rows = session.query(TOUCHED, &[(&touched, Type::TEXT_ARRAY)]).await.map_err(failed)?;
    let mut kept: BTreeSet<(String, String)> = BTreeSet::new();
    for row in &rows {
        let (named, kind): (String, Option<String>) = (row.get(0), row.get(1));
        match (kind.as_deref(), row.get::<_, Option<String>>(2), row.get::<_, Option<String>>(3)) {
            // An index, a sequence, an empty shell of partitions: what holds rows is named beside it.
            (Some("r"), Some(schema), Some(name)) => {
                kept.insert((schema, name));
            }
            (Some("v" | "f"), ..) => {
                return Ok(Scope::because(format!(
                    "{} is no table, and what it stands for can't be known",
                    shown(&named, 140)
                )));
            }
            (Some(_), ..) => {}
            (None, ..) => return Ok(Scope::because(format!("{} is not there", shown(&named, 140)))),
        }
    }
    let shown = kept.iter().map(|(schema, name)| shown(&format!("{schema}.{name}"), 140)).collect();
    let rows = session.query(ALL, &[]).await.map_err(failed)?;
    let all: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    // A copy without its ledger would not know what is applied to it.
    kept.extend(all.iter().filter(|(schema, _)| schema == "stopover").cloned());
    let patterns = patterns(&all, &kept);
    if patterns.len() > MOST_PATTERNS {
        return Ok(Scope::because(format!(
            "more than {MOST_PATTERNS} tables would have to be left out by name"
        )));
    }
    let quoted = kept.iter().map(|(schema, name)| format!("{}.{}", quoted(schema), quoted(name))).collect();
    Ok(Scope::Only(Only { shown, quoted, patterns }))
}

/// Of a schema that keeps nothing all tables are left out at once.
fn patterns(all: &[(String, String)], kept: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut by_schema: BTreeMap<&str, Vec<&(String, String)>> = BTreeMap::new();
    for table in all {
        by_schema.entry(&table.0).or_default().push(table);
    }
    let of_schema = |(schema, tables): (&str, Vec<&(String, String)>)| {
        if tables.iter().any(|table| kept.contains(*table)) {
            let out = tables.into_iter().filter(|table| !kept.contains(*table));
            out.map(|(schema, name)| format!("{}.{}", quoted(schema), quoted(name))).collect()
        } else {
            vec![format!("{}.*", quoted(schema))]
        }
    };
    by_schema.into_iter().flat_map(of_schema).collect()
}

/// Each with its partitions and its children.
const TOUCHED: &str = "
WITH RECURSIVE named (name, oid) AS (
    SELECT name, pg_catalog.to_regclass(name)::oid FROM pg_catalog.unnest($1) name
), tree (name, oid) AS (
    SELECT * FROM named
    UNION
    SELECT tree.name, i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
)
SELECT tree.name, c.relkind::text, n.nspname::text, c.relname::text
FROM tree LEFT JOIN pg_catalog.pg_class c ON c.oid = tree.oid LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

const ALL: &str = "
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_exactly() {
        let table = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        let all =
            [table("public", "users"), table("public", "We\"ird; t*"), table("old", "a"), table("old", "b")];
        let kept = BTreeSet::from([table("public", "users")]);
        assert_eq!(patterns(&all, &kept), [r#""old".*"#, r#""public"."We""ird; t*""#]);
    }
}
