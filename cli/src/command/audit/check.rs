//! Checks a log: its chain, the signature of its head, and the heads that the server signed before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use stopover_model::audit::{AuditChain, AuditHead, BrokenLink};
use stopover_model::digest::Digest;

use super::broken_log;
use super::kept;
use super::source::{Head, Log};
use crate::args::VerifyAuditArgs;
use crate::failure::Failure;

/// A log that is whole.
pub(super) struct Checked {
    pub(super) head: AuditHead,
    /// The signatures were checked.
    pub(super) signed: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the head of record {0} was not signed with this server's key")]
struct NotSigned(u64);

#[derive(Debug, thiserror::Error)]
#[error(
    "two heads of record {0} were signed: the log was rewritten, or its store put back to an older state"
)]
struct SignedTwice(u64);

pub(super) fn check(log: &Log, args: &VerifyAuditArgs) -> Result<Checked, Failure> {
    let key = key(log, args)?;
    let heads = heads(log, args)?;
    let broken = |link: BrokenLink| broken_log(&link);
    let mut chain = AuditChain::default();
    for link in &log.links {
        chain.follow(&link.record, &link.hash).map_err(broken)?;
        let now = chain.head();
        if heads.get(&now.seq).is_some_and(|signed| signed.hash != now.hash) {
            return Err(broken(BrokenLink::Rewritten(now.seq)));
        }
    }
    let last = chain.head();
    let own = log.head.as_ref().map(signed_head).transpose()?;
    for signed in own.iter().chain(heads.values().next_back()) {
        last.covers(signed).map_err(broken)?;
    }
    // A log without a single record has a head that nobody has signed.
    if let (Some(key), Some(head)) = (&key, log.head.as_ref().filter(|head| head.seq > 0)) {
        verify(key, head)?;
    }
    Ok(Checked { head: last, signed: key.is_some() })
}

fn key(log: &Log, args: &VerifyAuditArgs) -> Result<Option<Vec<u8>>, Failure> {
    let beside = log.beside.as_ref().map(|dir| dir.join("audit.pub")).filter(|path| path.exists());
    let text = match args.key.clone().or(beside) {
        Some(path) => read(&path)?,
        None => match log.head.as_ref().map(|head| head.public_key.clone()) {
            Some(key) if !key.is_empty() => key,
            _ => return Ok(None),
        },
    };
    let key = STANDARD.decode(text.trim());
    key.map(Some).map_err(|error| {
        Failure::usage("this is no public key; it is the server's audit.pub").because(&error)
    })
}

/// The heads that the server has signed over time, each proven.
fn heads(log: &Log, args: &VerifyAuditArgs) -> Result<BTreeMap<u64, AuditHead>, Failure> {
    let beside = log.beside.as_ref().map(|dir| dir.join("audit.heads")).filter(|path| path.exists());
    let Some(path) = args.heads.clone().or(beside) else { return Ok(BTreeMap::new()) };
    let key = key(log, args)?;
    let mut heads = BTreeMap::new();
    for head in kept::heads(&path, &read(&path)?)? {
        if let Some(key) = &key {
            verify(key, &head)?;
        }
        let signed = signed_head(&head)?;
        if heads.insert(head.seq, signed).is_some_and(|before: AuditHead| before.hash != signed.hash) {
            return Err(broken_log(&SignedTwice(head.seq)));
        }
    }
    Ok(heads)
}

fn signed_head(head: &Head) -> Result<AuditHead, Failure> {
    let hash: Digest =
        head.hash.parse().map_err(|error| Failure::failed("the log's head can't be read").because(&error))?;
    Ok(AuditHead { seq: head.seq, hash })
}

fn verify(key: &[u8], head: &Head) -> Result<(), Failure> {
    let text = signed_head(head)?.signed_text();
    let signature = STANDARD.decode(&head.signature).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(text.as_bytes(), &signature)
        .map_err(|_| broken_log(&NotSigned(head.seq)))
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("could not read {}", path.display())).because(&error))
}
