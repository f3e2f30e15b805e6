//! A lock for one lab at a time: emulation takes the whole machine, and two builders would undo each other's work.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::{env, process};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::paths;

/// A lock, held until it is dropped, or until this process and all its children have ended, in whatever way.
///
/// The children count because the process that builds an image outlives a builder that was killed, and must not run beside the next one.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other process holds the lock, and prints a message meanwhile.
    pub(crate) fn take(what: &str) -> Result<Self> {
        let dir = paths::lab_dir();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(format!("{what}.lock"));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            eprintln!(
                "{what}: waiting for another process, or for what it has started, to end: {holder}"
            );
            flock(&file, FlockOperation::LockExclusive).context("cannot lock the lab")?;
        }
        // Read by the next process, for the message above.
        let words: Vec<String> = env::args().skip(1).collect();
        let holder = format!(
            "cargo xtask {} (process {})",
            words.join(" "),
            process::id()
        );
        file.set_len(0)?;
        file.write_all_at(holder.as_bytes(), 0)?;
        fcntl_setfd(&file, FdFlags::empty()).context("cannot hand the lock down")?;
        Ok(Self { _file: file })
    }
}
