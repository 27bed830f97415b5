//! The audit log's records, and the chain that holds them together: each record's hash is over its text and the hash before.
//!
//! Signatures are made and checked elsewhere; here is what they are over.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Digester};
use crate::id::{AgentName, OperatorName, TokenId};

/// What somebody asked for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// From 1, without a gap.
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// A record before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub by: AuditActor,
    /// How an operator came in; older records say nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
    /// The address at the other end; empty for the server itself.
    pub from: String,
    /// The method that was called.
    pub what: String,
    /// The environment, deployment or pipeline that the request named; may be empty.
    #[serde(default)]
    pub about: String,
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    pub outcome: AuditOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditActor {
    Operator(OperatorName),
    Agent(AgentName),
    Server,
    /// Whoever showed nothing that counts.
    Stranger,
}

/// What an operator showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    Token(TokenId),
    /// An identity provider's word, and who somebody is there whatever they are called.
    Oidc {
        issuer: String,
        subject: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// Written before anything is done. Without an answer further on, the server ended meanwhile.
    Asked,
    /// What was asked for there.
    Done { asked: u64 },
    /// The same; nothing was done, or not all.
    Failed { asked: u64, code: String, why: String },
    /// Nothing was done, nor begun.
    Refused { code: String, why: String },
    /// So many refusals of strangers were not written down one by one, since there were too many.
    Omitted { refusals: u64 },
}

/// Where the chain has got to: what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    pub seq: u64,
    pub hash: Digest,
}

/// The first place where the log is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    #[error(
        "record {0} is not what was recorded: its hash is not that of its text and of the record before it"
    )]
    Changed(u64),
    #[error("record {missing} is missing: {found} comes in its place")]
    Missing { missing: u64, found: u64 },
    #[error("record {0} can't be read: {1}")]
    Unreadable(u64, String),
    #[error("what follows record {last} is cut off: record {signed} was signed")]
    CutOff { last: u64, signed: u64 },
    #[error("record {0} was rewritten: it is not the one whose hash was signed")]
    Rewritten(u64),
}

/// Follows a log from its first record on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditChain(AuditHead);

impl AuditHead {
    /// Before the first record.
    pub const START: Self = Self { seq: 0, hash: Digest::ZERO };

    /// The head after a record with this text.
    #[must_use]
    pub fn next(&self, text: &str) -> Self {
        let mut digester = Digester::new("stopover audit record");
        digester.part("before", self.hash.as_bytes()).part("record", text.as_bytes());
        Self { seq: self.seq + 1, hash: digester.finish() }
    }

    /// What a signature of the head is over.
    #[must_use]
    pub fn signed_text(&self) -> String {
        format!("stopover audit head {} {}", self.seq, self.hash)
    }

    /// Whether a log that has got to `self` is whole, as far as `signed` says.
    pub fn covers(&self, signed: &Self) -> Result<(), BrokenLink> {
        if signed.seq > self.seq {
            return Err(BrokenLink::CutOff { last: self.seq, signed: signed.seq });
        }
        if signed.seq == self.seq && signed.hash != self.hash {
            return Err(BrokenLink::Rewritten(self.seq));
        }
        Ok(())
    }
}

impl Default for AuditChain {
    fn default() -> Self {
        Self(AuditHead::START)
    }
}

impl AuditChain {
    #[must_use]
    pub fn head(&self) -> AuditHead {
        self.0
    }

    /// Takes the next record, as its text and its hash are stored.
    pub fn follow(&mut self, text: &str, hash: &str) -> Result<AuditRecord, BrokenLink> {
        let expected = self.0.next(text);
        let record: AuditRecord = serde_json::from_str(text)
            .map_err(|error| BrokenLink::Unreadable(expected.seq, error.to_string()))?;
        if record.seq > expected.seq {
            return Err(BrokenLink::Missing { missing: expected.seq, found: record.seq });
        }
        if record.seq != expected.seq || expected.hash.to_string() != hash {
            return Err(BrokenLink::Changed(expected.seq));
        }
        self.0 = expected;
        Ok(record)
    }
}

/// `token 0123456789`, or `oidc SUBJECT`.
impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => f.pad(&format!("token {id}")),
            Self::Oidc { subject, .. } => f.pad(&format!("oidc {subject}")),
        }
    }
}

impl fmt::Display for AuditActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(name) => name.fmt(f),
            Self::Agent(name) => f.pad(&format!("agent {name}")),
            Self::Server => f.pad("the server"),
            Self::Stranger => f.pad("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: u64) -> Vec<(String, String)> {
        let mut head = AuditHead::START;
        let link = |seq| {
            let entry = AuditEntry {
                by: AuditActor::Operator("anna".parse().unwrap()),
                through: None,
                from: "10.0.0.1:5".to_owned(),
                what: "Deploy".to_owned(),
                about: "pipeline p".to_owned(),
                digest: None,
                outcome: AuditOutcome::Asked,
            };
            let text = serde_json::to_string(&AuditRecord { seq, at: Timestamp::UNIX_EPOCH, entry }).unwrap();
            head = head.next(&text);
            (text, head.hash.to_string())
        };
        (1..=records).map(link).collect()
    }

    fn verify(log: &[(String, String)]) -> Result<AuditHead, BrokenLink> {
        let mut chain = AuditChain::default();
        log.iter().try_for_each(|(text, hash)| chain.follow(text, hash).map(|_| ()))?;
        Ok(chain.head())
    }

    #[test]
    fn the_first_broken_link_is_named() {
        let whole = log(5);
        let head = verify(&whole).unwrap();
        assert_eq!(head.seq, 5);

        let mut changed = whole.clone();
        changed[2].0 = changed[2].0.replace("anna", "eve");
        assert_eq!(verify(&changed), Err(BrokenLink::Changed(3)));
        // Whoever hashes it anew only moves the break.
        let rehashed = verify(&changed[..2]).unwrap().next(&changed[2].0);
        changed[2].1 = rehashed.hash.to_string();
        assert_eq!(verify(&changed), Err(BrokenLink::Changed(4)));

        let mut removed = whole.clone();
        removed.remove(2);
        assert_eq!(verify(&removed), Err(BrokenLink::Missing { missing: 3, found: 4 }));
        let mut spoilt = whole.clone();
        spoilt[4].0.truncate(9);
        assert!(matches!(verify(&spoilt), Err(BrokenLink::Unreadable(5, _))));
    }

    #[test]
    fn a_record_says_how_somebody_came_in_where_it_is_known() {
        let [(text, _)] = log(1).try_into().unwrap();
        assert!(!text.contains("through"), "as before: {text}");
        let mut record: AuditRecord = serde_json::from_str(&text).unwrap();
        let through = Through::Oidc { issuer: "https://id".to_owned(), subject: "17".to_owned() };
        record.entry.through = Some(through);
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""through":{"oidc":{"issuer":"https://id","subject":"17"}}"#), "{text}");
        assert_eq!(serde_json::from_str::<AuditRecord>(&text).unwrap(), record);
    }

    #[test]
    fn what_was_cut_off_or_rewritten_at_the_end_is_known_by_the_signed_head() {
        let whole = log(5);
        let head = verify(&whole).unwrap();
        let cut = verify(&whole[..3]).unwrap();
        assert_eq!(cut.covers(&head), Err(BrokenLink::CutOff { last: 3, signed: 5 }));
        assert_eq!(head.covers(&cut), Ok(()), "the log goes on after a head was signed");
        let rewritten = verify(&whole[..4]).unwrap().next("{}");
        assert_eq!(rewritten.covers(&head), Err(BrokenLink::Rewritten(5)));
    }
}
