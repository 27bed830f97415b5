//! The files that a backup in a directory is of, each with its length and hash: what is missing or changed has a name.

use std::io;
use std::path::Path;

use async_compression::tokio::bufread::GzipDecoder;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use stopover_model::digest::{Digest, Digester};
use tokio::io::BufReader;
use tokio_util::task::AbortOnDropHandle;

use super::archive;
use crate::vault::regular_file;

const PACKED: &str = ".gz";
const CHUNK: usize = 256 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
}

impl Member {
    /// Whether it is the name of a file right in the directory. Somebody else may have written it.
    pub(crate) fn is_plain(&self) -> bool {
        !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(['/', '\\', '\0'])
    }
}

/// All that lies in the directory, by name, read by so many at a time.
pub(super) async fn measured(directory: &Path, jobs: u32) -> io::Result<Vec<Member>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().into_string();
        names.push(name.map_err(|name| io::Error::other(format!("{} is no name", name.display())))?);
    }
    names.sort();
    let member = |name: String| async move {
        let (bytes, sha256) = measure(directory, &name).await?;
        Ok(Member { name, bytes, sha256 })
    };
    futures::stream::iter(names).map(member).buffered(at_once(jobs)).try_collect().await
}

/// What of it is not as it was: one line for each file. `read` gets how many bytes were read.
pub(super) async fn differences(
    directory: &Path,
    members: &[Member],
    jobs: u32,
    read: impl Fn(u64),
) -> Vec<String> {
    match std::fs::symlink_metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return vec!["it is no directory any more".to_owned()],
        Err(error) => return vec![error.to_string()],
    }
    let look = |member: Member| async move { (measure(directory, &member.name).await, member) };
    let mut found = futures::stream::iter(members.to_vec()).map(look).buffered(at_once(jobs));
    let (mut differences, mut bytes) = (Vec::new(), 0);
    while let Some((found, Member { name, bytes: had, sha256 })) = found.next().await {
        bytes += had;
        read(bytes);
        match found {
            Ok(found) if found == (had, sha256) => {}
            Ok((has, _)) if has != had => differences.push(format!("{name} has {has} bytes, and had {had}")),
            Ok(_) => differences.push(format!("{name} has other content than it had")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                differences.push(format!("{name} is missing"));
            }
            Err(error) => differences.push(format!("{name} can't be read: {error}")),
        }
    }
    differences
}

/// Unpacks the packed ones, each with its checksum to the end: `pg_restore` takes what does not look packed as it is.
pub(super) async fn unpack(directory: &Path, members: &[Member], jobs: u32) -> io::Result<()> {
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let packed = names.into_iter().filter(|name| name.ends_with(PACKED));
    let unpack = |name: String| async move {
        let file = regular_file(&directory.join(&name))?;
        let file = BufReader::with_capacity(CHUNK, tokio::fs::File::from_std(file));
        let mut plain = BufReader::with_capacity(CHUNK, GzipDecoder::new(file));
        let unpacking =
            tokio::spawn(async move { tokio::io::copy_buf(&mut plain, &mut tokio::io::sink()).await });
        let unpacked = AbortOnDropHandle::new(unpacking).await.map_err(io::Error::other)?;
        unpacked.map(drop).map_err(|error| io::Error::other(format!("{name}: {error}")))
    };
    futures::stream::iter(packed).map(unpack).buffered(at_once(jobs)).try_collect().await
}

/// Length and hash of all of them together.
pub(super) fn total(members: &[Member]) -> (u64, Digest) {
    let mut digester = Digester::new("stopover backup members");
    for member in members {
        digester.part("name", member.name.as_bytes()).part("sha256", member.sha256.as_bytes());
    }
    (members.iter().map(|member| member.bytes).sum(), digester.finish())
}

/// How many bytes lie there by now.
pub(super) fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|found| found.len()).sum()
}

/// By a task of its own: hashing keeps a processor busy.
async fn measure(directory: &Path, name: &str) -> io::Result<(u64, Digest)> {
    let file = regular_file(&directory.join(name))?;
    let measuring = tokio::spawn(archive::measured(tokio::fs::File::from_std(file)));
    AbortOnDropHandle::new(measuring).await.map_err(io::Error::other)?
}

fn at_once(jobs: u32) -> usize {
    usize::try_from(jobs).unwrap_or(1).max(1)
}
