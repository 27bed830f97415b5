//! What was made of logs, so that nobody has to read the whole of a long one. A cache and nothing more: what is in it is
//! bytes to this module, and whoever can't read them reads the log.

use stopover_model::id::{DeploymentId, Seq};

use super::db::sql;
use super::error::attempt;
use super::{Store, StoreError};

/// What is kept of a deployment; of each the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The folded state.
    State,
    /// What is shown of it.
    Glance,
}

/// Made of a log up to a seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot<B> {
    pub seq: Seq,
    pub body: B,
}

impl Kept {
    fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Glance => "glance",
        }
    }
}

impl Store {
    /// Keeps it instead of what was kept before.
    pub async fn keep_snapshot(
        &self,
        id: &DeploymentId,
        kind: Kept,
        form: &str,
        snapshot: Snapshot<&[u8]>,
    ) -> Result<(), StoreError> {
        let query = sql("INSERT INTO snapshots (deployment, kind, form, seq, body) VALUES ($1, $2, $3, $4, $5) \
                         ON CONFLICT (deployment, kind) DO UPDATE SET form = excluded.form, seq = excluded.seq, \
                         body = excluded.body")
        .bind(id.as_str())
        .bind(kind.as_str())
        .bind(form)
        .bind(snapshot.seq)
        .bind(snapshot.body);
        let kept = self.db.write(query).await;
        kept.map(drop).map_err(attempt(format_args!("keep the {} of deployment {id}", kind.as_str())))
    }

    /// None: there is none of this form.
    pub async fn snapshot(
        &self,
        id: &DeploymentId,
        kind: Kept,
        form: &str,
    ) -> Result<Option<Snapshot<Vec<u8>>>, StoreError> {
        let query = sql("SELECT seq, body FROM snapshots WHERE deployment = $1 AND kind = $2 AND form = $3")
            .bind(id.as_str())
            .bind(kind.as_str())
            .bind(form);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let first = rows.first();
            first
                .map(|row| Ok(Snapshot { seq: Seq(row.count("seq")?), body: row.bytes("body")? }))
                .transpose()
        })
        .map_err(attempt(format_args!("read the {} of deployment {id}", kind.as_str())))
    }
}
