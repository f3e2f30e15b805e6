//! Reads the files in which people write what is to run, and tells a withdrawn wish from a file that cannot be seen.
//!
//! An absent file withdraws a wish only if the directory is the one that held the file. Another directory may be in its
//! place, such as the bare mount point of a file system that is not mounted, or the still empty directory of a host that
//! was just started. The file must also stay absent for a moment: editors replace a file by removing it first.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::base::store::{self, ReadError};
use crate::core::{Desired, Time, Wish};
use crate::frontends::arrived::Arrived;
use crate::frontends::eve;
use crate::frontends::wish::WishFile;
use crate::frontends::xl::{self, Hosts};

/// Time for which a file must be absent before its domain is removed.
pub const SETTLING: Duration = Duration::from_secs(2);
/// Pause before a file is read again, if the agent lacked the resources to read it or the facts to interpret it.
const AGAIN: Duration = Duration::from_secs(5);

/// Identity of a directory, independent of its present path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The directory at `path`; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Returns whether the numbers identify the same directory after a reboot of the host. Those of a file system in memory,
    /// which have the major number 0, do not.
    fn is_lasting(self) -> bool {
        rustix::fs::major(self.device) != 0
    }
}

/// Result of reading a file.
#[derive(Clone, Debug)]
pub enum Reading {
    /// The wish that the file, or its absence, expresses.
    Wish(Wish),
    /// No result yet: the file is to be read again after this time.
    Later(Duration),
}

#[derive(Debug, Default)]
struct State {
    /// The directory in which an absent file is a withdrawn wish.
    trusted: Option<Identity>,
    /// Time since which each absent file is absent.
    absent: HashMap<Uuid, Time>,
    /// The directory in which each file was seen last.
    seen: HashMap<Uuid, Identity>,
}

/// A directory that people write to, with the facts known about its files.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    state: Mutex<State>,
    /// Advice for an operator who has removed a file to remove its domain, where the absence is not believed.
    advice: &'static str,
}

impl Source {
    /// The files in `dir`. No absence is believed yet.
    fn new(dir: &Path, advice: &'static str) -> Self {
        Self {
            dir: dir.to_owned(),
            state: Mutex::default(),
            advice,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on takes a file that is absent from `dir` as a withdrawn wish. Returns whether `dir` was not trusted before.
    pub fn trust(&self, dir: Identity) -> bool {
        self.state().trusted.replace(dir) != Some(dir)
    }

    /// Returns whether the directory at the path is now the trusted one.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        let there = Identity::of(&self.dir);
        there.is_some() && there == self.state().trusted
    }

    /// Records whether the file of `key` is there, as found by a look at the directory.
    pub fn note(&self, key: Uuid, there: bool, now: Time) {
        let dir = Identity::of(&self.dir).filter(|_| there);
        let mut state = self.state();
        if there {
            state.absent.remove(&key);
            state.seen.extend(dir.map(|dir| (key, dir)));
        } else {
            state.absent.entry(key).or_insert(now);
        }
    }

    fn forget(&self, key: Uuid) {
        let mut state = self.state();
        state.absent.remove(&key);
        state.seen.remove(&key);
    }

    /// The file of `key` is not there, or does not describe it any more.
    fn absent(&self, key: Uuid, file: &Path, now: Time) -> Reading {
        let doubtful =
            |why: String| Reading::Wish(Wish::Doubtful(format!("{}: {why}", file.display())));
        // In this order: a directory that was put back after the look is not the one that was looked at.
        let there = Identity::of(&self.dir);
        let mut state = self.state();
        let since = *state.absent.entry(key).or_insert(now);
        let advice = self.advice;
        match (there, state.trusted) {
            (None, _) => return doubtful("the directory is gone".to_owned()),
            // The file was in this directory, and is not any more.
            (Some(there), _) if state.seen.get(&key) == Some(&there) => {}
            (Some(there), Some(trusted)) if there == trusted => {}
            (Some(_), Some(_)) => {
                return doubtful(format!(
                    "absent, but the directory is another one than before: mount the right one or move it back; or, if \
                     the domain is to go, {advice}"
                ));
            }
            (Some(_), None) => {
                return doubtful(format!(
                    "absent, and it is not known whether all files are there yet: if the domain is to go, {advice}"
                ));
            }
        }
        match SETTLING.saturating_sub(now.since(since)) {
            Duration::ZERO => Reading::Wish(Wish::Absent),
            rest => Reading::Later(rest),
        }
    }
}

/// The place of a key's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// In the directory of DomainConfigs, under the name of the key.
    #[default]
    Eve,
    /// At this path, which is one of xl's directory.
    Xl(PathBuf),
    /// There is none: its domain came from another host.
    Arrived,
}

/// All files in which people write what is to run.
#[derive(Debug)]
pub struct Inputs {
    /// DomainConfigs.
    pub eve: Source,
    /// Files of xl's, if there is a directory of them.
    pub xl: Option<Source>,
    homes: Mutex<HashMap<Uuid, Home>>,
    /// Domains that came from another host.
    arrived: Mutex<HashMap<Uuid, Arc<Arrived>>>,
    hosts: Arc<Hosts>,
}

impl Inputs {
    /// DomainConfigs in `eve`, and files of xl's in `xl`. No absence is believed yet.
    #[must_use]
    pub fn new(eve: &Path, xl: Option<&Path>, hosts: Hosts) -> Self {
        Self {
            eve: Source::new(
                eve,
                "write the file and remove it, or write a file `restarted` once all are there",
            ),
            xl: xl.map(|dir| Source::new(dir, "write the file and remove it")),
            homes: Mutex::default(),
            arrived: Mutex::default(),
            hosts: Arc::new(hosts),
        }
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<Uuid, Home>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of where the file of `key` is.
    pub fn settle(&self, key: Uuid, home: Home) {
        self.homes().insert(key, home);
    }

    fn arrived(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Arrived>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a domain that comes from another host, or has come from there. A file that describes it goes before.
    pub fn arrive(&self, key: Uuid, arrived: Arc<Arrived>) {
        self.arrived().insert(key, arrived);
        self.homes().entry(key).or_insert(Home::Arrived);
    }

    /// The place of the file of `key`.
    #[must_use]
    pub fn home(&self, key: Uuid) -> Home {
        self.homes().get(&key).cloned().unwrap_or_default()
    }

    /// The file of `key`.
    #[must_use]
    pub fn path_of(&self, key: Uuid) -> PathBuf {
        match self.home(key) {
            Home::Eve | Home::Arrived => self.eve.dir.join(format!("{key}.json")),
            Home::Xl(path) => path,
        }
    }

    /// The facts about this host, as far as they can be had.
    #[must_use]
    pub fn host(&self) -> Option<Arc<xl::Host>> {
        self.hosts.get().ok()
    }

    /// The same, for others to ask.
    #[must_use]
    pub fn hosts(&self) -> Arc<Hosts> {
        Arc::clone(&self.hosts)
    }

    /// The key has no domain and no file any more.
    pub fn forget(&self, key: Uuid) {
        self.homes().remove(&key);
        self.arrived().remove(&key);
        self.eve.forget(key);
        if let Some(xl) = &self.xl {
            xl.forget(key);
        }
    }

    /// The present content of the file of `key`.
    #[must_use]
    pub fn read(&self, key: Uuid, now: Time) -> Reading {
        let home = self.home(key);
        let file = self.path_of(key);
        let (source, content) = match (&home, &self.xl) {
            (Home::Arrived, _) => return Reading::Wish(self.read_arrived(key)),
            (Home::Eve, _) => (&self.eve, store::read(&file)),
            (Home::Xl(_), Some(xl)) => (xl, store::read_through(&file)),
            (Home::Xl(_), None) => {
                return Reading::Wish(Wish::Doubtful(format!(
                    "{}: this agent was started without --xl-dir",
                    file.display()
                )));
            }
        };
        match content {
            Err(ReadError::Gone) => source.absent(key, &file, now),
            Err(ReadError::Later(why)) => {
                log::warn!(key:% = key; "{}: {why}; reading it again", file.display());
                Reading::Later(AGAIN)
            }
            content if home == Home::Eve => {
                source.note(key, true, now);
                Reading::Wish(wish(key, &file, content))
            }
            content => self.read_xl(source, key, &file, content, now),
        }
    }

    fn read_arrived(&self, key: Uuid) -> Wish {
        let Some(arrived) = self.arrived().get(&key).cloned() else {
            return Wish::Absent;
        };
        let spec = Arc::new(arrived.spec.clone());
        Wish::Wanted(WishFile::Arrived(arrived).desired(Ok(spec), Vec::new()))
    }

    fn read_xl(
        &self,
        source: &Source,
        key: Uuid,
        file: &Path,
        content: Result<Vec<u8>, ReadError>,
        now: Time,
    ) -> Reading {
        let unusable = |why: String| Reading::Wish(Wish::Unusable(why));
        let content = match content {
            Ok(content) => content,
            Err(e) => {
                source.note(key, true, now);
                return unusable(format!("{}: {e}", file.display()));
            }
        };
        let host = match self.hosts.get() {
            Ok(host) => host,
            Err(why) => {
                log::warn!(key:% = key; "{}: cannot be understood now: {why}", file.display());
                return Reading::Later(AGAIN);
            }
        };
        let found = match xl::understand(file, &content, &host) {
            Ok(found) => found,
            Err(why) => {
                source.note(key, true, now);
                return unusable(why);
            }
        };
        if found.key == key {
            source.note(key, true, now);
            let file = WishFile::Xl(Arc::new(found.file));
            let desired = file.desired(found.spec.map(Arc::new), found.warnings);
            return Reading::Wish(Wish::Wanted(desired));
        }
        let other = self.path_of(found.key);
        if key == xl::key_of_file(file) && other != file {
            source.note(key, true, now);
            return unusable(format!(
                "{}: its domain, {} with the uuid {}, is also that of {}",
                file.display(),
                found.file.name,
                found.key,
                other.display()
            ));
        }
        // It describes another domain now.
        source.absent(key, file, now)
    }

    /// Reads a DomainConfig once, for one who wants to know what it wishes for, if anything.
    #[must_use]
    pub fn wanted(dir: &Path, key: Uuid) -> Option<Desired> {
        let file = dir.join(format!("{key}.json"));
        match wish(key, &file, store::read(&file)) {
            Wish::Wanted(desired) => Some(desired),
            _ => None,
        }
    }
}

/// The wish in a DomainConfig.
fn wish(key: Uuid, file: &Path, content: Result<Vec<u8>, ReadError>) -> Wish {
    let place = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = match content {
        Ok(text) => text,
        Err(e) => return Wish::Unusable(place(&e)),
    };
    let found = match eve::understand(key, &text) {
        Ok(found) => found,
        Err(e) => return Wish::Unusable(place(&e)),
    };
    let spec = match found.spec {
        Ok(spec) => Ok(Arc::new(spec)),
        // The one thing that must be certain is the domain to which this config belongs.
        Err(e) if e.field.starts_with("UUIDandVersion") => return Wish::Unusable(place(&e)),
        Err(e) => Err(place(&e)),
    };
    let warnings = found.warnings.iter().map(ToString::to_string).collect();
    let file = WishFile::Eve(Arc::new(found.config));
    Wish::Wanted(file.desired(spec, warnings))
}

/// The directory that was believed last, as it is remembered: the run of the host, and the numbers.
#[must_use]
pub fn to_text(boot: Uuid, dir: Identity) -> String {
    format!("{boot} {} {}", dir.device, dir.inode)
}

/// The directory that was remembered, if its numbers mean anything in the run `boot` of the host.
#[must_use]
pub fn from_text(text: &str, boot: Uuid) -> Option<Identity> {
    let mut words = text.split(' ');
    let run: Uuid = words.next()?.parse().ok()?;
    let known = Identity {
        device: words.next()?.parse().ok()?,
        inode: words.next()?.parse().ok()?,
    };
    (run == boot || known.is_lasting()).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Uuid = Uuid::from_u128(0xa);

    fn at(seconds: u64) -> Time {
        Time::new(Duration::from_secs(seconds))
    }

    fn word(reading: &Reading) -> &'static str {
        match reading {
            Reading::Wish(Wish::Absent) => "absent",
            Reading::Wish(Wish::Unusable(_)) => "unusable",
            Reading::Wish(Wish::Doubtful(_)) => "doubtful",
            Reading::Wish(Wish::Wanted(_)) => "wanted",
            Reading::Later(_) => "later",
        }
    }

    #[test]
    fn an_absence_is_believed_in_the_right_directory_and_after_a_while() {
        let parent = tempfile::tempdir().unwrap();
        let (dir, away) = (parent.path().join("config"), parent.path().join("away"));
        fs::create_dir(&dir).unwrap();
        let hosts = Hosts::new(|| Err("none".to_owned()));
        let inputs = Inputs::new(&dir, None, hosts);
        let read = |seconds| word(&inputs.read(KEY, at(seconds)));
        let file = dir.join(format!("{KEY}.json"));
        assert_eq!(read(0), "doubtful", "nobody has said that all are there");
        assert!(inputs.eve.trust(Identity::of(&dir).unwrap()));
        assert_eq!(read(1), "later");
        assert_eq!(read(2), "absent");
        fs::write(&file, "{").unwrap();
        assert_eq!(read(3), "unusable");
        fs::remove_file(&file).unwrap();
        assert_eq!((read(4), read(5), read(6)), ("later", "later", "absent"));
        // An editor was faster.
        inputs.eve.note(KEY, true, at(7));
        assert_eq!(read(8), "later");
        fs::rename(&dir, &away).unwrap();
        assert_eq!(read(20), "doubtful");
        fs::create_dir(&dir).unwrap();
        assert_eq!(read(30), "doubtful");
        // Seen in the new one, and removed from it.
        fs::write(&file, "{").unwrap();
        assert_eq!(read(30), "unusable");
        fs::remove_file(&file).unwrap();
        assert_eq!((read(30), read(32)), ("later", "absent"));
        assert!(!inputs.eve.is_trusted());
        fs::remove_dir(&dir).unwrap();
        fs::rename(&away, &dir).unwrap();
        assert!(inputs.eve.is_trusted());
        assert_eq!(read(40), "absent");
    }

    #[test]
    fn what_was_remembered_of_a_directory_in_memory_means_nothing_after_a_reboot() {
        let (boot, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let memory = Identity {
            device: rustix::fs::makedev(0, 25),
            inode: 2,
        };
        let disk = Identity {
            device: rustix::fs::makedev(8, 1),
            inode: 2,
        };
        for (dir, run, remembered) in [
            (memory, boot, true),
            (memory, other, false),
            (disk, boot, true),
            (disk, other, true),
        ] {
            let known = from_text(&to_text(run, dir), boot);
            assert_eq!(known, Some(dir).filter(|_| remembered));
        }
        assert_eq!(from_text("nonsense", boot), None);
    }
}
