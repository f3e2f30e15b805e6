//! Makes the disks of a domain ready: finds images, and copies and enlarges them.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bounds::{Bounds, Failure, other};
use super::check::{as_it_is, field, inspect, there};
use super::copy;
use super::discard::{remove, spellings};
use super::grow;
use super::name;
use crate::base::crash_points;
use crate::base::field_error::FieldError;
use crate::base::queue::Aborted;
use crate::base::store;
use crate::host::cloudinit;
use crate::spec::limits;
use crate::spec::{Copied, Disk, Image, Spec};

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
            crash_points::point("before the cloud-init disk is written");
            store::write(&path, &cloudinit::image(seed)).map_err(|e| other(&disk.path, &e))?;
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

/// Makes one disk ready, unless it is for cloud-init.
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
        return in_place(i, disk);
    };
    let Some(copy) = &mut image.copy else {
        image.location = locate(i, image, places.images)?;
        disk.path.clone_from(&image.location);
        there(i, disk, &disk.path)?;
        inspect(i, disk, &disk.path, true)?;
        return Ok(());
    };
    if copies == Copies::Fresh && !copy.preserve {
        remove_old(places.copies, &copy.name)?;
    }
    copy.name = on_disk(places.copies, &copy.name, whole)?;
    let target = places.copies.join(&copy.name);
    let path = text(&target)?;
    if is_copied(&target, &path)? {
        // The image may be gone by now: it is no longer needed.
        if image.location.is_empty() {
            image.location = locate(i, image, places.images).unwrap_or_default();
        }
        disk.path = path;
        inspect(i, disk, &disk.path, false)?;
        return enlarge(i, disk, &disk.path);
    }
    if whole.contains(&copy.name) {
        return Err(lost(&path, copy, places.copies));
    }
    image.location = locate(i, image, places.images)?;
    let source = image.location.clone();
    disk.path = path;
    copy_image(i, disk, &source, &target, bounds)
}

/// Makes a disk ready that is a file or device of its own, and not an image.
fn in_place(i: usize, disk: &Disk) -> Result<(), Failure> {
    there(i, disk, &disk.path)?;
    inspect(i, disk, &disk.path, true)?;
    if !disk.read_only {
        enlarge(i, disk, &disk.path)?;
    }
    Ok(())
}

/// Removes the copies named `name` in `dir`, however the hash in the name is spelled.
fn remove_old(dir: &Path, name: &str) -> Result<(), Failure> {
    crash_points::point("before an old copy is removed");
    for name in spellings(dir, name)? {
        let path = dir.join(name);
        remove(&path).map_err(|e| other(&path.display().to_string(), &e))?;
    }
    Ok(())
}

/// Returns whether the copy at `target` exists. `path` is the same path as text.
fn is_copied(target: &Path, path: &str) -> Result<bool, Failure> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(Failure::Other(format!(
            "{path}: in the way of a copy: not a plain file"
        ))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(other(path, &e)),
    }
}

/// Returns the error for a copy that has existed and is gone.
///
/// With a new copy, it would look as if the guest had never written anything.
fn lost(path: &str, copy: &Copied, dir: &Path) -> Failure {
    Failure::Other(format!(
        "{path}: the copy that the guest has written to is gone: mount {}, or move it back; to begin from the image again, {}",
        dir.display(),
        if copy.preserve {
            "remove the DomainConfig and write it anew"
        } else {
            "deactivate the domain and activate it again"
        }
    ))
}

/// Copies the image `source` to `target`, and enlarges the copy. Waits for its place in the queue of copies.
fn copy_image(
    i: usize,
    disk: &Disk,
    source: &str,
    target: &Path,
    bounds: &mut Bounds<'_>,
) -> Result<(), Failure> {
    there(i, disk, source)?;
    inspect(i, disk, source, true)?;
    let mut finish = |file: &File| {
        grow::grow(file, disk.format, disk.least_size)
            .map_err(|why| maxsize(i, format!("{source}: {why}")).into())
    };
    let _place = bounds
        .queue
        .take(&bounds.limits.abort, bounds.limits.urgent)
        .map_err(|Aborted| Failure::Aborted)?;
    copy::copy(i, Path::new(source), target, bounds, &mut finish)
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

fn maxsize(i: usize, why: String) -> FieldError {
    FieldError::new(field(i, "Maxsizebytes"), why)
}

/// Returns the path as text, which libxl requires.
fn text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Failure::Other(format!("{}: the path is not UTF-8", path.display())))
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
