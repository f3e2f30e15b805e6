//! The bridge from libxl's logger to the `log` crate. It also keeps the last lines, which make an
//! [`Error`](crate::Error) useful.

use std::{
    any::Any,
    cell::Cell,
    collections::{HashMap, VecDeque},
    ffi::{CStr, c_char, c_int, c_ulong, c_void},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    slice,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use libxl_sys as sys;

use crate::{LogLevel, Progress, log};

/// The target under which libxl's lines reach the `log` crate.
const TARGET: &str = "libxl";
/// Number of lines kept for errors; a failing creation logs about ten.
const KEPT: usize = 64;
/// Number of lines that can wait for the program's logger. A libxl call that logs more loses its
/// oldest.
const WAITING: usize = 4096;
/// Number of progress reports that can wait for a listener; there is one for every 4 MiB of memory.
const UNHEARD: usize = 1024;

/// One line that libxl logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Severity that libxl gives the line.
    pub level: LogLevel,
    /// The library that logged the line: `libxl`, `xc`, ...
    pub context: String,
    /// The text.
    pub message: String,
    /// The errno the line is about.
    pub errno: Option<i32>,
}

impl LogLine {
    #[cfg(test)]
    pub(crate) fn for_test(context: &str, message: &str) -> Self {
        let (context, message) = (context.into(), message.into());
        Self {
            level: LogLevel::Error,
            context,
            message,
            errno: None,
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.context, self.message)?;
        match self.errno {
            Some(errno) => write!(f, ": {}", std::io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

/// The lines worth keeping, numbered, so that a call can find those that came since it began.
#[derive(Default)]
struct Kept {
    next: u64,
    lines: VecDeque<Numbered>,
}

struct Numbered {
    number: u64,
    /// Thread in which libxl logged the line: other threads use the context, too.
    thread: ThreadId,
    line: LogLine,
}

/// Listeners to progress, with the reports that each has not fetched yet.
#[derive(Default)]
struct Listeners {
    next: u64,
    unheard: HashMap<u64, VecDeque<Progress>>,
}

/// Lines that the program's logger has not got yet.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<LogLine>,
    /// Number of lines lost because there were more than [`WAITING`].
    lost: u64,
}

struct Sink {
    kept: Mutex<Kept>,
    waiting: Mutex<Waiting>,
    listeners: Mutex<Listeners>,
}

impl Sink {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic while holding the lock can only have come from the allocator: the lines are
        // intact.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a warning or an error, and queues any line for the program's logger.
    ///
    /// libxl holds its locks at this point, so the program's code may not run here.
    fn take(&self, line: LogLine) {
        if line.level <= LogLevel::Warn {
            self.keep(line.clone());
        }
        let mut waiting = self.waiting();
        if waiting.lines.len() == WAITING {
            waiting.lines.pop_front();
            waiting.lost += 1;
        }
        waiting.lines.push_back(line);
    }

    /// Hands the waiting lines to the program's logger, which may call this crate and reenter this
    /// function.
    fn flush(&self) {
        // A call by the program's logger is not the call that has just returned.
        let before = EXPECT_FAILURE.replace(false);
        self.flush_lines();
        EXPECT_FAILURE.set(before);
    }

    fn flush_lines(&self) {
        loop {
            let (line, lost) = {
                let mut waiting = self.waiting();
                (waiting.lines.pop_front(), std::mem::take(&mut waiting.lost))
            };
            let Some(line) = line else { return };
            let told = catch_unwind(|| {
                if lost > 0 {
                    log::warn!(target: TARGET, "{lost} lines of libxl's were lost");
                }
                log::log!(target: TARGET, log::Level::from(line.level), "{line}");
            });
            if let Err(panic) = told {
                // A panic here must not fail an operation. The next error reports it, so that it is
                // not lost; the program's panic hook already has.
                let text = panic_text(&*panic);
                self.keep(LogLine {
                    level: LogLevel::Error,
                    context: "log".into(),
                    message: format!("the program's logger has panicked: {text}"),
                    errno: None,
                });
            }
        }
    }

    fn keep(&self, line: LogLine) {
        let mut kept = self.kept();
        let number = kept.next;
        kept.next += 1;
        if kept.lines.len() == KEPT {
            kept.lines.pop_front();
        }
        kept.lines.push_back(Numbered {
            number,
            thread: thread::current().id(),
            line,
        });
    }

    fn report(&self, progress: &Progress) {
        for unheard in self.listeners().unheard.values_mut() {
            if unheard.len() == UNHEARD {
                unheard.pop_front();
            }
            unheard.push_back(progress.clone());
        }
    }
}

/// Message of a panic, if it is text, as it nearly always is.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)")
}

thread_local! {
    /// Set while a call may fail in a way that is an answer and not an error.
    static EXPECT_FAILURE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call` while libxl's warnings and errors of this thread count as debug output.
///
/// Since Xen 4.18 libxl logs an error when it is asked about a domain that is gone.
pub(crate) fn expecting_failure<T>(call: impl FnOnce() -> T) -> T {
    let before = EXPECT_FAILURE.replace(true);
    let result = call();
    EXPECT_FAILURE.set(before);
    result
}

/// A logger for one context. Lines go to the `log` crate and, from warnings up, into a ring.
pub(crate) struct Logger {
    raw: NonNull<sys::xentoollog_logger>,
    sink: NonNull<Sink>,
}

// SAFETY: the C side is immutable after creation and may be called on any thread; the sink is a
// Mutex.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

impl Logger {
    /// Returns `None` when out of memory. Lines below `level` are not formatted; warnings always
    /// are, because errors quote them.
    pub(crate) fn new(level: Option<LogLevel>) -> Option<Self> {
        let sink = Box::new(Sink {
            kept: Mutex::default(),
            waiting: Mutex::default(),
            listeners: Mutex::default(),
        });
        // A raw pointer from here on: a Box that moves would invalidate the one that C holds.
        let sink = NonNull::from(Box::leak(sink));
        let min_level = c_int::try_from(min_level(level).0).unwrap_or(0);
        // SAFETY: the callbacks have the signatures the shim asks for; the sink outlives the logger,
        // because Drop frees the logger first.
        let raw = unsafe {
            sys::libxl_sys_logger_create(
                Some(receive),
                Some(progress),
                sink.as_ptr().cast(),
                min_level,
            )
        };
        match NonNull::new(raw) {
            Some(raw) => Some(Self { raw, sink }),
            None => {
                // SAFETY: made by Box above, and no logger came to hold it.
                drop(unsafe { Box::from_raw(sink.as_ptr()) });
                None
            }
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::xentoollog_logger {
        self.raw.as_ptr()
    }

    /// Hands the waiting lines to the program's logger. To be called when a libxl call has
    /// returned, with no lock held.
    pub(crate) fn flush(&self) {
        self.sink().flush();
    }

    fn sink(&self) -> &Sink {
        // SAFETY: valid from `new` to `drop`, and only ever shared.
        unsafe { self.sink.as_ref() }
    }

    /// The number of the next line; see [`Self::since`].
    pub(crate) fn mark(&self) -> u64 {
        self.sink().kept().next
    }

    /// Lines of all threads kept since `mark`: for an operation, on which any thread that polls may
    /// work.
    pub(crate) fn since(&self, mark: u64) -> Vec<LogLine> {
        self.which(|kept| kept.number >= mark)
    }

    /// Lines of this thread kept since `mark`: for a call that does all of its work before it
    /// returns.
    pub(crate) fn own_since(&self, mark: u64) -> Vec<LogLine> {
        let own = thread::current().id();
        self.which(|kept| kept.number >= mark && kept.thread == own)
    }

    fn which(&self, wanted: impl Fn(&Numbered) -> bool) -> Vec<LogLine> {
        let kept = self.sink().kept();
        let wanted = kept.lines.iter().filter(|kept| wanted(kept));
        wanted.map(|kept| kept.line.clone()).collect()
    }

    /// Keeps progress for a new listener, until [`Self::stop_listening`].
    pub(crate) fn listen(&self) -> Listener {
        let mut listeners = self.sink().listeners();
        let number = listeners.next;
        listeners.next += 1;
        listeners.unheard.insert(number, VecDeque::new());
        Listener(number)
    }

    /// Progress reported since the last call, oldest first.
    pub(crate) fn heard(&self, listener: &Listener) -> VecDeque<Progress> {
        let mut listeners = self.sink().listeners();
        listeners
            .unheard
            .get_mut(&listener.0)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Reports progress that does not come from libxl.
    pub(crate) fn report(&self, progress: &Progress) {
        self.sink().report(progress);
    }

    /// Stops keeping progress for a listener.
    pub(crate) fn stop_listening(&self, listener: &Listener) {
        self.sink().listeners().unheard.remove(&listener.0);
    }
}

/// A listener to progress; see [`Logger::listen`].
pub(crate) struct Listener(u64);

impl Drop for Logger {
    fn drop(&mut self) {
        // SAFETY: made by libxl_sys_logger_create; the context that used it is gone, because it
        // owns this.
        unsafe { sys::libxl_sys_logger_destroy(self.raw.as_ptr()) };
        // SAFETY: made by Box in `new`; the logger that pointed to it is gone.
        drop(unsafe { Box::from_raw(self.sink.as_ptr()) });
    }
}

fn min_level(level: Option<LogLevel>) -> sys::xentoollog_level {
    match level {
        None | Some(LogLevel::Error | LogLevel::Warn) => sys::xentoollog_level::XTL_WARN,
        Some(LogLevel::Info) => sys::xentoollog_level::XTL_INFO,
        Some(LogLevel::Debug) => sys::xentoollog_level::XTL_DETAIL,
        Some(LogLevel::Trace) => sys::xentoollog_level::XTL_DEBUG,
    }
}

/// Converts libxl's level. Its "notice" and "info" are both ordinary operation.
fn level_of(raw: c_int) -> LogLevel {
    match u32::try_from(raw).map(sys::xentoollog_level) {
        Ok(sys::xentoollog_level::XTL_ERROR | sys::xentoollog_level::XTL_CRITICAL) => {
            LogLevel::Error
        }
        Ok(sys::xentoollog_level::XTL_WARN) => LogLevel::Warn,
        Ok(sys::xentoollog_level::XTL_NOTICE | sys::xentoollog_level::XTL_INFO) => LogLevel::Info,
        Ok(sys::xentoollog_level::XTL_PROGRESS | sys::xentoollog_level::XTL_DETAIL) => {
            LogLevel::Debug
        }
        _ => LogLevel::Trace,
    }
}

unsafe extern "C" fn receive(
    user: *mut c_void,
    level: c_int,
    errnoval: c_int,
    context: *const c_char,
    message: *const c_char,
    len: usize,
) {
    // Nothing may unwind through C.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `user` is the Sink that outlives the logger (see Logger::new).
        let sink = unsafe { &*user.cast::<Sink>() };
        let context = if context.is_null() {
            "libxl".into()
        } else {
            // SAFETY: not NULL, and NUL-terminated by the shim's contract.
            unsafe { CStr::from_ptr(context) }.to_string_lossy()
        };
        // SAFETY: the shim passes `len` initialised bytes that stay valid during the call.
        let message = unsafe { slice::from_raw_parts(message.cast::<u8>(), len) };
        let message = String::from_utf8_lossy(message);
        let errno = (errnoval >= 0).then_some(errnoval);
        let mut level = level_of(level);
        if EXPECT_FAILURE.get() && level <= LogLevel::Warn {
            level = LogLevel::Debug;
        }
        sink.take(LogLine {
            level,
            context: context.into(),
            message: message.into(),
            errno,
        });
    }));
}

unsafe extern "C" fn progress(
    user: *mut c_void,
    _context: *const c_char,
    doing: *const c_char,
    done: c_ulong,
    total: c_ulong,
) {
    // Nothing may unwind through C; nothing of the program's runs in here.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `user` is the Sink that outlives the logger (see Logger::new).
        let sink = unsafe { &*user.cast::<Sink>() };
        // SAFETY: NUL-terminated by the shim's contract.
        let stage = unsafe { CStr::from_ptr(doing) }.to_string_lossy();
        sink.report(&Progress {
            stage: stage.into_owned(),
            done,
            total,
        });
    }));
}

#[cfg(test)]
mod tests;
