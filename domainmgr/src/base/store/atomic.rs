//! Atomic writes: a reader sees the old file or the new one.
//!
//! [`write()`] and [`remove`] are for files that have to outlive a power cut. [`publish`] and [`withdraw`] are for files that
//! are there to be looked at, and that the next agent writes anew: a thousand statuses need no sync.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Prefix of the names of temporary files. The dot keeps readers of the directory away from these files.
const PREFIX: &str = ".";
const SUFFIX: &str = ".tmp";

/// Replaces `path` with a file of mode 0600 that holds `content`. The file is there after a power cut.
///
/// # Errors
/// From the file system. The old file is still there then.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let temp = temporary(path, content)?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    File::open(parent(path)?)?.sync_all()
}

/// Gives a whole file, `partial`, the name `path` in the same directory. The file is there after a power cut.
///
/// # Errors
/// From the file system.
pub fn keep(partial: &Path, path: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, path)?;
    File::open(parent(path)?)?.sync_all()
}

/// Replaces `path` with a file of mode 0600 that holds `content`. After a power cut the file may be empty, old or gone.
///
/// # Errors
/// From the file system. The old file is still there then.
pub fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    let temp = temporary(path, content)?;
    temp.persist(path).map(drop).map_err(|e| e.error)
}

/// Returns a temporary file next to `path` that holds `content`.
fn temporary(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut temp = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(parent(path)?)?;
    temp.write_all(content)?;
    Ok(temp)
}

/// Removes `path`, which may be gone already, with its directory. The file is gone after a power cut.
///
/// # Errors
/// From the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    withdraw(path)?;
    match File::open(parent(path)?) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        dir => dir?.sync_all(),
    }
}

/// Removes `path`, which may be gone already. After a power cut the file may be there again.
///
/// # Errors
/// From the file system.
pub fn withdraw(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes the temporary files from `dir` that [`write()`] and [`publish`] have left because an agent was killed.
///
/// The files may hold secrets. No other process may write to the directory meanwhile.
///
/// # Errors
/// From the file system.
pub fn tidy(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no directory"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write(&path, b"1").unwrap();
        write(&path, b"22").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"22");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for remove in [remove, withdraw] {
            publish(&path, b"333").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"333");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            remove(&path).unwrap();
            remove(&path).unwrap();
            remove(&dir.path().join("none/a.json")).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
