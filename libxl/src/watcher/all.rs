//! Watching all domains of the host.
//!
//! Shutdowns, resumes and deaths come from the watcher, which gets a watch for each domain.
//! xenstored knows of new domains and changed names: a separate thread waits for xenstored's
//! watches, and then reads the list of domains, or the name. The list is also read at every resync.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, mem,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    census::{Census, HostEvent},
    life::DomainEvent,
    run::{AGAIN, STACK, Shared},
    schedule::next_resync,
    watch::Watch,
};
use crate::{
    Context, DomId, DomainId, Error, Result,
    events::{self, Events, Feed},
    log,
    wake::Bell,
    xenstore::Xenstore,
};

/// The token of the watch for domains that appear.
const APPEARS: &str = "introduce";
/// The token of the watch for a name is this prefix and the domid.
const NAME: &str = "name ";

/// The watch on all domains of the host.
pub(super) struct All {
    state: Mutex<State>,
    /// Makes the thread check the readers and the domains that have ended.
    bell: Bell,
    stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    census: Census,
    watches: HashMap<DomainId, Watch>,
    readers: Vec<Feed<HostEvent>>,
    /// Domains that have died, whose names need no watch any more.
    ended: Vec<DomainId>,
    /// True while there is a thread.
    running: bool,
}

impl State {
    fn publish(&self, event: &HostEvent) {
        for reader in &self.readers {
            let level = |missed| self.census.level_after(missed);
            reader.queue().push_or_restate(event.clone(), level);
        }
    }
}

impl fmt::Debug for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("All").finish_non_exhaustive()
    }
}

impl All {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            bell: Bell::new().map_err(|e| Error::io("eventfd", e))?,
            stopped: AtomicBool::new(false),
            thread: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a queue with the present domains, and has the thread fill it.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        capacity: usize,
    ) -> Result<Events<HostEvent>> {
        let (feed, events) = events::queue(capacity);
        let begun = mem::replace(&mut self.state().running, true);
        if begun {
            self.add(feed);
        } else if let Err(error) = self.begin(shared, feed) {
            self.forget();
            return Err(error);
        }
        Ok(events)
    }

    /// Adds a reader. The known domains come first in its queue, and every later event after them.
    fn add(&self, feed: Feed<HostEvent>) {
        let mut state = self.state();
        feed.queue().begin_with(state.census.level());
        state.readers.push(feed);
    }

    /// Reads the list of domains, and begins the thread that keeps it up to date.
    fn begin(self: &Arc<Self>, shared: &Arc<Shared>, feed: Feed<HostEvent>) -> Result<()> {
        let mut work = Thread {
            all: Arc::clone(self),
            shared: Arc::downgrade(shared),
            store: None,
        };
        work.connect()?;
        work.look(&shared.context(), shared)?;
        // Before the thread, which ends when nobody reads.
        self.add(feed);
        let resync = shared.resync();
        let thread = thread::Builder::new()
            .name("libxl-domains".into())
            .stack_size(STACK)
            .spawn(move || work.run(resync))
            .map_err(|e| Error::io("pthread_create", e))?;
        let before = self.thread().replace(thread);
        // The earlier thread has ended, or is about to, because it has found no reader.
        drop(before);
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the thread, and closes every queue.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.bell.ring();
        let thread = self.thread().take();
        // Even after a panic of the thread, nothing of it is left.
        let _ = thread.map(JoinHandle::join);
        self.forget();
    }

    /// Closes every queue and watches nothing.
    fn forget(&self) {
        let old = mem::take(&mut *self.state());
        // Outside the lock, because dropping the watches takes the lock of the watcher.
        drop(old);
    }

    /// Records an event of a domain. Called by the watcher's thread.
    fn changed(&self, id: DomainId, event: DomainEvent) {
        let mut state = self.state();
        let Some(news) = state.census.changed(id, event) else {
            return;
        };
        state.publish(&news);
        let ended = if event == DomainEvent::Death {
            state.ended.push(id);
            self.bell.ring();
            state.watches.remove(&id)
        } else {
            None
        };
        drop(state);
        // Outside the lock, because the drop takes the lock of the watcher.
        drop(ended);
    }

    /// Returns true if nobody reads any more; the thread is then forgotten, and has to end.
    fn is_over(&self) -> bool {
        let mut state = self.state();
        state
            .readers
            .retain(|reader| !reader.queue().is_abandoned());
        let stopped = self.stopped.load(Ordering::SeqCst);
        if !stopped && !state.readers.is_empty() {
            return false;
        }
        // Before anybody can begin another thread.
        let old = mem::take(&mut *state);
        drop(state);
        drop(old);
        true
    }
}

/// State of the thread.
struct Thread {
    all: Arc<All>,
    shared: Weak<Shared>,
    /// `None` while there is no connection.
    store: Option<Xenstore>,
}

impl Thread {
    /// Connects to xenstored, and sets all watches that are needed by now.
    fn connect(&mut self) -> Result<()> {
        let store = Xenstore::open()?;
        store.watch("@introduceDomain", APPEARS)?;
        store.descriptor()?;
        let known: Vec<DomainId> = self.all.state().census.ids().collect();
        for id in known {
            store.watch(&path_of_name(id.domid), &token_of_name(id.domid))?;
        }
        self.store = Some(store);
        Ok(())
    }

    /// Runs until nobody listens.
    fn run(mut self, interval: Duration) {
        let mut resync = next_resync(Instant::now(), interval);
        loop {
            // A panic in here comes from the program's logger.
            let round = catch_unwind(AssertUnwindSafe(|| self.round(&mut resync, interval)));
            match round {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => thread::sleep(AGAIN),
            }
        }
    }

    /// One round. Returns false if nobody listens any more.
    fn round(&mut self, resync: &mut Instant, interval: Duration) -> bool {
        self.all.bell.silence();
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        if self.all.is_over() {
            return false;
        }
        let ctx = shared.context();
        let now = Instant::now();
        let due = now >= *resync;
        if due {
            *resync = next_resync(now, interval);
            self.check_connection();
        }
        let reconnected = self.store.is_none() && self.reconnect();
        let heard = self.heard();
        if due || reconnected || heard.appeared || self.store.is_none() {
            if let Err(error) = self.look(&ctx, &shared) {
                log::warn!("cannot list the domains: {error:#}");
                *resync = (*resync).min(now + AGAIN);
            }
        }
        for domid in heard.names {
            self.read_name(&ctx, domid);
        }
        self.forget_ended();
        // The watcher may be dropped while this waits.
        drop((ctx, shared));
        self.wait(*resync);
        true
    }

    /// Makes sure that xenstored still answers: a connection that xenstored has closed stays silent
    /// for ever.
    fn check_connection(&mut self) {
        let Some(store) = &self.store else { return };
        if let Err(error) = store.read("/local/domain/0/name") {
            log::warn!("xenstored does not answer: {error:#}");
            self.store = None;
        }
    }

    fn reconnect(&mut self) -> bool {
        let connected = self.connect();
        if let Err(error) = &connected {
            log::debug!("no connection to xenstored: {error:#}");
        }
        connected.is_ok()
    }

    /// Collects the events of xenstored's watches.
    fn heard(&mut self) -> Heard {
        let mut heard = Heard::default();
        let Some(store) = &self.store else {
            return heard;
        };
        loop {
            match store.changed() {
                Ok(Some(changed)) => heard.note(&changed.token),
                Ok(None) => return heard,
                Err(error) => {
                    log::warn!("the connection to xenstored is lost: {error:#}");
                    self.store = None;
                    return heard;
                }
            }
        }
    }

    /// Reads the list of domains, reports the new ones, and watches each of them.
    fn look(&self, ctx: &Context, shared: &Arc<Shared>) -> Result<()> {
        let list = ctx.list_domains()?;
        let there = list.iter().map(|info| (info.id(), info.state()));
        let new = self.all.state().census.unknown(there);
        for (id, domain_state) in new {
            // The watch is set before the name is read, so that a change in between is read once
            // more.
            if let Some(store) = &self.store {
                if let Err(error) = store.watch(&path_of_name(id.domid), &token_of_name(id.domid)) {
                    log::warn!("domain {id}: its name is not watched: {error:#}");
                }
            }
            let name = ctx.domain(id).name();
            let mut state = self.all.state();
            let event = state.census.appeared(id, name, domain_state);
            state.publish(&event);
        }
        self.watch_all(shared);
        Ok(())
    }

    /// Watches every domain that is not watched yet.
    fn watch_all(&self, shared: &Arc<Shared>) {
        let unwatched: Vec<DomainId> = {
            let state = self.all.state();
            let ids = state.census.ids();
            ids.filter(|id| !state.watches.contains_key(id)).collect()
        };
        for id in unwatched {
            let all = Arc::downgrade(&self.all);
            let sink = move |event| {
                if let Some(all) = all.upgrade() {
                    all.changed(id, event);
                }
            };
            match shared.watch(id, sink) {
                Ok(watch) => {
                    let mut state = self.all.state();
                    // The domain may have died, or everything ended, since.
                    let gone = if state.census.knows(id) {
                        state.watches.insert(id, watch)
                    } else {
                        Some(watch)
                    };
                    drop(state);
                    drop(gone);
                }
                // The next look tries again.
                Err(error) => log::warn!("domain {id}: it is not watched: {error:#}"),
            }
        }
    }

    fn read_name(&self, ctx: &Context, domid: DomId) {
        let ids = self.all.state().census.with_domid(domid);
        for id in ids {
            let name = ctx.domain(id).name();
            let mut state = self.all.state();
            if let Some(event) = state.census.named(id, name) {
                state.publish(&event);
            }
        }
    }

    /// Removes the watches for the names of domains that have died.
    fn forget_ended(&self) {
        let ended: Vec<DomainId> = {
            let mut state = self.all.state();
            let mut ended = mem::take(&mut state.ended);
            // The domid may belong to another domain by now.
            ended.retain(|id| state.census.with_domid(id.domid).is_empty());
            ended
        };
        let Some(store) = &self.store else { return };
        for id in ended {
            // xenstored may have gone; then so has the watch.
            let _ = store.unwatch(&path_of_name(id.domid), &token_of_name(id.domid));
        }
    }

    /// Waits for a watch, the bell, or the time `until`.
    fn wait(&self, until: Instant) {
        let now = Instant::now();
        let mut time = until.saturating_duration_since(now);
        let descriptor: Option<BorrowedFd<'_>> = match &self.store {
            Some(store) => store.descriptor().ok(),
            None => {
                time = time.min(AGAIN);
                None
            }
        };
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.all.bell.as_fd(),
            PollFlags::IN,
        )];
        fds.extend(descriptor.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // A wait that is rounded down only costs a round that is too early.
        let time = Timespec::try_from(time).ok();
        // An interrupted poll is as good as an early one.
        let _ = poll(&mut fds, time.as_ref());
    }
}

/// The data that has to be read anew.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    appeared: bool,
    names: BTreeSet<DomId>,
}

impl Heard {
    fn note(&mut self, token: &str) {
        match token.strip_prefix(NAME).map(str::parse) {
            Some(Ok(domid)) => {
                self.names.insert(DomId(domid));
            }
            _ => self.appeared = true,
        }
    }
}

fn path_of_name(domid: DomId) -> String {
    format!("/local/domain/{domid}/name")
}

fn token_of_name(domid: DomId) -> String {
    format!("{NAME}{domid}")
}
