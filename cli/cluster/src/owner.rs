//! Who runs the server, and where that user can reach. PostgreSQL refuses to run as root, so root hands it to another.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ClusterError;

/// Unix socket addresses hold 107 bytes; what `initdb`'s directory and the socket's own name add comes on top.
const LONGEST_BASE: usize = 50;

/// The user that PostgreSQL runs as, where it is not ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// `None` where we are an ordinary user and run the server ourselves.
    pub(crate) fn needed() -> Result<Option<Self>, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let file = Path::new("/etc/passwd");
        let passwd = std::fs::read_to_string(file).map_err(ClusterError::file("read", file))?;
        let user = Self::named(&passwd, "postgres").or_else(|| Self::named(&passwd, "nobody"));
        user.map(Some).ok_or(ClusterError::NoServerUser)
    }

    fn named(passwd: &str, name: &str) -> Option<Self> {
        let mut fields = passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
            let found = fields.next() == Some(name);
            found.then_some(fields)
        })?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { uid, gid })
    }

    fn may_enter(self, directory: &Path) -> bool {
        directory.ancestors().all(|ancestor| {
            std::fs::metadata(ancestor).is_ok_and(|found| {
                let class = if found.uid() == self.uid {
                    0o100
                } else if found.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                found.mode() & class != 0
            })
        })
    }
}

/// Gives a file or directory to the server's user.
pub(crate) fn hand_over(user: Option<ServerUser>, path: &Path) -> Result<(), ClusterError> {
    user.map_or(Ok(()), |user| {
        chown(path, Some(user.uid), Some(user.gid)).map_err(ClusterError::file("change the owner of", path))
    })
}

/// A command that will run as the server's user, apart from our terminal's Ctrl-C and from our environment.
pub(crate) fn command(user: Option<ServerUser>, program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin")
        // A benchmark's library that slows flushes down must reach the server above all.
        .envs(std::env::var_os("LD_PRELOAD").map(|library| ("LD_PRELOAD", library)))
        .current_dir(directory)
        .process_group(0);
    if let Some(user) = user {
        // Setting the uid also drops root's supplementary groups.
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// The first temporary directory that the server's user can enter: TMPDIR may well be private to root.
pub(crate) fn base_directory(user: Option<ServerUser>) -> Result<PathBuf, ClusterError> {
    let candidates = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
    candidates
        .iter()
        .filter_map(|candidate| candidate.canonicalize().ok())
        .find(|path| fits(user, path))
        .ok_or_else(|| ClusterError::NoDirectory {
            tried: candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        })
}

fn fits(user: Option<ServerUser>, path: &Path) -> bool {
    let writable =
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    writable && path.as_os_str().len() <= LONGEST_BASE && user.is_none_or(|user| user.may_enter(path))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/sh\n\
                          nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

    #[test]
    fn the_user_is_read_from_passwd() {
        assert_eq!(ServerUser::named(PASSWD, "postgres"), Some(ServerUser { uid: 101, gid: 104 }));
        assert_eq!(ServerUser::named(PASSWD, "post"), None);
    }

    #[test]
    fn a_directory_below_a_private_one_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let inner = parent.path().join("open");
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(&inner, Permissions::from_mode(0o777)).unwrap();
        let stranger = ServerUser { uid: 64_999, gid: 64_999 };
        std::fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!fits(Some(stranger), &inner));
        std::fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(fits(Some(stranger), &inner));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(LONGEST_BASE));
        std::fs::create_dir(&long).unwrap();
        assert!(!fits(None, &long));
    }
}
