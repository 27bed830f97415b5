//! What statements took, kept for the estimates of later plans.
//!
//! They come in with the events that they are from, so that none is kept twice and none is kept of what did not happen.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::id::{DatabaseName, DeploymentId, EnvironmentName};
use stopover_model::plan::{MeasuredKind, Measurement};

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::named::{text_of, value_of};
use super::{Store, StoreError};

/// Kept of each kind of work in each database.
pub(super) const KEPT: u32 = 50;
/// Looked at for one plan, at most.
const MOST: u32 = 2_000;
/// Digests that are asked for at a time; the statement has a place for each.
const AT_A_TIME: usize = 16;

const COLUMNS_OF_ENVIRONMENT: &str = "SELECT environment, database_name, digest, variant, statement, kind, work_rows, work_bytes, \
     touched, took_micros, at FROM measurements WHERE environment = $1 AND kind <> 'other' ORDER BY at DESC LIMIT $2";
const COLUMNS_OF_DIGESTS: &str = "SELECT environment, database_name, digest, variant, statement, kind, work_rows, work_bytes, \
     touched, took_micros, at FROM measurements \
     WHERE digest IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ORDER BY at DESC LIMIT $17";

impl Store {
    /// What an environment's databases took for each kind of work, and what these migrations took anywhere.
    pub async fn measurements(
        &self,
        environment: &EnvironmentName,
        digests: &[Digest],
    ) -> Result<Vec<Measurement>, StoreError> {
        let read = self.read_measurements(environment, digests).await;
        read.map_err(attempt(format_args!("read what was measured in {environment}")))
    }

    async fn read_measurements(
        &self,
        environment: &EnvironmentName,
        digests: &[Digest],
    ) -> Result<Vec<Measurement>, Cause> {
        let mut rows =
            self.db.read(sql(COLUMNS_OF_ENVIRONMENT).bind(environment.as_str()).bind(MOST)).await?;
        for some in digests.chunks(AT_A_TIME) {
            let mut query = sql(COLUMNS_OF_DIGESTS);
            // The last one fills the places that are left.
            for place in 0..AT_A_TIME {
                query = query.bind(some[place.min(some.len() - 1)].to_string());
            }
            rows.extend(self.db.read(query.bind(MOST)).await?);
        }
        let mut measured: Vec<Measurement> = rows.iter().map(measurement).collect::<Result<_, _>>()?;
        measured.sort_by(|a, b| key(a).cmp(&key(b)));
        measured.dedup_by(|a, b| key(a) == key(b));
        Ok(measured)
    }
}

/// A statement is measured once at a time.
fn key(m: &Measurement) -> (&EnvironmentName, &DatabaseName, Digest, u32, Timestamp) {
    (&m.environment, &m.database, m.digest, m.statement, m.at)
}

/// Adds what a deployment has measured, and drops what is too old to be asked for.
pub(super) async fn insert(
    tx: &mut Tx,
    deployment: &DeploymentId,
    measured: &[Measurement],
) -> Result<(), Cause> {
    let mut kinds: BTreeSet<(&EnvironmentName, &DatabaseName, MeasuredKind)> = BTreeSet::new();
    for m in measured {
        let query = sql(
            "INSERT INTO measurements (deployment, environment, database_name, digest, variant, statement, \
                         kind, work_rows, work_bytes, touched, took_micros, at) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
        )
        .bind(deployment.as_str())
        .bind(m.environment.as_str())
        .bind(m.database.as_str())
        .bind(m.digest.to_string())
        .bind(text_of("variant", m.variant)?)
        .bind(m.statement)
        .bind(text_of("kind", m.kind)?)
        .bind(Number(m.rows))
        .bind(Number(m.bytes))
        .bind(Number(m.touched))
        .bind(Number(u64::try_from(m.took.as_micros()).unwrap_or(u64::MAX)))
        .bind(m.at);
        tx.execute(query).await?;
        kinds.insert((&m.environment, &m.database, m.kind));
    }
    for (environment, database, kind) in kinds {
        let kind = text_of("kind", kind)?;
        let prune = sql("DELETE FROM measurements WHERE environment = $1 AND database_name = $2 AND kind = $3 AND at < ( \
                         SELECT at FROM measurements WHERE environment = $1 AND database_name = $2 AND kind = $3 \
                         ORDER BY at DESC LIMIT 1 OFFSET $4)")
        .bind(environment.as_str())
        .bind(database.as_str())
        .bind(kind)
        .bind(KEPT - 1);
        tx.execute(prune).await?;
    }
    Ok(())
}

fn measurement(row: &Row) -> Result<Measurement, Cause> {
    let statement = u32::try_from(row.count("statement")?).map_err(|error| Cause::row("statement", error))?;
    Ok(Measurement {
        environment: row.parsed("environment")?,
        database: row.parsed("database_name")?,
        digest: row.parsed("digest")?,
        variant: value_of("variant", &row.text("variant")?)?,
        statement,
        kind: value_of("kind", &row.text("kind")?)?,
        rows: row.count("work_rows")?,
        bytes: row.count("work_bytes")?,
        touched: row.count("touched")?,
        took: Duration::from_micros(row.count("took_micros")?),
        at: row.time("at")?,
    })
}

/// None is larger than the column.
struct Number(u64);

impl From<Number> for super::db::Argument<'_> {
    fn from(Number(value): Number) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
