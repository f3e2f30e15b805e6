//! The witness: looks at all Xens all the time, and counts the copies of the guest that run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::nodes::Nodes;

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
    ends: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    /// Begins to look.
    pub(crate) fn start(nodes: Arc<dyn Nodes>) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (end, findings) = (Arc::clone(&ends), Arc::clone(&seen));
        let thread = thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    note(&findings, nodes.copies());
                    thread::sleep(nodes.interval());
                }
            })
            .context("cannot start the witness")?;
        Ok(Self {
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
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn note(findings: &Mutex<Seen>, now: Vec<usize>) {
    let mut seen = findings.lock().unwrap_or_else(PoisonError::into_inner);
    seen.looks += 1;
    seen.most = seen.most.max(now.len());
    seen.now = now;
}
