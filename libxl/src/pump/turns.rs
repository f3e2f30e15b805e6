//! The pump: the threads that wait on a context take turns to poll it.

use std::{
    io,
    sync::{
        Arc, OnceLock, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use libxl_sys as sys;
use once_cell::sync::OnceCell;

use super::{
    descriptor::Descriptor,
    table::{Ended, Orphan, Table, Terms},
    token::Token,
};
#[cfg(all(libxl_loom, test))]
use crate::sync::Bell;
#[cfg(not(all(libxl_loom, test)))]
use crate::wake::Bell;
use crate::{
    config::Disk,
    log, sound_cards,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// A point in the history of a pump; see [`Pump::now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// The event loop of one context; see the documentation of the parent module.
pub(crate) struct Pump {
    state: Mutex<Table>,
    /// Signalled whenever `state` has changed in a way that may matter to a waiting thread.
    changed: Condvar,
    /// Ends the poll of the thread that is in it. There is none before the first poll, so that a context that is never polled
    /// costs two system calls less.
    wake: OnceCell<Bell>,
    /// Text of the first disaster that libxl has reported.
    failed: OnceLock<String>,
    /// True once the disaster has been logged.
    told: AtomicBool,
    /// Number of threads that drive the context; see [`Pump::drive`].
    drivers: AtomicUsize,
    /// The descriptor by which a program's own loop drives the context, if it does.
    descriptor: Mutex<Weak<Descriptor>>,
    /// Number of operations under way that may read sound cards.
    card_readers: AtomicUsize,
    /// Keeps calls of libxl apart from the counting of an operation that reads sound cards.
    ///
    /// Locked for reading by every call of libxl that may work on operations, and for writing while
    /// such an operation is counted, so that no call is in progress that has not seen the count.
    calls: RwLock<()>,
}

impl Pump {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            wake: OnceCell::new(),
            failed: OnceLock::new(),
            told: AtomicBool::new(false),
            drivers: AtomicUsize::new(0),
            descriptor: Mutex::default(),
            card_readers: AtomicUsize::new(0),
            calls: RwLock::new(()),
        }
    }

    /// Returns what ends a poll. A thread calls this before it looks at `state` to take the turn: a change that it does not find
    /// then is rung.
    pub(crate) fn bell(&self) -> io::Result<&Bell> {
        self.wake.get_or_try_init(Bell::new)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Table> {
        // The state is consistent between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn descriptor(&self) -> Option<Arc<Descriptor>> {
        let descriptor = self.descriptor.lock();
        descriptor.unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Returns the descriptor for a program's own loop. All callers share one.
    pub(crate) fn attach_loop(&self) -> io::Result<Arc<Descriptor>> {
        let known = self.descriptor.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(descriptor) = known.upgrade() {
            return Ok(descriptor);
        }
        let descriptor = Arc::new(Descriptor::new()?);
        // The first dispatch finds out what there is to wait for.
        descriptor.ring();
        *known = Arc::downgrade(&descriptor);
        Ok(descriptor)
    }

    /// Returns true if a thread or a loop drives the context, whoever waits.
    pub(crate) fn is_driven(&self) -> bool {
        self.drivers.load(Ordering::SeqCst) > 0 || self.descriptor().is_some()
    }

    /// Counts a thread that drives the context until this is dropped.
    pub(crate) fn drive(&self) -> Driving<'_> {
        self.drivers.fetch_add(1, Ordering::SeqCst);
        Driving(self)
    }

    /// Wakes every thread that waits on this context, so that it checks its condition again.
    pub(crate) fn kick(&self) {
        let waiting = {
            let mut state = self.state();
            state.changes += 1;
            state.waiting
        };
        self.tell(waiting);
        // The bell is rung last. The thread that polls takes back all rings, and may not be the
        // thread that this change concerns. The latter must then either find the change, or begin
        // to poll before the change is counted and so before the bell is rung.
        if let Some(bell) = self.wake.get() {
            bell.ring();
        }
        if let Some(descriptor) = self.descriptor() {
            descriptor.ring();
        }
    }

    /// Wakes the threads that wait for the one that polls. To wake nobody would be a system call, too.
    fn tell(&self, waiting: usize) {
        if waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Records that libxl's events can no longer be relied on, and why, and wakes everybody.
    pub(crate) fn fail(&self, why: String) {
        // The first disaster is the cause of the others.
        let _ = self.failed.set(why);
        self.kick();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// Text of the disaster, if libxl's events have failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// The current moment. Take it before checking the condition you wait for, and pass it to
    /// [`Self::wait`]: a change in between then ends the wait at once.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.state().changes)
    }

    /// Runs a call of libxl that may work on any operation.
    pub(crate) fn within<R>(&self, call: impl FnOnce() -> R) -> R {
        let _call = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        let _turn = (self.card_readers.load(Ordering::SeqCst) > 0).then(sound_cards::turn);
        call()
    }

    /// Records an operation before it is given to libxl: another thread may receive its end before
    /// the call that starts it returns.
    pub(crate) fn starting(&self, token: Token, terms: Terms) {
        if terms.reads_cards {
            let _nobody_inside = self.calls.write().unwrap_or_else(PoisonError::into_inner);
            self.card_readers.fetch_add(1, Ordering::SeqCst);
        }
        self.state().begin(token, terms);
    }

    /// Records that libxl has refused the operation: no completion will come.
    pub(crate) fn refused(&self, token: Token) {
        if self.state().refused(token) {
            self.card_readers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Records that libxl has accepted the operation: its completion will come, or has come.
    pub(crate) fn started(&self) {
        let polling = self.state().polling;
        if polling || self.descriptor().is_some() {
            // Starting an operation can complete another one, or change what has to be polled;
            // libxl does not always wake the thread that polls (its list of pollers to tell about
            // events is never filled).
            self.kick();
        }
    }

    pub(super) fn ended(&self, token: Token, rc: std::ffi::c_int) {
        if self.state().end(token, rc) {
            self.card_readers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Takes the result of an operation, if there is one.
    pub(crate) fn take_result(&self, token: Token) -> Option<Ended> {
        self.state().take(token)
    }

    pub(crate) fn is_over(&self, token: Token) -> bool {
        self.state().is_over(token)
    }

    pub(crate) fn wake_at_end(&self, token: Token, waker: &Waker) {
        self.state().wake_at_end(token, waker);
    }

    /// Requests the abort of an operation; the next round of the thread that polls carries it out.
    pub(crate) fn ask_for_end(&self, token: Token) {
        self.state().ask(token);
        self.kick();
    }

    /// The earliest deadline of the operations under way that can be aborted.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.state().next_deadline()
    }

    /// Keeps `memory` until the operation is over.
    pub(crate) fn abandon(&self, token: Token, memory: Orphan, name: String) {
        let over = self.state().leave(token, memory, name);
        // Outside the lock, because dropping the memory may run any code.
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

    /// Takes the watches that have reported something since the last call.
    pub(crate) fn take_watch_events(&self) -> Vec<Token> {
        self.state().take_watch_events()
    }

    /// Records ejects with this token from now on.
    pub(crate) fn expect_ejects(&self, token: Token) {
        self.state().expect_ejects(token);
    }

    /// Stops recording ejects with this token.
    pub(crate) fn forget_ejects(&self, token: Token) {
        self.state().forget_ejects(token);
    }

    /// Takes the eject with this token, if there has been one.
    pub(crate) fn take_eject(&self, token: Token) -> Option<Disk> {
        self.state().take_eject(token)
    }

    /// Waits until something has happened on the context since `since`, or `deadline` has passed.
    /// May return early: callers check their condition and wait again.
    pub(crate) fn wait(
        &self,
        ctx: *mut sys::libxl_ctx,
        since: Moment,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        self.bell()?;
        self.enforce(ctx);
        let mut state = self.state();
        if state.changes != since.0 {
            return Ok(());
        }
        if state.polling {
            // Another thread polls and will signal a change.
            state.waiting += 1;
            let mut state = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                Some(time) => {
                    let woken = self.changed.wait_timeout(state, time);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.changed.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
            state.waiting -= 1;
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

    /// Does all pending work without waiting.
    pub(crate) fn dispatch(&self, ctx: *mut sys::libxl_ctx) -> io::Result<()> {
        let descriptor = self.descriptor();
        if let Some(descriptor) = &descriptor {
            descriptor.silence();
        }
        self.bell()?;
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

    /// One round of the loop. Does not wait if `until` is `None`; `Some(None)` waits for ever.
    fn round(&self, ctx: *mut sys::libxl_ctx, until: Option<Option<Instant>>) -> io::Result<()> {
        // Completions can have been queued without a poll: by the call that started the operation.
        let result = match (self.drain(ctx), until) {
            // There is something to report, so the round does not wait.
            (true, Some(_)) => return Ok(()),
            (false, Some(until)) => self.poll(ctx, until),
            (_, None) => self.poll(ctx, Some(Instant::now())),
        };
        self.drain(ctx);
        result
    }

    /// Has libxl abort the operations whose deadline has passed or whose abort was requested.
    pub(crate) fn enforce(&self, ctx: *mut sys::libxl_ctx) {
        let due = self.state().due(Instant::now);
        for token in due {
            self.abort(ctx, token);
        }
    }

    /// Wakes tasks and frees memory. Both may call the pump again, so this thread holds neither a
    /// lock nor the turn.
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

pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
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

/// The right to poll. The drop returns it, also during a panic: otherwise all other threads would
/// wait for ever.
struct Turn<'a>(&'a Pump);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.polling = false;
            state.waiting
        };
        self.0.tell(waiting);
    }
}

#[cfg(all(test, not(libxl_loom)))]
mod tests;
