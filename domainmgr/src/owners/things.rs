//! What a path stands for: the same thing is the same file or device, by whatever path.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A place where bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Thing {
    /// A file, by the numbers of its file system and its own.
    File(u64, u64),
    /// A block device, by its number.
    Device(u64),
    /// The disk whose part it is, by its number, and its own.
    Part(u64, u64),
    /// Nothing is there yet.
    Path(PathBuf),
}

impl Thing {
    /// Whether writing to one can change the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Part(disk, part), Self::Device(device))
            | (Self::Device(device), Self::Part(disk, part)) => {
                [disk, part].into_iter().any(|d| d == device)
            }
            (ours, theirs) => ours == theirs,
        }
    }
}

/// Everything that the path stands for: a loop device is its file as well.
pub(super) fn of(path: &Path) -> Vec<Thing> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => of_device(found.rdev()),
        Ok(found) => vec![Thing::File(found.dev(), found.ino())],
        Err(_) => vec![Thing::Path(path.to_owned())],
    }
}

/// Everything that the block device stands for.
pub(super) fn of_device(number: u64) -> Vec<Thing> {
    let about = about(number);
    let mut things = vec![match fs::read_to_string(about.join("partition")) {
        // The directory of a partition is in that of its disk.
        Ok(_) => match disk_of(&about) {
            Some(disk) => Thing::Part(disk, number),
            None => Thing::Device(number),
        },
        Err(_) => Thing::Device(number),
    }];
    if let Ok(file) = fs::read_to_string(about.join("loop/backing_file")) {
        if let Ok(found) = fs::metadata(file.trim_end_matches('\n')) {
            things.push(Thing::File(found.dev(), found.ino()));
        }
    }
    things
}

/// The devices that this one is put together from, however far down.
pub(super) fn beneath(number: u64) -> Vec<Thing> {
    let Ok(slaves) = fs::read_dir(about(number).join("slaves")) else {
        return Vec::new();
    };
    let numbers = slaves.filter_map(|slave| number_in(&slave.ok()?.path().join("dev")));
    numbers
        .flat_map(|number| of_device(number).into_iter().chain(beneath(number)))
        .collect()
}

fn about(number: u64) -> PathBuf {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

fn disk_of(about: &Path) -> Option<u64> {
    let disk = fs::canonicalize(about).ok()?;
    number_in(&disk.parent()?.join("dev"))
}

fn number_in(file: &Path) -> Option<u64> {
    number(fs::read_to_string(file).ok()?.trim())
}

/// `8:1`, as Linux writes the number of a device.
pub(super) fn number(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}
