//! A directory with a short path that goes away with its owner, also when a signal ends this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;

/// Those that exist now.
static ALL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary directory. Not below `target`, because the path of a socket may not be long.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// Makes one.
    pub(crate) fn new() -> Result<Self> {
        clean_up_on_signals()?;
        let dir = tempfile::Builder::new().prefix("libxl-lab-").tempdir()?;
        all().push(dir.path().to_owned());
        Ok(Self(dir))
    }

    /// Where it is.
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

/// The programs we started need no help: they die with this process.
fn clean_up_on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    if ONCE.is_completed() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    ONCE.call_once(|| {
        thread::spawn(move || {
            for signal in signals.forever() {
                // All that was started goes with this process, and half-made files are removed by the next run.
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
