//! A dump on its way to where it stays, with no copy of it in between: to whoever checks it, through zstd, through age where it
//! is encrypted, into a file or a bucket. Memory is bounded whatever its size: everybody waits for the slowest.
//!
//! ```text
//! pg_dump ─┬─► zstd ─► age ─► a file, or the parts of an object
//!          └─► pg_restore, which sees what nobody else can read any more
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use stopover_model::digest::Digest;
use stopover_model::report::StepError;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::process::ChildStdin;

use super::archive::{self, ArchiveError};
use crate::vault::{self, Claim, Recipients, UploadError};

/// Between two stations.
const PIPE: usize = 1024 * 1024;
const CHUNK: usize = 128 * 1024;

/// Where the stream ends.
pub(super) enum End<'a> {
    File { file: &'a mut File, directory: &'a Path },
    Object { claim: &'a mut Claim, name: &'a str },
}

/// What has got there.
#[derive(Debug)]
pub(super) struct Streamed {
    /// The objects' names; none of a file.
    pub(super) pieces: Vec<String>,
    pub(super) bytes: u64,
    pub(super) sha256: Digest,
    /// Of a bucket's object: its beginning.
    pub(super) beginning: Vec<u8>,
    /// Before compression.
    pub(super) dump_bytes: u64,
}

/// Why it did not get there.
#[derive(Debug)]
pub(super) enum StreamError {
    Archive(ArchiveError),
    Step(StepError),
}

/// Brings all of the dump there. `check` gets it as well, for as long as it reads.
pub(super) async fn run(
    dump: impl AsyncRead + Unpin,
    check: Option<ChildStdin>,
    recipients: &Recipients,
    end: End<'_>,
    read: &AtomicU64,
) -> Result<Streamed, StreamError> {
    let (plain_in, plain_out) = tokio::io::duplex(PIPE);
    let packed = archive::compressed(plain_out);
    let pump = pump(dump, check, plain_in, read);
    let (dump_bytes, mut streamed) = if recipients.is_empty() {
        tokio::try_join!(pump, keep(packed, end))?
    } else {
        let (sealed_in, sealed_out) = tokio::io::duplex(PIPE);
        let seal = async {
            let sealed = vault::encrypt(recipients, packed, sealed_in).await;
            sealed.map_err(|error| StreamError::Archive(ArchiveError::Read(error)))
        };
        let (dump_bytes, (), streamed) = tokio::try_join!(pump, seal, keep(sealed_out, end))?;
        (dump_bytes, streamed)
    };
    streamed.dump_bytes = dump_bytes;
    Ok(streamed)
}

/// Hands the dump on to both. Only its own end closes the pipe in order: what stands behind must not take a failure for it.
async fn pump(
    mut dump: impl AsyncRead + Unpin,
    mut check: Option<ChildStdin>,
    mut pipe: DuplexStream,
    read: &AtomicU64,
) -> Result<u64, StreamError> {
    let failed = |error| StreamError::Archive(ArchiveError::Read(error));
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let count = dump.read(&mut buffer).await.map_err(failed)?;
        if count == 0 {
            pipe.shutdown().await.map_err(failed)?;
            return Ok(bytes);
        }
        bytes += count as u64;
        read.store(bytes, Ordering::Relaxed);
        pipe.write_all(&buffer[..count]).await.map_err(failed)?;
        if let Some(input) = &mut check
            && input.write_all(&buffer[..count]).await.is_err()
        {
            // It has read what it needs, or failed: its status says which.
            check = None;
        }
    }
}

async fn keep(stream: impl AsyncRead + Unpin, end: End<'_>) -> Result<Streamed, StreamError> {
    match end {
        End::File { file, directory } => {
            let (bytes, sha256) =
                archive::store(stream, file, directory).await.map_err(StreamError::Archive)?;
            Ok(Streamed { pieces: Vec::new(), bytes, sha256, beginning: Vec::new(), dump_bytes: 0 })
        }
        End::Object { claim, name } => {
            let sent = AtomicU64::new(0);
            let stored = claim.upload(name, stream, &sent).await.map_err(|error| match error {
                UploadError::Read(error) => StreamError::Archive(ArchiveError::Read(error)),
                UploadError::Vault(error) => StreamError::Step(error.into()),
            })?;
            let (pieces, bytes, sha256) = (stored.pieces, stored.bytes, stored.sha256);
            Ok(Streamed { pieces, bytes, sha256, beginning: stored.beginning, dump_bytes: 0 })
        }
    }
}
