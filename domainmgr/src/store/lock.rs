//! One agent at a time, for each of the directories that it looks after.
//!
//! The lock belongs to the process, not to the open file: libxl forks processes that do not call `exec` and may outlive
//! the agent, and these must not keep the next one from starting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
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
    /// Another agent, with other directories of its own, looks after this one.
    #[error("another domainmgr (pid {pid}) looks after {}", dir.display())]
    Shared {
        /// Which.
        pid: String,
        /// The directory that both would look after.
        dir: PathBuf,
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

/// Opens the file at `path`, which is made if it is not there, and locks it. `None` if another process has the lock.
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

/// Held as long as the agent runs. The kernel releases it however the agent ends.
#[derive(Debug)]
pub struct Lock {
    /// Closing it, or any other descriptor of the same file, releases the lock.
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
        let Some(file) = lock(&path).map_err(|e| io_error(&path, e))? else {
            let pid = fs::read_to_string(&pid_file).unwrap_or_default();
            return Err(LockError::Taken {
                pid: pid.trim().to_owned(),
                path,
            });
        };
        if let Err(e) = fs::write(&pid_file, format!("{}\n", std::process::id())) {
            // It is for people. A full file system must not keep the agent from starting.
            log::warn!("{}: {e}", pid_file.display());
        }
        Ok(Self {
            _file: file,
            pid_file,
        })
    }
}

/// Returns true if an agent has the lock of `run_dir`; `None` if that cannot be told, such as where none ever ran.
#[must_use]
pub fn is_locked(run_dir: &Path) -> Option<bool> {
    let file = File::open(run_dir.join("domainmgr.lock")).ok()?;
    let asked = rustix::process::Flock::from(rustix::process::FlockType::WriteLock);
    let found = rustix::process::fcntl_getlk(&file, &asked).ok()?;
    Some(found.is_some())
}

/// Where agents tell each other which directories they look after. What they look after may be read-only.
const TAKEN: &str = "/run/domainmgr.taken";

/// The right to look after a directory that others write to, whatever its path.
#[derive(Debug)]
pub struct Claim {
    /// As in [`Lock`].
    _file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims `dir`, which has to be there. `None`: on this host agents cannot tell each other.
    ///
    /// # Errors
    /// Another agent has claimed it.
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
            // The one that had it before may have removed the file in between.
            let there = fs::metadata(&path).map(|m| m.ino()).ok();
            let ours = file.metadata().map(|m| m.ino()).map_err(failed)?;
            if there == Some(ours) {
                // For people, and for the message of the one that is refused.
                let _ = file.set_len(0);
                let _ = writeln!(file, "{}", std::process::id());
                return Ok(Self { _file: file, path });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While it is locked still.
        let _ = fs::remove_file(&self.path);
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

    /// Whether another process is refused.
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
