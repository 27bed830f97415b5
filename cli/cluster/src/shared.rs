//! One cluster for all test processes of a run. The first comes, starts it and leaves its address; the others join.
//!
//! Everything happens in a meeting directory: `lock` orders the comers, `current` holds the address (directory, port,
//! password). Each user holds a shared lock on the file `users` of the cluster; the guard ends the cluster, and removes
//! the meeting directory, when nobody has held one for a while.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::binaries::Programs;
use crate::guard::Guard;
use crate::owner::{self, ServerUser};
use crate::{Cluster, ClusterBuilder, ClusterError};

const GRACE: Duration = Duration::from_secs(5);
/// Clusters of another making are not joined: count up when the settings below change.
const MAKING: u32 = 1;

pub(crate) async fn join() -> Result<Cluster, ClusterError> {
    let base = owner::base_directory(ServerUser::needed()?)?;
    let uid = rustix::process::geteuid().as_raw();
    // Whoever puts another PostgreSQL on PATH wants that one.
    let mut programs = DefaultHasher::new();
    Programs::find()?.hash(&mut programs);
    let of = programs.finish();
    join_at(&base.join(format!("stopover-shared-{uid}-{MAKING}-{of:016x}")), GRACE).await
}

pub(crate) async fn join_at(meeting: &Path, grace: Duration) -> Result<Cluster, ClusterError> {
    let place = meeting.to_owned();
    let waiting = tokio::task::spawn_blocking(move || enter(&place));
    let _lock = waiting.await.map_err(|error| ClusterError::File {
        action: "wait for the lock in",
        path: meeting.to_owned(),
        source: io::Error::other(error),
    })??;
    match current(meeting) {
        Some(cluster) => Ok(cluster),
        None => start(meeting, grace).await,
    }
}

/// Takes the meeting directory's lock, making the directory where it is not there.
fn enter(meeting: &Path) -> Result<File, ClusterError> {
    let failed = |action| ClusterError::file(action, meeting);
    loop {
        match DirBuilder::new().mode(0o700).create(meeting) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make")(error)),
            _ => {}
        }
        check_owner(meeting)?;
        let path = meeting.join("lock");
        let file = match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(file) => file,
            // A guard has removed the directory just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("lock")(error)),
        };
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed("lock")(errno.into()))?;
        let ours = file.metadata().map_err(failed("lock"))?.ino();
        if fs::metadata(&path).is_ok_and(|found| found.ino() == ours) {
            return Ok(file);
        }
    }
}

/// The name is known to everybody on the machine: what somebody else put there is not trusted.
fn check_owner(meeting: &Path) -> Result<(), ClusterError> {
    let found = match fs::symlink_metadata(meeting) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(ClusterError::file("look at", meeting))?,
    };
    // No bits for the group and for others.
    if found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode().trailing_zeros() >= 6
    {
        return Ok(());
    }
    let why = io::Error::other("it is not a private directory of ours; remove it");
    Err(ClusterError::file("meet other tests in", meeting)(why))
}

/// The cluster whose address lies there, where it still answers.
fn current(meeting: &Path) -> Option<Cluster> {
    let text = fs::read_to_string(meeting.join("current")).ok()?;
    let mut lines = text.lines();
    let root = PathBuf::from(lines.next()?);
    let port = lines.next()?.parse().ok()?;
    let password = lines.next()?.to_owned();
    let users = hold(&root, OpenOptions::new().append(true)).ok()?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    let cluster = Cluster::joined(root, port, password, users);
    cluster.pid().is_some().then_some(cluster)
}

async fn start(meeting: &Path, grace: Duration) -> Result<Cluster, ClusterError> {
    let builder = ClusterBuilder::new().name("shared").setting("max_connections", "300");
    let builder = builder.setting("shared_buffers", "64MB");
    let launch = builder.prepare()?;
    let users = hold(&launch.root, OpenOptions::new().create(true).append(true).mode(0o600))?;
    Guard::post_shared(&launch.root, meeting, grace)?;
    let running = builder.run(&launch).await?;
    let path = meeting.join("current");
    let address = format!("{}\n{}\n{}\n", launch.root.display(), running.port, running.password);
    fs::write(&path, address).map_err(ClusterError::file("write", &path))?;
    Ok(Cluster::joined(launch.root, running.port, running.password, users))
}

/// As long as the file is open, the guard lets the cluster live.
fn hold(root: &Path, options: &OpenOptions) -> Result<File, ClusterError> {
    let path = root.join("users");
    let users = options.open(&path).map_err(ClusterError::file("open", &path))?;
    flock(&users, FlockOperation::LockShared)
        .map_err(|errno| ClusterError::file("lock", &path)(errno.into()))?;
    Ok(users)
}

#[cfg(test)]
mod tests;
