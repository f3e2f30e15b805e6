//! Reads a directory that others write to. Nothing in it is trusted.

use std::fmt;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use uuid::Uuid;

/// Size of the largest file that is read, in bytes.
pub const LIMIT: u64 = 1 << 20;

/// The reason why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// The file does not exist (any more).
    Gone,
    /// The file is not a plain file of limited size that can be read.
    Bad(String),
    /// The reader could not read the file: no descriptor or memory is left, or the disk fails.
    Later(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("no such file"),
            Self::Bad(why) | Self::Later(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads a plain file of at most [`LIMIT`] bytes. Follows no symbolic link and never blocks.
///
/// # Errors
/// The file is gone, not a plain file, too large, or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    read_with(path, false)
}

/// Like [`read`], but follows symbolic links, for a directory in which people put them.
///
/// # Errors
/// The file is gone, not a plain file, too large, or cannot be read.
pub fn read_through(path: &Path) -> Result<Vec<u8>, ReadError> {
    match read_with(path, true) {
        Err(ReadError::Gone) if fs::symlink_metadata(path).is_ok() => Err(ReadError::Bad(
            "a symbolic link to a file that is not there".to_owned(),
        )),
        other => other,
    }
}

fn read_with(path: &Path, follow: bool) -> Result<Vec<u8>, ReadError> {
    let classify = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => ReadError::Gone,
        _ if is_ours(&e) => ReadError::Later(format!("cannot be read now: {e}")),
        _ => ReadError::Bad(format!("cannot be read: {e}")),
    };
    let found = if follow {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    plain(&found.map_err(classify)?)?;
    // Between the check and the open, the file may have been replaced by anything.
    let mut flags = rustix::fs::OFlags::NONBLOCK;
    flags.set(rustix::fs::OFlags::NOFOLLOW, !follow);
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(classify)?;
    let found = file.metadata().map_err(classify)?;
    plain(&found)?;
    // One more than there is, to see the end at once.
    let room = usize::try_from(found.len() + 1).unwrap_or_default();
    let mut content = Vec::with_capacity(room);
    file.take(LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(classify)?;
    if content.len() as u64 > LIMIT {
        return Err(ReadError::Bad(format!("more than {LIMIT} bytes")));
    }
    Ok(content)
}

/// Returns whether an error is about the reader, not about the file.
fn is_ours(e: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = e.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        code,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR | Errno::IO)
    )
}

fn plain(found: &Metadata) -> Result<(), ReadError> {
    let what = found.file_type();
    let bad = if what.is_symlink() {
        "a symbolic link, expected a plain file".to_owned()
    } else if what.is_dir() {
        "a directory, expected a plain file".to_owned()
    } else if !what.is_file() {
        "a special file, expected a plain file".to_owned()
    } else if found.len() > LIMIT {
        format!("{} bytes, at most {LIMIT} are read", found.len())
    } else {
        return Ok(());
    };
    Err(ReadError::Bad(bad))
}

/// Identifies a version of a file, to tell whether the file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Returns the stamp of a file; `None` if the file does not exist.
#[must_use]
pub fn stamp(path: &Path) -> Option<Stamp> {
    fs::symlink_metadata(path)
        .ok()
        .map(|found| Stamp::of(&found))
}

/// Returns the stamp of the target of a symbolic link; `None` if the target does not exist.
#[must_use]
pub fn stamp_through(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|found| Stamp::of(&found))
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Meaning of the name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// `<uuid>.json`
    Key(Uuid),
    /// `<anything else>.json`
    Bad(String),
    /// A file that is not the agent's concern: a temporary file, a marker.
    Other,
}

/// Interprets the name of a file.
#[must_use]
pub fn key_of(name: &str) -> Named {
    let Some(stem) = name.strip_suffix(".json") else {
        return Named::Other;
    };
    if stem.starts_with('.') || stem.is_empty() {
        return Named::Other;
    }
    match stem.parse::<Uuid>() {
        // The nil uuid is dom0's.
        Ok(uuid) if uuid.is_nil() => Named::Bad("the nil uuid is dom0's".to_owned()),
        // Each key has only one spelling.
        Ok(uuid) if uuid.to_string() == stem => Named::Key(uuid),
        Ok(uuid) => Named::Bad(format!("the name of the file should be {uuid}.json")),
        Err(_) => Named::Bad("the name of the file is not a uuid with .json".to_owned()),
    }
}

/// Returns the names in a directory, sorted.
///
/// # Errors
/// From the file system.
pub fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // A name that is not UTF-8 is no key.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    fn why(path: &Path) -> String {
        read(path).unwrap_err().to_string()
    }

    #[test]
    fn only_plain_files_of_sane_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("good"), "x").unwrap();
        assert_eq!(read(&at("good")).unwrap(), b"x");
        symlink(at("good"), at("link")).unwrap();
        assert_eq!(why(&at("link")), "a symbolic link, expected a plain file");
        assert_eq!(why(dir.path()), "a directory, expected a plain file");
        assert_eq!(why(&at("none")), "no such file");
        File::create(at("huge"))
            .unwrap()
            .set_len(100 << 20)
            .unwrap();
        assert_eq!(
            why(&at("huge")),
            "104857600 bytes, at most 1048576 are read"
        );
        assert_eq!(
            why(Path::new("/dev/null")),
            "a special file, expected a plain file"
        );
        // It says it is empty, and is not.
        assert!(read(Path::new("/proc/self/status")).is_ok());
    }

    #[test]
    fn names() {
        let key = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        assert_eq!(
            key_of(&format!("{key}.json")),
            Named::Key(key.parse().unwrap())
        );
        for other in ["restarted", "pubsub123", ".x.json", ".json", "a.json.tmp"] {
            assert_eq!(key_of(other), Named::Other, "{other}");
        }
        for bad in ["a.json".to_owned(), format!("{}.json", key.to_uppercase())] {
            assert!(matches!(key_of(&bad), Named::Bad(_)), "{bad}");
        }
        {
            let nil = format!("{}.json", Uuid::nil());
            assert!(matches!(key_of(&nil), Named::Bad(_)));
        }
    }
}
