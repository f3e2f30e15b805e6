//! The power switch: does what the fence agent of the nodes asks for.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::node::Nodes;
use super::prepare::NODES;

/// Interval at which requests are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// The thread of the power switch.
#[derive(Debug)]
pub(crate) struct Power {
    ends: Arc<AtomicBool>,
    /// Number of times that each node was fenced.
    fenced: Arc<[AtomicU32; NODES.len()]>,
    thread: Option<JoinHandle<()>>,
}

impl Power {
    pub(crate) fn start(nodes: Arc<Nodes>) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let fenced: Arc<[AtomicU32; NODES.len()]> = Arc::default();
        let (end, counts) = (Arc::clone(&ends), Arc::clone(&fenced));
        let thread = thread::Builder::new()
            .name("power".to_owned())
            .spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    if let Err(e) = serve(&nodes, &counts) {
                        eprintln!("cluster: the power switch: {e:#}");
                    }
                    thread::sleep(LOOK);
                }
            })
            .context("cannot start the power switch")?;
        Ok(Self {
            ends,
            fenced,
            thread: Some(thread),
        })
    }

    /// Returns how often a node was fenced.
    pub(crate) fn fenced(&self, node: usize) -> u32 {
        self.fenced[node].load(Ordering::SeqCst)
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Does what the requests ask for, and removes them.
fn serve(nodes: &Nodes, fenced: &[AtomicU32; NODES.len()]) -> Result<()> {
    for entry in fs::read_dir(nodes.trial.all().join("power"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(".request") {
            continue;
        }
        let mut words = name.split('.');
        let (node, action) = (words.next().unwrap_or_default(), words.next());
        if let Some(node) = NODES.iter().position(|known| *known == node) {
            if action != Some("on") {
                nodes.cut(node)?;
                fenced[node].fetch_add(1, Ordering::SeqCst);
            }
            if action != Some("off") {
                nodes.boot(node)?;
            }
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}
