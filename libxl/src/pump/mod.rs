//! The event loop of one context.
//!
//! libxl makes progress only while somebody polls its file descriptors. Whoever waits for
//! something on a context does that polling, one thread at a time as libxl demands, and hands on
//! what it finds to the others. A program's own loop can do it instead, by a [`Descriptor`], or a
//! thread of this crate.
//!
//! Deadlines and aborts of all operations are enforced by whoever polls, not by whoever waits for
//! the operation.

mod descriptor;
#[cfg(not(all(libxl_loom, test)))]
mod event;
#[cfg(all(libxl_loom, test))]
mod loom;
#[cfg(not(all(libxl_loom, test)))]
mod poll;
mod table;

use std::{
    io,
    sync::{
        Arc, OnceLock, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use libxl_sys as sys;

#[cfg(all(libxl_loom, test))]
use crate::sync::Bell;
#[cfg(not(all(libxl_loom, test)))]
use crate::wake::Bell;
use crate::{
    config::Disk,
    log, sound_cards,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

pub(crate) use descriptor::Descriptor;
#[cfg(all(libxl_loom, test))]
pub(crate) use loom::how;
#[cfg(not(all(libxl_loom, test)))]
pub(crate) use poll::how;
use table::Table;
pub(crate) use table::{Cause, Ended, Orphan, Terms};

/// What libxl calls `for_user`: says which operation or which watch an event is about. Never
/// reused, so that a stale event meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// A token that was never given out before in this process. They begin far from where a program
    /// would begin that uses libxl beside this crate.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0x7273_0000_0000_0001);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A point in the history of a pump; see [`Pump::now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// See the module documentation.
pub(crate) struct Pump {
    state: Mutex<Table>,
    /// Signalled whenever `state` has changed in a way that may matter to a waiting thread.
    changed: Condvar,
    /// Ends the poll of whichever thread is in it.
    wake: Bell,
    /// What libxl has said when it reported a disaster.
    failed: OnceLock<String>,
    /// It has been told to the program's logger.
    told: AtomicBool,
    /// Threads that poll for as long as the context exists.
    drivers: AtomicUsize,
    /// The descriptor by which a program's own loop drives the context, if it does.
    descriptor: Mutex<Weak<Descriptor>>,
    /// Number of operations under way that may read sound cards.
    card_readers: AtomicUsize,
    /// Read by every call of libxl that may work on operations; written while such an operation is
    /// counted, so that no call is inside that has not seen the count.
    calls: RwLock<()>,
}

impl Pump {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(not(all(libxl_loom, test)))]
            wake: Bell::new()?,
            #[cfg(all(libxl_loom, test))]
            wake: Bell::default(),
            failed: OnceLock::new(),
            told: AtomicBool::new(false),
            drivers: AtomicUsize::new(0),
            descriptor: Mutex::default(),
            card_readers: AtomicUsize::new(0),
            calls: RwLock::new(()),
        })
    }

    fn state(&self) -> MutexGuard<'_, Table> {
        // The state is consistent between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn descriptor(&self) -> Option<Arc<Descriptor>> {
        let descriptor = self.descriptor.lock();
        descriptor.unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// The descriptor for a program's own loop; there is one for all that ask.
    pub(crate) fn attach_loop(&self) -> io::Result<Arc<Descriptor>> {
        let known = self.descriptor.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(descriptor) = known.upgrade() {
            return Ok(descriptor);
        }
        let descriptor = Arc::new(Descriptor::new()?);
        // Its first dispatch learns what there is to wait for.
        descriptor.ring();
        *known = Arc::downgrade(&descriptor);
        Ok(descriptor)
    }

    /// Whether a thread or a loop drives the context, whoever waits.
    pub(crate) fn is_driven(&self) -> bool {
        self.drivers.load(Ordering::SeqCst) > 0 || self.descriptor().is_some()
    }

    /// Counts a thread that drives the context until this is dropped.
    pub(crate) fn drive(&self) -> Driving<'_> {
        self.drivers.fetch_add(1, Ordering::SeqCst);
        Driving(self)
    }

    /// Makes every thread that waits on this context look at its own affairs again.
    pub(crate) fn kick(&self) {
        self.state().changes += 1;
        self.changed.notify_all();
        // The descriptor last. A thread that polls takes back all that has been written, and may be
        // another one than has to know of this. The latter must then either find the change, or
        // begin to poll before it is counted and so before this is written.
        self.wake.ring();
        if let Some(descriptor) = self.descriptor() {
            descriptor.ring();
        }
    }

    /// Notes that libxl's events can no longer be relied on, and why, and wakes everybody.
    pub(crate) fn fail(&self, why: String) {
        // The first disaster is the cause of the others.
        let _ = self.failed.set(why);
        self.kick();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// What libxl said when its events failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// The present. Take it before looking at what you wait for and pass it to [`Self::wait`]:
    /// what changes in between then ends the wait at once.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.state().changes)
    }

    /// Runs a call of libxl that may work on operations, whichever they are.
    pub(crate) fn within<R>(&self, call: impl FnOnce() -> R) -> R {
        let _call = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        let _turn = (self.card_readers.load(Ordering::SeqCst) > 0).then(sound_cards::turn);
        call()
    }

    /// To be called before an operation is given to libxl: another thread may hear of its end
    /// before the call that starts it returns.
    pub(crate) fn starting(&self, token: Token, terms: Terms) {
        if terms.reads_cards {
            let _nobody_inside = self.calls.write().unwrap_or_else(PoisonError::into_inner);
            self.card_readers.fetch_add(1, Ordering::SeqCst);
        }
        self.state().begin(token, terms);
    }

    /// libxl has refused the operation: no completion will come.
    pub(crate) fn refused(&self, token: Token) {
        if self.state().refused(token) {
            self.card_readers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// libxl has accepted the operation: its completion will come, or has come.
    pub(crate) fn started(&self) {
        let polling = self.state().polling;
        if polling || self.descriptor().is_some() {
            // Starting an operation can complete another one, or change what has to be polled;
            // libxl does not always wake the thread that polls (its list of pollers to tell about
            // events is never filled).
            self.kick();
        }
    }

    fn ended(&self, token: Token, rc: std::ffi::c_int) {
        if self.state().end(token, rc) {
            self.card_readers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The result of an operation, if it is there.
    pub(crate) fn take_result(&self, token: Token) -> Option<Ended> {
        self.state().take(token)
    }

    pub(crate) fn is_over(&self, token: Token) -> bool {
        self.state().is_over(token)
    }

    pub(crate) fn wake_at_end(&self, token: Token, waker: &Waker) {
        self.state().wake_at_end(token, waker);
    }

    /// Asks for the end of an operation; the next round of whoever polls sees to it.
    pub(crate) fn ask_for_end(&self, token: Token) {
        self.state().ask(token);
        self.kick();
    }

    /// The earliest deadline of those under way that can be aborted.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.state().next_deadline()
    }

    /// Keeps `memory` until the operation is over.
    pub(crate) fn abandon(&self, token: Token, memory: Orphan, name: String) {
        let over = self.state().leave(token, memory, name);
        // Not under the lock: what it owns may do anything when it goes.
        drop(over);
    }

    /// The operations that were abandoned and are still under way.
    pub(crate) fn abandoned(&self) -> Vec<(Token, String)> {
        self.state().left()
    }

    /// Number of operations that are under way.
    pub(crate) fn running(&self) -> usize {
        self.state().running()
    }

    /// The watches of which something was heard since the last call.
    pub(crate) fn take_watch_events(&self) -> Vec<Token> {
        self.state().take_watch_events()
    }

    /// Keeps ejects with this token from now on.
    pub(crate) fn expect_ejects(&self, token: Token) {
        self.state().expect_ejects(token);
    }

    /// Keeps them no more.
    pub(crate) fn forget_ejects(&self, token: Token) {
        self.state().forget_ejects(token);
    }

    /// The eject with this token, if there has been one.
    pub(crate) fn take_eject(&self, token: Token) -> Option<Disk> {
        self.state().take_eject(token)
    }

    /// Waits until something happened on the context since `since`, or `deadline` passed. Returns
    /// early whenever in doubt: callers look at what they wait for and come back.
    pub(crate) fn wait(
        &self,
        ctx: *mut sys::libxl_ctx,
        since: Moment,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        self.enforce(ctx);
        let mut state = self.state();
        if state.changes != since.0 {
            return Ok(());
        }
        if state.polling {
            // Somebody else polls and will tell.
            match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                Some(time) => drop(self.changed.wait_timeout(state, time)),
                None => drop(self.changed.wait(state)),
            }
            return Ok(());
        }
        state.polling = true;
        let until = earlier(deadline, state.next_deadline());
        drop(state);
        let result = {
            let _turn = Turn(self);
            self.round(ctx, Some(until))
        };
        // A loop has to see what this thread has found, and libxl may wait for something else now.
        if let Some(descriptor) = self.descriptor() {
            descriptor.ring();
        }
        self.enforce(ctx);
        self.settle();
        result
    }

    /// Does what can be done without waiting.
    pub(crate) fn dispatch(&self, ctx: *mut sys::libxl_ctx) -> io::Result<()> {
        let descriptor = self.descriptor();
        if let Some(descriptor) = &descriptor {
            descriptor.silence();
        }
        self.enforce(ctx);
        {
            let mut state = self.state();
            if state.polling {
                return match &descriptor {
                    Some(descriptor) => descriptor.wait_for_nothing(),
                    None => Ok(()),
                };
            }
            state.polling = true;
        }
        let result = {
            let _turn = Turn(self);
            let result = self.round(ctx, None);
            if let Some(descriptor) = &descriptor {
                let deadline = self.state().next_deadline();
                self.prepare(ctx, descriptor, deadline)?;
            }
            result
        };
        self.settle();
        result
    }

    /// One round of the loop. `until` says until when it may wait, and for ever if that is `None`.
    fn round(&self, ctx: *mut sys::libxl_ctx, until: Option<Option<Instant>>) -> io::Result<()> {
        // Completions can have been queued without a poll: by the call that started the operation.
        let result = match (self.drain(ctx), until) {
            (false, Some(until)) => self.poll(ctx, until),
            // There is something to tell.
            (true, Some(_)) => Ok(()),
            (_, None) => self.poll(ctx, Some(Instant::now())),
        };
        self.drain(ctx);
        result
    }

    /// Has libxl abort what is to be aborted by now.
    pub(crate) fn enforce(&self, ctx: *mut sys::libxl_ctx) {
        let due = self.state().due(Instant::now());
        for token in due {
            self.abort(ctx, token);
        }
    }

    /// Wakes tasks and frees memory. Whatever that does may come back here, so no lock is held, and
    /// the turn is not this thread's.
    fn settle(&self) {
        if let Some(why) = self.failure() {
            if !self.told.swap(true, Ordering::SeqCst) {
                log::error!(target: "libxl", "disaster: {why}");
            }
        }
        let (to_wake, spent) = {
            let mut state = self.state();
            if self.has_failed() {
                state.wake_all();
            }
            state.settle()
        };
        drop(spent);
        to_wake.into_iter().for_each(Waker::wake);
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A thread that drives the context; see [`Pump::drive`].
pub(crate) struct Driving<'a>(&'a Pump);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.drivers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The right to poll, until it is dropped: also by a panic, or everybody else would wait for ever.
struct Turn<'a>(&'a Pump);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().polling = false;
        self.0.changed.notify_all();
    }
}

#[cfg(all(test, not(libxl_loom)))]
mod tests;
