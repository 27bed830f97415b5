//! What a database's schema looks like, so that two looks can be compared: the hash of each object's definition, and one
//! digest over all of them.
//!
//! Data, owners, privileges and the order of columns are left out: adding a column and dropping it again gives the same
//! fingerprint, as does a dump that was restored. The names in definitions don't depend on anybody's `search_path`.

mod local;
mod shares;

use std::collections::BTreeMap;

use stopover_model::digest::Digest;

use tokio_postgres::Row;

pub(crate) use local::{COUNTS, NO_MORE_LOOKING};
pub use local::{Counts, Glance, Looked, Reach, Seen, glance, look_locally, stop_looking};

use crate::postgres::{QueryError, Session};
use shares::Shares;

/// How much of an object's hash is kept: enough to see a change.
const HASH_DIGITS: usize = 16;

/// One look at the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// "index users.i" and the hash of its definition.
    pub objects: BTreeMap<String, String>,
    pub digest: Digest,
    /// The hashes in their full length, which the digest is over.
    hashes: Shares,
    /// What was hashed, as far as it tells people something: a row's text, as PostgreSQL writes it.
    definitions: BTreeMap<String, String>,
    /// Of the server.
    major: i32,
}

/// An object's hash before and after; None where it was not there.
pub type Change = (Option<String>, Option<String>);

/// The objects that differ between two looks.
pub type Changes = BTreeMap<String, Change>;

/// Looks at the schema, in one round trip and in a read-only transaction of its own.
pub async fn take(session: &Session) -> Result<Fingerprint, QueryError> {
    let client = session.client();
    let (begun, taken, ended) = tokio::join!(
        client.batch_execute("BEGIN READ ONLY; SET LOCAL search_path = ''; SET LOCAL lock_timeout = '2s'"),
        take_inside(session),
        client.batch_execute("COMMIT"),
    );
    begun.map_err(|e| session.error(e))?;
    let taken = taken?;
    ended.map_err(|e| session.error(e))?;
    Ok(taken)
}

/// The same in a transaction of the caller's, whose `search_path` is empty.
pub async fn take_inside(session: &Session) -> Result<Fingerprint, QueryError> {
    let rows = session.client().query_typed(include_str!("fingerprint.sql"), &[]).await;
    let rows = rows.map_err(|e| session.error(e))?;
    let mut taken =
        Fingerprint::of(major(session), rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    let definition = |row: &Row| Some((row.get(0), row.get::<_, Option<String>>(2)?));
    taken.definitions = rows.iter().filter_map(definition).collect();
    Ok(taken)
}

/// Of the server: another one may write the same definition in other words.
pub(crate) fn major(session: &Session) -> i32 {
    session.identity().version_num / 10_000
}

impl Fingerprint {
    /// Of objects and the hashes of their definitions.
    #[must_use]
    pub fn of(major: i32, hashes: BTreeMap<String, String>) -> Self {
        let objects = hashes.iter().map(|(object, hash)| (object.clone(), short(hash))).collect();
        let hashes = Shares::of(hashes);
        Self { objects, digest: hashes.digest(major), hashes, definitions: BTreeMap::new(), major }
    }

    /// What an object is, as PostgreSQL writes the row of its parts; None where that tells people nothing.
    #[must_use]
    pub fn definition(&self, object: &str) -> Option<&str> {
        self.definitions.get(object).map(String::as_str)
    }

    /// Of the server.
    #[must_use]
    pub fn major(&self) -> i32 {
        self.major
    }

    /// What it becomes when these objects are as they were looked at just now, and all others as they were.
    #[must_use]
    pub fn digest_with(&self, looked: &Looked) -> Digest {
        if looked.is_empty() {
            return self.digest;
        }
        self.hashes.digest_with(self.major, looked)
    }

    /// The same, with what it changes.
    #[must_use]
    pub fn changes_with(&self, looked: &Looked) -> Changes {
        let new = self.new_in(looked);
        new.map(|(object, seen)| (object.clone(), (self.objects.get(object).cloned(), Some(seen.short()))))
            .collect()
    }

    /// Those of the objects that are not as they were.
    pub fn new_in<'a>(&self, looked: &'a Looked) -> impl Iterator<Item = (&'a String, &'a Seen)> {
        looked.iter().filter(|(object, seen)| self.hashes.get(object) != Some(&seen.hash))
    }

    /// Takes the objects on.
    pub fn take_on(&mut self, looked: Looked) {
        let digest = self.digest_with(&looked);
        self.become_with(looked, digest);
    }

    /// The same, with the digest that was made of it before.
    pub fn become_with(&mut self, looked: Looked, digest: Digest) {
        self.digest = digest;
        self.hashes.take_on(looked.iter().map(|(object, seen)| (object.clone(), seen.hash.clone())));
        for (object, seen) in looked {
            self.objects.insert(object.clone(), seen.short());
            match seen.definition {
                Some(definition) => self.definitions.insert(object, definition),
                None => self.definitions.remove(&object),
            };
        }
    }
}

impl Seen {
    /// The hash as it is kept in [`Fingerprint::objects`].
    #[must_use]
    pub fn short(&self) -> String {
        short(&self.hash)
    }
}

fn short(hash: &str) -> String {
    hash.get(..HASH_DIGITS).unwrap_or(hash).to_owned()
}

/// What changed between two looks.
#[must_use]
pub fn changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Changes {
    changes_since(before, |hash| hash, after)
}

/// The same, where more than the hashes is known of before.
pub fn changes_since<T>(
    before: &BTreeMap<String, T>,
    hash: impl Fn(&T) -> &String,
    after: &BTreeMap<String, String>,
) -> Changes {
    let gone_or_changed = before
        .iter()
        .map(|(object, known)| (object, hash(known)))
        .filter(|(object, hash)| after.get(*object) != Some(hash))
        .map(|(object, hash)| (object.clone(), (Some(hash.clone()), after.get(object).cloned())));
    let new = after
        .iter()
        .filter(|(object, _)| !before.contains_key(*object))
        .map(|(object, hash)| (object.clone(), (None, Some(hash.clone()))));
    gone_or_changed.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(object, hash)| ((*object).to_owned(), (*hash).to_owned())).collect()
    }

    #[test]
    fn changes_name_what_came_went_and_differs() {
        let before = objects(&[("table a", "1"), ("table b", "1"), ("table c", "1")]);
        let after = objects(&[("table b", "2"), ("table c", "1"), ("table d", "1")]);
        let text = serde_json::to_string(&changes(&before, &after)).unwrap();
        assert_eq!(text, r#"{"table a":["1",null],"table b":["1","2"],"table d":[null,"1"]}"#);
    }
}
