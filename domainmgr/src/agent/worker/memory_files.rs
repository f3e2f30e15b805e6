//! Files that the memory of a domain is written to: saved domains and core dumps.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::run::Run;
use crate::base::progress::Pace;
use crate::base::store;
use crate::toolstack::{DomainId, Error, ErrorKind, Limits};

impl Run<'_> {
    /// Saves the domain to the agent's own file, or to this one.
    pub(super) fn save(
        &mut self,
        id: DomainId,
        file: Option<&str>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let path = self.saved_path(file);
        self.make_room(id, &path, file.is_none())?;
        // Taken out, because the progress is published meanwhile.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.env.toolstack.session()?,
        };
        let mut pace = Pace::default();
        let mut report = |progress| {
            if let Some(progress) = pace.due(progress) {
                self.tell(progress);
            }
        };
        let saved = session.save(id, &path, &mut report, limits);
        self.session = Some(session);
        saved
    }

    /// Path of the file that the domain is saved in.
    pub(super) fn saved_path(&self, file: Option<&str>) -> PathBuf {
        file.map_or_else(|| self.env.dirs.saved_of(self.key), PathBuf::from)
    }

    /// Dumps the memory of the domain to the place where the dumps of crashed guests go, or to this file. An older dump stays
    /// until the new one is whole.
    pub(super) fn dump(
        &mut self,
        id: DomainId,
        file: Option<&str>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let own = || self.env.dirs.dump.join(self.key.to_string());
        let path = file.map_or_else(own, PathBuf::from);
        self.make_room(id, &path, file.is_none())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.part"));
        // One that an agent has left because it was killed.
        let _ = fs::remove_file(&partial);
        let dumped = self.session()?.core_dump(id, &partial, limits);
        let kept =
            dumped.and_then(|()| store::keep(&partial, &path).map_err(|e| failed(&path, &e)));
        if kept.is_err() {
            let _ = fs::remove_file(&partial);
        }
        kept
    }

    /// Makes sure that the memory of the domain can be written to `path`, before its guest is asked to suspend. The agent's own
    /// directories are made.
    fn make_room(&mut self, id: DomainId, path: &Path, own: bool) -> Result<(), Error> {
        let dir = path.parent().unwrap_or(path);
        if !own {
            self.not_the_agents(path, dir)?;
        }
        if own {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|e| failed(path, &e))?;
        }
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(failed(path, &"not a plain file"));
        }
        let found = self.session()?.info(id)?;
        let memory_kib = found.map_or(0, |domain| domain.memory_kib);
        let room = rustix::fs::statvfs(dir).map_err(|e| failed(path, &e))?;
        let free_kib = room.f_bavail.saturating_mul(room.f_frsize) / 1024;
        // Beside the memory, the file holds libxl's state of the devices and QEMU's own state.
        let needed_kib = memory_kib + memory_kib / 50 + (16 << 10);
        if free_kib < needed_kib {
            let (free, needed) = (free_kib / 1024, needed_kib / 1024);
            let why = format!("{free} MiB are free, and up to {needed} MiB are needed");
            return Err(failed(path, &why));
        }
        Ok(())
    }

    /// Makes sure that a file which somebody has named is not among those that the agent keeps for itself.
    fn not_the_agents(&self, path: &Path, dir: &Path) -> Result<(), Error> {
        let dirs = &self.env.dirs;
        let real = fs::canonicalize(dir).map_err(|e| failed(dir, &e))?;
        let ours = [&dirs.state, &dirs.run, &dirs.status, &dirs.config];
        let among = ours.into_iter().find(|own| {
            let own = fs::canonicalize(own).unwrap_or_else(|_| PathBuf::clone(own));
            real.starts_with(own)
        });
        match among {
            Some(own) => {
                let why = format!("{} is the agent's own: write it elsewhere", own.display());
                Err(failed(path, &why))
            }
            None => Ok(()),
        }
    }

    /// Removes the file that holds the memory of the saved domain.
    pub(super) fn discard_saved(&self) -> Result<(), Error> {
        let path = self.env.dirs.saved_of(self.key);
        store::remove(&path).map_err(|e| failed(&path, &e))
    }
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Other, format!("{}: {why}", path.display()))
}
