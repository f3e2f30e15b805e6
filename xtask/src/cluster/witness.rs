//! The witness: reads the simulated Xens, and counts the copies of the guest that run.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::prepare::GUEST;

/// Interval between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A copy that runs, as its Xen knows it. A copy that ran without a break is equal to itself at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    domid: String,
    since: Value,
}

/// Findings of the witness.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Number of looks at all Xens.
    pub(crate) looks: u64,
    /// Most copies that ran at the same time.
    pub(crate) most: usize,
    /// Nodes on which copies run now.
    pub(crate) now: Vec<usize>,
}

/// The thread of the witness.
#[derive(Debug)]
pub(crate) struct Witness {
    files: Vec<PathBuf>,
    ends: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// Begins to read these files, one for each Xen.
    pub(crate) fn start(files: Vec<PathBuf>) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (end, findings, all) = (Arc::clone(&ends), Arc::clone(&seen), files.clone());
        let thread = thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    look(&all, &findings);
                    thread::sleep(LOOK);
                }
            })
            .context("cannot start the witness")?;
        Ok(Self {
            files,
            ends,
            seen,
            thread: Some(thread),
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Number of times that the guest has booted in the Xens that there are. A migration is no boot.
    pub(crate) fn boots(&self) -> u64 {
        let models = self.files.iter().filter_map(model);
        let starts = models.map(|model| model["history"][GUEST]["starts"].as_u64());
        starts.map(Option::unwrap_or_default).sum()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(files: &[PathBuf], findings: &Mutex<Seen>) {
    let all = || -> Vec<Option<Running>> { files.iter().map(running).collect() };
    let mut copies = all();
    if copies.iter().flatten().count() > 1 {
        // The files are read one after the other, and the guest may have moved meanwhile. Whatever runs in a second round as in the
        // first has run all the time between, and so beside the others.
        let again = all();
        copies = copies
            .into_iter()
            .zip(again)
            .map(|(before, now)| now.filter(|now| before.as_ref() == Some(now)))
            .collect();
    }
    let numbered = copies.iter().enumerate();
    let now: Vec<usize> = numbered
        .filter(|(_, copy)| copy.is_some())
        .map(|(i, _)| i)
        .collect();
    let mut seen = findings.lock().unwrap_or_else(PoisonError::into_inner);
    seen.looks += 1;
    seen.most = seen.most.max(now.len());
    seen.now = now;
}

fn model(file: &PathBuf) -> Option<Value> {
    let text = fs::read(file).ok()?;
    let mut saved: Value = serde_json::from_slice(&text).ok()?;
    Some(saved["model"].take())
}

/// Returns the copy of the guest that runs in this Xen.
fn running(file: &PathBuf) -> Option<Running> {
    let model = model(file)?;
    running_in(&model)
}

fn running_in(model: &Value) -> Option<Running> {
    let domains = model["domains"].as_object()?;
    let (domid, domain) = domains.iter().find(|(_, domain)| {
        domain["uuid"] == GUEST
            && domain["paused"] == false
            && domain["shutdown"].is_null()
            && domain["dying_until"].is_null()
    })?;
    Some(Running {
        domid: domid.clone(),
        since: domain["running_since"].clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn xen(paused: bool, shutdown: Option<u8>, dying: Option<u8>) -> Value {
        json!({"domains": {"3": {
            "uuid": GUEST, "paused": paused, "shutdown": shutdown, "dying_until": dying, "running_since": 7,
        }}})
    }

    #[test]
    fn a_copy_runs_unless_something_keeps_it_from_that() {
        assert!(running_in(&xen(false, None, None)).is_some());
        for kept in [
            xen(true, None, None),
            xen(false, Some(2), None),
            xen(false, None, Some(9)),
            json!({"domains": {}}),
        ] {
            assert_eq!(running_in(&kept), None, "{kept}");
        }
    }

    #[test]
    fn two_copies_at_once_are_seen() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let files: Vec<PathBuf> = ["a", "b"]
            .iter()
            .map(|name| dir.path().join(name))
            .collect();
        let put =
            |file: &PathBuf, model: Value| fs::write(file, json!({"model": model}).to_string());
        put(&files[0], xen(false, None, None))?;
        put(&files[1], xen(true, None, None))?;
        let findings = Mutex::default();
        look(&files, &findings);
        put(&files[1], xen(false, None, None))?;
        look(&files, &findings);
        let seen = findings.into_inner()?;
        assert_eq!((seen.looks, seen.most, seen.now), (2, 2, vec![0, 1]));
        Ok(())
    }
}
