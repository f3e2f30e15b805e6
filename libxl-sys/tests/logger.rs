//! The log bridge: whole lines, any length, nothing in forked children.

#![allow(clippy::unwrap_used)] // a test file outside #[test] functions too

use std::{
    ffi::{CStr, CString, c_char, c_int, c_ulong, c_void},
    ptr,
    sync::Mutex,
};

use libxl_sys as sys;

type Line = (c_int, c_int, Option<String>, String);

/// Collects the lines of a test. libxl promises to hand `user` through unchanged.
#[derive(Default)]
struct Sink(Mutex<Vec<Line>>, Mutex<Vec<(String, u64, u64)>>);

unsafe extern "C" fn collect(
    user: *mut c_void,
    level: c_int,
    errnoval: c_int,
    context: *const c_char,
    message: *const c_char,
    len: usize,
) {
    // SAFETY: `user` is the Sink the logger was made with, and outlives it.
    let sink = unsafe { &*user.cast::<Sink>() };
    let context = (!context.is_null()).then(|| {
        // SAFETY: the shim passes NULL or a NUL-terminated string.
        let context = unsafe { CStr::from_ptr(context) };
        context.to_string_lossy().into_owned()
    });
    // SAFETY: the shim terminates the message it formatted.
    let message = unsafe { CStr::from_ptr(message) };
    let message = message.to_string_lossy().into_owned();
    assert_eq!(message.len(), len);
    sink.0
        .lock()
        .unwrap()
        .push((level, errnoval, context, message));
}

unsafe extern "C" fn count(
    user: *mut c_void,
    context: *const c_char,
    doing: *const c_char,
    done: c_ulong,
    total: c_ulong,
) {
    // SAFETY: as in `collect`.
    let sink = unsafe { &*user.cast::<Sink>() };
    // SAFETY: the test passes NUL-terminated strings, which the shim hands on.
    let (context, doing) = unsafe { (CStr::from_ptr(context), CStr::from_ptr(doing)) };
    assert_eq!(context, c"xc");
    let doing = doing.to_string_lossy().into_owned();
    sink.1.lock().unwrap().push((doing, done, total));
}

/// Lines that `log` sends through a logger that drops lines below INFO.
fn lines(log: impl FnOnce(*mut sys::xentoollog_logger, &Sink)) -> Vec<Line> {
    let sink = Sink::default();
    let user = ptr::from_ref(&sink).cast_mut().cast();
    let min_level = i32::try_from(sys::xentoollog_level::XTL_INFO.0).unwrap();
    // SAFETY: `collect` has the signature the shim asks for, and `sink` outlives the logger.
    let logger =
        unsafe { sys::libxl_sys_logger_create(Some(collect), Some(count), user, min_level) };
    assert!(!logger.is_null());
    log(logger, &sink);
    // SAFETY: made above, and not used after this.
    unsafe { sys::libxl_sys_logger_destroy(logger) };
    sink.0.into_inner().unwrap()
}

fn level(level: &sys::xentoollog_level) -> c_int {
    i32::try_from(level.0).unwrap()
}

fn put(
    logger: *mut sys::xentoollog_logger,
    at: c_int,
    errnoval: c_int,
    context: Option<&CStr>,
    text: &CStr,
) {
    let context = context.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the logger is live, the strings are NUL-terminated, a NULL context is allowed.
    unsafe { sys::libxl_sys_log(logger, at, errnoval, context, text.as_ptr()) };
}

#[test]
fn a_line_arrives_whole_and_unformatted() {
    let error = level(&sys::xentoollog_level::XTL_ERROR);
    let got = lines(|logger, _| put(logger, error, 2, Some(c"libxl"), c"50% of %s"));
    assert_eq!(got, [(error, 2, Some("libxl".into()), "50% of %s".into())]);
}

#[test]
fn a_line_without_context_and_errno() {
    let warn = level(&sys::xentoollog_level::XTL_WARN);
    let got = lines(|logger, _| put(logger, warn, -1, None, c"text"));
    assert_eq!(got, [(warn, -1, None, "text".into())]);
}

#[test]
fn a_long_line_is_not_cut() {
    let text = CString::new("x".repeat(100_000)).unwrap();
    let info = level(&sys::xentoollog_level::XTL_INFO);
    let got = lines(|logger, _| put(logger, info, -1, None, &text));
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].3.len(), 100_000);
}

#[test]
fn lines_below_the_level_are_dropped() {
    let debug = level(&sys::xentoollog_level::XTL_DEBUG);
    assert_eq!(
        lines(|logger, _| put(logger, debug, -1, None, c"quiet")),
        []
    );
}

#[test]
fn progress_is_counted_below_the_level_too() {
    let got = lines(|logger, sink| {
        // SAFETY: the logger is live, the strings are NUL-terminated.
        unsafe { sys::libxl_sys_progress(logger, c"xc".as_ptr(), c"Frames".as_ptr(), 3, 4) };
        assert_eq!(*sink.1.lock().unwrap(), [("Frames".to_owned(), 3, 4)]);
    });
    assert_eq!(got, []);
}

/// A callback that changes errno.
unsafe extern "C" fn clumsy(
    _: *mut c_void,
    _: c_int,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
    _: usize,
) {
    // SAFETY: this thread's errno.
    unsafe { *libc::__errno_location() = libc::EIO };
}

#[test]
fn errno_survives_a_line() {
    let error = level(&sys::xentoollog_level::XTL_ERROR);
    // SAFETY: a callback of the right shape, which uses nothing of what it is given; the logger is
    // destroyed once.
    unsafe {
        let logger = sys::libxl_sys_logger_create(Some(clumsy), None, std::ptr::null_mut(), 0);
        *libc::__errno_location() = libc::ENOENT;
        put(logger, error, -1, None, c"a line");
        let after = *libc::__errno_location();
        sys::libxl_sys_logger_destroy(logger);
        assert_eq!(after, libc::ENOENT);
    }
}

#[test]
fn a_forked_child_keeps_clear_of_the_callback() {
    let error = level(&sys::xentoollog_level::XTL_ERROR);
    let got = lines(|logger, sink| {
        // SAFETY: the child only formats, writes to standard error and leaves with _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            put(logger, error, -1, None, c"from the child");
            let status = if sink.0.lock().unwrap().is_empty() {
                7
            } else {
                8
            };
            // SAFETY: ends the child without running the test harness's exit handlers.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: a plain wait for the child just made, with a valid place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7);
    });
    assert_eq!(got, []);
}
