//! The outbox: what people are to be told, written in the transaction of the events that it is about, so that neither is
//! there without the other.
//!
//! It is kept until somebody says that it arrived, or that it was given up; sent is it elsewhere.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::id::DeploymentId;
use stopover_model::notice::{Notice, NotificationState, Telling};
use stopover_model::pipeline::NotifyTarget;

use super::db::{Row, Sql, Tx, sql};
use super::error::{Cause, attempt};
use super::named::{text_of, value_of};
use super::{Store, StoreError};

/// A notice on its way, or at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// In the order in which they were written.
    pub number: u64,
    pub target: NotifyTarget,
    pub notice: Notice,
    pub state: NotificationState,
    /// That came to nothing.
    pub tries: u32,
    pub error: Option<String>,
    pub created_at: Timestamp,
    /// When it was delivered, or given up.
    pub settled_at: Option<Timestamp>,
}

const COLUMNS: &str = "number, target, notice, state, tries, error, created_at, settled_at";

impl Store {
    /// To whom something is due.
    pub async fn due_targets(&self, now: Timestamp) -> Result<BTreeSet<NotifyTarget>, StoreError> {
        let query = sql("SELECT DISTINCT target FROM notifications WHERE state = 'waiting' AND due_at <= $1")
            .bind(now);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(|row| row.json("target")).collect())
            .map_err(attempt("find who is to be told something"))
    }

    /// When the next one is due that is not due yet.
    pub async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let query =
            sql("SELECT min(due_at) AS due_at FROM notifications WHERE state = 'waiting' AND due_at > $1")
                .bind(now);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map_or(Ok(None), |row| row.optional_time("due_at")))
            .map_err(attempt("find when somebody is to be told something"))
    }

    /// The one that a target is to be sent next, of those that are due.
    pub async fn next_notification(
        &self,
        target: &NotifyTarget,
        now: Timestamp,
    ) -> Result<Option<Notification>, StoreError> {
        static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            format!(
                "SELECT {COLUMNS} FROM notifications WHERE state = 'waiting' AND target = $1 AND due_at <= $2 \
                 ORDER BY due_at, number LIMIT 1"
            )
        });
        let read = async {
            let rows = self.db.read(sql(&TEXT).bind(json(target)?).bind(now)).await?;
            rows.first().map(notification).transpose()
        };
        read.await.map_err(attempt(format_args!("find what {target} is to be told")))
    }

    pub async fn notification_delivered(&self, number: u64, at: Timestamp) -> Result<(), StoreError> {
        let query = sql("UPDATE notifications SET state = 'delivered', settled_at = $1 WHERE number = $2 \
                         AND state = 'waiting'")
        .bind(at)
        .bind(number);
        self.settle(query, number).await
    }

    /// A try came to nothing; with a time it was the last one.
    pub async fn notification_failed(
        &self,
        number: u64,
        error: &str,
        given_up: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let query = match given_up {
            None => sql("UPDATE notifications SET tries = tries + 1, error = $1 WHERE number = $2 \
                         AND state = 'waiting'")
            .bind(error)
            .bind(number),
            Some(at) => sql(
                "UPDATE notifications SET tries = tries + 1, error = $1, state = 'given_up', settled_at = $3 \
                     WHERE number = $2 AND state = 'waiting'",
            )
            .bind(error)
            .bind(number)
            .bind(at),
        };
        self.settle(query, number).await
    }

    /// The newest first; of a state alone, where one is named.
    pub async fn notifications(
        &self,
        state: Option<NotificationState>,
        limit: u32,
    ) -> Result<Vec<Notification>, StoreError> {
        static ALL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            format!("SELECT {COLUMNS} FROM notifications ORDER BY number DESC LIMIT $1")
        });
        static OF_STATE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            format!("SELECT {COLUMNS} FROM notifications WHERE state = $2 ORDER BY number DESC LIMIT $1")
        });
        let read = async {
            let query = match state {
                None => sql(&ALL).bind(limit),
                Some(state) => sql(&OF_STATE).bind(limit).bind(text_of("state", state)?),
            };
            self.db.read(query).await?.iter().map(notification).collect::<Result<_, _>>()
        };
        read.await.map_err(attempt("list the notifications"))
    }

    /// Those that were settled before are of no use to anybody.
    pub async fn forget_notifications(&self, before: Timestamp) -> Result<(), StoreError> {
        let query =
            sql("DELETE FROM notifications WHERE state <> 'waiting' AND settled_at < $1").bind(before);
        self.db.write(query).await.map_err(attempt("forget old notifications")).map(drop)
    }

    async fn settle(&self, query: Sql<'_>, number: u64) -> Result<(), StoreError> {
        let written = self.db.write(query).await.map(drop);
        written.map_err(attempt(format_args!("write down what became of notification {number}")))
    }
}

/// Whether something is new.
pub(super) async fn change(tx: &mut Tx, tellings: &[Telling]) -> Result<bool, Cause> {
    let mut news = false;
    for telling in tellings {
        match telling {
            Telling::Withdraw { deployment, at } => withdraw(tx, deployment, *at).await?,
            Telling::Tell { to, notice } => {
                insert(tx, to, notice).await?;
                news = true;
            }
        }
    }
    Ok(news)
}

async fn withdraw(tx: &mut Tx, deployment: &DeploymentId, at: Timestamp) -> Result<(), Cause> {
    let query = sql(
        "DELETE FROM notifications WHERE deployment = $1 AND state = 'waiting' AND due_at > $2 AND tries = 0",
    )
    .bind(deployment.as_str())
    .bind(at);
    tx.execute(query).await.map(drop)
}

async fn insert(tx: &mut Tx, to: &NotifyTarget, notice: &Notice) -> Result<(), Cause> {
    let Some(about) = &notice.about else { return Ok(()) };
    // Who has drawn a number keeps others from drawing one until the commit: what is seen is never followed by a lower one.
    let draw = sql("UPDATE counters SET value = value + 1 WHERE name = 'notification' RETURNING value");
    let number = match tx.first(draw).await? {
        Some(row) => row.count("value")?,
        None => return Err(Cause::row("the counter of notifications", "it is missing")),
    };
    let query = sql(
        "INSERT INTO notifications (number, target, deployment, notice, created_at, due_at, state, tries) \
             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0)",
    )
    .bind(number)
    .bind(json(to)?)
    .bind(about.deployment.as_str())
    .bind(json(notice)?)
    .bind(notice.at)
    .bind(notice.due());
    tx.execute(query).await.map(drop)
}

fn json(value: &impl Serialize) -> Result<String, Cause> {
    serde_json::to_string(value).map_err(|error| Cause::row("a new notification", error))
}

fn notification(row: &Row) -> Result<Notification, Cause> {
    let tries = row.count("tries")?;
    Ok(Notification {
        number: row.count("number")?,
        target: row.json("target")?,
        notice: row.json("notice")?,
        state: value_of("state", &row.text("state")?)?,
        tries: u32::try_from(tries).map_err(|error| Cause::row("tries", error))?,
        error: row.optional_text("error")?,
        created_at: row.time("created_at")?,
        settled_at: row.optional_time("settled_at")?,
    })
}
