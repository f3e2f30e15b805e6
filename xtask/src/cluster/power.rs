//! The power switch: does what the fence agent of the nodes asks for.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use super::nodes::Nodes;

/// Interval at which requests are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// The sockets of the power switch, which any thread may use.
#[derive(Debug)]
struct Sockets {
    nodes: Arc<dyn Nodes>,
    /// Number of times that each node was fenced.
    fenced: Vec<AtomicU32>,
}

/// The power switch, and its thread.
#[derive(Debug)]
pub(crate) struct Power {
    sockets: Arc<Sockets>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Power {
    pub(crate) fn start(nodes: Arc<dyn Nodes>) -> Result<Self> {
        let fenced = nodes.names().iter().map(|_| AtomicU32::new(0)).collect();
        let sockets = Arc::new(Sockets { nodes, fenced });
        let ends = Arc::new(AtomicBool::new(false));
        let (end, served) = (Arc::clone(&ends), Arc::clone(&sockets));
        let thread = thread::Builder::new()
            .name("power".to_owned())
            .spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    if let Err(e) = served.serve() {
                        eprintln!("cluster: the power switch: {e:#}");
                    }
                    thread::sleep(LOOK);
                }
            })
            .context("cannot start the power switch")?;
        Ok(Self {
            sockets,
            ends,
            thread: Some(thread),
        })
    }

    /// Switches a node on, as somebody does who walks up to it.
    pub(crate) fn on(&self, node: usize) -> Result<()> {
        self.sockets.on(node)
    }

    /// Cuts the power of a node.
    pub(crate) fn off(&self, node: usize) -> Result<()> {
        self.sockets.off(node)
    }

    /// Returns how often a node was fenced.
    pub(crate) fn fenced(&self, node: usize) -> u32 {
        self.sockets.fenced[node].load(Ordering::SeqCst)
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

impl Sockets {
    fn on(&self, node: usize) -> Result<()> {
        self.nodes.boot(node)?;
        self.tell(node, "on")
    }

    fn off(&self, node: usize) -> Result<()> {
        self.nodes.cut(node)?;
        self.tell(node, "off")
    }

    fn dir(&self) -> PathBuf {
        self.nodes.shared().join("power")
    }

    /// Leaves the state of the power where the fence agent looks for it.
    fn tell(&self, node: usize, state: &str) -> Result<()> {
        let file = self
            .dir()
            .join(format!("{}.state", self.nodes.names()[node]));
        Ok(fs::write(file, format!("{state}\n"))?)
    }

    /// Does what the requests ask for, and removes them.
    fn serve(&self) -> Result<()> {
        let names = self.nodes.names();
        for entry in fs::read_dir(self.dir())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // NODE.ACTION.ASKER.NUMBER.request
            let words: Vec<&str> = name.split('.').collect();
            let [node, action, _, _, "request"] = words[..] else {
                continue;
            };
            let known = names.iter().position(|known| *known == node);
            // A node that was switched off meanwhile asks no more.
            if let Some(node) = known.filter(|_| path.exists()) {
                if action != "on" {
                    self.off(node)?;
                    self.fenced[node].fetch_add(1, Ordering::SeqCst);
                    self.forget(names[node])?;
                }
                if action != "off" {
                    self.on(node)?;
                }
            }
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets what a node has asked for.
    fn forget(&self, asker: &str) -> Result<()> {
        for entry in fs::read_dir(self.dir())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.split('.').nth(2) == Some(asker) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}
