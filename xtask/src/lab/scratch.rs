//! A directory with a short path. It is removed with its owner, also when a signal ends this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;

/// The directories that exist now.
static ALL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary directory. It is not below `target`, because the path of a socket must be short.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Creates a directory with a random name.
    pub(crate) fn new() -> Result<Self> {
        clean_up_on_signals()?;
        let dir = tempfile::Builder::new().prefix("libxl-lab-").tempdir()?;
        all().push(dir.path().to_owned());
        Ok(Self(dir))
    }

    /// Path of the directory.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        all().retain(|path| path != self.0.path());
    }
}

fn all() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the directories when a signal ends this process. Child processes need no cleanup: they die with this process.
fn clean_up_on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    ONCE.call_once(|| {
        thread::spawn(move || {
            for signal in signals.forever() {
                // Child processes end with this process. The next run removes incomplete files.
                eprintln!("\ninterrupted: the lab is switched off");
                for path in all().iter() {
                    let _ = fs::remove_dir_all(path);
                }
                let _ = emulate_default_handler(signal);
            }
        });
    });
    Ok(())
}
