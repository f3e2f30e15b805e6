//! Finding out whether two hosts mean the same storage by one path.
//!
//! A guest that goes on with another disk than it had destroys that disk. Where the kernel knows the identity of a device, that
//! decides. Elsewhere the contents of some places are compared: two disks that were copied from one image differ in little,
//! so that every place counts, except the few that a running guest may have written to in between.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of the digests (version 5 UUIDs).
const PLACES: Uuid = Uuid::from_u128(0x7e1f_6c1b_31d5_4b8a_9d0e_53a7_6f0c_2b94);
/// Number of places that are compared.
const COUNT: u64 = 32;
/// Length of each.
const LENGTH: u64 = 4096;
/// Number of places that a guest may have written to between the two looks.
const WRITTEN: usize = 4;

/// Storage, as one host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Path on both hosts.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// The device's identity, as the kernel knows it; empty if it does not.
    pub identity: String,
    /// Digests of some places.
    pub places: Vec<Uuid>,
}

impl Fingerprint {
    /// Looks at the storage at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        let last = size.saturating_sub(LENGTH);
        let step = (last / COUNT).max(1);
        let places = (0..COUNT).map(|n| (n * step).min(last));
        let digest = |at| {
            let mut buffer = Vec::new();
            let read = At { file: &file, at }.take(LENGTH).read_to_end(&mut buffer);
            read.map(|_| Uuid::new_v5(&PLACES, &buffer))
        };
        Ok(Self {
            path: path.to_owned(),
            size,
            identity: identity(path).unwrap_or_default(),
            places: places.map(digest).collect::<io::Result<_>>()?,
        })
    }

    /// Returns the reason why this is not the storage that `ours` is of, if it is not.
    #[must_use]
    pub fn differs(&self, ours: &Self) -> Option<String> {
        if self.size != ours.size {
            return Some(format!("{} bytes there, and {} here", self.size, ours.size));
        }
        if !self.identity.is_empty() && !ours.identity.is_empty() {
            let same = self.identity == ours.identity;
            return (!same).then(|| format!("{} there, and {} here", self.identity, ours.identity));
        }
        let pairs = self.places.iter().zip(&ours.places);
        let differ = pairs.filter(|(theirs, ours)| theirs != ours).count();
        (self.places.len() != ours.places.len() || differ > WRITTEN)
            .then(|| format!("{differ} of {} places differ", ours.places.len()))
    }
}

/// The identity of a block device, of a file on a network file system, or of none.
fn identity(path: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    if !found.file_type().is_block_device() {
        return None;
    }
    let (major, minor) = (
        rustix::fs::major(found.rdev()),
        rustix::fs::minor(found.rdev()),
    );
    let device = format!("/sys/dev/block/{major}:{minor}");
    let words = ["wwid", "device/wwid", "dm/uuid"];
    let texts = words
        .iter()
        .filter_map(|word| fs::read_to_string(Path::new(&device).join(word)).ok());
    let mut texts = texts.map(|text| text.trim().to_owned());
    texts.find(|text| !text.is_empty())
}

/// A file, read from a place on.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_storage_is_told_from_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let ours = Fingerprint::of(&file("ours", &content)).unwrap();
        assert_eq!(ours.places.len(), 32);
        assert_eq!(Fingerprint::of(&ours.path).unwrap().differs(&ours), None);
        // Its guest has written a little meanwhile.
        content[500_000] ^= 1;
        let written = Fingerprint::of(&file("written", &content)).unwrap();
        assert_eq!(written.differs(&ours), None);
        let other = Fingerprint::of(&file("other", &vec![7; 1_000_000])).unwrap();
        let why = other.differs(&ours).unwrap();
        assert!(why.contains("of 32 places differ"), "{why}");
        let short = Fingerprint::of(&file("short", &content[1..])).unwrap();
        assert!(short.differs(&ours).unwrap().contains("999999 bytes there"));
        let empty = Fingerprint::of(&file("empty", b"")).unwrap();
        assert_eq!(empty.differs(&empty), None);
        assert!(Fingerprint::of("/no/such/file").is_err());
    }

    #[test]
    fn an_identity_decides() {
        let print = |identity: &str, places: Vec<Uuid>| Fingerprint {
            path: "/dev/x".to_owned(),
            size: 1,
            identity: identity.to_owned(),
            places,
        };
        let (a, b) = (vec![Uuid::nil(); 32], vec![Uuid::max(); 32]);
        assert_eq!(
            print("naa.1", a.clone()).differs(&print("naa.1", b.clone())),
            None
        );
        let why = print("naa.1", a.clone()).differs(&print("naa.2", a.clone()));
        assert_eq!(why.as_deref(), Some("naa.1 there, and naa.2 here"));
        assert!(print("", a).differs(&print("naa.2", b)).is_some());
    }
}
