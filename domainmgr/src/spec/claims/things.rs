//! The file or device that a path stands for, which is the same thing by whatever path.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// The deepest stack of devices that is followed. The kernel allows no cycles, but may remove devices during the search.
const DEPTH: usize = 16;

/// A place where bytes are stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// A file, by the numbers of its file system and its inode.
    File(u64, u64),
    /// A block device, by its number.
    Device(u64),
    /// A part of a thing, which no other part overlaps.
    ///
    /// The number is that of the device which has the part: a partition of a disk, or a logical volume on a physical volume.
    Part(Box<Thing>, u64),
    /// A path at which nothing exists yet.
    Path(PathBuf),
}

impl Thing {
    /// Returns whether writing to one can change the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Part(..), Self::Part(..)) => self == other,
            (Self::Part(whole, _), thing) | (thing, Self::Part(whole, _)) => **whole == *thing,
            (ours, theirs) => ours == theirs,
        }
    }

    /// Returns the part of this thing that the device `part` has.
    fn part(self, part: u64) -> Self {
        match self {
            Self::Part(whole, _) => Self::Part(whole, part),
            whole => Self::Part(Box::new(whole), part),
        }
    }
}

/// Returns everything that the path stands for: a loop device is its file as well.
pub fn of(path: &Path) -> Vec<Thing> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => of_device(found.rdev()),
        Ok(found) => vec![Thing::File(found.dev(), found.ino())],
        Err(_) => vec![Thing::Path(without_dots(path))],
    }
}

/// Returns the path without `.` and `..`, for a path that cannot be followed.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Returns everything that a block device stands for: the device, and its part of each device below it, at any depth.
pub fn of_device(number: u64) -> Vec<Thing> {
    Sys::default().of_device(number, DEPTH)
}

/// The kernel's directory of block devices.
struct Sys(PathBuf);

impl Default for Sys {
    fn default() -> Self {
        Self("/sys/dev/block".into())
    }
}

impl Sys {
    fn of_device(&self, number: u64, depth: usize) -> Vec<Thing> {
        let mut things = vec![Thing::Device(number)];
        let Some(depth) = depth.checked_sub(1) else {
            return things;
        };
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let about = self.0.join(format!("{major}:{minor}"));
        let mut parts = Vec::new();
        if about.join("partition").exists() {
            parts.extend(disk_of(&about));
        }
        let slaves = fs::read_dir(about.join("slaves")).into_iter().flatten();
        parts.extend(slaves.filter_map(|slave| number_in(&slave.ok()?.path().join("dev"))));
        for below in parts {
            let below = self.of_device(below, depth).into_iter();
            things.extend(below.map(|thing| thing.part(number)));
        }
        if let Ok(file) = fs::read_to_string(about.join("loop/backing_file")) {
            match fs::metadata(file.trim_end_matches('\n')) {
                Ok(found) if found.file_type().is_block_device() => {
                    things.extend(self.of_device(found.rdev(), depth));
                }
                Ok(found) => things.push(Thing::File(found.dev(), found.ino())),
                Err(_) => {}
            }
        }
        things
    }
}

/// Returns the number of a partition's disk, whose directory contains that of the partition.
fn disk_of(about: &Path) -> Option<u64> {
    let disk = fs::canonicalize(about).ok()?;
    number_in(&disk.parent()?.join("dev"))
}

fn number_in(file: &Path) -> Option<u64> {
    number(fs::read_to_string(file).ok()?.trim())
}

/// Reads the number of a device as Linux writes it, e.g. `8:1`.
pub fn number(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory like the one in which the kernel describes block devices.
    struct Kernel(tempfile::TempDir);

    impl Kernel {
        fn new() -> Self {
            let kernel = Self(tempfile::tempdir().unwrap());
            fs::create_dir(kernel.0.path().join("block")).unwrap();
            kernel
        }

        /// Adds a device whose directory is `place`.
        fn device(&self, place: &str, number: &str) -> PathBuf {
            let dir = self.0.path().join("devices").join(place);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("dev"), number).unwrap();
            symlink(&dir, self.0.path().join("block").join(number)).unwrap();
            dir
        }

        fn on(&self, place: &str, number: &str, below: &[&PathBuf]) -> PathBuf {
            let dir = self.device(place, number);
            fs::create_dir(dir.join("slaves")).unwrap();
            for (i, below) in below.iter().enumerate() {
                symlink(below, dir.join("slaves").join(i.to_string())).unwrap();
            }
            dir
        }

        fn clash(&self, one: &str, other: &str) -> bool {
            let sys = Sys(self.0.path().join("block"));
            let things = |text| sys.of_device(number(text).unwrap(), DEPTH);
            let (one, other) = (things(one), things(other));
            one.iter().any(|a| other.iter().any(|b| a.overlaps(b)))
        }
    }

    #[test]
    fn devices_that_lie_on_each_other_are_one_and_neighbours_are_two() {
        let kernel = Kernel::new();
        kernel.device("sda", "8:0");
        let sda1 = kernel.device("sda/sda1", "8:1");
        let sda2 = kernel.device("sda/sda2", "8:2");
        for partition in [&sda1, &sda2] {
            fs::write(partition.join("partition"), "").unwrap();
        }
        kernel.device("sdb", "8:16");
        // Two logical volumes on one partition, and an encrypted one on the first of them.
        let lv0 = kernel.on("dm-0", "253:0", &[&sda1]);
        kernel.on("dm-1", "253:1", &[&sda1]);
        kernel.on("dm-2", "253:2", &[&lv0]);
        for (one, other, clash) in [
            ("8:0", "8:1", true),
            ("8:1", "8:2", false),
            ("8:0", "8:16", false),
            ("253:0", "253:1", false),
            ("253:0", "8:1", true),
            ("253:0", "8:0", true),
            ("253:0", "8:2", false),
            ("253:2", "253:0", true),
            ("253:2", "253:1", false),
            ("253:2", "8:0", true),
        ] {
            assert_eq!(kernel.clash(one, other), clash, "{one} and {other}");
            assert_eq!(kernel.clash(other, one), clash, "{other} and {one}");
        }
    }

    #[test]
    fn a_loop_device_is_its_file_and_its_partitions_are_parts_of_it() {
        let kernel = Kernel::new();
        let file = kernel.0.path().join("disk");
        fs::write(&file, "").unwrap();
        let text = format!("{}\n", file.display());
        for (place, number) in [("loop0", "7:0"), ("loop1", "7:1")] {
            let dir = kernel.device(place, number);
            fs::create_dir(dir.join("loop")).unwrap();
            fs::write(dir.join("loop/backing_file"), &text).unwrap();
        }
        for (place, number) in [("loop0/loop0p1", "259:0"), ("loop0/loop0p2", "259:1")] {
            fs::write(kernel.device(place, number).join("partition"), "").unwrap();
        }
        for (one, other, clash) in [
            ("7:0", "7:1", true),
            ("259:0", "7:0", true),
            ("259:0", "7:1", true),
            ("259:0", "259:1", false),
        ] {
            assert_eq!(kernel.clash(one, other), clash, "{one} and {other}");
        }
        let sys = Sys(kernel.0.path().join("block"));
        let part = sys.of_device(number("259:0").unwrap(), DEPTH);
        assert!(of(&file).iter().any(|a| part.iter().any(|b| a.overlaps(b))));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_compared_without_dots() {
        let things = |path: &str| of(Path::new(path));
        assert_eq!(things("/no/x/../such//a"), things("/no/./such/a"));
        assert_ne!(things("/no/such/a"), things("/no/such/b"));
    }
}
