//! A thread for a single turn of a worker.
//!
//! The stack that a thread has touched stays in memory as long as the thread lives, and so does what its `malloc` keeps for
//! it. A worker's turn touches some 50 KiB of stack. The thread of a sleeping worker, which does no more than wait, keeps a
//! few pages.

use std::panic::resume_unwind;
use std::thread;

use super::shared::STACK;

/// Runs `work` on a thread of its own, and waits for it. Where the system has no thread to give, it runs here. A panic goes on
/// in the caller.
pub(super) fn aside<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> R {
    let mut work = Some(work);
    let mut result = None;
    let mut run = || result = work.take().map(|work| work());
    let ended = thread::scope(|scope| {
        let builder = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK);
        builder
            .spawn_scoped(scope, &mut run)
            .map(thread::ScopedJoinHandle::join)
    });
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(payload)) => resume_unwind(payload),
        Err(e) => {
            log::debug!("{name}: no thread for its turn: {e}");
            run();
        }
    }
    result.expect("the work has run")
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::base::services::panic_text;

    #[test]
    fn the_work_has_a_thread_of_that_name() {
        let mut found = None;
        let here = thread::current().id();
        let n = aside("somebody", || {
            found = thread::current().name().map(str::to_owned);
            assert_ne!(thread::current().id(), here);
            3
        });
        assert_eq!((n, found.as_deref()), (3, Some("somebody")));
    }

    #[test]
    fn a_panic_goes_on_in_the_caller() {
        let run = || aside("somebody", || panic!("no disk {}", 7));
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(panic_text(payload.as_ref()), "no disk 7");
    }
}
