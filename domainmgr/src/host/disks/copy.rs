//! Copies an image. The copy is whole or absent, keeps its holes, and does not keep others from the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::bounds::{Bounds, Failure};
use super::discard::remove;
use super::name;
use crate::base::crash_points;
use crate::base::progress::Progress;

/// Bytes in one step. After each step, an abort is noticed and progress may be reported.
const STEP: u64 = 4 << 20;
/// Bytes after which the copy is flushed to the disk.
///
/// Data that piles up in memory would be written at the expense of others, and an abort would have to wait for it.
const FLUSH: u64 = 128 << 20;
/// Bytes in a block: a block of zeros becomes a hole.
const BLOCK: usize = 64 << 10;
/// Time between two reports of the progress.
const PACE: Duration = Duration::from_secs(1);

/// Copies `from` to `to`, which must not exist, and applies `finish` before the copy gets its name.
pub(super) fn copy(
    disk: usize,
    from: &Path,
    to: &Path,
    bounds: &mut Bounds<'_>,
    finish: &mut dyn FnMut(&File) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |what: &Path, e: &io::Error| Failure::Other(format!("{}: {e}", what.display()));
    let dir = to
        .parent()
        .ok_or_else(|| Failure::Other(format!("{}: no directory", to.display())))?;
    let mut source = File::open(from).map_err(|e| failed(from, &e))?;
    // The metadata of a block device have no length, but the device has an end.
    let total = source
        .seek(SeekFrom::End(0))
        .map_err(|e| failed(from, &e))?;
    let temp = Temp::create(dir, to).map_err(|e| failed(to, &e))?;
    let mut job = Job {
        source: &source,
        target: &temp.file,
        total,
        done: 0,
        unflushed: 0,
        by_kernel: true,
        disk,
        bounds,
        told: Instant::now(),
        begun: Instant::now(),
    };
    // Sharing the blocks takes no time and no room. Where that does not work, the free room is checked first.
    let shared =
        job.bounds.rate.is_none() && rustix::fs::ioctl_ficlone(&temp.file, &source).is_ok();
    if !shared {
        let needed = allocated(&source, total);
        room(dir, needed, from)?;
        job.run().map_err(|e| match e {
            Stop::Aborted => Failure::Aborted,
            Stop::Io(e) if e.kind() == io::ErrorKind::StorageFull => Failure::Other(format!(
                "{}: no room for a copy of {}: {e}",
                dir.display(),
                from.display()
            )),
            Stop::Io(e) => Failure::Other(format!(
                "copying {} to {}: {e}",
                from.display(),
                to.display()
            )),
        })?;
    }
    finish(&temp.file)?;
    temp.persist(to).map_err(|e| failed(to, &e))
}

/// Returns the number of bytes that the copy will take: an image is often mostly holes.
fn allocated(source: &File, total: u64) -> u64 {
    match source.metadata() {
        Ok(found) if found.is_file() => total.min(found.blocks().saturating_mul(512)),
        _ => total,
    }
}

fn room(dir: &Path, needed: u64, image: &Path) -> Result<(), Failure> {
    // A file system that does not tell its free room reports an error when it is full.
    let Ok(found) = rustix::fs::statvfs(dir) else {
        return Ok(());
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let kept = headroom(found.f_blocks.saturating_mul(found.f_frsize));
    if needed.saturating_add(kept) <= free {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "{}: no room for a copy of {}: it takes {} MiB, {} MiB are free, and {} MiB of them are kept for guests that \
         write",
        dir.display(),
        image.display(),
        needed.div_ceil(1 << 20),
        free >> 20,
        kept >> 20
    )))
}

/// Returns the bytes that a new copy leaves free in a file system of `total` bytes.
///
/// Copies are mostly holes, and a running guest that fills one gets errors from its disk when no room is left.
fn headroom(total: u64) -> u64 {
    (total / 20).min(1 << 30)
}

/// A temporary file, which is removed unless it gets its final name.
struct Temp {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Temp {
    fn create(dir: &Path, to: &Path) -> io::Result<Self> {
        let target = to.file_name().unwrap_or_default().to_string_lossy();
        let path = dir.join(name::temporary(&target));
        // A killed agent may have left a file of this name.
        remove(&path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            kept: false,
        })
    }

    fn persist(mut self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        crash_points::point("before a copy gets its name");
        fs::rename(&self.path, to)?;
        self.kept = true;
        crash_points::point("after a copy got its name");
        match to.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.kept {
            // If this fails, the next copy removes the file.
            let _ = remove(&self.path);
        }
    }
}

enum Stop {
    Aborted,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<Errno> for Stop {
    fn from(e: Errno) -> Self {
        Self::Io(e.into())
    }
}

struct Job<'a, 'b> {
    source: &'a File,
    target: &'a File,
    total: u64,
    done: u64,
    unflushed: u64,
    by_kernel: bool,
    disk: usize,
    bounds: &'a mut Bounds<'b>,
    told: Instant,
    begun: Instant,
}

impl Job<'_, '_> {
    fn run(&mut self) -> Result<(), Stop> {
        self.target.set_len(self.total)?;
        self.tell();
        while let Some((start, end)) = self.data()? {
            self.done = start;
            while self.done < end {
                if self.bounds.limits.abort.is_aborted() {
                    return Err(Stop::Aborted);
                }
                let moved = self.step(end - self.done)?;
                self.done += moved;
                self.unflushed += moved;
                if self.unflushed >= FLUSH {
                    self.target.sync_data()?;
                    self.unflushed = 0;
                }
                if self.told.elapsed() >= PACE {
                    self.tell();
                }
                self.slow_down()?;
            }
        }
        self.done = self.total;
        if self.bounds.limits.abort.is_aborted() {
            return Err(Stop::Aborted);
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        (self.bounds.progress)(Progress {
            disk: Some(self.disk),
            done: self.done,
            total: self.total,
            rate: None,
        });
    }

    fn slow_down(&self) -> Result<(), Stop> {
        let Some(rate) = self.bounds.rate else {
            return Ok(());
        };
        let due = Duration::from_secs_f64(self.done as f64 / rate.max(1) as f64);
        while self.begun.elapsed() < due {
            if self.bounds.limits.abort.is_aborted() {
                return Err(Stop::Aborted);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Returns the next range that is not a hole.
    fn data(&self) -> Result<Option<(u64, u64)>, Stop> {
        use rustix::fs::{SeekFrom, seek};
        if self.done >= self.total {
            return Ok(None);
        }
        let start = match seek(self.source, SeekFrom::Data(self.done)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(None),
            // The file system does not know about holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((self.done, self.total))),
            Err(e) => return Err(e.into()),
        };
        let end = seek(self.source, SeekFrom::Hole(start))?.min(self.total);
        Ok((start < end).then_some((start, end)))
    }

    /// Copies up to `left` bytes from the current position.
    fn step(&mut self, left: u64) -> Result<u64, Stop> {
        // Smaller steps, so that a slow disk is slow also with small images.
        let most = left.min(if self.bounds.rate.is_some() {
            STEP / 16
        } else {
            STEP
        });
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.by_kernel {
            let (mut here, mut there) = (self.done, self.done);
            match rustix::fs::copy_file_range(
                self.source,
                Some(&mut here),
                self.target,
                Some(&mut there),
                most,
            ) {
                Ok(moved) if moved > 0 => return Ok(moved as u64),
                // Some file systems copy nothing instead of returning an error.
                Ok(_)
                | Err(
                    Errno::XDEV
                    | Errno::INVAL
                    | Errno::NOSYS
                    | Errno::OPNOTSUPP
                    | Errno::PERM
                    | Errno::BADF,
                ) => self.by_kernel = false,
                Err(Errno::INTR) => return Ok(0),
                Err(e) => return Err(e.into()),
            }
        }
        self.by_hand(most)
    }

    fn by_hand(&mut self, most: usize) -> Result<u64, Stop> {
        let mut block = vec![0; most.min(BLOCK)];
        let mut source = self.source;
        source.seek(SeekFrom::Start(self.done))?;
        let read = source.read(&mut block)?;
        let block = &block[..read];
        if read == 0 {
            let e = io::Error::new(io::ErrorKind::UnexpectedEof, "the image became shorter");
            return Err(e.into());
        }
        if block.iter().any(|byte| *byte != 0) {
            self.target.write_all_at(block, self.done)?;
        }
        Ok(read as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_said_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let Err(Failure::Other(text)) = room(dir.path(), u64::MAX, Path::new("/i")) else {
            panic!("there is room for everything")
        };
        let begin = format!(
            "{}: no room for a copy of /i: it takes 17592186044416 MiB, ",
            dir.path().display()
        );
        assert!(
            text.starts_with(&begin) && text.ends_with(" are kept for guests that write"),
            "{text}"
        );
        assert!(room(dir.path(), 0, Path::new("/i")).is_ok());
        let found = rustix::fs::statvfs(dir.path()).unwrap();
        let free = found.f_bavail * found.f_frsize;
        assert!(room(dir.path(), free, Path::new("/i")).is_err());
        assert_eq!(headroom(100 << 20), 5 << 20);
        assert_eq!(headroom(1 << 40), 1 << 30);
    }

    /// Without `copy_file_range`, the copy is made block by block, skips zeros, and has the same content.
    #[test]
    fn by_hand_it_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut content = vec![0; 5 << 20];
        content[100] = 1;
        content[3 << 20] = 2;
        content.push(3);
        fs::write(&from, &content).unwrap();
        let (source, target) = (File::open(&from).unwrap(), File::create(&to).unwrap());
        let mut told = 0;
        let mut bounds = Bounds {
            limits: &crate::toolstack::Limits::default(),
            queue: &std::sync::Arc::new(crate::host::disks::copies_at_once()),
            progress: &mut |_| told += 1,
            rate: None,
        };
        let mut job = Job {
            source: &source,
            target: &target,
            total: content.len() as u64,
            done: 0,
            unflushed: 0,
            by_kernel: false,
            disk: 0,
            bounds: &mut bounds,
            told: Instant::now(),
            begun: Instant::now(),
        };
        assert!(job.run().is_ok());
        assert_eq!(fs::read(&to).unwrap(), content);
        let blocks = target.metadata().unwrap().blocks() * 512;
        assert!(
            blocks <= 4 * BLOCK as u64,
            "{blocks} bytes of it are not holes"
        );
        assert!(told > 0);
    }
}
