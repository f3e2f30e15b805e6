//! Checks of the files and devices that disks come from.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;

use super::header;
use crate::base::field_error::FieldError;
use crate::spec::limits;
use crate::spec::{Disk, Format, Spec};

/// Checks that the disks used in place exist and have the right format.
///
/// # Errors
/// The first disk that does not.
pub fn check(spec: &Spec) -> Result<(), FieldError> {
    for (i, disk) in spec.disks.iter().enumerate() {
        if disk.as_it_is {
            as_it_is(i, disk)?;
            continue;
        }
        let path = match &disk.image {
            None => &disk.path,
            Some(image) => &image.location,
        };
        // The path of an image known only by its hash is known only on the host where the domain runs.
        if !path.is_empty() {
            there(i, disk, path)?;
            inspect(i, disk, path, true)?;
        }
    }
    Ok(())
}

pub(super) fn field(i: usize, name: &str) -> String {
    format!("DiskConfigList[{i}].{name}")
}

/// Checks that a disk of one of xl's files exists, and is a plain file or a block device.
pub(super) fn as_it_is(i: usize, disk: &Disk) -> Result<(), FieldError> {
    if disk.path.is_empty() {
        return Ok(());
    }
    let wrong =
        |why: String| FieldError::new(format!("disk[{i}]"), format!("{}: {why}", disk.path));
    let found = fs::metadata(&disk.path).map_err(|e| wrong(e.to_string()))?;
    let kind = found.file_type();
    if kind.is_file() || kind.is_block_device() {
        Ok(())
    } else {
        Err(wrong("neither a plain file nor a block device".to_owned()))
    }
}

/// Checks that `path` is a block device that is not empty, or a plain file with content or one that will be enlarged.
pub(super) fn there(i: usize, disk: &Disk, path: &str) -> Result<(), FieldError> {
    let wrong = |why: String| FieldError::new(field(i, "FileLocation"), format!("{path}: {why}"));
    let found = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    let kind = found.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(wrong("neither a plain file nor a block device".to_owned()));
    }
    let grows = !disk.read_only && disk.least_size > 0;
    // The other formats have a header.
    if kind.is_file() && disk.format == Format::Raw && !grows {
        match found.len() {
            0 => return Err(wrong("the file is empty".to_owned())),
            size if size < limits::SECTOR => {
                return Err(wrong(format!(
                    "its {size} bytes are less than a sector of {}, so that the guest would see an empty disk",
                    limits::SECTOR
                )));
            }
            _ => {}
        }
    }
    if kind.is_block_device() && size_of(path).map_err(|e| wrong(e.to_string()))? == 0 {
        return Err(wrong(
            "the device is empty: a loop device without a file, or a drive without a medium"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Returns the size of a file or a device, in bytes.
fn size_of(path: &str) -> io::Result<u64> {
    File::open(path)?.seek(SeekFrom::End(0))
}

/// Returns warnings about raw disks whose last bytes the guest does not see.
#[must_use]
pub fn doubts(spec: &Spec) -> Vec<FieldError> {
    let raw = spec.disks.iter().enumerate();
    let raw = raw.filter(|(_, d)| d.format == Format::Raw && !d.as_it_is && !d.path.is_empty());
    raw.filter_map(|(i, disk)| {
        let rest = size_of(&disk.path).ok()? % limits::SECTOR;
        let why = format!(
            "{}: its size is no multiple of {}, and the guest does not see the last {rest} bytes",
            disk.path,
            limits::SECTOR
        );
        (rest > 0).then(|| FieldError::new(field(i, "FileLocation"), why))
    })
    .collect()
}

/// Checks that the file has the format that the config says. `pristine`: no guest has written to the file yet.
pub(super) fn inspect(i: usize, disk: &Disk, path: &str, pristine: bool) -> Result<(), FieldError> {
    let wrong = |why: String| FieldError::new(field(i, "Format"), format!("{path}: {why}"));
    // A guest may write anything to a raw disk, even data that looks like another format.
    if disk.format == Format::Raw && (!pristine || (disk.image.is_none() && !disk.read_only)) {
        return Ok(());
    }
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    header::check(&file, disk.format).map_err(wrong)
}
