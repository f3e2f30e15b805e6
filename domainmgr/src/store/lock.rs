//! One agent at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;

/// Why the lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another domainmgr (pid {pid}) is running with {}", path.display())]
    Taken {
        /// Which.
        pid: String,
        /// The lock.
        path: PathBuf,
    },
    /// From the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// Held as long as the agent runs. The kernel releases it however the agent ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    pid_file: PathBuf,
}

impl Lock {
    /// Takes `<run_dir>/domainmgr.lock` and writes `<run_dir>/domainmgr.pid`.
    ///
    /// # Errors
    /// Another agent has it, or the files cannot be written.
    pub fn take(run_dir: &Path) -> Result<Self, LockError> {
        let path = run_dir.join("domainmgr.lock");
        let pid_file = run_dir.join("domainmgr.pid");
        let io_error = |path: &Path, source: io::Error| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io_error(&path, e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = fs::read_to_string(&pid_file).unwrap_or_default();
                return Err(LockError::Taken {
                    pid: pid.trim().to_owned(),
                    path,
                });
            }
            Err(e) => return Err(io_error(&path, e.into())),
        }
        fs::write(&pid_file, format!("{}\n", std::process::id()))
            .map_err(|e| io_error(&pid_file, e))?;
        Ok(Self {
            _file: file,
            pid_file,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock is what counts; a pid file that stays behind misleads nobody but people.
        let _ = fs::remove_file(&self.pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        Lock::take(dir.path()).unwrap();
    }
}
