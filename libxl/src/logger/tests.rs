use std::ffi::CString;

use super::{KEPT, LogLevel, Logger, expecting_failure, sys};

fn say(logger: &Logger, level: sys::xentoollog_level, text: &str) {
    let text = CString::new(text).unwrap();
    let level = i32::try_from(level.0).unwrap();
    // SAFETY: a live logger and NUL-terminated strings.
    unsafe { sys::libxl_sys_log(logger.as_ptr(), level, 2, c"xc".as_ptr(), text.as_ptr()) };
}

#[test]
fn warnings_are_kept_since_the_mark() {
    let logger = Logger::new(Some(LogLevel::Trace)).unwrap();
    say(&logger, sys::xentoollog_level::XTL_ERROR, "before");
    let mark = logger.mark();
    say(&logger, sys::xentoollog_level::XTL_INFO, "chatter");
    say(&logger, sys::xentoollog_level::XTL_WARN, "careful");
    let lines = logger.since(mark);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        lines[0].to_string(),
        "xc: careful: No such file or directory (os error 2)"
    );
}

#[test]
fn what_other_threads_are_told_is_not_ones_own() {
    let logger = Logger::new(None).unwrap();
    let mark = logger.mark();
    std::thread::scope(|scope| {
        scope.spawn(|| say(&logger, sys::xentoollog_level::XTL_WARN, "elsewhere"));
    });
    assert!(logger.own_since(mark).is_empty());
    say(&logger, sys::xentoollog_level::XTL_WARN, "here");
    let texts = |lines: Vec<super::LogLine>| -> Vec<String> {
        lines.into_iter().map(|line| line.message).collect()
    };
    assert_eq!(texts(logger.own_since(mark)), ["here"]);
    assert_eq!(texts(logger.since(mark)), ["elsewhere", "here"]);
    assert!(logger.own_since(logger.mark()).is_empty());
}

#[test]
fn progress_reaches_those_who_listen() {
    let logger = Logger::new(None).unwrap();
    let report = |done| {
        // SAFETY: a live logger and NUL-terminated strings.
        unsafe {
            sys::libxl_sys_progress(logger.as_ptr(), c"xc".as_ptr(), c"Frames".as_ptr(), done, 9);
        }
    };
    report(1);
    let listener = logger.listen();
    report(2);
    report(3);
    let heard = logger.heard(&listener);
    assert_eq!(heard.iter().map(|p| p.done).collect::<Vec<_>>(), [2, 3]);
    assert!(logger.heard(&listener).is_empty());
    logger.stop_listening(&listener);
    report(4);
    assert!(logger.heard(&listener).is_empty());
}

#[test]
fn the_ring_keeps_the_newest() {
    let logger = Logger::new(None).unwrap();
    for n in 0..KEPT + 3 {
        say(
            &logger,
            sys::xentoollog_level::XTL_ERROR,
            &format!("line {n}"),
        );
    }
    let lines = logger.since(0);
    assert_eq!(lines.len(), KEPT);
    assert_eq!(lines[0].message, "line 3");
}

#[test]
fn an_expected_failure_is_not_kept() {
    let logger = Logger::new(Some(LogLevel::Info)).unwrap();
    expecting_failure(|| say(&logger, sys::xentoollog_level::XTL_ERROR, "no such domain"));
    assert!(logger.since(0).is_empty());
    say(&logger, sys::xentoollog_level::XTL_ERROR, "real");
    assert_eq!(logger.since(0).len(), 1);
}
