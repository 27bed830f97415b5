//! Files and directories as a backup needs them: gone for certain, or on the disk for certain.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How often a directory is emptied into which somebody may still write.
const TRIES: u32 = 10;

/// Removes a file or a directory. A program that was killed a moment ago may still write into that.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.is_dir() {
        return std::fs::remove_file(path);
    }
    let mut tried = 0;
    loop {
        tried += 1;
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tried < TRIES => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// Puts a directory's entries onto the disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
