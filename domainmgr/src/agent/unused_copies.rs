//! The `ImageStatus` of each copy, and the removal of copies that no domain has used for long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::{at, select};
use time::OffsetDateTime;

use crate::agent::env::Env;
use crate::base::dirs::Dirs;
use crate::base::services::Services;
use crate::base::store;
use crate::base::time::{Now, Time};
use crate::frontends::eve::ImageStatus;
use crate::host::disks::name;
use crate::host::disks::register::{is_ours, needed};

/// The use of one copy, as it was last seen.
#[derive(Clone, Copy, Debug)]
struct Known {
    needed: u32,
    last: Time,
    shown: OffsetDateTime,
}

/// Notes whether a copy is needed. Returns true if it has not been needed for `keep`.
fn note(known: &mut Option<Known>, now: Now, needed: u32, keep: Duration, periodic: bool) -> bool {
    let fresh = Known {
        needed,
        last: now.mono,
        shown: now.wall,
    };
    let entry = known.get_or_insert(fresh);
    let was = std::mem::replace(&mut entry.needed, needed);
    // The published time of a copy in use is renewed periodically, not at every look.
    if (needed > 0 && periodic) || (needed > 0) != (was > 0) {
        (entry.last, entry.shown) = (now.mono, now.wall);
    }
    if needed > 0 {
        entry.last = now.mono;
    }
    needed == 0 && now.mono.since(entry.last) >= keep
}

/// Removes copies that a killed agent had not finished. Must be called before any copy is made.
pub fn tidy(dirs: &Dirs) {
    for name in store::list(&dirs.copies).unwrap_or_default() {
        if name::is_temporary(&name) && name::owner(&name).is_some() {
            let path = dirs.copies.join(&name);
            log::info!(
                "{}: not finished by an earlier run; removed",
                path.display()
            );
            if let Err(e) = store::remove(&path) {
                log::warn!("{}: {e}", path.display());
            }
        }
    }
}

/// Starts the thread that looks after the copies. It ends with the agent.
///
/// # Errors
/// The thread cannot be started.
pub fn start(env: Arc<Env>, services: &Services) -> std::io::Result<()> {
    services.start("images", 256 << 10, move || {
        let mut keeper = Keeper::default();
        keeper.forget_old(&env.dirs.image_statuses());
        let mut periodic = true;
        loop {
            let keep = env
                .settings
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .image_gc;
            keeper.look(&env, keep, periodic);
            let now = env.clock.now().mono;
            let next = at(env.clock.instant(now + keep / 10));
            periodic = select! {
                recv(env.register.woken()) -> _ => false,
                recv(next) -> _ => true,
            };
        }
    })
}

#[derive(Default)]
struct Keeper {
    known: BTreeMap<String, Known>,
    published: BTreeMap<String, ImageStatus>,
}

impl Keeper {
    /// Takes note of the files of an earlier run. The first look removes them, or replaces them with current ones.
    fn forget_old(&mut self, dir: &Path) {
        for name in store::list(dir).unwrap_or_default() {
            if let Some(file) = name.strip_suffix(".json") {
                self.published
                    .insert(file.to_owned(), ImageStatus::default());
            }
        }
    }

    fn look(&mut self, env: &Env, keep: Duration, periodic: bool) {
        let dirs = &env.dirs;
        let files = match store::list(&dirs.copies) {
            Ok(files) => files,
            Err(e) => {
                log::warn!("{}: {e}", dirs.copies.display());
                return;
            }
        };
        let now = env.clock.now();
        let mut seen = BTreeMap::new();
        let mut statuses = BTreeMap::new();
        for file in files.iter().filter(|f| !name::is_temporary(f)) {
            let path = dirs.copies.join(file);
            let Ok(found) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            if !found.is_file() {
                continue;
            }
            // The lock is held while the file is removed, so that no domain can begin to need it meanwhile.
            let uses = env.register.lock();
            let refs = needed(&uses, file);
            let mut known = self.known.get(file).copied();
            let expired = note(&mut known, now, refs, keep, periodic);
            // Files that others have put there, and copies that no record lists, are shown and left alone.
            if expired && is_ours(&uses, file) {
                log::info!(
                    "{}: not used for {} s; removed",
                    path.display(),
                    keep.as_secs()
                );
                match std::fs::remove_file(&path) {
                    Ok(()) => continue,
                    Err(e) => log::warn!("{}: {e}", path.display()),
                }
            }
            drop(uses);
            if let Some(known) = known {
                seen.insert(file.clone(), known);
                statuses.insert(
                    file.clone(),
                    ImageStatus {
                        filename: file.clone(),
                        file_location: path.to_string_lossy().into_owned(),
                        ref_count: refs,
                        last_use: Some(known.shown),
                        size: found.len(),
                    },
                );
            }
        }
        self.known = seen;
        self.publish(&dirs.image_statuses(), statuses);
    }

    /// Writes changed statuses and removes old ones. A failure is retried the next time.
    fn publish(&mut self, dir: &Path, statuses: BTreeMap<String, ImageStatus>) {
        let fail = |path: &Path, e: std::io::Error| log::error!("{}: {e}", path.display());
        self.published.retain(|file, _| {
            if statuses.contains_key(file) {
                return true;
            }
            let path = dir.join(format!("{file}.json"));
            store::withdraw(&path).map_err(|e| fail(&path, e)).is_err()
        });
        for (file, status) in statuses {
            if self.published.get(&file) == Some(&status) {
                continue;
            }
            let path = dir.join(format!("{file}.json"));
            let written = serde_json::to_vec_pretty(&status)
                .map_err(std::io::Error::other)
                .and_then(|text| store::publish(&path, &text));
            match written {
                Ok(()) => drop(self.published.insert(file, status)),
                Err(e) => fail(&path, e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);

    fn file(key: Uuid) -> String {
        name::of("aa", key, 0, crate::spec::Format::Raw)
    }

    #[test]
    fn what_could_not_be_written_is_written_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let statuses = dir.path().join("ImageStatus");
        let all = BTreeMap::from([(file(A), ImageStatus::default())]);
        let mut keeper = Keeper::default();
        keeper.publish(&statuses, all.clone());
        std::fs::create_dir(&statuses).unwrap();
        keeper.publish(&statuses, all.clone());
        let path = statuses.join(format!("{}.json", file(A)));
        assert!(path.exists());
        // An unchanged status is not written again.
        std::fs::remove_file(&path).unwrap();
        keeper.publish(&statuses, all);
        assert!(!path.exists());
        keeper.publish(&statuses, BTreeMap::new());
        assert!(keeper.published.is_empty());
    }

    #[test]
    fn what_is_needed_never_expires_and_what_is_not_does_after_its_time() {
        let at = |seconds| Now {
            mono: Time::new(Duration::from_secs(seconds)),
            wall: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds),
        };
        let keep = Duration::from_secs(100);
        let mut known = None;
        // A copy found at the start counts as used then, whenever it was used before.
        assert!(!note(&mut known, at(1_000), 0, keep, true));
        assert!(!note(&mut known, at(1_099), 0, keep, true));
        assert!(note(&mut known, at(1_100), 0, keep, true));
        assert!(!note(&mut known, at(1_100), 1, keep, false));
        assert!(!note(&mut known, at(9_000), 1, keep, false));
        let shown = |known: Option<Known>| known.unwrap().shown.unix_timestamp();
        assert_eq!(shown(known), 1_100, "nothing new to say");
        assert!(!note(&mut known, at(9_001), 1, keep, true));
        assert_eq!(shown(known), 9_001);
        // The time counts from the moment when the copy is no longer needed.
        assert!(!note(&mut known, at(9_050), 0, keep, false));
        assert!(!note(&mut known, at(9_149), 0, keep, true));
        assert_eq!(shown(known), 9_050);
        assert!(note(&mut known, at(9_150), 0, keep, true));
    }
}
