//! The event loop of one context.
//!
//! libxl makes progress only while somebody polls its file descriptors. Whoever waits for
//! something on a context does that polling, one thread at a time as libxl demands, and hands on
//! what it finds to the others. There is no thread behind a context unless a
//! [`Watcher`](crate::Watcher) is one.

use std::{
    collections::{HashMap, VecDeque},
    ffi::c_int,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use libxl_sys as sys;

use crate::{
    config::{Disk, DiskFormat},
    raw::copy_str,
};

/// What libxl calls `for_user`: says which operation or which watch an event is about. Never
/// reused, so that a stale event meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// A token that was never given out before in this process.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Memory that C works on while an operation whose caller has gone away finishes.
pub(crate) type Orphan = Box<dyn Send>;

#[derive(Default)]
struct State {
    /// A thread is inside poll, or in libxl on behalf of it.
    polling: bool,
    /// Operations that have been started and not been heard of since.
    running: u32,
    /// Results nobody has fetched yet.
    done: HashMap<Token, c_int>,
    /// What to free when an abandoned operation is done.
    orphans: HashMap<Token, Orphan>,
    /// Watches of which something was heard.
    watch_events: VecDeque<Token>,
    /// Of which disk ejects are wanted, and what has been heard of them.
    ejects: HashMap<Token, VecDeque<Disk>>,
    /// Counts everything a waiting thread may want to know about.
    changes: u64,
}

/// A point in the history of a pump; see [`Pump::now`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

/// See the module documentation.
pub(crate) struct Pump {
    state: Mutex<State>,
    /// Signalled whenever `state` has changed in a way that may matter to a waiting thread.
    changed: Condvar,
    /// Ends the poll of whichever thread is in it.
    wake: OwnedFd,
}

impl Pump {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a plain system call without pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just created, and owned by nobody else.
        let wake = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            wake,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes readable when [`Self::kick`] is called.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes every thread that waits on this context look at its own affairs again.
    pub(crate) fn kick(&self) {
        self.state().changes += 1;
        self.changed.notify_all();
        // The descriptor last. A thread that polls takes back all that has been written, and may be
        // another one than has to know of this. The latter must then either find the change, or
        // begin to poll before it is counted and so before this is written.
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a valid buffer to a descriptor we own. A full counter
        // means that a wake-up is pending already.
        unsafe { libc::write(self.wake.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// The present. Take it before looking at what you wait for and pass it to [`Self::wait`]:
    /// what changes in between then ends the wait at once.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.state().changes)
    }

    /// To be called before an operation is given to libxl: another thread may hear of its end
    /// before the call that starts it returns.
    pub(crate) fn starting(&self) {
        self.state().running += 1;
    }

    /// libxl has refused the operation: no completion will come.
    pub(crate) fn refused(&self) {
        self.state().running -= 1;
    }

    /// libxl has accepted the operation: its completion will come, or has come.
    pub(crate) fn started(&self) {
        if self.state().polling {
            // Starting an operation can complete another one, or change what has to be polled;
            // libxl does not always wake the thread that polls (its list of pollers to tell about
            // events is never filled).
            self.kick();
        }
    }

    /// The result of an operation, if it is there.
    pub(crate) fn take_result(&self, token: Token) -> Option<c_int> {
        self.state().done.remove(&token)
    }

    /// Keeps `memory` until the operation is done.
    pub(crate) fn abandon(&self, token: Token, memory: Orphan) {
        let mut state = self.state();
        // If it is done already, the memory is free to go with this scope.
        if state.done.remove(&token).is_none() {
            state.orphans.insert(token, memory);
        }
    }

    /// The operations that were abandoned and are still under way.
    pub(crate) fn abandoned(&self) -> Vec<Token> {
        self.state().orphans.keys().copied().collect()
    }

    /// How many operations are under way.
    pub(crate) fn running(&self) -> u32 {
        self.state().running
    }

    /// The watches of which something was heard since the last call.
    pub(crate) fn take_watch_events(&self) -> Vec<Token> {
        self.state().watch_events.drain(..).collect()
    }

    /// Keeps ejects with this token from now on.
    pub(crate) fn expect_ejects(&self, token: Token) {
        self.state().ejects.insert(token, VecDeque::new());
    }

    /// Keeps them no more.
    pub(crate) fn forget_ejects(&self, token: Token) {
        self.state().ejects.remove(&token);
    }

    /// The next eject with this token, if it is there.
    pub(crate) fn take_eject(&self, token: Token) -> Option<Disk> {
        self.state().ejects.get_mut(&token)?.pop_front()
    }

    /// Waits until something happened on the context since `since`, or `deadline` passed. Returns
    /// early whenever in doubt: callers look at what they wait for and come back.
    pub(crate) fn wait(
        &self,
        ctx: *mut sys::libxl_ctx,
        since: Moment,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
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
        drop(state);
        let _turn = Turn(self);

        // Completions can have been queued without a poll: by the call that started the operation.
        let result = if self.drain(ctx) {
            Ok(())
        } else {
            self.poll(ctx, deadline)
        };
        self.drain(ctx);
        result
    }

    /// One round of beforepoll, poll and afterpoll.
    fn poll(&self, ctx: *mut sys::libxl_ctx, deadline: Option<Instant>) -> io::Result<()> {
        let mut fds: Vec<sys::pollfd> = Vec::with_capacity(16);
        let mut timeout = millis_until(deadline);
        loop {
            let mut count = c_int::try_from(fds.capacity()).unwrap_or(c_int::MAX);
            // SAFETY: `fds` has room for `count` entries, and only the thread that set `polling`
            // gets here: libxl allows one.
            let rc = unsafe {
                sys::libxl_osevent_beforepoll(
                    ctx,
                    &mut count,
                    fds.as_mut_ptr(),
                    &mut timeout,
                    time_of_day(),
                )
            };
            let count = usize::try_from(count).unwrap_or(0);
            match rc {
                0 => {
                    // SAFETY: libxl has filled in that many.
                    unsafe { fds.set_len(count) };
                    break;
                }
                // Too little room, and now we know how much it takes.
                _ if count > fds.capacity() => fds.reserve(count),
                _ => return Err(io::Error::other(format!("libxl_osevent_beforepoll: {rc}"))),
            }
        }

        let of_libxl = fds.len();
        fds.push(sys::pollfd {
            fd: self.wake.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let nfds = libc::nfds_t::try_from(fds.len()).unwrap_or(0);
        // SAFETY: `fds` holds `nfds` entries; sys::pollfd is the C structure itself.
        let ready = unsafe { libc::poll(fds.as_mut_ptr().cast(), nfds, timeout) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            for fd in &mut fds {
                fd.revents = 0;
            }
        }
        if fds[of_libxl].revents != 0 {
            self.calm();
        }
        // SAFETY: the descriptors of the beforepoll above, as poll left them, without our own.
        unsafe {
            sys::libxl_osevent_afterpoll(
                ctx,
                c_int::try_from(of_libxl).unwrap_or(0),
                fds.as_ptr(),
                time_of_day(),
            );
        }
        Ok(())
    }

    /// Takes back the kicks: whoever is woken looks at everything anyway.
    fn calm(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads into a buffer of the length given; the descriptor does not block.
        unsafe {
            libc::read(
                self.wake.as_raw_fd(),
                count.as_mut_ptr().cast(),
                count.len(),
            )
        };
    }

    /// Empties libxl's queue. Whether there was anything in it.
    fn drain(&self, ctx: *mut sys::libxl_ctx) -> bool {
        let mut any = false;
        loop {
            let mut event = ptr::null_mut();
            // SAFETY: a live context, a place for the event, every type, no predicate.
            let rc =
                unsafe { sys::libxl_event_check(ctx, &mut event, u64::MAX, None, ptr::null_mut()) };
            if rc != 0 || event.is_null() {
                return any;
            }
            any = true;
            // SAFETY: an event that libxl handed to us.
            unsafe { self.note(&*event) };
            // SAFETY: ours to free, once, and not used after this.
            unsafe { sys::libxl_event_free(ctx, event) };
        }
    }

    /// Files one event.
    ///
    /// # Safety
    ///
    /// `event` is a whole event of libxl's: the arm of its union is the one its type names.
    unsafe fn note(&self, event: &sys::libxl_event) {
        use sys::libxl_event_type as Type;
        let token = Token(event.for_user);
        match event.type_ {
            Type::LIBXL_EVENT_TYPE_OPERATION_COMPLETE => {
                // SAFETY: the arm that belongs to this type.
                let rc = unsafe { event.u.operation_complete.rc };
                let mut state = self.state();
                state.running = state.running.saturating_sub(1);
                state.changes += 1;
                let orphan = state.orphans.remove(&token);
                if orphan.is_none() {
                    state.done.insert(token, rc);
                }
                drop(state);
                // Not under the lock: what it owns may do anything when it goes.
                drop(orphan);
            }
            Type::LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN | Type::LIBXL_EVENT_TYPE_DOMAIN_DEATH => {
                let mut state = self.state();
                state.watch_events.push_back(token);
                state.changes += 1;
            }
            Type::LIBXL_EVENT_TYPE_DISK_EJECT => {
                // SAFETY: the arm that belongs to this type; its strings live as long as the event.
                let disk = unsafe { ejected(&event.u.disk_eject.disk) };
                let mut state = self.state();
                if let Some(queue) = state.ejects.get_mut(&token) {
                    queue.push_back(disk);
                    state.changes += 1;
                }
            }
            // Nothing else was asked for. A type from a newer libxl is not an error.
            _ => {}
        }
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

/// Copies what an eject leaves behind: an empty drive.
///
/// # Safety
///
/// The strings of `raw` are NULL or NUL-terminated.
unsafe fn ejected(raw: &sys::libxl_device_disk) -> Disk {
    // SAFETY: a literal of libxl's, or NULL for a number that it does not know; and the caller's
    // promise.
    let (backend, vdev) = unsafe {
        (
            copy_str(sys::libxl_disk_backend_to_string(raw.backend)),
            copy_str(raw.vdev),
        )
    };
    Disk {
        backend_domid: (raw.backend_domid != 0).then_some(raw.backend_domid),
        backend: backend.and_then(|word| word.parse().ok()),
        vdev,
        format: Some(DiskFormat::Empty),
        removable: raw.removable != 0,
        readwrite: raw.readwrite != 0,
        is_cdrom: raw.is_cdrom != 0,
        ..Disk::default()
    }
}

/// The time as libxl wants it.
fn time_of_day() -> sys::timeval {
    let mut now = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    // SAFETY: a place for the time, and no time zone.
    unsafe { libc::gettimeofday(&mut now, ptr::null_mut()) };
    sys::timeval {
        tv_sec: now.tv_sec,
        tv_usec: now.tv_usec,
    }
}

/// A poll time-out: rounded up, so that it is not over just before the deadline.
fn millis_until(deadline: Option<Instant>) -> c_int {
    let Some(deadline) = deadline else { return -1 };
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::AsRawFd,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::{Duration, Instant},
    };

    use super::{Pump, Token, Turn, millis_until, sys};

    /// As libxl reports the end of an operation.
    fn end(pump: &Pump, token: Token) {
        // SAFETY: a C structure of integers and pointers, all of which may be zero.
        let mut event: sys::libxl_event = unsafe { std::mem::zeroed() };
        event.type_ = sys::libxl_event_type::LIBXL_EVENT_TYPE_OPERATION_COMPLETE;
        event.for_user = token.0;
        // SAFETY: the union is zero, which is a result.
        unsafe { pump.note(&event) };
    }

    #[test]
    fn what_was_abandoned_is_freed_at_its_end_and_not_under_the_lock() {
        struct Memory(Arc<Pump>, Arc<AtomicBool>);
        impl Drop for Memory {
            fn drop(&mut self) {
                self.1
                    .store(self.0.state.try_lock().is_ok(), Ordering::SeqCst);
            }
        }
        let pump = Arc::new(Pump::new().unwrap());
        let freed = Arc::new(AtomicBool::new(false));
        let token = Token::fresh();
        pump.starting();
        let memory = Memory(Arc::clone(&pump), Arc::clone(&freed));
        pump.abandon(token, Box::new(memory));
        assert_eq!(pump.abandoned(), [token]);
        assert!(!freed.load(Ordering::SeqCst), "libxl still writes to it");
        end(&pump, token);
        assert!(freed.load(Ordering::SeqCst));
        assert_eq!((pump.running(), pump.take_result(token)), (0, None));
    }

    #[test]
    fn a_result_may_come_before_anybody_asks_and_is_given_once() {
        let pump = Pump::new().unwrap();
        let token = Token::fresh();
        pump.starting();
        // Another thread polls, and libxl has done it all in the call that starts it.
        end(&pump, token);
        pump.started();
        assert_eq!(pump.running(), 0, "the context can be freed");
        assert_eq!(pump.take_result(token), Some(0));
        assert_eq!(pump.take_result(token), None);
    }

    #[test]
    fn a_panic_gives_the_turn_back() {
        let pump = Pump::new().unwrap();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pump.state().polling = true;
            let _turn = Turn(&pump);
            std::panic::resume_unwind(Box::new("in the middle of a poll"));
        }));
        assert!(panic.is_err() && !pump.state().polling);
    }

    fn is_readable(pump: &Pump) -> bool {
        let mut fd = libc::pollfd {
            fd: pump.wake_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, and it does not wait.
        unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
    }

    /// Otherwise a thread that polls could take the wake-up back before the one that it is for begins
    /// to wait, and that one would find nothing changed.
    #[test]
    fn a_change_is_counted_before_anybody_is_woken() {
        let pump = Pump::new().unwrap();
        let before = pump.now();
        std::thread::scope(|scope| {
            let state = pump.state();
            scope.spawn(|| pump.kick());
            std::thread::sleep(Duration::from_millis(100));
            assert!(!is_readable(&pump), "nothing could be counted so far");
            drop(state);
        });
        assert!(is_readable(&pump));
        assert_ne!(pump.now(), before);
        pump.calm();
        assert!(!is_readable(&pump));
    }

    #[test]
    fn tokens_are_never_reused() {
        assert_ne!(Token::fresh(), Token::fresh());
    }

    #[test]
    fn timeouts_are_rounded_up_and_never_negative() {
        assert_eq!(millis_until(None), -1);
        assert_eq!(
            millis_until(Some(Instant::now() - Duration::from_secs(1))),
            0
        );
        let soon = millis_until(Some(Instant::now() + Duration::from_micros(100)));
        assert!((0..=1).contains(&soon), "{soon}");
        assert_eq!(
            millis_until(Some(Instant::now() + Duration::from_secs(1 << 40))),
            i32::MAX
        );
    }
}
