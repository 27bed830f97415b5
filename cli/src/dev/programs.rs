//! Finds the server and the agent: beside this program, else in PATH.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

#[derive(Debug)]
pub(super) struct Programs {
    pub(super) server: PathBuf,
    pub(super) agent: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self, Failure> {
        let here = std::env::current_exe().ok();
        let beside = here.as_deref().and_then(Path::parent).map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories: Vec<PathBuf> = beside.into_iter().chain(std::env::split_paths(&path)).collect();
        Self::find_in(&directories)
    }

    fn find_in(directories: &[PathBuf]) -> Result<Self, Failure> {
        let find = |name: &str| {
            directories.iter().map(|d| d.join(name)).find(|path| is_program(path)).ok_or_else(|| {
                Failure::failed(format!("{name} is neither beside stopover nor in PATH"))
                    .with_hint("build all three: cargo build --workspace --bins, or install them together")
            })
        };
        Ok(Self { server: find("stopover-server")?, agent: find("stopover-agent")? })
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;

    #[test]
    fn the_first_directory_wins_and_a_missing_program_is_named() {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = [near.path().to_owned(), far.path().to_owned()];
        let place = |directory: &tempfile::TempDir, name: &str, mode| {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        place(&far, "stopover-server", 0o755);
        place(&near, "stopover-agent", 0o644);
        let failure = Programs::find_in(&directories).unwrap_err();
        assert!(
            text(&failure.lines()).contains("stopover-agent is neither"),
            "one that can't be run is none"
        );
        place(&far, "stopover-agent", 0o755);
        place(&near, "stopover-server", 0o755);
        let found = Programs::find_in(&directories).unwrap();
        assert_eq!(found.server, near.path().join("stopover-server"));
        assert_eq!(found.agent, far.path().join("stopover-agent"));
    }
}
