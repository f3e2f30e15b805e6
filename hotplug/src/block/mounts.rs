//! The file systems that dom0 itself has mounted.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;

use super::Device;
use super::mode::Mode;

/// Returns the block devices that dom0 has mounted so that nobody else may use them in this mode.
pub(super) fn devices(mode: Mode) -> io::Result<Vec<Device>> {
    let table = fs::read_to_string("/proc/mounts")?;
    Ok(sources(&table, mode).filter_map(device).collect())
}

/// Returns what is mounted. Whoever only reads bears others that only read.
fn sources(table: &str, mode: Mode) -> impl Iterator<Item = &str> {
    table.lines().filter_map(move |line| {
        let mut fields = line.split(' ');
        let source = fields.next()?;
        let options = fields.nth(2)?;
        let read_only = options.split(',').any(|option| option == "ro");
        (mode == Mode::Write || !read_only).then_some(source)
    })
}

fn device(source: &str) -> Option<Device> {
    let about = fs::metadata(source).ok()?;
    about
        .file_type()
        .is_block_device()
        .then(|| Device::of(&about))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_bears_readers() {
        let table = "\
            /dev/sda1 / ext4 rw,relatime 0 0\n\
            /dev/loop0 /mnt/a\\040b iso9660 ro,relatime 0 0\n\
            proc /proc proc rw,nosuid 0 0\n";
        let of = |mode| sources(table, mode).collect::<Vec<_>>();
        assert_eq!(of(Mode::Write), ["/dev/sda1", "/dev/loop0", "proc"]);
        assert_eq!(of(Mode::Read), ["/dev/sda1", "proc"]);
        assert_eq!(device("proc"), None);
    }
}
