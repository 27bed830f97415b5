//! The audit log: append-only, with the signed head of its chain. What its records say is not known here.
//!
//! Where heads are to be sent somewhere, they wait in an outbox, from the transaction of their record until somebody says
//! that they have arrived.

use jiff::Timestamp;
use stopover_model::audit::AuditHead;
use stopover_model::digest::Digest;

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub seq: u64,
    pub record: String,
    pub hash: String,
}

/// The head with its signature, which is empty where there is no record yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    pub head: AuditHead,
    /// Base64.
    pub signature: String,
}

/// The heads that are on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Undelivered {
    pub count: u64,
    /// When the first of them was signed.
    pub since: Option<Timestamp>,
}

impl Store {
    /// Appends a record. `make` gets its seq and gives its text, `sign` the signature of the head that it becomes, which
    /// goes into the outbox where there is a time. Of several that append at the same time, one waits for the other.
    pub async fn append_audit(
        &self,
        make: impl FnOnce(u64) -> Result<String, serde_json::Error> + Send,
        sign: impl FnOnce(&AuditHead) -> String + Send,
        to_send: Option<Timestamp>,
    ) -> Result<SignedHead, StoreError> {
        self.append_link(make, sign, to_send).await.map_err(attempt("write the audit log"))
    }

    /// Puts a head into the outbox, unless it is there.
    pub async fn send_audit_head(&self, head: &SignedHead, at: Timestamp) -> Result<(), StoreError> {
        let put = async {
            let mut tx = self.db.begin().await?;
            post(&mut tx, head, at).await?;
            tx.commit().await
        };
        put.await.map_err(attempt("put the audit log's head into its outbox"))
    }

    /// The first of the outbox, in order.
    pub async fn audit_outbox(&self, limit: u32) -> Result<Vec<SignedHead>, StoreError> {
        let query = sql("SELECT seq, hash, signature FROM audit_outbox ORDER BY seq LIMIT $1").bind(limit);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(head).collect()).map_err(attempt("read the audit log's outbox"))
    }

    /// All up to this seq have arrived.
    pub async fn audit_delivered(&self, up_to: u64) -> Result<(), StoreError> {
        let query = sql("DELETE FROM audit_outbox WHERE seq <= $1").bind(up_to);
        self.db.write(query).await.map(drop).map_err(attempt("empty the audit log's outbox"))
    }

    pub async fn audit_undelivered(&self) -> Result<Undelivered, StoreError> {
        let query = sql("SELECT count(*) AS number, min(signed_at) AS since FROM audit_outbox");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let of = |row: &Row| {
                Ok(Undelivered { count: row.count("number")?, since: row.optional_time("since")? })
            };
            rows.first().map(of).transpose().map(Option::unwrap_or_default)
        })
        .map_err(attempt("look into the audit log's outbox"))
    }

    /// At most `limit` records after a seq, in order.
    pub async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let after = stopover_model::id::Seq(after);
        let query = sql("SELECT seq, record, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(after)
            .bind(limit);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(link).collect()).map_err(attempt("read the audit log"))
    }

    pub async fn audit_head(&self) -> Result<SignedHead, StoreError> {
        let rows = self.db.read(sql("SELECT seq, hash, signature FROM audit_head WHERE place = 1")).await;
        rows.and_then(|rows| match rows.first() {
            Some(row) => head(row),
            None => Err(Cause::row("the head of the audit log", "it is missing")),
        })
        .map_err(attempt("read the head of the audit log"))
    }

    async fn append_link(
        &self,
        make: impl FnOnce(u64) -> Result<String, serde_json::Error> + Send,
        sign: impl FnOnce(&AuditHead) -> String + Send,
        to_send: Option<Timestamp>,
    ) -> Result<SignedHead, Cause> {
        let mut tx = self.db.begin().await?;
        // It changes nothing, and makes others wait until this record is in its place.
        let last = sql("UPDATE audit_head SET seq = seq WHERE place = 1 RETURNING seq, hash, signature");
        let last = tx.first(last).await?;
        let last = last.ok_or_else(|| Cause::row("the head of the audit log", "it is missing"))?;
        let last = head(&last)?.head;
        let record = make(last.seq + 1).map_err(|error| Cause::row("a new audit record", error))?;
        let next = last.next(&record);
        let (seq, hash, signature) = (stopover_model::id::Seq(next.seq), next.hash.to_string(), sign(&next));
        let insert = sql("INSERT INTO audit (seq, record, hash) VALUES ($1, $2, $3)");
        tx.execute(insert.bind(seq).bind(record).bind(hash.as_str())).await?;
        let moved = sql("UPDATE audit_head SET seq = $1, hash = $2, signature = $3 WHERE place = 1")
            .bind(seq)
            .bind(hash.as_str())
            .bind(signature.as_str());
        tx.execute(moved).await?;
        let signed = SignedHead { head: next, signature };
        if let Some(at) = to_send {
            post(&mut tx, &signed, at).await?;
        }
        tx.commit().await?;
        Ok(signed)
    }

    /// Does with the store what nobody should.
    #[cfg(test)]
    pub(crate) async fn spoil(&self, text: &'static str) {
        self.db.write(sql(text)).await.expect("a store that can be spoilt");
    }
}

async fn post(tx: &mut Tx, signed: &SignedHead, at: Timestamp) -> Result<(), Cause> {
    let query = sql("INSERT INTO audit_outbox (seq, hash, signature, signed_at) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (seq) DO NOTHING")
    .bind(signed.head.seq)
    .bind(signed.head.hash.to_string())
    .bind(signed.signature.as_str())
    .bind(at);
    tx.execute(query).await.map(drop)
}

fn link(row: &Row) -> Result<AuditRow, Cause> {
    Ok(AuditRow { seq: row.count("seq")?, record: row.text("record")?, hash: row.text("hash")? })
}

fn head(row: &Row) -> Result<SignedHead, Cause> {
    let hash: Digest = row.parsed("hash")?;
    Ok(SignedHead { head: AuditHead { seq: row.count("seq")?, hash }, signature: row.text("signature")? })
}
