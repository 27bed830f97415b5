//! Where an audit log is read from: the server, what was exported, or the server's store itself.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use stopover_proto::convert::field::optional_timestamp;
use stopover_proto::v1;

use crate::client::Control;
use crate::failure::Failure;

const LINKS: &str = "SELECT record, hash FROM audit ORDER BY seq";
const HEAD: &str = "SELECT seq, hash, signature FROM audit_head WHERE place = 1";

/// A log as it is stored, not checked yet.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) links: Vec<Link>,
    pub(super) head: Option<Head>,
    /// Where the public key and the signed heads lie beside it, where they do.
    pub(super) beside: Option<PathBuf>,
    /// Of a server that sends its heads to a webhook.
    pub(super) delivery: Option<Delivery>,
}

/// How far a server's signed heads have got to its webhook.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    pub(super) url: String,
    pub(super) waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Of the last try, where that came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) tries: u32,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) record: String,
    pub(super) hash: String,
}

/// Also a line of the server's file of signed heads, which has no key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: String,
    /// Base64, as the key.
    pub(super) signature: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) public_key: String,
}

#[derive(Serialize, Deserialize)]
struct HeadLine {
    head: Head,
}

const BEFORE_HASH: &str = "{\"hash\":\"";
const BEFORE_RECORD: &str = "\",\"record\":";

impl Log {
    /// For `export`: a record is written as it was hashed, to the byte.
    pub(super) fn lines(self) -> Result<Vec<String>, Failure> {
        let link = |link: &Link| format!("{BEFORE_HASH}{}{BEFORE_RECORD}{}}}", link.hash, link.record);
        let mut lines: Vec<_> = self.links.iter().map(link).collect();
        if let Some(head) = self.head {
            let head = serde_json::to_string(&HeadLine { head });
            lines.push(head.map_err(|error| Failure::failed("could not write JSON").because(&error))?);
        }
        Ok(lines)
    }

    pub(super) fn of_file(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("could not read {}", file.display())).because(&error))?;
        let mut log = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let link = line.strip_prefix(BEFORE_HASH).and_then(|rest| {
                let (hash, record) = rest.split_once(BEFORE_RECORD)?;
                Some(Link { hash: hash.to_owned(), record: record.strip_suffix('}')?.to_owned() })
            });
            match (link, serde_json::from_str::<HeadLine>(line)) {
                (Some(link), _) => log.links.push(link),
                (None, Ok(last)) => log.head = Some(last.head),
                (None, Err(_)) => {
                    let message = format!("{}:{number}: this is no line of an audit log", file.display());
                    return Err(Failure::usage(message).with_hint("stopover audit export > FILE"));
                }
            }
        }
        Ok(log)
    }
}

pub(super) async fn of_server(control: &mut Control) -> Result<Log, Failure> {
    let mut log = Log::default();
    let mut after_seq = 0;
    loop {
        let answer = control.list_audit(v1::ListAuditRequest { after_seq, limit: 0 }).await?.into_inner();
        // The first head: what comes later must be at least what it covers.
        log.head = log.head.or(answer.head.map(|head| Head {
            seq: head.seq,
            hash: head.hash,
            signature: STANDARD.encode(head.signature),
            public_key: STANDARD.encode(head.public_key),
        }));
        if log.delivery.is_none() {
            log.delivery = answer.delivery.map(delivery).transpose()?;
        }
        let Some(last) = answer.links.last() else { return Ok(log) };
        after_seq = last.seq;
        log.links.extend(answer.links.into_iter().map(|link| Link { record: link.record, hash: link.hash }));
    }
}

fn delivery(wire: v1::AuditDelivery) -> Result<Delivery, Failure> {
    let v1::AuditDelivery { url, waiting, since, error, tries } = wire;
    let since = optional_timestamp::read(since, "delivery.since")?;
    Ok(Delivery { url, waiting, since, error: Some(error).filter(|error| !error.is_empty()), tries })
}

/// Reads the store itself, and changes nothing in it.
pub(super) async fn of_database(database: &str) -> Result<Log, Failure> {
    let failed = |error: sqlx::Error| {
        Failure::failed("could not read the audit log in the store").because(&error).with_hint(
            "name the server's stopover.db in its data directory, or the postgres:// of its settings",
        )
    };
    if database.starts_with("postgres://") || database.starts_with("postgresql://") {
        let mut connection = <PgConnection as sqlx::Connection>::connect(database).await.map_err(failed)?;
        let links = sqlx::query(LINKS).fetch_all(&mut connection).await.map_err(failed)?;
        let head = sqlx::query(HEAD).fetch_optional(&mut connection).await.map_err(failed)?;
        return rows(&links, head.as_ref(), None).map_err(failed);
    }
    let path = Path::new(database);
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(failed)?;
    let links = sqlx::query(LINKS).fetch_all(&mut connection).await.map_err(failed)?;
    let head = sqlx::query(HEAD).fetch_optional(&mut connection).await.map_err(failed)?;
    rows(&links, head.as_ref(), path.parent()).map_err(failed)
}

fn rows<R: sqlx::Row>(links: &[R], head: Option<&R>, beside: Option<&Path>) -> Result<Log, sqlx::Error>
where
    for<'a> &'a str: sqlx::ColumnIndex<R>,
    String: for<'a> sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    i64: for<'a> sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
{
    let link = |row: &R| Ok(Link { record: row.try_get("record")?, hash: row.try_get("hash")? });
    let read_head = |row: &R| -> Result<Head, sqlx::Error> {
        let seq: i64 = row.try_get("seq")?;
        let (hash, signature) = (row.try_get("hash")?, row.try_get("signature")?);
        Ok(Head { seq: u64::try_from(seq).unwrap_or_default(), hash, signature, public_key: String::new() })
    };
    Ok(Log {
        links: links.iter().map(link).collect::<Result<_, sqlx::Error>>()?,
        head: head.map(read_head).transpose()?,
        beside: beside.map(Path::to_owned),
        delivery: None,
    })
}
