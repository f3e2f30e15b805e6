//! The locks that Xen's scripts take: files with fixed names.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Failure, Names};

const DIR: &str = "/var/run/xen-hotplug";

/// A lock that is held. It is released when it is dropped, or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for the lock of this name, and takes it.
    pub(crate) fn claim(name: &str) -> Result<Self, Failure> {
        Self::claim_in(Path::new(DIR), name).names(format!("{DIR}/{name}"))
    }

    fn claim_in(dir: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(name);
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            // Whoever had the lock before has removed the file. The lock counts only if the file still has its name.
            let ours = file.metadata()?;
            let named = match fs::metadata(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                named => named?,
            };
            if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only the holder may remove the file, and does so before the lock ends.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_at_a_time_has_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::claim_in(dir.path(), "block").unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!dir.path().join("block").exists());
    }

    #[test]
    fn a_script_that_holds_the_lock_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("block"), dir.path().join("out"));
        let script = format!(
            "exec 9<>{0}; flock -x 9; echo held >{1}; sleep 0.3; echo released >>{1}; rm {0}",
            path.display(),
            out.display()
        );
        let mut holder = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        while !out.exists() {
            std::thread::yield_now();
        }
        drop(Lock::claim_in(dir.path(), "block").unwrap());
        assert!(fs::read_to_string(&out).unwrap().ends_with("released\n"));
        assert!(holder.wait().unwrap().success());
    }
}
