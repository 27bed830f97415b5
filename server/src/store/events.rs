//! The logs of deployments, append-only, and what is true as of their last events: the environments that they hold,
//! the epochs that were drawn.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use stopover_model::event::{DeploymentOutcome, Record};
use stopover_model::follow_up::FollowUpChange;
use stopover_model::id::{DeploymentId, EnvironmentName, Epoch, Seq};
use stopover_model::notice::Telling;
use stopover_model::plan::Measurement;
use stopover_model::quarantine::QuarantineChange;

use super::db::{Row, Tx, places, sql};
use super::error::{Cause, attempt};
use super::named::text_of;
use super::{AppendError, Store, StoreError, follow_ups, measurements, notifications, quarantine};

/// What the list of deployments shows of one after an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    pub outcome: Option<DeploymentOutcome>,
    /// Where it is, for people: "production: migrate".
    pub at: String,
}

/// What an append does to the deployment's hold on an environment, in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold<'a> {
    Keep,
    /// Fails where another deployment has it. Taking what one has does nothing.
    Take(&'a EnvironmentName),
    /// Letting go of what one has not does nothing.
    Release(&'a EnvironmentName),
}

/// What is kept of a deployment for those after it, in the transaction of the events that it is from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Learned<'a> {
    pub measured: &'a [Measurement],
    pub quarantine: &'a [QuarantineChange],
    pub follow_ups: &'a [FollowUpChange],
    /// What people are to be told.
    pub tellings: &'a [Telling],
}

const EPOCHS_AT_A_TIME: u32 = 100;

/// Why an append came to nothing, before it is known whose it was.
enum Refusal {
    Conflict(Seq),
    Held(DeploymentId),
    Cause(Cause),
}

impl Store {
    /// Appends records of one deployment, whose seqs go on from its last without a gap: all of them or none.
    pub async fn append(
        &self,
        records: &[Record],
        projection: &Projection,
        hold: Hold<'_>,
    ) -> Result<(), AppendError> {
        self.append_learned(records, projection, hold, Learned::default()).await
    }

    /// The same, and keeps what the deployment has taught meanwhile.
    pub async fn append_learned(
        &self,
        records: &[Record],
        projection: &Projection,
        hold: Hold<'_>,
        learned: Learned<'_>,
    ) -> Result<(), AppendError> {
        let Some((first, rest)) = records.split_first() else {
            return Err(AppendError::Malformed("there are none"));
        };
        if first.seq <= Seq(1) {
            return Err(AppendError::Malformed("the first event of a log comes with its creation"));
        }
        let follows = |(a, b): (&Record, &Record)| a.seq.next() == b.seq && a.deployment == b.deployment;
        if !records.iter().zip(rest).all(follows) {
            return Err(AppendError::Malformed("they are not one deployment's, in order and without a gap"));
        }
        let deployment = &first.deployment;
        self.append_all(records, projection, hold, learned).await.map_err(|refusal| match refusal {
            Refusal::Conflict(found) => AppendError::Conflict { deployment: deployment.clone(), found },
            Refusal::Held(by) => AppendError::Held { by },
            Refusal::Cause(cause) => {
                attempt(format_args!("append events of deployment {deployment}"))(cause).into()
            }
        })
    }

    /// At most `limit` records after a seq, in order.
    pub async fn records(
        &self,
        id: &DeploymentId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let query = sql("SELECT deployment, seq, at, body FROM events WHERE deployment = $1 AND seq > $2 \
                         ORDER BY seq LIMIT $3")
        .bind(id.as_str())
        .bind(after)
        .bind(limit);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(record).collect())
            .map_err(attempt(format_args!("read the events of deployment {id}")))
    }

    /// Draws an epoch. None is drawn twice, and each is higher than those before it. Many are taken from the store at a
    /// time: a commit for each would be half of what a small migration takes. Those that are left when the server ends are
    /// never used.
    pub async fn next_epoch(&self) -> Result<Epoch, StoreError> {
        let mut drawn = self.epochs.lock().await;
        if drawn.is_empty() {
            let query = sql("UPDATE counters SET value = value + $1 WHERE name = 'epoch' RETURNING value")
                .bind(EPOCHS_AT_A_TIME);
            let rows = self.db.write(query).await;
            let last = rows.and_then(|rows| match rows.first() {
                Some(row) => row.count("value"),
                None => Err(Cause::row("the counter of epochs", "it is missing")),
            });
            let last = last.map_err(attempt("draw an epoch"))?;
            *drawn = (last + 1).saturating_sub(EPOCHS_AT_A_TIME.into())..last + 1;
        }
        let next = drawn.start;
        drawn.start += 1;
        Ok(Epoch(next))
    }

    /// The deployment that is in an environment.
    pub async fn holder(&self, environment: &EnvironmentName) -> Result<Option<DeploymentId>, StoreError> {
        let query = sql("SELECT deployment FROM holds WHERE environment = $1").bind(environment.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(|row| row.parsed("deployment")).transpose())
            .map_err(attempt(format_args!("find who is in {environment}")))
    }

    /// The deployment that is in each environment that one is in.
    pub async fn holds(&self) -> Result<BTreeMap<EnvironmentName, DeploymentId>, StoreError> {
        let rows = self.db.read(sql("SELECT environment, deployment FROM holds")).await;
        rows.and_then(|rows| {
            rows.iter().map(|row| Ok((row.parsed("environment")?, row.parsed("deployment")?))).collect()
        })
        .map_err(attempt("find who is in which environment"))
    }

    async fn append_all(
        &self,
        records: &[Record],
        projection: &Projection,
        hold: Hold<'_>,
        learned: Learned<'_>,
    ) -> Result<(), Refusal> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        advance(&mut tx, first, last, projection).await?;
        apply_hold(&mut tx, &first.deployment, hold).await?;
        for some in records.chunks(INSERTS.len()) {
            insert_some(&mut tx, some).await?;
        }
        measurements::insert(&mut tx, &first.deployment, learned.measured).await?;
        quarantine::change(&mut tx, learned.quarantine).await?;
        follow_ups::change(&mut tx, learned.follow_ups).await?;
        let news = notifications::change(&mut tx, learned.tellings).await?;
        tx.commit().await?;
        if news {
            self.news.notify_one();
        }
        Ok(())
    }
}

/// Moves the deployment's last seq, which only one of several writers can do: the row is locked until the commit.
async fn advance(tx: &mut Tx, first: &Record, last: &Record, projection: &Projection) -> Result<(), Refusal> {
    let id = first.deployment.as_str();
    let moved = sql("UPDATE deployments SET last_seq = $1, updated_at = $2, outcome = $3, place = $4 \
                     WHERE id = $5 AND last_seq + 1 = $6")
    .bind(last.seq)
    .bind(last.at)
    .bind(projection.outcome.map(|outcome| text_of("outcome", outcome)).transpose()?)
    .bind(projection.at.as_str())
    .bind(id)
    .bind(first.seq);
    if tx.execute(moved).await? == 1 {
        return Ok(());
    }
    let found = tx.first(sql("SELECT last_seq FROM deployments WHERE id = $1").bind(id)).await?;
    let found = found.map_or(Ok(0), |row| row.count("last_seq"))?;
    Err(Refusal::Conflict(Seq(found)))
}

async fn apply_hold(tx: &mut Tx, deployment: &DeploymentId, hold: Hold<'_>) -> Result<(), Refusal> {
    match hold {
        Hold::Keep => Ok(()),
        Hold::Release(environment) => {
            let release = sql("DELETE FROM holds WHERE environment = $1 AND deployment = $2")
                .bind(environment.as_str())
                .bind(deployment.as_str());
            tx.execute(release).await?;
            Ok(())
        }
        Hold::Take(environment) => {
            // The update changes nothing; it is there so that one statement answers who has it in either case.
            let take = sql("INSERT INTO holds (environment, deployment) VALUES ($1, $2) \
                            ON CONFLICT (environment) DO UPDATE SET environment = excluded.environment \
                            RETURNING deployment")
            .bind(environment.as_str())
            .bind(deployment.as_str());
            let row = tx.first(take).await?;
            let holder = row.map(|row| row.parsed("deployment")).transpose()?;
            match holder {
                Some(by) if by != *deployment => Err(Refusal::Held(by)),
                _ => Ok(()),
            }
        }
    }
}

pub(super) async fn insert(tx: &mut Tx, record: &Record) -> Result<(), Cause> {
    insert_some(tx, std::slice::from_ref(record)).await
}

/// One statement for all of them.
async fn insert_some(tx: &mut Tx, records: &[Record]) -> Result<(), Cause> {
    let Some(text) = records.len().checked_sub(1).and_then(|number| INSERTS.get(number)) else {
        return Ok(());
    };
    let mut query = sql(text);
    for record in records {
        let body = serde_json::to_string(&record.event).map_err(|error| Cause::row("a new event", error))?;
        query = query.bind(record.deployment.as_str()).bind(record.seq).bind(record.at).bind(body);
    }
    tx.execute(query).await?;
    Ok(())
}

/// Of one row, of two, and so on.
static INSERTS: LazyLock<[String; 16]> = LazyLock::new(|| {
    std::array::from_fn(|number| {
        format!("INSERT INTO events (deployment, seq, at, body) VALUES {}", places(number + 1, 4))
    })
});

fn record(row: &Row) -> Result<Record, Cause> {
    Ok(Record {
        deployment: row.parsed("deployment")?,
        seq: Seq(row.count("seq")?),
        at: row.time("at")?,
        event: row.json("body")?,
    })
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}
