//! The facts that the impact of the migrations' statements is predicted from, and the prediction.
//!
//! A few questions, whatever the number of migrations; what can't be answered (a table that is locked, a view that is not
//! the agent's to see) makes the prediction poorer and never the inspection fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stopover_lint::impact::{Facts, Questions, ScriptToPredict, predict, questions};
use stopover_model::impact::ScriptImpact;
use stopover_model::migration::{Migration, Variant};
use stopover_model::report::{StepError, TableInspection};
use stopover_model::sql::Name;
use tokio_postgres::types::{Json, ToSql};

use crate::postgres::{Session, step_error};

/// So many statements of one inspection are described.
const MOST_STATEMENTS: usize = 200;
/// So many relations are looked at.
const MOST_RELATIONS: i64 = 2_000;
const FOR_AT_MOST: Duration = Duration::from_secs(10);

/// What these migrations, none of which is applied, would do. What could not be told is among the warnings.
pub(super) async fn predicted(
    session: &Session,
    migrations: &[&Migration],
    counted: &[TableInspection],
    warnings: &mut Vec<String>,
) -> Result<Vec<ScriptImpact>, StepError> {
    predicted_of(session, migrations, scripts, counted, warnings).await
}

/// The scripts of some migrations that are looked at, in the order in which they would run.
type Scripts = fn(&[Migration]) -> Vec<ScriptToPredict<'_>>;

/// What some scripts of these migrations would do.
pub(crate) async fn predicted_of(
    session: &Session,
    migrations: &[&Migration],
    scripts: Scripts,
    counted: &[TableInspection],
    warnings: &mut Vec<String>,
) -> Result<Vec<ScriptImpact>, StepError> {
    // Every deployment that finds nothing to do comes through here.
    if migrations.is_empty() {
        return Ok(Vec::new());
    }
    let migrations: Arc<[Migration]> = migrations.iter().map(|migration| (*migration).clone()).collect();
    let read = migrations.clone();
    let Some(asked) = apart(move || questions(&scripts(&read)), warnings).await else {
        return Ok(Vec::new());
    };
    // To compile the queries would take longer than to run them.
    let limit = format!("SET statement_timeout = {}; SET jit = off", FOR_AT_MOST.as_millis());
    let looked = match session.client().batch_execute(&limit).await {
        Ok(()) => facts(session, &asked, warnings).await,
        Err(error) => Err(error),
    };
    let undone = session.client().batch_execute("RESET statement_timeout; RESET jit").await;
    undone.map_err(|error| step_error("could not end the look at what the migrations touch", error))?;
    let facts = match looked.map_err(|error| session.error(error)) {
        Ok(facts) => with_counts(facts, counted),
        Err(error) if error.is_lost() => {
            return Err(error.into_step_error("could not look at what the migrations touch"));
        }
        Err(error) => {
            warnings.push(format!("what the statements lock and rewrite could not be found out: {error}"));
            return Ok(Vec::new());
        }
    };
    let predicted = apart(move || predict(&scripts(&migrations), &facts, MOST_STATEMENTS), warnings).await;
    let prediction = predicted.unwrap_or_default();
    if prediction.left_out > 0 {
        warnings.push(format!(
            "what {} more statements lock and rewrite is left out: only the first {MOST_STATEMENTS} are described",
            prediction.left_out
        ));
    }
    Ok(prediction.impacts)
}

/// What was counted is better known than the statistics' estimate.
fn with_counts(mut facts: Facts, counted: &[TableInspection]) -> Facts {
    let parents: BTreeSet<u32> = facts.relations.iter().flat_map(|r| r.parents.clone()).collect();
    for table in counted.iter().filter(|table| table.exists && table.rows_counted) {
        let Ok(name) = table.table.parse::<Name>() else { continue };
        let path = name.schema.clone().map_or_else(|| facts.search_path.clone(), |schema| vec![schema]);
        let named =
            |schema: &String| facts.relations.iter().position(|r| r.name == name.name && r.schema == *schema);
        let found = path.iter().find_map(named).and_then(|at| facts.relations.get_mut(at));
        if let Some(relation) = found.filter(|r| r.has_storage() && !parents.contains(&r.oid)) {
            relation.rows = table.rows;
        }
    }
    facts
}

/// Beside what the agent does otherwise; a fault in the reading of odd SQL ends nothing but that.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    warnings: &mut Vec<String>,
) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await;
    if let Err(error) = &done {
        warnings.push(format!("what the statements lock and rewrite could not be found out: {error}"));
    }
    done.ok()
}

fn scripts(migrations: &[Migration]) -> Vec<ScriptToPredict<'_>> {
    fn of(migration: &Migration) -> impl Iterator<Item = ScriptToPredict<'_>> {
        let saves = !migration.manifest.no_save;
        let script =
            move |variant, script| ScriptToPredict { migration: &migration.id, variant, script, saves };
        let batched = migration.batch.as_ref().map(move |batch| script(Variant::Batched, batch));
        batched.into_iter().chain([script(Variant::Standard, &migration.up)])
    }
    migrations.iter().flat_map(of).collect()
}

/// What is asked, as far as it can be answered.
pub async fn facts(
    session: &Session,
    asked: &Questions,
    warnings: &mut Vec<String>,
) -> Result<Facts, tokio_postgres::Error> {
    let (search_path, utc, binary_casts) = settings(session).await?;
    let version = session.identity().version_num;
    let mut facts = Facts {
        version: u32::try_from(version).unwrap_or(0),
        utc,
        search_path,
        binary_casts,
        ..Facts::default()
    };
    if asked.is_empty() {
        return Ok(facts);
    }
    let (schemas, names) = columns(asked.relations.iter());
    let relations = |sizes: Sizes| sizes.query(version);
    let parameters: [&(dyn ToSql + Sync); 3] = [&schemas, &names, &MOST_RELATIONS];
    facts.relations = match rows(session, &relations(Sizes::True), &parameters).await {
        Ok(relations) => relations,
        // Asking for a file's size waits for whoever alters the table; its size at the last VACUUM has to do then.
        Err(error) if is_lock(&error) => rows(session, &relations(Sizes::Known), &parameters).await?,
        Err(error) => return Err(error),
    };
    if i64::try_from(facts.relations.len()).is_ok_and(|n| n >= MOST_RELATIONS) {
        warnings.push(format!(
            "the migrations' tables hang together with more than {MOST_RELATIONS} others, of which the rest was not looked at"
        ));
    }
    if !asked.functions.is_empty() {
        let (schemas, names) = columns(asked.functions.iter());
        facts.functions = rows(session, FUNCTIONS, &[&schemas, &names]).await?;
    }
    if !asked.types.is_empty() {
        let (schemas, names) = columns(asked.types.iter());
        let columns = facts.relations.iter().flat_map(|relation| &relation.columns);
        let used: Vec<u32> = columns.map(|column| column.type_oid).collect();
        facts.types = rows(session, TYPES, &[&schemas, &names, &used]).await?;
    }
    Ok(facts)
}

/// For `unnest` of both at once.
fn columns<'a>(names: impl Iterator<Item = &'a Name>) -> (Vec<Option<&'a str>>, Vec<&'a str>) {
    names.map(|name| (name.schema.as_deref(), name.name.as_str())).unzip()
}

async fn settings(session: &Session) -> Result<(Vec<String>, bool, Vec<(u32, u32)>), tokio_postgres::Error> {
    let row = session.client().query_one(SETTINGS, &[]).await?;
    let Json(casts) = row.try_get(2)?;
    Ok((row.try_get(0)?, row.try_get(1)?, casts))
}

async fn rows<T: DeserializeOwned>(
    session: &Session,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<T>, tokio_postgres::Error> {
    let rows = session.client().query(sql, parameters).await?;
    rows.iter().map(|row| row.try_get(0).map(|Json(value)| value)).collect()
}

fn is_lock(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "55P03")
}

#[derive(Debug, Clone, Copy)]
enum Sizes {
    True,
    Known,
}

impl Sizes {
    fn query(self, version: i32) -> String {
        let (pages, index_bytes) = match self {
            Self::True => (
                "pg_catalog.pg_table_size(c.oid) / pg_catalog.current_setting('block_size')::bigint",
                "pg_catalog.pg_indexes_size(c.oid)",
            ),
            Self::Known => ("c.relpages::bigint", "0::bigint"),
        };
        // The copies of a trigger that partitions have were internal up to PostgreSQL 14.
        let (parent, of_people) = if version >= 130_000 {
            let copy = "(NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0))";
            ("nullif(t.tgparentid::bigint, 0)", copy)
        } else {
            ("NULL", "NOT t.tgisinternal")
        };
        RELATIONS
            .replace("{pages}", pages)
            .replace("{index_bytes}", index_bytes)
            .replace("{trigger_parent}", parent)
            .replace("{trigger_of_people}", of_people)
    }
}

const RELATIONS: &str = include_str!("facts.sql");
const TYPES: &str = include_str!("types.sql");

/// Names that are UTC all the year round, of those that people set.
const SETTINGS: &str = "
SELECT pg_catalog.current_schemas(true)::text[],
    upper(pg_catalog.current_setting('TimeZone')) IN ('UTC', 'GMT', 'ETC/UTC', 'ETC/GMT', 'UCT', 'ETC/UCT', 'ZULU', 'ETC/ZULU',
        'UNIVERSAL', 'ETC/UNIVERSAL', 'GREENWICH', 'ETC/GREENWICH', 'GMT0', 'GMT+0', 'GMT-0'),
    (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(castsource::bigint, casttarget::bigint)), '[]')
     FROM pg_catalog.pg_cast WHERE castmethod = 'b')";

const FUNCTIONS: &str = "
SELECT pg_catalog.json_build_object(
    'schema', s.nspname, 'name', p.proname, 'least', p.pronargs - p.pronargdefaults,
    'most', CASE WHEN p.provariadic <> 0 THEN 1000 ELSE p.pronargs END, 'volatility', p.provolatile,
    'built_in', s.nspname = 'pg_catalog')
FROM unnest($1::text[], $2::text[]) AS n (schema, name)
JOIN pg_catalog.pg_proc p ON p.proname = n.name::name
JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
WHERE CASE WHEN n.schema IS NULL THEN pg_catalog.pg_function_is_visible(p.oid) ELSE s.nspname = n.schema END";
