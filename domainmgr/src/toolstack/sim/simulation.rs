//! The simulated Xen as a toolstack.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use libxl::xlcfg::Host;
use uuid::Uuid;

use super::control;
use super::engine::{Shared, State, pass_time};
use super::migration;
use super::model::{CPUS, Model};
use super::saved::{load, save};
use super::session::{SimSession, memory_of};
use super::watcher::Watcher;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::migration::{Arriving, Peer};
use crate::toolstack::operation::Limits;
use crate::toolstack::session::{Session, Toolstack, Wake, Watch};

/// A simulated Xen.
pub struct Simulation {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

impl Simulation {
    /// Starts a host with `memory_mib` MiB of memory, on which time runs `speed` times as fast as real time.
    ///
    /// With `file`, the state outlives this process, and an outsider can interfere through a socket beside the file.
    ///
    /// # Errors
    /// The file or the socket cannot be used.
    pub fn start(speed: u32, memory_mib: u64, file: Option<&Path>) -> Result<Self> {
        let speed = speed.max(1);
        let model = match file {
            Some(file) => load(file, speed)?.unwrap_or_else(|| Model::new(memory_mib)),
            None => Model::new(memory_mib),
        };
        if let Some(file) = file {
            // Written at once: the run of the host begins with its file.
            save(file, &model);
        }
        let shared = Arc::new(Shared {
            offset: model.now(),
            state: Mutex::new(State {
                model,
                watcher: Watcher::default(),
            }),
            changed: Condvar::new(),
            start: Instant::now(),
            speed,
            file: file.map(Path::to_owned),
        });
        let weak = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("sim-time".into())
            .stack_size(256 << 10)
            .spawn(move || pass_time(&weak))
            .map_err(|e| Error::new(ErrorKind::Other, format!("the simulation's thread: {e}")))?;
        if let Some(file) = file {
            control::serve(Arc::clone(&shared), file)
                .map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", file.display())))?;
        }
        Ok(Self { shared })
    }
}

impl Toolstack for Simulation {
    fn boot_id(&self) -> Result<Uuid> {
        Ok(self.shared.lock().model.boot_id())
    }

    fn saved_uuid(&self, path: &Path) -> Result<Uuid> {
        let bad = |why: String| Error::new(ErrorKind::Other, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let uuid = text
            .split_whitespace()
            .last()
            .and_then(|word| word.parse().ok());
        uuid.filter(|uuid| text == memory_of(*uuid))
            .ok_or_else(|| bad("this is not the file of a saved domain".to_owned()))
    }

    fn arriving(&self, peer: Peer, limits: &Limits) -> Result<Box<dyn Arriving>> {
        migration::arriving(&self.shared, peer, limits)
    }

    fn host(&self) -> Result<Host> {
        Ok(Host::new(CPUS))
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        Ok(Box::new(SimSession(Arc::clone(&self.shared))))
    }

    fn watch(&self, id: DomainId, wake: Wake) -> Result<Box<dyn Watch>> {
        let mut state = self.shared.lock();
        let State { model, watcher } = &mut *state;
        model.may_watch(id)?;
        let number = watcher.add(model, id, wake);
        drop(state);
        // A new watch fires at once.
        self.shared.changed.notify_all();
        Ok(Box::new(SimWatch {
            shared: Arc::clone(&self.shared),
            number,
        }))
    }
}

struct SimWatch {
    shared: Arc<Shared>,
    number: u64,
}

impl Watch for SimWatch {}

impl Drop for SimWatch {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let State { model, watcher } = &mut *state;
        let wake = watcher.remove(model, self.number);
        drop(state);
        drop(wake);
    }
}
