//! The model in motion: a thread lets time pass, and sessions wait as long as real operations take.

mod live;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use libxl::xlcfg::Host;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{
    DomainId, Error, ErrorKind, HostInfo, HostPci, Life, Limits, MemoryGrant, Result, Seen,
    Session, ShutdownReason, Toolstack, Usage, Wake, Watch,
};
use super::control;
use super::model::{ACK, Answer, CPUS, Millis, Model};
use super::watcher::Watcher;
use crate::crash;
use crate::host;
use crate::owners::{Claims, Taken};
use crate::settings::Autoballoon;
use crate::spec::{PciAddress, Spec};

/// A simulated Xen.
pub struct Simulation {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    start: Instant,
    /// Simulated time at `start`.
    offset: Millis,
    speed: u32,
    file: Option<PathBuf>,
}

struct State {
    model: Model,
    watcher: Watcher,
}

/// State in the file, which outlives the agent as a real hypervisor does.
#[derive(Serialize, Deserialize)]
struct Saved {
    at_ms: i128,
    model: Model,
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

/// Reads a saved model and advances it by the time that has passed since.
fn load(file: &Path, speed: u32) -> Result<Option<Model>> {
    let bad = |e: String| Error::new(ErrorKind::Other, format!("{}: {e}", file.display()));
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(bad(e.to_string())),
    };
    let mut saved: Saved = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let away = u64::try_from(wall_ms() - saved.at_ms).unwrap_or(0);
    let now = saved.model.now() + away * u64::from(speed);
    saved.model.advance(now);
    Ok(Some(saved.model))
}

fn wall_ms() -> i128 {
    OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000
}

/// Applies an outsider's command to a saved model that no agent is running.
pub(super) fn offline(
    file: &Path,
    speed: u32,
    act: impl FnOnce(&mut Model) -> Result<String>,
) -> Result<String> {
    let mut model = load(file, speed)?.unwrap_or_default();
    let answer = act(&mut model)?;
    save(file, &model);
    Ok(answer)
}

fn save(file: &Path, model: &Model) {
    let saved = Saved {
        at_ms: wall_ms(),
        model: model.clone(),
    };
    let written = serde_json::to_vec(&saved)
        .map_err(std::io::Error::other)
        .and_then(|text| crate::store::publish(file, &text));
    if let Err(e) = written {
        log::error!("{}: {e}", file.display());
    }
}

fn pass_time(shared: &Weak<Shared>) {
    // Longest wait before the thread checks whether the simulation still exists.
    let look_up = Duration::from_secs(60);
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.lock();
        let now = shared.now();
        state.model.advance(now);
        state = shared.deliver(state);
        let due = [state.model.next_due(), state.watcher.next_look()]
            .into_iter()
            .flatten()
            .min();
        let wait = due.map_or(look_up, |due| {
            shared.real(due.saturating_sub(now)).min(look_up)
        });
        // A millisecond more, so that the thread never wakes just before something is due.
        let _unused = shared
            .changed
            .wait_timeout(state, wait + Duration::from_millis(1))
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        let real = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.offset
            .saturating_add(real.saturating_mul(self.speed.into()))
    }

    fn real(&self, span: Millis) -> Duration {
        Duration::from_millis(span) / self.speed
    }

    /// Calls the watches of everything that happened, with the lock released.
    fn deliver<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.model.has_fired() {
            if let Some(file) = &self.file {
                save(file, &state.model);
            }
        }
        let State { model, watcher } = &mut *state;
        let wakes = watcher.look(model);
        if wakes.is_empty() {
            return state;
        }
        drop(state);
        for wake in wakes {
            wake();
        }
        self.lock()
    }

    /// Applies `act` to the model at the present time.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        state.model.advance(self.now());
        let result = act(&mut state.model);
        if let Some(file) = &self.file {
            save(file, &state.model);
        }
        let state = self.deliver(state);
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Waits for `span` of simulated time.
    fn wait(self: &Arc<Self>, span: Millis, limits: &Limits) -> Result<()> {
        let weak = Arc::downgrade(self);
        limits.abort.on_abort(move || {
            if let Some(shared) = weak.upgrade() {
                // Under the lock, so that no thread is between its check and its wait.
                drop(shared.lock());
                shared.changed.notify_all();
            }
        });
        let begin = self.now();
        let allowed = limits.deadline.map_or(Millis::MAX, |d| {
            u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
        });
        let mut state = self.lock();
        loop {
            if limits.abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, "aborted"));
            }
            let passed = self.now().saturating_sub(begin);
            if passed >= span.min(allowed) {
                break;
            }
            let rest = self.real(span.min(allowed) - passed) + Duration::from_millis(1);
            state = self
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        if span > allowed {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("not done after {} s", allowed / 1000),
            ));
        }
        Ok(())
    }
}

impl Toolstack for Simulation {
    fn boot_id(&self) -> Result<Uuid> {
        Ok(self.shared.lock().model.boot_id())
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

/// Time that a guest takes to suspend after it has acknowledged the request.
const SUSPENDS: Millis = 50;
/// Time that writing the memory of a domain takes.
const WRITES: Millis = 300;

struct SimSession(Arc<Shared>);

impl Session for SimSession {
    fn info(&mut self, id: DomainId) -> Result<Option<Seen>> {
        Ok(self
            .find(&|uuid| uuid == id.uuid)?
            .into_iter()
            .find(|s| s.id == id))
    }

    fn find(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Seen>> {
        let mut state = self.0.lock();
        while state.model.list_hangs {
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let now = self.0.now();
        state.model.advance(now);
        let mut found = state.model.list();
        found.retain(|s| wanted(s.id.uuid));
        Ok(found)
    }

    fn taken(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Taken>> {
        // Outsiders have neither disks nor interfaces in the model.
        let mut found = self.find(wanted)?;
        found.retain(|seen| seen.life != Life::Dying);
        let taken = found.into_iter().map(|seen| Taken {
            owner: format!("domain {} ({})", seen.id, seen.name.unwrap_or_default()),
            claims: Claims::default(),
        });
        Ok(taken.collect())
    }

    fn facts_for(&mut self, spec: &Spec) -> Result<host::Facts> {
        self.0.act(|m| Ok(m.facts_for(spec)))
    }

    fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>> {
        self.0.act(|m| m.vnc_display(id))
    }

    fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>> {
        self.0.act(|m| m.unconnected(id))
    }

    fn grant_memory(
        &mut self,
        spec: &Spec,
        policy: Autoballoon,
        limits: &Limits,
    ) -> Result<Option<Box<dyn MemoryGrant>>> {
        let takes = self.0.act(|m| m.grant_memory(spec, policy))?;
        self.0.wait(takes, limits)?;
        Ok(None)
    }

    fn create(&mut self, spec: &Spec, limits: &Limits) -> Result<DomainId> {
        assert!(!spec.cmdline().contains("sim.panic"), "simulated bug");
        let (id, takes) = self.0.act(|m| m.begin_create(spec))?;
        crash::point("in the middle of create");
        // An aborted create leaves behind the domain built so far, as libxl does.
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_create(id))?;
        Ok(id)
    }

    fn save(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()> {
        if self.info(id)?.is_none_or(|seen| seen.life != Life::Running) {
            return Err(Error::new(ErrorKind::Other, "the domain does not run"));
        }
        let done = self.suspend_and_write(id, path, limits);
        if done.is_err() {
            // Resume the guest, as libxl does, unless somebody else was faster.
            let _ = self.0.act(|m| m.resume(id));
        }
        done
    }

    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId> {
        let fail = |why: String| Error::new(ErrorKind::Other, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        if text != memory_of(spec.uuid) {
            return Err(fail("not what was saved of this domain".to_owned()));
        }
        let (id, takes) = self.0.act(|m| m.begin_create(spec))?;
        crash::point("in the middle of restore");
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_create(id))?;
        Ok(id)
    }

    fn resume(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.resume(id))
    }

    fn no_offload(&mut self, id: DomainId, _interfaces: usize) -> Result<()> {
        // There are no packets in the model.
        self.0.act(|m| m.vnc_display(id).map(drop))
    }

    fn unpause(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.unpause(id))
    }

    fn pause(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.pause(id))
    }

    fn shutdown(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        match self.0.act(|m| m.request_shutdown(id))? {
            Answer::In(span) => self.0.wait(span, limits),
            Answer::Never => {
                self.0.wait(ACK, limits)?;
                Err(Error::new(
                    ErrorKind::TimedOut,
                    "the guest did not acknowledge the request",
                ))
            }
        }
    }

    fn power_button(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.power_button(id))
    }

    fn destroy(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        let takes = self.0.act(|m| m.begin_destroy(id))?;
        crash::point("in the middle of destroy");
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_destroy(id))
    }

    fn core_dump(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()> {
        self.0.wait(100, limits)?;
        if self.info(id)?.is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("domain {id} does not exist"),
            ));
        }
        std::fs::write(path, b"simulated core dump\n")
            .map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", path.display())))
    }

    fn preserve(&mut self, id: DomainId, suffix: &str, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.preserve(id, suffix))
    }

    fn strip(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        self.0.wait(100, limits)?;
        self.0.act(|m| m.strip(id))
    }

    fn soft_reset(&mut self, id: DomainId, _spec: &Spec, limits: &Limits) -> Result<()> {
        self.0.wait(100, limits)?;
        self.0.act(|m| m.soft_reset(id))
    }

    fn pci_devices(&mut self) -> Result<Vec<HostPci>> {
        self.0.act(|m| {
            m.pci_forget();
            Ok(m.pci_devices())
        })
    }

    fn pci_take(&mut self, device: PciAddress) -> Result<()> {
        self.0.wait(100, &Limits::default())?;
        self.0.act(|m| m.pci_take(device))
    }

    fn pci_give_back(&mut self, device: PciAddress, interface: Option<&str>) -> Result<()> {
        self.0.wait(100, &Limits::default())?;
        self.0.act(|m| {
            m.pci_forget();
            m.pci_give_back(device, interface)
        })
    }

    fn console(&mut self, _id: DomainId) -> Result<PathBuf> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "a simulated domain has no console",
        ))
    }

    fn host(&mut self) -> Result<HostInfo> {
        Ok(HostInfo {
            xen_version: "simulated".to_owned(),
            ..self.0.act(|m| Ok(m.host()))?
        })
    }

    fn usage(&mut self) -> Result<Vec<Usage>> {
        self.0.act(|m| Ok(m.usage()))
    }
}

/// Returns the content of a saved domain's file.
fn memory_of(uuid: Uuid) -> String {
    format!("simulated memory of {uuid}\n")
}

impl SimSession {
    fn suspend_and_write(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()> {
        match self.0.act(|m| m.request_suspend(id, SUSPENDS))? {
            // The guest suspends a little while after it has acknowledged the request.
            Answer::In(span) => self.0.wait(span + SUSPENDS, limits)?,
            Answer::Never => {
                self.0.wait(ACK, limits)?;
                return Err(Error::new(ErrorKind::TimedOut, "the guest did not suspend"));
            }
        }
        let suspended = self
            .info(id)?
            .is_some_and(|seen| seen.life == Life::Shutdown(ShutdownReason::SUSPEND));
        if !suspended {
            return Err(Error::new(ErrorKind::TimedOut, "the guest did not suspend"));
        }
        crash::point("in the middle of save");
        self.0.wait(WRITES, limits)?;
        let written = crate::store::write(path, memory_of(id.uuid).as_bytes());
        written.map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", path.display())))
    }
}
