//! Brings a stream into a bucket so that nothing half is ever taken for whole, whoever is killed when.
//!
//! A name is claimed by an object beside it, which says what has begun under it: parts that were never put together can't
//! be found otherwise. Whoever comes next removes what a claim names unless the backup was published. Only an upload whose
//! agent was killed between its beginning and its record is not found: it has no part, and takes no room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use object_store::multipart::PartId;
use object_store::{PutPayload, path::Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stopover_model::digest::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;

use super::bucket::Bucket;
use super::problem::VaultError;

/// What is kept of a stream's beginning: an encrypted one says there whose it is.
const BEGINNING: usize = 64 * 1024;
pub(crate) const CLAIM: &str = ".uploading";

/// A name in a bucket that is this run's, until it is published or abandoned.
#[derive(Debug)]
pub(crate) struct Claim {
    bucket: Bucket,
    stem: String,
    begun: Begun,
}

/// What stands in the object that claims a name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Begun {
    agent: String,
    /// Objects whose parts are being uploaded, or were.
    uploads: Vec<Parts>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Parts {
    name: String,
    /// As the store calls the upload; empty: the object was written at once.
    id: String,
}

/// What was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The objects' names, in their order.
    pub(crate) pieces: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
    pub(crate) beginning: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("could not read what is to be uploaded: {0}")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Claim {
    /// Claims the name; `already_exists` tells that another has it.
    pub(crate) async fn take(bucket: &Bucket, stem: &str, agent: &str) -> Result<Self, VaultError> {
        let begun = Begun { agent: agent.to_owned(), uploads: Vec::new() };
        bucket.create(&format!("{stem}{CLAIM}"), begun.written()).await?;
        Ok(Self { bucket: bucket.clone(), stem: stem.to_owned(), begun })
    }

    /// Uploads all of the stream as an object of this name, or several where it is longer than an object may be.
    pub(crate) async fn upload(
        &mut self,
        name: &str,
        mut stream: impl AsyncRead + Unpin,
        sent: &AtomicU64,
    ) -> Result<Stored, UploadError> {
        let mut seen = Seen { hash: Sha256::new(), bytes: 0, beginning: Vec::new() };
        let mut pieces = Vec::new();
        let mut next = seen.part(&mut stream, self.bucket.limits.part).await?;
        while pieces.is_empty() || !next.is_empty() {
            let piece = match pieces.len() {
                0 => name.to_owned(),
                n => format!("{name}.{}", n + 1),
            };
            next = self.piece(&piece, next, &mut stream, &mut seen, sent).await?;
            pieces.push(piece);
        }
        let Seen { hash, bytes, beginning } = seen;
        Ok(Stored { pieces, bytes, sha256: Digest::from_bytes(hash.finalize().into()), beginning })
    }

    /// Writes the manifest, with which the backup is one, and gives the claim up.
    pub(crate) async fn publish(&self, manifest: &str, content: Bytes) -> Result<(), VaultError> {
        self.bucket.create(manifest, content).await?;
        // Left behind it does no harm: a claim beside a manifest is only removed.
        if let Err(error) = self.bucket.remove(&self.own_name()).await {
            tracing::warn!("{error}");
        }
        Ok(())
    }

    /// Removes everything of it.
    pub(crate) async fn abandon(self) -> Result<(), VaultError> {
        clean(&self.bucket, &self.begun).await?;
        self.bucket.remove(&self.own_name()).await
    }

    fn own_name(&self) -> String {
        format!("{}{CLAIM}", self.stem)
    }

    /// Uploads one object, and gives back the part behind it, which is empty at the stream's end.
    async fn piece(
        &mut self,
        name: &str,
        first: Bytes,
        stream: &mut (impl AsyncRead + Unpin),
        seen: &mut Seen,
        sent: &AtomicU64,
    ) -> Result<Bytes, UploadError> {
        let limits = self.bucket.limits;
        if first.len() < limits.part {
            self.remember(name, String::new()).await?;
            let bytes = first.len() as u64;
            self.bucket.create(name, first).await?;
            sent.fetch_add(bytes, Ordering::Relaxed);
            return Ok(Bytes::new());
        }
        let path = self.bucket.path(name);
        let id = self.bucket.multipart.create_multipart(&path).await;
        let id = id.map_err(|source| self.bucket.error("begin to upload", name, source))?;
        self.remember(name, id.clone()).await?;
        let mut upload =
            Sending { bucket: &self.bucket, name, path, id, running: JoinSet::new(), done: BTreeMap::new() };
        let (mut next, mut index) = (first, 0);
        while !next.is_empty() && index < limits.parts {
            let length = next.len() as u64;
            upload.send(index, next).await?;
            sent.fetch_add(length, Ordering::Relaxed);
            index += 1;
            next = seen.part(stream, limits.part).await?;
        }
        upload.complete().await?;
        Ok(next)
    }

    /// On record in the bucket before it can be needed.
    async fn remember(&mut self, name: &str, id: String) -> Result<(), VaultError> {
        self.begun.uploads.push(Parts { name: name.to_owned(), id });
        self.bucket.replace(&self.own_name(), self.begun.written()).await
    }
}

/// Removes what runs that were killed have left under names of which `is_ours` says so. Gives back how many there were.
pub(crate) async fn sweep(
    bucket: &Bucket,
    is_ours: impl Fn(&str) -> bool,
    manifest_of: impl Fn(&str) -> String,
) -> Result<usize, VaultError> {
    const MOST: u64 = 10 * 1024 * 1024;
    let mut swept = 0;
    for (name, _) in bucket.names().await? {
        let Some(stem) = name.strip_suffix(CLAIM).filter(|stem| is_ours(stem)) else { continue };
        let published = bucket.length(&manifest_of(stem)).await?.is_some();
        if !published && let Some(content) = bucket.read(&name, MOST).await? {
            // One that can't be read was written by nobody who uploaded anything under it.
            let begun: Begun = serde_json::from_slice(&content).unwrap_or_default();
            clean(bucket, &begun).await?;
            swept += 1;
        }
        bucket.remove(&name).await?;
    }
    Ok(swept)
}

async fn clean(bucket: &Bucket, begun: &Begun) -> Result<(), VaultError> {
    for upload in &begun.uploads {
        // An object's name is a name alone, whatever an edited claim says.
        if upload.name.contains('/') {
            continue;
        }
        if !upload.id.is_empty() {
            let aborted = bucket.multipart.abort_multipart(&bucket.path(&upload.name), &upload.id).await;
            match aborted {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                // A store may have forgotten an upload that was completed; whether anything is left shows below.
                Err(error) => tracing::warn!("could not abort an upload: {}", super::problem::said(&error)),
            }
        }
        bucket.remove(&upload.name).await?;
    }
    Ok(())
}

impl Begun {
    fn written(&self) -> Bytes {
        // Strings in a struct have no way not to be JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// What has gone through.
struct Seen {
    hash: Sha256,
    bytes: u64,
    beginning: Vec<u8>,
}

impl Seen {
    /// The next part, which is shorter only at the stream's end.
    async fn part(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        length: usize,
    ) -> Result<Bytes, UploadError> {
        let mut part = BytesMut::with_capacity(length);
        while part.len() < length {
            let wanted = length - part.len();
            let mut rest = (&mut *stream).take(wanted as u64);
            if rest.read_buf(&mut part).await.map_err(UploadError::Read)? == 0 {
                break;
            }
        }
        self.hash.update(&part);
        self.bytes += part.len() as u64;
        let missing = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&part[..part.len().min(missing)]);
        Ok(part.freeze())
    }
}

/// An object whose parts are on their way, several at a time.
struct Sending<'a> {
    bucket: &'a Bucket,
    name: &'a str,
    path: Path,
    id: String,
    running: JoinSet<(usize, object_store::Result<PartId>)>,
    done: BTreeMap<usize, PartId>,
}

impl Sending<'_> {
    /// Begins to send a part, as soon as there is room for it.
    async fn send(&mut self, index: usize, part: Bytes) -> Result<(), VaultError> {
        while self.running.len() >= self.bucket.limits.at_once {
            self.one_ends().await?;
        }
        let (multipart, path, id) = (self.bucket.multipart.clone(), self.path.clone(), self.id.clone());
        self.running.spawn(async move {
            (index, multipart.put_part(&path, &id, index, PutPayload::from(part)).await)
        });
        Ok(())
    }

    async fn complete(mut self) -> Result<(), VaultError> {
        while !self.running.is_empty() {
            self.one_ends().await?;
        }
        let parts = std::mem::take(&mut self.done).into_values().collect();
        let completed = self.bucket.multipart.complete_multipart(&self.path, &self.id, parts).await;
        completed.map(drop).map_err(|source| self.bucket.error("finish uploading", self.name, source))
    }

    async fn one_ends(&mut self) -> Result<(), VaultError> {
        match self.running.join_next().await {
            None => Ok(()),
            Some(Ok((index, Ok(part)))) => {
                self.done.insert(index, part);
                Ok(())
            }
            Some(Ok((_, Err(source)))) => Err(self.bucket.error("upload a part of", self.name, source)),
            Some(Err(source)) => Err(self.bucket.error("upload a part of", self.name, source.into())),
        }
    }
}
