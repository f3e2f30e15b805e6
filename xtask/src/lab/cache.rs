//! A cache of things that are slow to make. Each is stored under a digest of its inputs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::tool;

/// Suffix of a directory that is still being made.
const PART: &str = ".part";

/// A digest of everything a cached thing is made from.
#[derive(Default, Debug)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Adds one input.
    pub(crate) fn add(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        // The length keeps neighbouring inputs apart.
        self.0.update(input.len().to_le_bytes());
        self.0.update(input);
        self
    }

    /// Adds all files of a directory, with their names.
    pub(crate) fn add_dir(mut self, dir: &Path) -> Result<Self> {
        let read = |dir: &Path| -> std::io::Result<Vec<PathBuf>> {
            fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
        };
        let mut entries = read(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        entries.sort();
        for path in entries {
            self = self.add(path.file_name().unwrap_or_default().as_encoded_bytes());
            self = if path.is_dir() {
                self.add_dir(&path)?
            } else {
                self.add(
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
                )
            };
        }
        Ok(self)
    }

    /// The digest, as text.
    pub(crate) fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(8)
            .fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// Returns whether the cache has an entry with this kind and key.
pub(crate) fn has(parent: &Path, kind: &str, key: Key) -> bool {
    parent.join(format!("{kind}-{}", key.finish())).exists()
}

/// Returns whether the cache has a complete entry of this kind, with any key.
pub(crate) fn is_there(parent: &Path, kind: &str) -> bool {
    fs::read_dir(parent).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with(&format!("{kind}-")) && !name.ends_with(PART)
            })
        })
    })
}

/// Returns `<parent>/<kind>-<key>`, made by `make` if it is not there.
///
/// `make` fills an empty directory of another name. The directory is renamed once it is complete, so an interrupted build never counts as
/// a finished one. Entries of the same kind with other keys are removed: only the newest is used.
pub(crate) fn get(
    parent: &Path,
    kind: &str,
    key: Key,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let name = format!("{kind}-{}", key.finish());
    let whole = parent.join(&name);
    if whole.exists() {
        return Ok(whole);
    }
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    // Removed before the build, because the disk may not hold two of these.
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{kind}-"))
        {
            remove(&entry.path())?;
        }
    }
    let part = parent.join(format!("{name}{PART}"));
    fs::create_dir(&part)?;
    if let Err(error) = make(&part) {
        // Removed at once: half of a lab's memory or disk is gigabytes.
        remove(&part)?;
        return Err(error);
    }
    // Synced, so that a power cut cannot leave the name without the content.
    rustix::fs::sync();
    fs::rename(&part, &whole)?;
    Ok(whole)
}

/// Removes incomplete entries of earlier runs, and entries named by an older version of this program. The caller holds the lock.
pub(crate) fn remove_parts(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(PART) {
            eprintln!("lab: removing {name}, which an interrupted run has left");
            remove(&entry.path())?;
        } else if name.starts_with("ready-") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes an entry, complete or not. If something is still mounted in it, the mounted part stays.
fn remove(path: &Path) -> Result<()> {
    tool::output(
        Command::new("rm")
            .args(["-rf", "--one-file-system", "--"])
            .arg(path),
    )
    .with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_once_and_never_takes_a_part_for_the_whole() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let key = || Key::default().add("a").add("b");
        assert!(get(dir.path(), "thing", key(), |_| anyhow::bail!("interrupted")).is_err());
        assert!(!is_there(dir.path(), "thing"), "half of it is not it");
        let made = get(dir.path(), "thing", key(), |part| {
            Ok(fs::write(part.join("x"), "1")?)
        })?;
        assert_eq!(fs::read_to_string(made.join("x"))?, "1");
        assert!(is_there(dir.path(), "thing"));
        let again = get(dir.path(), "thing", key(), |_| anyhow::bail!("not needed"))?;
        assert_eq!(made, again);
        let other = get(dir.path(), "thing", Key::default().add("ab"), |_| Ok(()))?;
        assert_ne!(other, made);
        assert!(!made.exists());
        Ok(())
    }
}
