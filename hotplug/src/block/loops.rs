//! Loop devices.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use loopdev::{LoopControl, LoopDevice};
use rustix::io::Errno;

use super::Device;
use crate::failure::{Failure, Names};

const SYSFS: &str = "/sys/block";

/// Added to the path of a file that has been removed.
const DELETED: &[u8] = b" (deleted)";

/// Number of loop devices that are tried, if others take each that is free.
const TRIES: u32 = 100;

/// A loop device that is in use.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) device: Device,
}

/// Returns the loop devices of a file.
pub(super) fn of_file(file: &Metadata) -> io::Result<Vec<Loop>> {
    let mut loops = Vec::new();
    for entry in fs::read_dir(SYSFS)? {
        let name = entry?.file_name();
        if !name.as_bytes().starts_with(b"loop") {
            continue;
        }
        let Some(backing) = backing_file(Path::new(&name)) else {
            continue;
        };
        let same = fs::metadata(backing)
            .is_ok_and(|about| (about.dev(), about.ino()) == (file.dev(), file.ino()));
        if same {
            if let Ok(about) = fs::metadata(Path::new("/dev").join(&name)) {
                loops.push(Loop {
                    device: Device::of(&about),
                });
            }
        }
    }
    Ok(loops)
}

/// Returns the file that a loop device is attached to, as the kernel shows it; `None` if it is free.
fn backing_file(name: &Path) -> Option<PathBuf> {
    let mut text = fs::read(Path::new(SYSFS).join(name).join("loop/backing_file")).ok()?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(text)))
}

/// Returns whether a loop device is attached to the file that has, or had, this path.
pub(super) fn is_of(node: &Path, file: &Path) -> bool {
    let name = node.file_name().unwrap_or_default();
    backing_file(Path::new(name)).is_some_and(|backing| shows(&backing, file))
}

fn shows(backing: &Path, file: &Path) -> bool {
    let backing = backing.as_os_str().as_bytes();
    let backing = backing.strip_suffix(DELETED).unwrap_or(backing);
    let dir = file.parent().and_then(|dir| fs::canonicalize(dir).ok());
    let in_place = dir.zip(file.file_name()).map(|(dir, name)| dir.join(name));
    let followed = fs::canonicalize(file).ok();
    [in_place, followed]
        .into_iter()
        .flatten()
        .any(|path| path.as_os_str().as_bytes() == backing)
}

/// Attaches a file to a free loop device, after `told` has been told which. Returns the loop device.
pub(super) fn attach(
    file: &Path,
    read_only: bool,
    mut told: impl FnMut(&Path) -> Result<(), Failure>,
) -> Result<(PathBuf, Device), Failure> {
    let backing = File::options()
        .read(true)
        .write(!read_only)
        .open(file)
        .names(file.display())?;
    let control = LoopControl::open().names("/dev/loop-control")?;
    for _ in 0..TRIES {
        let free = control
            .next_free()
            .names("Failed to find an unused loop device")?;
        let node = free
            .path()
            .ok_or_else(|| Failure::new("Failed to find an unused loop device"))?;
        told(&node)?;
        match free
            .with()
            .read_only(read_only)
            .attach_fd(backing.as_raw_fd())
        {
            // Others take loop devices, too.
            Err(e) if e.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => continue,
            attached => attached.names(format!("{} on {}", file.display(), node.display()))?,
        }
        // Nothing is kept twice in memory, and what a guest has written is on the disk. Not every file system can do that.
        let _ = free.set_direct_io(true);
        let about = fs::metadata(&node).names(node.display())?;
        return Ok((node, Device::of(&about)));
    }
    Err(Failure::new(format!(
        "{}: others have taken each of {TRIES} free loop devices",
        file.display()
    )))
}

/// Detaches a loop device. The kernel does so once nobody has it open.
pub(super) fn detach(node: &Path) -> io::Result<()> {
    LoopDevice::open(node)?.detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_path_even_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        let (file, link) = (dir.join("disk"), dir.join("link"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let deleted = dir.join("disk (deleted)");
        assert!(shows(&file, &file));
        assert!(shows(&file, &link));
        assert!(shows(&deleted, &file));
        assert!(!shows(&dir.join("other"), &file));
        fs::remove_file(&file).unwrap();
        assert!(shows(&deleted, &file));
    }

    #[test]
    fn a_new_file_has_no_loop_device() {
        let file = tempfile::tempfile().unwrap();
        assert!(of_file(&file.metadata().unwrap()).unwrap().is_empty());
        assert!(!is_of(
            Path::new("/dev/loop-none"),
            Path::new("/etc/passwd")
        ));
    }
}
