//! A dump's bytes on their way to the disk: compressed, hashed as they lie there, and stopped before the disk is full.

use std::io;
use std::path::Path;

use async_compression::Level;
use async_compression::tokio::bufread::{ZstdDecoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use sha2::{Digest as _, Sha256};
use stopover_model::digest::Digest;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};

use super::space;

/// Fast enough not to slow `pg_dump` down, and about as small as its own slow gzip.
const LEVEL: Level = Level::Precise(3);
const BUFFER: usize = 256 * 1024;
/// How often the free space is looked at.
const LOOK_EVERY: u64 = 16 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// In the file.
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
    /// Before compression.
    pub(crate) dump_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("could not read the dump")]
    Read(#[source] io::Error),
    #[error("could not write the backup")]
    Write(#[source] io::Error),
    #[error("no space is left")]
    NoSpace,
}

impl ArchiveError {
    fn write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Write(error),
        }
    }
}

/// Compresses the dump into the file, which lies in `directory`, and puts it onto the disk.
pub(crate) async fn write(
    dump: impl AsyncRead + Unpin,
    file: &mut File,
    directory: &Path,
    mut read: impl FnMut(u64) + Unpin,
) -> Result<Written, ArchiveError> {
    let counted = Counted { inner: dump, bytes: 0, each: &mut read };
    let mut compressed = compressed(counted);
    let (bytes, sha256) = store(&mut compressed, file, directory).await?;
    let dump_bytes = compressed.get_ref().get_ref().bytes;
    Ok(Written { bytes, sha256, dump_bytes })
}

/// The stream, compressed.
pub(crate) fn compressed<R: AsyncRead>(stream: R) -> ZstdEncoder<BufReader<R>> {
    let reader = BufReader::with_capacity(BUFFER, stream);
    // The frame's own checksum lets any zstd find a flipped bit later.
    ZstdEncoder::with_quality_and_params(reader, LEVEL, &[CParameter::checksum_flag(true)])
}

/// Writes the stream into the file, which lies in `directory`, and puts it onto the disk.
pub(crate) async fn store(
    mut compressed: impl AsyncRead + Unpin,
    file: &mut File,
    directory: &Path,
) -> Result<(u64, Digest), ArchiveError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let (mut bytes, mut look_at) = (0_u64, LOOK_EVERY);
    loop {
        let count = compressed.read(&mut buffer).await.map_err(ArchiveError::Read)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count]).await.map_err(ArchiveError::write)?;
        bytes += count as u64;
        if bytes >= look_at {
            look_at = bytes + LOOK_EVERY;
            if space::free(directory).is_ok_and(|free| free < space::RESERVE) {
                return Err(ArchiveError::NoSpace);
            }
        }
    }
    file.flush().await.map_err(ArchiveError::write)?;
    file.sync_all().await.map_err(ArchiveError::write)?;
    Ok((bytes, Digest::from_bytes(hash.finalize().into())))
}

/// Length and hash of a stream.
pub(crate) async fn measured(mut stream: impl AsyncRead + Unpin) -> io::Result<(u64, Digest)> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let hashing = &mut Hashed { inner: &mut stream, hash: &mut hash, bytes: &mut bytes };
    tokio::io::copy_buf(&mut BufReader::with_capacity(BUFFER, hashing), &mut tokio::io::sink()).await?;
    Ok((bytes, Digest::from_bytes(hash.finalize().into())))
}

/// Copies the file's bytes, decompressed, into `sink`, and gives back the length and hash of what was read from the
/// disk. All of the file is read even when the archive inside ends earlier.
pub(crate) async fn read_back(
    path: &Path,
    sink: &mut (impl AsyncWrite + Unpin),
) -> Result<(u64, Digest), ArchiveError> {
    let mut file = File::open(path).await.map_err(ArchiveError::Read)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    {
        let hashing = Hashed { inner: &mut file, hash: &mut hash, bytes: &mut bytes };
        let mut decoder = ZstdDecoder::new(BufReader::with_capacity(BUFFER, hashing));
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = decoder.read(&mut buffer).await.map_err(ArchiveError::Read)?;
            if count == 0 {
                break;
            }
            sink.write_all(&buffer[..count]).await.map_err(ArchiveError::Write)?;
        }
        tokio::io::copy(decoder.get_mut(), &mut tokio::io::sink()).await.map_err(ArchiveError::Read)?;
    }
    sink.shutdown().await.map_err(ArchiveError::Write)?;
    Ok((bytes, Digest::from_bytes(hash.finalize().into())))
}

/// Length and hash of a file as it lies on the disk.
pub(crate) async fn measure(path: &Path) -> io::Result<(u64, Digest)> {
    measured(File::open(path).await?).await
}

struct Counted<'a, R, F> {
    inner: R,
    bytes: u64,
    each: &'a mut F,
}

impl<R: AsyncRead + Unpin, F: FnMut(u64) + Unpin> AsyncRead for Counted<'_, R, F> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = std::pin::Pin::new(&mut this.inner).poll_read(cx, buf);
        let count = (buf.filled().len() - before) as u64;
        if count > 0 {
            this.bytes += count;
            (this.each)(this.bytes);
        }
        polled
    }
}

struct Hashed<'a, R> {
    inner: R,
    hash: &'a mut Sha256,
    bytes: &'a mut u64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Hashed<'_, R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = std::pin::Pin::new(&mut this.inner).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        this.hash.update(new);
        *this.bytes += new.len() as u64;
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(dump: &[u8], directory: &Path) -> (std::path::PathBuf, Written) {
        let path = directory.join("a.dump.zst");
        let mut file = File::create(&path).await.unwrap();
        let written = write(dump, &mut file, directory, |_| {}).await.unwrap();
        (path, written)
    }

    #[tokio::test]
    async fn what_was_written_reads_back_with_the_same_hash() {
        let directory = tempfile::tempdir().unwrap();
        let dump: Vec<u8> = (0..3_000_000_u32).flat_map(|i| (i % 251).to_le_bytes()).collect();
        let (path, written) = written(&dump, directory.path()).await;
        assert_eq!(written.dump_bytes, dump.len() as u64);
        assert!(written.bytes < written.dump_bytes / 2);
        let mut back = Vec::new();
        assert_eq!(read_back(&path, &mut back).await.unwrap(), (written.bytes, written.sha256));
        assert_eq!(back, dump);
        assert_eq!(measure(&path).await.unwrap(), (written.bytes, written.sha256));
    }

    #[tokio::test]
    async fn a_full_disk_is_told_from_other_errors() {
        let mut file = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        let full = write(&[7_u8; 1_000][..], &mut file, Path::new("/tmp"), |_| {}).await.unwrap_err();
        assert!(matches!(full, ArchiveError::NoSpace), "{full:?}");
        let mut file = tokio::fs::OpenOptions::new().read(true).open("/dev/null").await.unwrap();
        let other = write(&[7_u8; 1_000][..], &mut file, Path::new("/tmp"), |_| {}).await.unwrap_err();
        assert!(matches!(other, ArchiveError::Write(_)), "{other:?}");
    }

    #[tokio::test]
    async fn a_flipped_bit_a_cut_and_an_addition_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let dump: Vec<u8> =
            (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let (path, written) = written(&dump, directory.path()).await;
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        let added = [&good[..], b"more"].concat();
        for (bad, what) in
            [(&flipped[..], "flipped"), (&good[..good.len() - 9], "cut"), (&added[..], "added")]
        {
            std::fs::write(&path, bad).unwrap();
            let found = match read_back(&path, &mut tokio::io::sink()).await {
                Err(_) => true,
                Ok(found) => found != (written.bytes, written.sha256),
            };
            assert!(found, "{what}");
        }
    }
}
