//! Block devices that the host itself uses, because they are mounted or swapped to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::spec::claims::things;
use crate::spec::claims::{Claims, Taken};

/// Returns the devices that the host uses, one entry for each use.
#[must_use]
pub fn taken() -> Vec<Taken> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    of(&mounts, &swaps)
}

fn of(mounts: &str, swaps: &str) -> Vec<Taken> {
    let mut taken = Vec::new();
    for (number, (place, write)) in mounted(mounts) {
        taken.push(Taken {
            owner: format!("the host, mounted on {place}"),
            claims: Claims::of_things(things::of_device(number), write),
        });
    }
    if mounts.contains(" - btrfs ") {
        taken.extend(pools());
    }
    // The first line is the heading.
    for path in swaps
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
    {
        if fs::metadata(path).is_err() {
            continue;
        }
        taken.push(Taken {
            owner: "the host, which swaps to it".to_owned(),
            claims: Claims::of_things(things::of(path.as_ref()), true),
        });
    }
    taken
}

/// Returns the devices of mounted Btrfs file systems. Each file system may have many, and a mount names one of them.
fn pools() -> Vec<Taken> {
    let all = fs::read_dir("/sys/fs/btrfs").into_iter().flatten();
    let devices = all.filter_map(|pool| fs::read_dir(pool.ok()?.path().join("devices")).ok());
    let numbers = devices.flatten().filter_map(|device| {
        let number = fs::read_to_string(device.ok()?.path().join("dev")).ok()?;
        things::number(number.trim())
    });
    numbers
        .map(|number| Taken {
            owner: "the host, as a part of a Btrfs file system that is mounted".to_owned(),
            claims: Claims::of_things(things::of_device(number), true),
        })
        .collect()
}

/// Returns the numbers of mounted devices, with the first mount point and whether any mount is writable: see proc(5).
fn mounted(mounts: &str) -> BTreeMap<u64, (String, bool)> {
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(number), Some(place)) = (words.get(2), words.get(4)) else {
            continue;
        };
        // Major number 0 is not a block device: a file system has made the number up. The device is then the source, if any.
        let known = things::number(number).filter(|n| rustix::fs::major(*n) != 0);
        let Some(number) = known.or_else(|| source(&words)) else {
            continue;
        };
        let options = words.last().into_iter().flat_map(|o| o.split(','));
        let write = options.into_iter().all(|option| option != "ro");
        let entry = found
            .entry(number)
            .or_insert_with(|| ((*place).to_owned(), false));
        entry.1 |= write;
    }
    found
}

/// Returns the number of the block device that a line of mountinfo names as the source.
fn source(words: &[&str]) -> Option<u64> {
    let end = words.iter().position(|word| *word == "-")?;
    let source = words.get(end + 2).filter(|text| text.starts_with('/'))?;
    let found = fs::metadata(source).ok()?;
    found.file_type().is_block_device().then(|| found.rdev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_found_in_the_kernels_list() {
        let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=10k
24 22 7:0 / /mnt/a\\040b ro,relatime shared:3 - iso9660 /dev/loop0 ro,nojoliet
25 22 254:0 /x /y ro shared:4 - ext4 /dev/vda rw
nonsense
";
        let found: Vec<_> = mounted(mounts).into_values().collect();
        assert_eq!(
            found,
            [("/mnt/a\\040b".to_owned(), false), ("/".to_owned(), true)]
        );
    }

    #[test]
    fn the_root_of_this_host_is_found_if_it_is_on_a_device() {
        let here = fs::metadata("/").unwrap().dev();
        let swaps = "Filename\tType\tSize\tUsed\tPriority\n/no/such/swap partition 1 0 -2\n";
        let mounts = format!(
            "22 1 {}:{} / / rw - ext4 x rw",
            rustix::fs::major(here),
            rustix::fs::minor(here)
        );
        let taken = of(&mounts, swaps);
        assert_eq!(taken.len(), usize::from(rustix::fs::major(here) != 0));
    }
}
