//! The files that say, for people, what each domain was built from, and whose each of them is.
//!
//! The directory is read when the table is first needed. After that, no start and no removal reads the files of other
//! domains.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::base::dirs::Dirs;
use crate::base::store;

/// The files, and the key of the domain that each describes.
#[derive(Debug)]
pub struct Cfgs {
    dirs: Dirs,
    owners: Mutex<Owners>,
}

#[derive(Debug, Default)]
struct Owners {
    of: BTreeMap<PathBuf, Uuid>,
    /// The directory has been read: the files that an earlier agent has left are among these.
    complete: bool,
}

impl Cfgs {
    /// Returns the table of the files in the run directory. They are read when the table is first needed.
    #[must_use]
    pub fn new(dirs: &Dirs) -> Self {
        Self {
            dirs: dirs.clone(),
            owners: Mutex::default(),
        }
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the table. A directory that cannot be read is read again at the next call.
    fn all(&self) -> Result<MutexGuard<'_, Owners>, String> {
        if !self.owners().complete {
            let dir = self.dirs.cfgs();
            let names = store::list(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
            let paths = names.into_iter().map(|name| dir.join(name));
            let found: Vec<_> = paths
                .filter_map(|p| owner(&p).map(|key| (p, key)))
                .collect();
            let mut owners = self.owners();
            for (path, key) in found {
                // The table is right about files that this agent has written meanwhile.
                owners.of.entry(path).or_insert(key);
            }
            owners.complete = true;
        }
        Ok(self.owners())
    }

    /// Returns the file for the domain of `key`, which nobody else has from now on, and the key that has the usual file of its
    /// `app_num`. App numbers should differ between domains, and files must.
    pub fn claim(&self, key: Uuid, app_num: u32) -> (PathBuf, Option<Uuid>) {
        let usual = self.dirs.cfg_of(app_num);
        // The directory may be unreadable, and what this agent has written is known all the same.
        let mut owners = self.all().unwrap_or_else(|_| self.owners());
        let other = owners.of.get(&usual).copied().filter(|other| *other != key);
        let path = if other.is_some() {
            self.dirs.cfgs().join(format!("xen{app_num}-{key}.cfg"))
        } else {
            usual
        };
        owners.of.insert(path.clone(), key);
        (path, other)
    }

    /// Returns the file for the domain of `key` that is built from a file of xl's.
    pub fn claim_given(&self, key: Uuid) -> PathBuf {
        let path = self.dirs.cfgs().join(format!("{key}.json"));
        self.owners().of.insert(path.clone(), key);
        path
    }

    /// Removes the files of `key` but for `current`, whatever app number they have. A file may hold a password.
    ///
    /// # Errors
    /// The directory cannot be read, or a file cannot be removed. The next call tries again.
    pub fn remove_but(&self, key: Uuid, current: Option<&Path>) -> Result<(), String> {
        let of_key = |(path, owner): (&PathBuf, &Uuid)| {
            (*owner == key && Some(path.as_path()) != current).then(|| path.clone())
        };
        let paths: Vec<PathBuf> = self.all()?.of.iter().filter_map(of_key).collect();
        let mut result = Ok(());
        for path in paths {
            match store::remove(&path) {
                Ok(()) => drop(self.owners().of.remove(&path)),
                Err(e) => result = result.and(Err(format!("{}: {e}", path.display()))),
            }
        }
        result
    }
}

/// Returns the key of the domain that a file describes.
fn owner(path: &Path) -> Option<Uuid> {
    let text = store::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let uuid = text.lines().find_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("uuid = \"")
            .or_else(|| line.strip_prefix("\"uuid\": \""))
    })?;
    uuid.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    fn put(path: &Path, key: Uuid) {
        fs::write(path, format!("name = \"x\"\nuuid = \"{key}\"\n")).unwrap();
    }

    #[test]
    fn files_of_an_earlier_agent_are_known_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        fs::create_dir_all(dirs.cfgs()).unwrap();
        put(&dirs.cfg_of(1), A);
        put(&dirs.cfg_of(2), A);
        let given = dirs.cfgs().join("given.json");
        fs::write(&given, format!("{{\n  \"uuid\": \"{A}\"\n}}")).unwrap();
        put(&dirs.cfg_of(3), B);
        let cfgs = Cfgs::new(&dirs);
        let (path, other) = cfgs.claim(B, 1);
        assert_eq!(path, dirs.cfgs().join(format!("xen1-{B}.cfg")));
        assert_eq!(other, Some(A));
        assert_eq!(cfgs.claim(A, 1), (dirs.cfg_of(1), None));
        cfgs.remove_but(A, Some(&dirs.cfg_of(1))).unwrap();
        assert_eq!(store::list(&dirs.cfgs()).unwrap(), ["xen1.cfg", "xen3.cfg"]);
        cfgs.remove_but(A, None).unwrap();
        assert_eq!(store::list(&dirs.cfgs()).unwrap(), ["xen3.cfg"]);
        // The number is free again.
        assert_eq!(cfgs.claim(B, 1), (dirs.cfg_of(1), None));
    }

    #[test]
    fn two_who_want_one_number_at_once_get_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        fs::create_dir_all(dirs.cfgs()).unwrap();
        let cfgs = Cfgs::new(&dirs);
        // Neither has written yet.
        assert_ne!(cfgs.claim(A, 1).0, cfgs.claim(B, 1).0);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        let cfgs = Cfgs::new(&dirs);
        let why = cfgs.remove_but(A, None).unwrap_err();
        assert!(why.contains("run") || why.contains("xen"), "{why}");
        assert_eq!(cfgs.claim(A, 1), (dirs.cfg_of(1), None));
        fs::create_dir_all(dirs.cfgs()).unwrap();
        put(&dirs.cfg_of(1), B);
        put(&dirs.cfg_of(2), A);
        cfgs.remove_but(A, Some(&dirs.cfg_of(1))).unwrap();
        assert_eq!(store::list(&dirs.cfgs()).unwrap(), ["xen1.cfg"]);
    }

    #[test]
    fn a_file_that_cannot_be_removed_stays_known() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(dir.path());
        fs::create_dir_all(dirs.cfgs()).unwrap();
        let cfgs = Cfgs::new(&dirs);
        let (path, _) = cfgs.claim(A, 1);
        // A directory in its place.
        fs::create_dir(&path).unwrap();
        let why = cfgs.remove_but(A, None).unwrap_err();
        assert!(why.starts_with(path.to_str().unwrap()), "{why}");
        fs::remove_dir(&path).unwrap();
        put(&path, A);
        cfgs.remove_but(A, None).unwrap();
        assert!(!path.exists());
    }
}
