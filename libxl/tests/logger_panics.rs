//! A program's logger that panics in the middle of libxl. A test of its own: a process has one logger.

use std::sync::atomic::{AtomicUsize, Ordering};

use libxl::Context;

static PANICS: AtomicUsize = AtomicUsize::new(0);

struct Clumsy;

impl log::Log for Clumsy {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "libxl" {
            PANICS.fetch_add(1, Ordering::SeqCst);
            panic!("cannot log {:?}", record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_panic_does_not_cross_c_and_is_not_lost() {
    log::set_logger(&Clumsy).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    // Without Xen the first of these fails, and libxl logs why; on a Xen host the second one.
    let error = Context::open()
        .and_then(|ctx| ctx.cpupool_destroy(9999))
        .unwrap_err();
    assert!(PANICS.load(Ordering::SeqCst) > 0, "{error:?}");
    let log: Vec<String> = error.log().iter().map(ToString::to_string).collect();
    let panics = log
        .iter()
        .filter(|line| line.starts_with("log: the program's logger has panicked: cannot log"))
        .count();
    assert!(panics > 0, "the panic is told: {log:#?}");
    assert!(
        log.len() > panics,
        "what libxl said is told as well: {log:#?}"
    );
}
