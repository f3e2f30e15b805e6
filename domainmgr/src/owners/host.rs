//! What the host itself uses: block devices that are mounted or swapped to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::claims::{Claims, Taken};
use super::things;

/// What the host uses, by the use.
#[must_use]
pub fn taken() -> Vec<Taken> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    of(&mounts, &swaps)
}

fn of(mounts: &str, swaps: &str) -> Vec<Taken> {
    let mut taken = Vec::new();
    for (number, (place, write)) in mounted(mounts) {
        let all = things::of_device(number)
            .into_iter()
            .chain(things::beneath(number));
        taken.push(Taken {
            owner: format!("the host, mounted on {place}"),
            claims: Claims::of_things(all, write),
        });
    }
    // The first line is the heading.
    for path in swaps
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
    {
        let Ok(found) = fs::metadata(path) else {
            continue;
        };
        let beneath = things::beneath(found.rdev());
        taken.push(Taken {
            owner: "the host, which swaps to it".to_owned(),
            claims: Claims::of_things(things::of(path.as_ref()).into_iter().chain(beneath), true),
        });
    }
    taken
}

/// The numbers of the devices that are mounted, where first, and whether they are written to anywhere: see proc(5).
fn mounted(mounts: &str) -> BTreeMap<u64, (String, bool)> {
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(number), Some(place)) = (words.get(2), words.get(4)) else {
            continue;
        };
        // 0 is no block device, but a file system that has none.
        let Some(number) = things::number(number).filter(|n| rustix::fs::major(*n) != 0) else {
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
