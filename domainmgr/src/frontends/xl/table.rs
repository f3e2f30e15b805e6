//! The directory of xl's files: the files that are there, and their domains.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::file::{self, key_of_file};
use crate::base::store::{self, ReadError, Stamp};

/// A change of the file of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Uuid,
    /// The file that describes the domain, or did until now.
    pub path: PathBuf,
    /// True if the file is there.
    pub there: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    key: Uuid,
    /// Stamp of the file at the last look; `None` if it has to be read.
    stamp: Option<Stamp>,
    /// True if the file goes by a key of its own, because another file describes the same domain or because it identifies none.
    refused: bool,
}

/// The files, by their names.
#[derive(Debug)]
pub struct Table {
    dir: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// Returns whether the name is that of a file for use, not of one that editors or packages leave behind.
#[must_use]
pub fn is_meant(name: &str) -> bool {
    let ending = |ending: &str| name.ends_with(ending);
    let left = [".bak", ".orig", ".rej", ".swp", ".tmp", ".new", ".old"];
    !name.starts_with(['.', '#'])
        && !ending("~")
        && !left.into_iter().any(ending)
        && ![".dpkg-", ".ucf-", ".rpm"]
            .iter()
            .any(|part| name.contains(part))
}

impl Table {
    /// Returns a table for the files in `dir`, none of which has been read yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            entries: BTreeMap::new(),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Enters the file at `path`, in which an earlier run of the agent has found the key.
    pub fn expect(&mut self, path: &Path, key: Uuid) {
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(name), true) = (name, path.parent() == Some(&self.dir)) {
            let refused = key == key_of_file(path);
            let entry = Entry {
                key,
                stamp: None,
                refused,
            };
            self.entries.insert(name.to_owned(), entry);
        }
    }

    /// Returns the file that describes the domain of `key`.
    #[must_use]
    pub fn file_of(&self, key: Uuid) -> Option<PathBuf> {
        let mut all = self.entries.iter();
        let (name, _) = all.find(|(_, entry)| entry.key == key)?;
        Some(self.dir.join(name))
    }

    /// Returns the directories of files that symbolic links lead to.
    #[must_use]
    pub fn elsewhere(&self) -> BTreeSet<PathBuf> {
        let targets = self.entries.keys().filter_map(|name| {
            let path = self.dir.join(name);
            let link = fs::symlink_metadata(&path).ok()?.is_symlink();
            let target = fs::canonicalize(path).ok().filter(|_| link)?;
            target.parent().map(Path::to_owned)
        });
        targets.filter(|dir| *dir != self.dir).collect()
    }

    /// Looks at the directory, and reads files that have changed.
    ///
    /// # Errors
    /// The directory cannot be read. Nothing is known about its files then.
    pub fn look(&mut self) -> io::Result<Vec<Change>> {
        let names: BTreeSet<String> = store::list(&self.dir)?
            .into_iter()
            .filter(|name| is_meant(name) && !self.dir.join(name).is_dir())
            .collect();
        let mut gone: BTreeMap<Uuid, PathBuf> = BTreeMap::new();
        let dir = self.dir.clone();
        self.entries.retain(|name, entry| {
            let stays = names.contains(name);
            if !stays {
                gone.insert(entry.key, dir.join(name));
            }
            stays
        });
        let mut changes = Vec::new();
        for name in names {
            let before = self.entries.get(&name).copied();
            let path = self.dir.join(&name);
            let stamp = store::stamp_through(&path);
            // The key of a file that was refused depends on another file, too.
            let same = before.is_some_and(|b| b.stamp.is_some() && b.stamp == stamp && !b.refused);
            if same {
                continue;
            }
            let Some((key, refused)) = self.owner(&name, &path, before) else {
                continue;
            };
            let entry = Entry {
                key,
                stamp,
                refused,
            };
            self.entries.insert(name, entry);
            if before == Some(entry) {
                continue;
            }
            if let Some(before) = before.filter(|b| b.key != key) {
                gone.insert(before.key, path.clone());
            }
            changes.push(Change {
                key,
                path,
                there: true,
            });
        }
        for (key, path) in gone {
            // Another file may describe the domain now.
            if self.file_of(key).is_none() {
                changes.push(Change {
                    key,
                    path,
                    there: false,
                });
            }
        }
        Ok(changes)
    }

    /// Returns the key that the file goes by, and whether that is a key of its own instead of its domain's.
    ///
    /// Returns `None` if the file cannot be read now.
    fn owner(&self, name: &str, path: &Path, before: Option<Entry>) -> Option<(Uuid, bool)> {
        let own = key_of_file(path);
        let found = match store::read_through(path) {
            Ok(content) => file::identify(path, &content).ok(),
            Err(ReadError::Later(why)) => {
                log::warn!("{}: {why}; reading it again", path.display());
                return None;
            }
            // A dangling link, or a directory in place of a file: reading the wish of its key reports the error.
            Err(ReadError::Gone | ReadError::Bad(_)) => None,
        };
        let Some(key) = found.map(|found| found.key) else {
            // The file still belongs to the domain that it described before it became unreadable.
            let known = before.filter(|b| !b.refused).map(|b| (b.key, false));
            return Some(known.unwrap_or((own, true)));
        };
        let taken = self
            .entries
            .iter()
            .any(|(other, entry)| other != name && entry.key == key);
        Some(if taken { (own, true) } else { (key, false) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::frontends::xl::key_of_name;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).unwrap();
    }

    fn changes(table: &mut Table) -> Vec<(Uuid, bool)> {
        let mut all: Vec<_> = table
            .look()
            .unwrap()
            .into_iter()
            .map(|change| (change.key, change.there))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_found_by_what_it_says() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("auto");
        fs::create_dir(&dir).unwrap();
        let mut table = Table::new(&dir);
        assert_eq!(changes(&mut table), []);
        let uuid = Uuid::from_u128(7);
        write(&dir, "a.cfg", "name = 'web'");
        write(&dir, "b.cfg", &format!("name = 'db'\nuuid = '{uuid}'"));
        for left in ["a.cfg~", "a.cfg.bak", ".b.cfg.swp", "#b.cfg#", "c.dpkg-old"] {
            write(&dir, left, "name = 'left'");
        }
        let web = key_of_name("web");
        let mut both = vec![(web, true), (uuid, true)];
        both.sort();
        assert_eq!(changes(&mut table), both);
        assert_eq!(changes(&mut table), [], "nothing has changed");
        // A renamed file still describes the same domain.
        fs::rename(dir.join("b.cfg"), dir.join("z.cfg")).unwrap();
        assert_eq!(changes(&mut table), [(uuid, true)]);
        assert_eq!(table.file_of(uuid), Some(dir.join("z.cfg")));
        // A link to a file elsewhere, which changes and is then removed.
        let target = temp.path().join("mail.cfg");
        fs::write(&target, "name = 'mail'").unwrap();
        symlink("../mail.cfg", dir.join("mail")).unwrap();
        let mail = key_of_name("mail");
        assert_eq!(changes(&mut table), [(mail, true)]);
        let parent = fs::canonicalize(temp.path()).unwrap();
        assert_eq!(table.elsewhere(), BTreeSet::from([parent]));
        fs::write(&target, "name = 'mail'\nmemory = 64").unwrap();
        assert_eq!(changes(&mut table), [(mail, true)]);
        fs::remove_file(&target).unwrap();
        // The link is still there, so the domain is not to be removed.
        assert_eq!(changes(&mut table), [(mail, true)]);
        fs::remove_file(dir.join("mail")).unwrap();
        assert_eq!(changes(&mut table), [(mail, false)]);
    }

    #[test]
    fn two_files_of_one_domain_are_one_too_many() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let mut table = Table::new(dir);
        write(dir, "a.cfg", "name = 'web'");
        write(dir, "b.cfg", "name = 'web'");
        let (web, second) = (key_of_name("web"), key_of_file(&dir.join("b.cfg")));
        let mut both = vec![(web, true), (second, true)];
        both.sort();
        assert_eq!(changes(&mut table), both);
        assert_eq!(table.file_of(web), Some(dir.join("a.cfg")));
        assert_eq!(changes(&mut table), [], "it is still too many");
        fs::remove_file(dir.join("a.cfg")).unwrap();
        // The second file describes the domain now.
        let mut now = vec![(web, true), (second, false)];
        now.sort();
        assert_eq!(changes(&mut table), now);
        assert_eq!(table.file_of(web), Some(dir.join("b.cfg")));
    }

    #[test]
    fn a_file_that_cannot_be_read_stays_with_its_domain() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let file = dir.join("a.cfg");
        let web = key_of_name("web");
        let mut table = Table::new(dir);
        write(dir, "a.cfg", "name = 'web'");
        assert_eq!(changes(&mut table), [(web, true)]);
        write(dir, "a.cfg", "name = 'web");
        assert_eq!(changes(&mut table), [(web, true)]);
        // The same holds if the agent has been started in between.
        let mut table = Table::new(dir);
        table.expect(&file, web);
        assert_eq!(changes(&mut table), [(web, true)]);
        // A file that was never understood goes by a key made from its own name.
        let mut table = Table::new(dir);
        assert_eq!(changes(&mut table), [(key_of_file(&file), true)]);
        write(dir, "a.cfg", "name = 'web'");
        let mut now = vec![(web, true), (key_of_file(&file), false)];
        now.sort();
        assert_eq!(changes(&mut table), now);
    }
}
