//! Models of threads that wait on a context, one of which polls, and of libxl, which ends
//! operations, in all orders.
#![allow(clippy::unwrap_used)] // A test may, in its helpers as well.

use std::{ffi::c_int, io, sync::Arc, time::Instant};

use libxl_sys as sys;
use loom::thread;

use super::{
    descriptor::Descriptor,
    table::{Ended, Terms},
    token::Token,
    turns::Pump,
};
use crate::sync::{Mutex, model};

/// libxl, as far as a pump calls it.
#[derive(Default)]
struct Libxl {
    /// Events that libxl has queued.
    queued: Mutex<Vec<(Token, c_int)>>,
    /// Ends that libxl notices only when somebody polls its descriptors, one of which is ready.
    due: Mutex<Vec<(Token, c_int)>>,
}

// Stand-ins for the files `poll.rs` and `event.rs`, which call libxl.
impl Pump {
    pub(super) fn drain(&self, ctx: *mut sys::libxl_ctx) -> bool {
        let queued = std::mem::take(&mut *of(ctx).queued.lock().unwrap());
        for (token, rc) in &queued {
            self.ended(*token, *rc);
        }
        !queued.is_empty()
    }

    pub(super) fn poll(&self, ctx: *mut sys::libxl_ctx, until: Option<Instant>) -> io::Result<()> {
        assert!(self.state().polling, "one thread has the turn");
        let bell = self.bell()?;
        // No time passes in a model: a poll without an end waits, and any other returns at once.
        if until.is_none() {
            bell.wait();
        }
        bell.silence();
        let due = std::mem::take(&mut *of(ctx).due.lock().unwrap());
        of(ctx).queued.lock().unwrap().extend(due);
        Ok(())
    }

    pub(super) fn prepare(
        &self,
        _: *mut sys::libxl_ctx,
        _: &Descriptor,
        _: Option<Instant>,
    ) -> io::Result<()> {
        unreachable!("no loop is in these models")
    }

    pub(super) fn abort(&self, ctx: *mut sys::libxl_ctx, token: Token) {
        let aborted = sys::libxl_error::ERROR_ABORTED.0;
        of(ctx).queued.lock().unwrap().push((token, aborted));
        self.kick();
    }
}

pub(crate) fn how(_: Token) -> sys::libxl_asyncop_how {
    unreachable!("no operation begins in these models")
}

fn of<'a>(ctx: *mut sys::libxl_ctx) -> &'a Libxl {
    // SAFETY: a `Host` makes the pointer from a reference to the `Libxl` that it keeps.
    unsafe { &*ctx.cast::<Libxl>() }
}

/// A context with a pump.
struct Host {
    pump: Pump,
    libxl: Libxl,
}

impl Host {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            pump: Pump::new(),
            libxl: Libxl::default(),
        })
    }

    fn ctx(&self) -> *mut sys::libxl_ctx {
        (&raw const self.libxl).cast_mut().cast()
    }

    fn begin(&self) -> Token {
        let token = Token::fresh();
        self.pump.starting(token, Terms::default());
        token
    }

    /// Makes a descriptor of libxl ready, which is among those that are polled.
    fn ends(&self, token: Token) {
        self.libxl.due.lock().unwrap().push((token, 0));
        self.pump.bell().unwrap().ring();
    }

    /// As `Started::wait`.
    fn wait(&self, token: Token) -> Ended {
        loop {
            let now = self.pump.now();
            if let Some(ended) = self.pump.take_result(token) {
                return ended;
            }
            self.pump.wait(self.ctx(), now, None).unwrap();
        }
    }
}

fn spawn<T: 'static>(
    host: &Arc<Host>,
    body: impl FnOnce(&Host) -> T + 'static,
) -> thread::JoinHandle<T> {
    let host = Arc::clone(host);
    thread::spawn(move || body(&host))
}

#[test]
fn loom_two_threads_wait_and_one_polls_for_both() {
    model(2, || {
        let host = Host::new();
        let (one, other) = (host.begin(), host.begin());
        let waits = spawn(&host, move |host| host.wait(other));
        let libxl = spawn(&host, move |host| {
            host.ends(other);
            host.ends(one);
        });
        assert_eq!(host.wait(one).rc, 0);
        assert_eq!(waits.join().unwrap().rc, 0);
        libxl.join().unwrap();
    });
}

/// A call that starts one operation may end another, and does not wake the thread that polls.
#[test]
fn loom_an_end_that_a_start_brings_is_heard() {
    model(3, || {
        let host = Host::new();
        let one = host.begin();
        let starts = spawn(&host, move |host| {
            let other = host.begin();
            let ends = [(one, 0), (other, 0)];
            host.libxl.queued.lock().unwrap().extend(ends);
            host.pump.started();
        });
        assert_eq!(host.wait(one).rc, 0);
        starts.join().unwrap();
    });
}

/// The thread that polls enforces the abort that another thread requests.
#[test]
fn loom_an_abort_reaches_the_thread_that_polls() {
    model(3, || {
        let host = Host::new();
        let token = host.begin();
        let asks = spawn(&host, move |host| host.pump.ask_for_end(token));
        let ended = host.wait(token);
        assert_eq!(ended.rc, sys::libxl_error::ERROR_ABORTED.0);
        asks.join().unwrap();
    });
}

/// The end of one wait gives the turn to another thread.
#[test]
fn loom_the_turn_is_passed_on() {
    model(2, || {
        let host = Host::new();
        let (one, other) = (host.begin(), host.begin());
        let waits = spawn(&host, move |host| host.wait(other));
        host.ends(one);
        assert_eq!(host.wait(one).rc, 0);
        host.ends(other);
        assert_eq!(waits.join().unwrap().rc, 0);
    });
}
