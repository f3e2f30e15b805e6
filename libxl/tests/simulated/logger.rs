//! The program's logger.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use libxl::{AbortHandle, Context, DomId};

use crate::stand_in::{depth, domain, operations_take, simulated};

static CONTEXT: OnceLock<Context> = OnceLock::new();
static LINES: AtomicUsize = AtomicUsize::new(0);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// A logger that calls the crate.
struct Curious;

impl log::Log for Curious {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() != "libxl" {
            return;
        }
        LINES.fetch_add(1, Ordering::SeqCst);
        if depth() > 0 {
            INSIDE.fetch_add(1, Ordering::SeqCst);
        } else if let Some(ctx) = CONTEXT.get() {
            ctx.domain_info(DomId(3)).unwrap();
        }
    }

    fn flush(&self) {}
}

#[test]
fn the_logger_runs_outside_of_libxl_and_may_call_it() {
    simulated(
        "logger::the_logger_runs_outside_of_libxl_and_may_call_it",
        || {
            log::set_logger(&Curious).unwrap();
            log::set_max_level(log::LevelFilter::Trace);
            let ctx = CONTEXT.get_or_init(|| Context::open().unwrap());
            operations_take(-1);
            let abort = AbortHandle::new();
            let shutdown = domain(ctx, 4)
                .shutdown()
                .abort_with(&abort)
                .start()
                .unwrap();
            assert_eq!(
                LINES.load(Ordering::SeqCst),
                1,
                "told before `start` returns"
            );
            abort.abort();
            assert_eq!(LINES.load(Ordering::SeqCst), 2);
            let error = shutdown.wait().unwrap_err();
            assert_eq!(error.log().len(), 1, "and kept for the error: {error:#}");
            assert_eq!(INSIDE.load(Ordering::SeqCst), 0);
        },
    );
}
