//! Reads all of a backup, as it lies there, and gives what is in it to somebody.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_compression::tokio::bufread::ZstdDecoder;
use sha2::{Digest as _, Sha256};
use stopover_model::digest::Digest;
use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio::process::ChildStdin;

use super::super::manifest::Manifest;
use super::super::members;
use super::super::programs::Programs;
use super::super::toc;
use crate::step::StepContext;
use crate::vault::{self, Destination, FileKey};

/// So many files that are not what they were are named.
const MOST_NAMED: usize = 10;
const CHUNK: usize = 256 * 1024;

type Stream = std::pin::Pin<Box<dyn AsyncRead + Send>>;

/// What went through, whoever has the reader.
#[derive(Clone)]
struct Seen(Arc<Mutex<(Sha256, u64)>>);

/// Reads all of the backup. `taker` gets the dump in it, for as long as it reads; without one the file is only hashed.
pub(super) async fn pour(
    context: &StepContext,
    destination: &Destination,
    manifest: &Manifest,
    key: Option<&FileKey>,
    taker: Option<ChildStdin>,
    doing: &str,
) -> Result<(), StepError> {
    let stored =
        destination.open(manifest.pieces()).await.map_err(|error| damaged(manifest, &error.to_string()))?;
    let seen = Seen(Arc::new(Mutex::new((Sha256::new(), 0))));
    let tapped = Tapped { inner: stored, seen: seen.clone() };
    let watch = Watch { context, seen: &seen, total: manifest.bytes, doing };
    let poured = match taker {
        None => drain(Box::pin(tapped), &watch).await,
        Some(taker) => {
            let sealed: Stream = Box::pin(tapped);
            let plain =
                if manifest.recipients.is_empty() { sealed } else { opened(manifest, sealed, key).await? };
            decompress(plain, taker, &watch).await
        }
    };
    let (bytes, sha256) = seen.so_far();
    match poured {
        Ok(()) if (bytes, sha256) == (manifest.bytes, manifest.sha256) => Ok(()),
        Ok(()) => {
            let why = format!(
                "{bytes} bytes lie there with the SHA-256 {sha256}; it had {} with {}",
                manifest.bytes, manifest.sha256
            );
            Err(damaged(manifest, &why))
        }
        Err(error) => Err(damaged(manifest, &error.to_string())),
    }
}

/// Reads all files of a backup in a directory, which it gives back. What is missing or changed is named.
pub(super) async fn whole(
    context: &StepContext,
    destination: &Destination,
    manifest: &Manifest,
    jobs: u32,
    doing: &str,
) -> Result<PathBuf, StepError> {
    let Destination::Directory(directory) = destination else {
        return Err(damaged(manifest, "it is of several files, which no backup in a bucket is"));
    };
    let directory = directory.join(&manifest.file);
    let read = |done| {
        context.reporter.progress(Progress {
            doing: doing.to_owned(),
            done,
            total: manifest.bytes,
            unit: ProgressUnit::Bytes,
            backfill: None,
        });
    };
    let differences = members::differences(&directory, &manifest.members, jobs, read).await;
    if differences.is_empty() {
        return Ok(directory);
    }
    let more = differences.len().saturating_sub(MOST_NAMED);
    let named = differences.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
    Err(damaged(manifest, &if more > 0 { format!("{named}; and {more} more") } else { named }))
}

/// The dump's own list of what is in it.
pub(super) async fn listed(
    programs: &Programs,
    destination: &Destination,
    manifest: &Manifest,
    key: Option<&FileKey>,
) -> Result<String, StepError> {
    let stored =
        destination.open(manifest.pieces()).await.map_err(|error| damaged(manifest, &error.to_string()))?;
    let plain: Stream =
        if manifest.recipients.is_empty() { stored } else { opened(manifest, stored, key).await? };
    let mut dump = ZstdDecoder::new(BufReader::with_capacity(CHUNK, plain));
    let listed = toc::head(programs, &mut dump).await;
    listed.map(|(_, list)| list).map_err(|error| damaged(manifest, &error.message))
}

/// What the backup's encryption says when it is not opened.
pub(super) fn sealed(manifest: &Manifest) -> StepError {
    let message = format!("the backup {} is encrypted to {}", manifest.id(), manifest.recipients.join(", "));
    StepError::new(ErrorClass::Setup, message).with_hint("name the file with its identity: --identity FILE")
}

async fn opened(manifest: &Manifest, stream: Stream, key: Option<&FileKey>) -> Result<Stream, StepError> {
    let key = key.ok_or_else(|| sealed(manifest))?;
    let plain = vault::decrypted(stream, key).await.map_err(|error| damaged(manifest, &error.to_string()))?;
    Ok(Box::pin(plain))
}

async fn decompress(plain: Stream, mut sink: ChildStdin, watch: &Watch<'_>) -> std::io::Result<()> {
    let mut decoder = ZstdDecoder::new(BufReader::with_capacity(CHUNK, plain));
    let mut buffer = vec![0; CHUNK];
    let mut takes = true;
    loop {
        let count = decoder.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        // One that reads no further has what it needs, or failed: its status says which. The rest is hashed all the same.
        takes = takes && sink.write_all(&buffer[..count]).await.is_ok();
        watch.tell();
    }
    drop(sink);
    drain(Box::pin(decoder.into_inner()), watch).await
}

async fn drain(mut rest: Stream, watch: &Watch<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while rest.read(&mut buffer).await? > 0 {
        watch.tell();
    }
    Ok(())
}

fn damaged(manifest: &Manifest, why: &str) -> StepError {
    let message = format!("the backup {} is not what it was: {why}", manifest.id());
    StepError::new(ErrorClass::Setup, message).with_hint(
        "use another one (`stopover backup list`), and look what happened to the place where it lies",
    )
}

impl Seen {
    fn so_far(&self) -> (u64, Digest) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.1, Digest::from_bytes(seen.0.clone().finalize().into()))
    }

    fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

struct Watch<'a> {
    context: &'a StepContext,
    seen: &'a Seen,
    total: u64,
    doing: &'a str,
}

impl Watch<'_> {
    fn tell(&self) {
        self.context.reporter.progress(Progress {
            doing: self.doing.to_owned(),
            done: self.seen.bytes(),
            total: self.total,
            unit: ProgressUnit::Bytes,
            backfill: None,
        });
    }
}

struct Tapped {
    inner: Stream,
    seen: Seen,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.inner.as_mut().poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0.update(new);
            seen.1 += new.len() as u64;
        }
        polled
    }
}
