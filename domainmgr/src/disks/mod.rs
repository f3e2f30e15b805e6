//! The files behind a domain's disks: finding, checking, copying and growing them.
//!
//! A guest never writes to an image, only to its own copy. A copy is made under a temporary name and renamed at the end, so
//! that a file with the final name is whole.

mod copy;
mod grow;
mod header;
pub mod keeper;
pub mod name;
mod qcow2;
pub mod register;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cloudinit;
use crate::crash;
use crate::eve::FieldError;
use crate::limits;
use crate::queue::Queue;
use crate::spec::{Disk, Format, Image, Spec};
use crate::store;
use crate::toolstack::Limits;

/// Directories for images, for their copies, and for the disks that cloud-init reads.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Directory for copies, one file each.
    pub copies: &'a Path,
    /// Directory for images, each in a directory named after its hash.
    pub images: &'a Path,
    /// Directory for the disks that cloud-init reads.
    pub seeds: &'a Path,
}

/// Treatment of copies that are not to be preserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Copies {
    /// The guest starts from the image; its earlier writes are lost.
    #[default]
    Fresh,
    /// The guest goes on with the data that it has written.
    Keep,
}

/// Returns the queue for copies. A disk is read and written fastest by few at a time; a copy that takes longer than a minute
/// makes room for others, which may be of other disks.
#[must_use]
pub fn copies_at_once() -> Queue {
    Queue::until_long(4, Duration::from_secs(60))
}

/// Progress of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the disk in the list.
    pub disk: usize,
    /// Number of bytes that are done.
    pub done: u64,
    /// Number of bytes in total.
    pub total: u64,
}

impl Progress {
    /// Returns the progress in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let part = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u8::try_from(part.min(100)).unwrap_or(100)
    }
}

/// Reason why the disks are not ready.
#[derive(Debug)]
pub enum Failure {
    /// The config asks for something that is impossible or missing.
    Config(FieldError),
    /// An error that may not occur the next time.
    Other(String),
    /// The call was ended early.
    Aborted,
}

impl From<FieldError> for Failure {
    fn from(e: FieldError) -> Self {
        Self::Config(e)
    }
}

/// Bounds of one call.
#[allow(missing_debug_implementations, reason = "a closure has none")]
pub struct Bounds<'a> {
    /// Ends the call early.
    pub limits: &'a Limits,
    /// The queue for copies.
    pub queue: &'a Arc<Queue>,
    /// Called with the progress now and then.
    pub progress: &'a mut dyn FnMut(Progress),
    /// The most bytes per second that are copied. Simulations use it as a slow disk.
    pub rate: Option<u64>,
}

/// Makes the disks of `spec` ready to be used, and returns the spec with all their paths.
///
/// The copies named in `whole` existed before, and are only used if they still exist.
///
/// # Errors
/// A disk cannot be made ready. Existing files stay as they are, and no half-made copy is left.
pub fn prepare(
    spec: &Spec,
    places: Places<'_>,
    copies: Copies,
    whole: &BTreeSet<String>,
    bounds: &mut Bounds<'_>,
) -> Result<Spec, Failure> {
    let mut ready = spec.clone();
    for (i, disk) in ready.disks.iter_mut().enumerate() {
        if let Some(seed) = &disk.seed {
            let path = cloudinit::path(places.seeds, spec.uuid);
            disk.path = text(&path)?;
            crash::point("before the cloud-init disk is written");
            store::write(&path, &seed.image()).map_err(|e| other(&disk.path, &e))?;
        } else {
            one(i, disk, places, copies, whole, bounds)?;
        }
        // The path begins with a directory that the operator has chosen.
        let bad = limits::bad_disk_path(spec.mode, disk, &disk.path);
        if let Some(why) = bad.filter(|_| !disk.as_it_is) {
            return Err(FieldError::new(format!("DiskConfigList[{i}]"), why).into());
        }
    }
    Ok(ready)
}

fn one(
    i: usize,
    disk: &mut Disk,
    places: Places<'_>,
    copies: Copies,
    whole: &BTreeSet<String>,
    bounds: &mut Bounds<'_>,
) -> Result<(), Failure> {
    if disk.as_it_is {
        return Ok(as_it_is(i, disk)?);
    }
    let Some(image) = &mut disk.image else {
        there(i, disk, &disk.path)?;
        inspect(i, disk, &disk.path, true)?;
        if !disk.read_only {
            enlarge(i, disk, &disk.path)?;
        }
        return Ok(());
    };
    let Some(copy) = &mut image.copy else {
        image.location = locate(i, image, places.images)?;
        let location = image.location.clone();
        disk.path.clone_from(&location);
        there(i, disk, &location)?;
        inspect(i, disk, &location, true)?;
        return Ok(());
    };
    if copies == Copies::Fresh && !copy.preserve {
        crash::point("before an old copy is removed");
        for name in spellings(places.copies, &copy.name)? {
            let path = places.copies.join(name);
            remove(&path).map_err(|e| other(&path.display().to_string(), &e))?;
        }
    }
    copy.name = on_disk(places.copies, &copy.name, whole)?;
    let target = places.copies.join(&copy.name);
    let path = text(&target)?;
    let found = match fs::symlink_metadata(&target) {
        Ok(found) if found.is_file() => true,
        Ok(_) => {
            return Err(Failure::Other(format!(
                "{path}: in the way of a copy: not a plain file"
            )));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(other(&path, &e)),
    };
    if found {
        // The image may be gone by now: it is no longer needed.
        if image.location.is_empty() {
            image.location = locate(i, image, places.images).unwrap_or_default();
        }
        disk.path = path.clone();
        inspect(i, disk, &path, false)?;
        return enlarge(i, disk, &path);
    }
    if whole.contains(&copy.name) {
        // With a new copy, it would look as if the guest had never written anything.
        return Err(Failure::Other(format!(
            "{path}: the copy that the guest has written to is gone: mount {}, or move it back; to begin from the image \
             again, {}",
            places.copies.display(),
            if copy.preserve {
                "remove the DomainConfig and write it anew"
            } else {
                "deactivate the domain and activate it again"
            }
        )));
    }
    image.location = locate(i, image, places.images)?;
    let source = image.location.clone();
    disk.path = path;
    there(i, disk, &source)?;
    inspect(i, disk, &source, true)?;
    let mut finish = |file: &File| {
        grow::grow(file, disk.format, disk.least_size)
            .map_err(|why| maxsize(i, format!("{source}: {why}")).into())
    };
    // An error is an abort.
    let _place = bounds
        .queue
        .take(bounds.limits)
        .map_err(|_| Failure::Aborted)?;
    copy::copy(i, Path::new(&source), &target, bounds, &mut finish)
}

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

/// Returns the files in `dir` that are the copy `wanted`. Earlier agents did not fold the case of the hash.
fn spellings(dir: &Path, wanted: &str) -> Result<Vec<String>, Failure> {
    let mut names = match store::list(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(other(&dir.display().to_string(), &e)),
    };
    names.retain(|name| name::same(name, wanted));
    Ok(names)
}

/// Returns the name that the copy `wanted` has in `dir`, or will have. A name in `whole` comes first: a guest has written
/// to that copy.
fn on_disk(dir: &Path, wanted: &str, whole: &BTreeSet<String>) -> Result<String, Failure> {
    let known = whole.iter().filter(|name| name::same(name, wanted));
    let mut found: Vec<String> = known.cloned().collect();
    if found.is_empty() {
        found = spellings(dir, wanted)?;
    }
    match found.as_slice() {
        [] => Ok(wanted.to_owned()),
        [name] => Ok(name.clone()),
        [first, second, ..] => Err(Failure::Other(format!(
            "{}: {first} and {second} are copies of one image, whose hash was written in capitals and in small letters: nobody \
             knows which of them the disk is; leave the right one there, under the name {wanted}",
            dir.display()
        ))),
    }
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

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn other(path: &str, e: &io::Error) -> Failure {
    Failure::Other(format!("{path}: {e}"))
}

fn field(i: usize, name: &str) -> String {
    format!("DiskConfigList[{i}].{name}")
}

fn maxsize(i: usize, why: String) -> FieldError {
    FieldError::new(field(i, "Maxsizebytes"), why)
}

/// Returns the path as text, which libxl requires.
fn text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Failure::Other(format!("{}: the path is not UTF-8", path.display())))
}

/// Checks that a disk of one of xl's files exists, and is a plain file or a block device.
fn as_it_is(i: usize, disk: &Disk) -> Result<(), FieldError> {
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
fn there(i: usize, disk: &Disk, path: &str) -> Result<(), FieldError> {
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

/// Returns the path of an image: the only file in the directory of its hash, unless the config names the path.
fn locate(i: usize, image: &Image, images: &Path) -> Result<String, FieldError> {
    if !image.location.is_empty() {
        return Ok(image.location.clone());
    }
    let dir = images.join(directory(images, &image.sha256));
    let wrong =
        |why: String| FieldError::new(field(i, "ImageSha256"), format!("{}: {why}", dir.display()));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|e| wrong(e.to_string()))? {
        files.push(entry.map_err(|e| wrong(e.to_string()))?.path());
    }
    match files.as_slice() {
        [file] => file
            .to_str()
            .map(ToOwned::to_owned)
            .ok_or_else(|| wrong("the name of the image is not UTF-8".to_owned())),
        [] => Err(wrong("no image in it".to_owned())),
        more => Err(wrong(format!(
            "{} files in it, expected one image",
            more.len()
        ))),
    }
}

/// Returns the name of the directory of an image, whichever case its hash is written in.
fn directory(images: &Path, sha256: &str) -> String {
    let own = sha256.to_owned();
    if images.join(&own).exists() {
        return own;
    }
    let names = store::list(images).unwrap_or_default();
    let mut names = names.into_iter();
    names
        .find(|name| name.eq_ignore_ascii_case(sha256))
        .unwrap_or(own)
}

/// Checks that the file has the format that the config says. `pristine`: no guest has written to the file yet.
fn inspect(i: usize, disk: &Disk, path: &str, pristine: bool) -> Result<(), FieldError> {
    let wrong = |why: String| FieldError::new(field(i, "Format"), format!("{path}: {why}"));
    // A guest may write anything to a raw disk, even data that looks like another format.
    if disk.format == Format::Raw && (!pristine || (disk.image.is_none() && !disk.read_only)) {
        return Ok(());
    }
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    header::check(&file, disk.format).map_err(wrong)
}

fn enlarge(i: usize, disk: &Disk, path: &str) -> Result<(), Failure> {
    if disk.least_size == 0 {
        return Ok(());
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| other(path, &e))?;
    grow::grow(&file, disk.format, disk.least_size)
        .map_err(|why| maxsize(i, format!("{path}: {why}")).into())
}
