//! The one lock around the table, and the thread that carries out the table's steps.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use uuid::Uuid;

use super::files::{Files, Reader};
use super::model::AssignableAdapters;
use super::table::{Progress, Step, Table};
use crate::base::clock::Clock;
use crate::base::json;
use crate::base::services::Services;
use crate::base::store;
use crate::spec::{Adapter, Assigned, PciAddress};
use crate::toolstack::{Error, ErrorKind, Limits, Session, Toolstack};

/// Time between two looks at files and devices without a particular reason.
const RESYNC: Duration = Duration::from_secs(30);
/// The same time while a file that a domain waits for is missing.
const MISSING: Duration = Duration::from_secs(2);

/// Handle with which workers reserve and release adapters.
#[derive(Clone)]
pub struct Adapters(Arc<Shared>);

impl std::fmt::Debug for Adapters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapters").finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    kick: Sender<()>,
}

struct State {
    table: Table,
    /// True if the files and the host have been looked at once.
    looked: bool,
    /// True if a change is not published yet.
    dirty: bool,
    /// True if an application was refused an adapter.
    refused: bool,
    /// True if a refused request may be granted now.
    news: bool,
}

impl Adapters {
    /// Starts the thread.
    ///
    /// `published` is the file that the thread writes. The state that an earlier run of the agent left there counts. `news` is
    /// called whenever a refused application may try again.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        files: Files,
        published: PathBuf,
        toolstack: Arc<dyn Toolstack>,
        clock: Clock,
        usb_access: bool,
        news: Box<dyn Fn() + Send>,
        services: &Services,
    ) -> std::io::Result<Self> {
        let earlier = store::read(&published)
            .ok()
            .and_then(|text| json::parse(&text).ok())
            .unwrap_or_default();
        let mut table = Table::new(earlier);
        table.set_usb_access(usb_access);
        let (kick, kicked) = bounded(1);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                table,
                looked: false,
                dirty: true,
                refused: false,
                news: false,
            }),
            changed: Condvar::new(),
            kick,
        });
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            files,
            reader: Reader::default(),
            published,
            last: None,
            toolstack,
            session: None,
            clock,
            news,
        };
        services.start("adapters", 256 << 10, move || keeper.run(&kicked))?;
        Ok(Self(shared))
    }

    /// Tells the thread that a file, a setting or a device may have changed. Never blocks.
    pub fn kick(&self) {
        // The channel is full: the thread will look anyway.
        let _ = self.0.kick.try_send(());
    }

    /// Sets whether the host may use USB controllers that no domain has.
    pub fn set_usb_access(&self, access: bool) {
        let mut state = self.0.lock();
        state.table.set_usb_access(access);
        state.news = true;
        drop(state);
        self.kick();
    }

    /// Drops the reservations of applications that no longer exist.
    pub fn keep_only(&self, known: &dyn Fn(Uuid) -> bool) {
        let mut state = self.0.lock();
        state.table.keep_only(known);
        state.dirty = true;
        state.news = true;
        drop(state);
        self.kick();
    }

    /// Reserves all of `wanted`, or nothing, and waits until a domain can be built with them.
    ///
    /// With `only`, the other reservations of the application are given up.
    ///
    /// # Errors
    /// An adapter cannot be had, or the wait was aborted. Nothing is reserved then.
    pub fn reserve(
        &self,
        key: Uuid,
        name: &str,
        wanted: &[Adapter],
        only: bool,
        limits: &Limits,
    ) -> Result<Assigned, Error> {
        let weak = Arc::downgrade(&self.0);
        limits.abort.on_abort(move || {
            if let Some(shared) = weak.upgrade() {
                // With the lock, so that no waiter is between its check and its wait.
                drop(shared.lock());
                shared.changed.notify_all();
            }
        });
        let refused = |why: String| Error::new(ErrorKind::Other, why);
        let mut state = self.0.lock();
        while !state.looked && !limits.abort.is_aborted() {
            state = self.0.wait(state);
        }
        if let Err(why) = state.table.reserve(key, name, wanted) {
            state.refused = true;
            drop(state);
            // The reason for the refusal may be outdated: look once more.
            self.kick();
            return Err(refused(why));
        }
        if only && state.table.release_all_but(wanted, key) {
            state.news = true;
        }
        state.dirty = true;
        self.kick();
        loop {
            match state.table.progress(key) {
                Progress::Failed(why) => {
                    state.dirty = true;
                    state.refused = true;
                    drop(state);
                    self.kick();
                    return Err(refused(why));
                }
                // Only once it is published: the next agent has to know the owners of the devices.
                Progress::Ready(assigned) if !state.dirty => return Ok(assigned),
                Progress::Ready(_) | Progress::Waiting => {}
            }
            if limits.abort.is_aborted() {
                state.table.release(key);
                state.dirty = true;
                drop(state);
                self.kick();
                return Err(Error::new(ErrorKind::Aborted, "aborted"));
            }
            state = self.0.wait(state);
        }
    }

    /// Returns the reason why a domain that asks for a device by its address cannot have it.
    pub fn refuses(&self, key: Uuid, address: PciAddress) -> Option<String> {
        self.0.lock().table.refuses(key, address)
    }

    /// Gives up everything that an application has reserved.
    pub fn release(&self, key: Uuid) {
        let mut state = self.0.lock();
        if state.table.release(key) {
            state.dirty = true;
            state.news = true;
            drop(state);
            self.kick();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// State of the thread, which is the only one that touches devices.
struct Keeper {
    shared: Arc<Shared>,
    files: Files,
    reader: Reader,
    published: PathBuf,
    last: Option<AssignableAdapters>,
    toolstack: Arc<dyn Toolstack>,
    session: Option<Box<dyn Session>>,
    clock: Clock,
    news: Box<dyn Fn() + Send>,
}

impl Keeper {
    fn run(mut self, kicked: &Receiver<()>) {
        loop {
            self.read();
            if self.shared.lock().table.has_devices() {
                self.look();
                self.work();
            }
            self.publish();
            // An idle thread keeps no connection.
            self.session = None;
            let state = self.shared.lock();
            let missing = state.refused && !state.table.is_initialized();
            drop(state);
            let pause = if missing { MISSING } else { RESYNC };
            match kicked.recv_timeout(self.clock.real(pause)) {
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return,
                // Time has passed: a failed step may succeed now.
                Err(_) => self.shared.lock().table.forgive(),
                Ok(()) => {}
            }
        }
    }

    fn read(&mut self) {
        let model = self.reader.model(&self.files);
        let network = self.reader.network(&self.files);
        let known = self.shared.lock().table.is_initialized();
        for why in [
            model.as_ref().and_then(|m| m.as_ref().err()),
            network.as_ref().and_then(|n| n.as_ref().err()),
        ]
        .into_iter()
        .flatten()
        {
            let rest = if known { "; the last one counts" } else { "" };
            log::warn!("{why}{rest}");
        }
        let mut state = self.shared.lock();
        let news = model.is_some() || network.is_some();
        state.dirty |= news;
        state.news |= news;
        if let Some(model) = model {
            state.table.set_model(model);
        }
        if let Some(network) = network {
            state.table.set_network(network);
        }
    }

    fn session(&mut self) -> Result<&mut Box<dyn Session>, Error> {
        match &mut self.session {
            Some(session) => Ok(session),
            slot => Ok(slot.insert(self.toolstack.session()?)),
        }
    }

    fn look(&mut self) {
        match self.session().and_then(|session| session.pci_devices()) {
            Ok(host) => self.shared.lock().table.see(host),
            Err(e) => log::error!("the host's PCI devices cannot be listed: {e}"),
        }
    }

    fn work(&mut self) {
        loop {
            let next = self.shared.lock().table.next();
            let Some(step) = next else { return };
            log::info!("adapters: {}", words(&step));
            let result = self.perform(&step);
            if let Err(why) = &result {
                log::error!("adapters: {}: {why}", words(&step));
            }
            self.look();
            let mut state = self.shared.lock();
            state.table.tried(&step, &result);
            state.dirty = true;
            drop(state);
            self.publish();
        }
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        let session = self.session().map_err(|e| e.to_string())?;
        match step {
            Step::Take(_, devices) => {
                for (i, device) in devices.iter().enumerate() {
                    let Err(e) = session.pci_take(*device) else {
                        continue;
                    };
                    // All devices or none.
                    for taken in devices[..i].iter().rev() {
                        if let Err(e) = session.pci_give_back(*taken, None) {
                            log::error!("adapters: {taken}: {e}");
                        }
                    }
                    return Err(e.to_string());
                }
            }
            Step::GiveBack(_, devices) => {
                for (device, interface) in devices {
                    session
                        .pci_give_back(*device, interface.as_deref())
                        .map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Publishes the current state, then wakes the waiting workers.
    fn publish(&mut self) {
        let view = self.shared.lock().table.view();
        // Without the lock: the main thread takes it too, and must not wait for a disk.
        if self.last.as_ref() != Some(&view) {
            let written = serde_json::to_vec_pretty(&view)
                .map_err(std::io::Error::other)
                .and_then(|mut text| {
                    text.push(b'\n');
                    store::publish(&self.published, &text)
                });
            match written {
                Ok(()) => self.last = Some(view.clone()),
                // A failed write stops no domain.
                Err(e) => log::error!("{}: {e}", self.published.display()),
            }
        }
        let mut state = self.shared.lock();
        state.looked = true;
        // A change made meanwhile has also kicked the thread, and is published in its next round.
        let settled = state.table.view() == view;
        let news = settled && state.news && state.refused;
        if settled {
            state.dirty = false;
            state.news = false;
        }
        if news {
            state.refused = false;
        }
        drop(state);
        self.shared.changed.notify_all();
        if news {
            (self.news)();
        }
    }
}

fn words(step: &Step) -> String {
    let list = |devices: Vec<String>| devices.join(", ");
    match step {
        Step::Take(name, devices) => format!(
            "taking {name} ({}) from the host",
            list(devices.iter().map(ToString::to_string).collect())
        ),
        Step::GiveBack(name, devices) => format!(
            "giving {name} ({}) back to the host",
            list(devices.iter().map(|(d, _)| d.to_string()).collect())
        ),
    }
}
