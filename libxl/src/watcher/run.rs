//! The watcher's thread, and the state that it shares with the watches.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    armed::Armed,
    known::Known,
    life::{DomainEvent, Found, Life},
    schedule::{next_resync, next_suspended},
};
use crate::{
    Context, ContextBuilder, DomId, DomainId, DomainInfo, ErrorKind, Result, ShutdownReason, log,
    logger::panic_text, pump::Token, rearm::Rearm,
};

/// Time until the next attempt after a failure, such as a state that could not be read.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Stack size of the threads, in bytes. The watcher's thread runs libxl's callbacks, whose largest
/// frame is 22 KiB.
pub(super) const STACK: usize = 256 * 1024;

type Sink = Arc<dyn Fn(DomainEvent) + Send + Sync>;

/// One watched domain.
struct Watched {
    id: DomainId,
    sink: Sink,
    /// `None` once the domain is dead: its domid may be given to another domain.
    armed: Option<Armed>,
    known: Known,
    suspended_since: Option<Instant>,
    /// Time of the next look, with or without an event.
    look: Option<Instant>,
}

impl Watched {
    /// Requests a look at this time at the latest.
    fn look_by(&mut self, at: Instant) {
        self.look = Some(self.look.map_or(at, |earlier| earlier.min(at)));
    }
}

#[derive(Default)]
struct Table {
    next: u64,
    watched: BTreeMap<u64, Watched>,
    by_token: HashMap<Token, u64>,
}

pub(super) struct Shared {
    /// Replaced when libxl's events have failed on it.
    ctx: Mutex<Context>,
    builder: ContextBuilder,
    /// Number of times that the context has been replaced.
    restarts: AtomicU64,
    table: Mutex<Table>,
    stopped: AtomicBool,
    resync: Duration,
    /// An event source on dom0, which never dies.
    ///
    /// libxl registers its xenstore watch with the first source of a context and drops it with the
    /// last, so this source keeps the watch.
    anchor: Mutex<Armed>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("watched", &self.table().watched.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(builder: ContextBuilder, resync: Duration) -> Result<Self> {
        let ctx = builder.clone().open()?;
        let anchor = Armed::new(&ctx, DomId::DOM0)?;
        Ok(Self {
            ctx: Mutex::new(ctx),
            builder,
            restarts: AtomicU64::new(0),
            table: Mutex::default(),
            stopped: AtomicBool::new(false),
            resync,
            anchor: Mutex::new(anchor),
        })
    }

    pub(super) fn context(&self) -> Context {
        let ctx = self.ctx.lock();
        ctx.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn resync(&self) -> Duration {
        self.resync
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::SeqCst)
    }

    /// Goes on with a new context, because libxl's events have failed on the old one.
    fn begin_anew(&self) -> Result<()> {
        let ctx = self.builder.clone().open()?;
        let anchor = Armed::new(&ctx, DomId::DOM0)?;
        let old = {
            let mut known = self.ctx.lock().unwrap_or_else(PoisonError::into_inner);
            mem::replace(&mut *known, ctx)
        };
        let old_anchor = {
            let mut known = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
            mem::replace(&mut *known, anchor)
        };
        let numbers: Vec<u64> = self.table().watched.keys().copied().collect();
        for number in numbers {
            self.rearm_one(number);
        }
        self.restarts.fetch_add(1, Ordering::SeqCst);
        drop((old_anchor, old));
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // While the lock is held, only bookkeeping happens, and libxl calls that call nothing of
        // ours.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, id: DomainId, sink: Sink) -> Result<u64> {
        let mut table = self.table();
        // Under the lock, so that an event finds its token in the table.
        let ctx = self.context();
        let armed = Armed::new(&ctx, id.domid)?;
        let number = table.next;
        table.next += 1;
        table.by_token.insert(armed.token(), number);
        let watched = Watched {
            id,
            sink,
            armed: Some(armed),
            known: Known::default(),
            suspended_since: None,
            // Earlier changes would be reported with the next event of any domain: on a quiet host,
            // never.
            look: Some(Instant::now()),
        };
        table.watched.insert(number, watched);
        drop(table);
        ctx.pump().kick();
        Ok(number)
    }

    pub(super) fn remove(&self, number: u64) {
        let mut table = self.table();
        let watched = table.watched.remove(&number);
        if let Some(armed) = watched.as_ref().and_then(|w| w.armed.as_ref()) {
            table.by_token.remove(&armed.token());
        }
        drop(table);
        // Disarms, and drops the sink, which may own anything: not under the lock.
        drop(watched);
    }

    /// Arms a new event source, disarms the old one, and requests a look.
    ///
    /// In this order, because the xenstore watch stays registered while a source is armed, and does
    /// not fire at once.
    fn rearm_one(&self, number: u64) {
        let mut table = self.table();
        let Some(watched) = table.watched.get_mut(&number) else {
            return;
        };
        watched.look = Some(Instant::now());
        if watched.known.life() == Life::Dead {
            return;
        }
        let new = match Armed::new(&self.context(), watched.id.domid) {
            Ok(new) => new,
            Err(error) => {
                // The old source stays, for the death; shutdowns are left to the resync.
                log::error!(
                    "domain {}: cannot arm the watch anew: {error:#}",
                    watched.id
                );
                return;
            }
        };
        let token = new.token();
        let old = watched.armed.replace(new);
        if let Some(old) = &old {
            table.by_token.remove(&old.token());
        }
        table.by_token.insert(token, number);
        drop(old);
    }

    /// Returns true if more shutdowns are to be expected of a domain: it runs, or may be resumed.
    fn may_go_on(&self, number: u64) -> bool {
        let table = self.table();
        let life = table
            .watched
            .get(&number)
            .map(|watched| watched.known.life());
        life.is_some_and(|life| life == Life::Running || life.is_suspended())
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.context().pump().kick();
    }

    /// The watches whose event source has reported something.
    fn heard(&self, ctx: &Context) -> Vec<u64> {
        let tokens = ctx.pump().take_watch_events();
        let table = self.table();
        // A token that is not in the table belongs to a source that has been replaced or removed.
        tokens
            .iter()
            .filter_map(|token| table.by_token.get(token).copied())
            .collect()
    }

    /// The watches that are due for a look, and the earliest time among the others.
    fn due(&self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let table = self.table();
        let times = table
            .watched
            .iter()
            .filter_map(|(number, w)| Some((*number, w.look?)));
        let (due, later): (Vec<_>, Vec<_>) = times.partition(|(_, time)| *time <= now);
        (
            due.into_iter().map(|(number, _)| number).collect(),
            later.into_iter().map(|(_, t)| t).min(),
        )
    }

    /// Takes note of something in every watch of the domain.
    fn with_known(&self, id: DomainId, note: impl Fn(&mut Known)) {
        let mut table = self.table();
        let watched = table.watched.values_mut();
        for watched in watched.filter(|watched| watched.id == id) {
            note(&mut watched.known);
        }
    }

    /// Reads the state of one watched domain and reports a change.
    fn look(&self, number: u64) {
        let Some((id, told)) = self.table().watched.get_mut(&number).map(|w| {
            // Before the state is read: a request from here on leads to another look.
            w.look = None;
            (w.id, w.known.take())
        }) else {
            return;
        };
        for found in told {
            self.report(number, found);
        }
        let found = match self.context().domain_info(id.domid) {
            Ok(info) => found(id, Some(&info)),
            Err(error) if error.kind() == ErrorKind::DomainNotFound => Found::Gone,
            Err(error) => {
                // A state that cannot be read is not a death.
                log::warn!("domain {id}: cannot read its state: {error:#}");
                if let Some(watched) = self.table().watched.get_mut(&number) {
                    watched.look_by(Instant::now() + AGAIN);
                }
                return;
            }
        };
        self.report(number, found);
    }

    fn report(&self, number: u64, found: Found) {
        let now = Instant::now();
        let mut table = self.table();
        let Some(watched) = table.watched.get_mut(&number) else {
            return;
        };
        let event = watched.known.advance(found);
        if watched.known.life().is_suspended() {
            let since = *watched.suspended_since.get_or_insert(now);
            watched.look_by(next_suspended(since, now));
        } else {
            watched.suspended_since = None;
        }
        let sink = Arc::clone(&watched.sink);
        let id = watched.id;
        let disarmed = if watched.known.life() == Life::Dead {
            watched.armed.take()
        } else {
            None
        };
        if let Some(armed) = &disarmed {
            table.by_token.remove(&armed.token());
        }
        drop(table);
        drop(disarmed);
        let Some(event) = event else { return };
        if event == DomainEvent::Resumed {
            // Somebody else has resumed the domain, so its source is spent. The look that this
            // requests sees everything up to the arming.
            self.rearm_one(number);
        }
        // Before anything else that could panic, because the event is delivered only once.
        let told = catch_unwind(AssertUnwindSafe(|| sink(event)));
        log::debug!("domain {id} {event}");
        if let Err(panic) = told {
            let text = panic_text(&*panic);
            log::error!("domain {id}: whoever watches it has panicked at \"{event}\": {text}");
        }
    }

    /// Looks at all watched domains with a single list from libxl.
    fn look_at_all(&self) {
        let ids: Vec<(u64, DomainId)> = self
            .table()
            .watched
            .iter()
            .map(|(number, w)| (*number, w.id))
            .collect();
        if ids.is_empty() {
            return;
        }
        let domains: HashMap<DomId, DomainInfo> = match self.context().list_domains() {
            Ok(list) => list.into_iter().map(|info| (info.domid, info)).collect(),
            Err(error) => {
                log::warn!("cannot list the domains: {error:#}");
                return;
            }
        };
        for (number, id) in ids {
            self.report(number, found(id, domains.get(&id.domid)));
        }
    }
}

impl Rearm for Shared {
    fn rearm(&self, id: DomainId) {
        let numbers: Vec<u64> = {
            let table = self.table();
            table
                .watched
                .iter()
                .filter(|(_, w)| w.id == id)
                .map(|(number, _)| *number)
                .collect()
        };
        for number in numbers {
            self.rearm_one(number);
        }
        self.context().pump().kick();
    }

    fn is_stopped(&self, id: DomainId, reason: ShutdownReason) {
        self.with_known(id, |known| known.is_stopped(reason));
    }

    fn went_on(&self, id: DomainId) {
        self.with_known(id, Known::went_on);
    }
}

fn found(id: DomainId, info: Option<&DomainInfo>) -> Found {
    match info {
        Some(info) if info.uuid == id.uuid => Found::State(info.state()),
        _ => Found::Gone,
    }
}

/// Body of the watcher's thread.
pub(super) fn run(shared: &Shared) {
    let mut resync = next_resync(Instant::now(), shared.resync);
    despite_panics(|| {
        // Events before a panic may not have led to a look, so the next resync is at once.
        rounds(shared, mem::replace(&mut resync, Instant::now()));
    });
}

/// Runs `work` until it returns without a panic. A panic comes from the program's logger, and must
/// not leave domains unwatched.
fn despite_panics(mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        // The panic hook has reported the panic. The pause avoids a tight loop.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Runs rounds on one context after the other.
fn rounds(shared: &Shared, mut resync: Instant) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let ctx = shared.context();
        resync = rounds_of(shared, &ctx, resync);
        if !ctx.is_poisoned() {
            continue;
        }
        match shared.begin_anew() {
            Ok(()) => {
                log::error!("libxl's events have failed: the watcher goes on with a new context");
                // Finds the changes that nobody has reported meanwhile.
                resync = Instant::now();
            }
            Err(error) => {
                log::error!("libxl's events have failed, and there is no new context: {error:#}");
                shared.look_at_all();
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Runs rounds on one context until the watcher stops or libxl's events fail on it. Returns the
/// time of the next resync.
fn rounds_of(shared: &Shared, ctx: &Context, mut resync: Instant) -> Instant {
    let _driving = ctx.pump().drive();
    while !shared.stopped.load(Ordering::SeqCst) && !ctx.is_poisoned() {
        let moment = ctx.pump().now();
        for number in shared.heard(ctx) {
            shared.look(number);
            if shared.may_go_on(number) {
                // The source has reported its one shutdown, and there may be another. Arming a new
                // source requests a second look, which sees everything up to then.
                shared.rearm_one(number);
            }
        }
        let now = Instant::now();
        if now >= resync {
            shared.look_at_all();
            resync = next_resync(now, shared.resync);
        }
        let (due, next) = shared.due(now);
        if !due.is_empty() {
            due.into_iter().for_each(|number| shared.look(number));
            continue;
        }
        let until = next.map_or(resync, |next| next.min(resync));
        if let Err(error) = ctx.core().wait(moment, Some(until)) {
            log::error!("cannot wait for events of Xen: {error}");
            std::thread::sleep(AGAIN);
        }
    }
    resync
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_work_is_taken_up_again_after_a_panic() {
        let mut rounds = 0;
        super::despite_panics(|| {
            rounds += 1;
            assert!(rounds > 1, "the first one fails");
        });
        assert_eq!(rounds, 2);
    }
}
