//! Locks that allow only one agent at a time for each directory.
//!
//! The lock belongs to the process, not to the open file: libxl forks processes that do not call `exec` and may outlive
//! the agent, and these must not keep the next one from starting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;

/// The reason why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another agent has the lock.
    #[error("another domainmgr (pid {pid}) is running with {}", path.display())]
    Taken {
        /// Process id of the other agent.
        pid: String,
        /// The file of the lock.
        path: PathBuf,
    },
    /// Another agent, with other directories of its own, looks after this one.
    #[error("another domainmgr (pid {pid}) looks after {}", dir.display())]
    Shared {
        /// Process id of the other agent.
        pid: String,
        /// The directory that both would look after.
        dir: PathBuf,
    },
    /// From the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Opens or creates the file at `path`, and locks it. Returns `None` if another process has the lock.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::ACCESS) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The lock that an agent holds as long as it runs. The kernel releases the lock however the agent ends.
#[derive(Debug)]
pub struct Lock {
    /// Closing this descriptor, or any other of the same file, releases the lock.
    _file: File,
    pid_file: PathBuf,
}

impl Lock {
    /// Takes `<run_dir>/domainmgr.lock` and writes `<run_dir>/domainmgr.pid`.
    ///
    /// # Errors
    /// Another agent has the lock, or the files cannot be written.
    pub fn take(run_dir: &Path) -> Result<Self, LockError> {
        let path = run_dir.join("domainmgr.lock");
        let pid_file = run_dir.join("domainmgr.pid");
        let io_error = |path: &Path, source: io::Error| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let Some(file) = lock(&path).map_err(|e| io_error(&path, e))? else {
            let pid = fs::read_to_string(&pid_file).unwrap_or_default();
            return Err(LockError::Taken {
                pid: pid.trim().to_owned(),
                path,
            });
        };
        if let Err(e) = fs::write(&pid_file, format!("{}\n", std::process::id())) {
            // The pid file is for people. A full file system must not keep the agent from starting.
            log::warn!("{}: {e}", pid_file.display());
        }
        Ok(Self {
            _file: file,
            pid_file,
        })
    }
}

/// Returns whether an agent has the lock of `run_dir`; `None` if that is unknown, such as where no agent ever ran.
#[must_use]
pub fn is_locked(run_dir: &Path) -> Option<bool> {
    let file = File::open(run_dir.join("domainmgr.lock")).ok()?;
    let asked = rustix::process::Flock::from(rustix::process::FlockType::WriteLock);
    let found = rustix::process::fcntl_getlk(&file, &asked).ok()?;
    Some(found.is_some())
}

/// Directory in which agents tell each other which directories they use. It is a separate one, as those may be read-only.
const TAKEN: &str = "/run/domainmgr.taken";

/// The exclusive right to use a directory that others write to, whatever its path.
#[derive(Debug)]
pub struct Claim {
    /// As in [`Lock`].
    _file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims `dir`, which has to exist. Returns `None` if agents on this host cannot tell each other.
    ///
    /// # Errors
    /// Another agent has claimed the directory.
    pub fn take(dir: &Path) -> Result<Option<Self>, LockError> {
        match Self::try_take(Path::new(TAKEN), dir) {
            Ok(claim) => Ok(Some(claim)),
            Err(e @ LockError::Shared { .. }) => Err(e),
            Err(e) => {
                log::debug!("{}: not claimed: {e}", dir.display());
                Ok(None)
            }
        }
    }

    fn try_take(taken: &Path, dir: &Path) -> Result<Self, LockError> {
        let failed = |source: io::Error| LockError::Io {
            path: taken.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(taken)
            .map_err(failed)?;
        let found = fs::metadata(dir).map_err(failed)?;
        let path = taken.join(format!("{}-{}", found.dev(), found.ino()));
        loop {
            let Some(mut file) = lock(&path).map_err(failed)? else {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                return Err(LockError::Shared {
                    pid: pid.trim().to_owned(),
                    dir: dir.to_owned(),
                });
            };
            // The previous owner may have removed the file in between.
            let there = fs::metadata(&path).map(|m| m.ino()).ok();
            let ours = file.metadata().map(|m| m.ino()).map_err(failed)?;
            if there == Some(ours) {
                // The pid is for people, and for the error message of an agent that is refused.
                let _ = file.set_len(0);
                let _ = writeln!(file, "{}", std::process::id());
                return Ok(Self { _file: file, path });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The file is removed while it is still locked.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only the lock counts: a pid file that stays behind can mislead people, but no agent.
        let _ = fs::remove_file(&self.pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether another process is refused the lock.
    fn is_held(dir: &Path) -> bool {
        let locked = std::process::Command::new("perl")
            .arg("-e")
            .arg(
                "use Fcntl; open(F, '+<', $ARGV[0]) or die; \
                 my $lock = pack('s s x4 l! l! i x4', F_WRLCK, 0, 0, 0, 0); \
                 exit(fcntl(F, F_SETLK, $lock) ? 0 : 1)",
            )
            .arg(dir.join("domainmgr.lock"))
            .status()
            .unwrap();
        assert!(matches!(locked.code(), Some(0 | 1)), "{locked}");
        !locked.success()
    }

    #[test]
    fn a_process_that_inherited_the_file_holds_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        assert!(is_held(dir.path()));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(lock._file.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(lock);
        let held = is_held(dir.path());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held, "the child keeps it");
    }

    #[test]
    fn a_directory_is_claimed_once_whatever_its_path() {
        let place = tempfile::tempdir().unwrap();
        let (taken, dir) = (place.path().join("taken"), place.path().join("dir"));
        fs::create_dir(&dir).unwrap();
        let claim = Claim::try_take(&taken, &dir).unwrap();
        let file = claim.path.clone();
        let said = fs::read_to_string(&file).unwrap();
        assert_eq!(said.trim(), std::process::id().to_string());
        drop(claim);
        assert!(!file.exists(), "nothing is left behind");
    }

    #[test]
    fn a_pid_file_that_cannot_be_written_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("domainmgr.pid")).unwrap();
        Lock::take(dir.path()).unwrap();
    }
}
