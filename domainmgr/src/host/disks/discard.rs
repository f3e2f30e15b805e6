//! Removes copies.

use std::fs;
use std::io;
use std::path::Path;

use super::bounds::{Failure, other};
use super::name;
use crate::base::store;

/// Removes copies that their domain no longer needs.
///
/// # Errors
/// The first copy that cannot be removed. The others are removed.
pub fn discard(dir: &Path, names: &[String]) -> Result<(), String> {
    let mut result = Ok(());
    for wanted in names {
        let mut found = spellings(dir, wanted).unwrap_or_default();
        // The copy may be half-made.
        found.push(wanted.clone());
        for name in found {
            let path = dir.join(&name);
            let temp = dir.join(name::temporary(&name));
            for path in [path, temp] {
                if let Err(e) = remove(&path) {
                    result = result.and(Err(format!("{}: {e}", path.display())));
                }
            }
        }
    }
    result
}

/// Removes every copy that was made for this domain, including half-made ones.
///
/// # Errors
/// As [`discard`].
pub fn discard_all(dir: &Path, uuid: uuid::Uuid) -> Result<(), String> {
    let names = match store::list(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("{}: {e}", dir.display())),
    };
    let ours: Vec<String> = names
        .into_iter()
        .filter(|n| name::owner(n) == Some(uuid))
        .collect();
    discard(dir, &ours)
}

/// Returns the files in `dir` that are the copy `wanted`. Earlier agents did not fold the case of the hash.
pub(super) fn spellings(dir: &Path, wanted: &str) -> Result<Vec<String>, Failure> {
    let mut names = match store::list(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(other(&dir.display().to_string(), &e)),
    };
    names.retain(|name| name::same(name, wanted));
    Ok(names)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
