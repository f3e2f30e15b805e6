//! A context driven by a loop that is not ours.

use std::{
    future::Future,
    os::fd::{AsFd, AsRawFd},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use libxl::{Context, ErrorKind, EventLoop, Running};
use tokio::io::{Interest, unix::AsyncFd};

use crate::stand_in::{aborts, contexts, domain, eventually, operations_take, simulated};

/// Waits for the descriptor. Returns true if it was readable in time.
fn readable(events: &EventLoop, within: Duration) -> bool {
    let mut fd = libc::pollfd {
        fd: events.as_fd().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let ms = libc::c_int::try_from(within.as_millis()).unwrap();
    // SAFETY: one structure.
    unsafe { libc::poll(&raw mut fd, 1, ms) == 1 }
}

/// Runs the loop until all operations are over, and counts its rounds.
fn run<T>(events: &EventLoop, running: &[Running<T>]) -> usize {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut rounds = 0;
    while !running.iter().all(Running::is_over) {
        assert!(readable(events, Duration::from_secs(20)), "round {rounds}");
        events.dispatch().unwrap();
        rounds += 1;
        assert!(Instant::now() < deadline);
    }
    rounds
}

#[test]
fn two_hundred_operations_are_done_by_one_thread() {
    simulated(
        "event_loop::two_hundred_operations_are_done_by_one_thread",
        || {
            let ctx = Context::open().unwrap();
            let events = ctx.event_loop().unwrap();
            let mut running = Vec::new();
            for n in 0..200 {
                operations_take(n % 50);
                let domain = domain(&ctx, u32::try_from(n).unwrap() % 60);
                running.push(domain.shutdown().start().unwrap());
            }
            let rounds = run(&events, &running);
            assert!(rounds < 1000, "{rounds} rounds: it spins");
            for running in running {
                running.wait().unwrap();
            }
            events.dispatch().unwrap();
            assert!(
                !readable(&events, Duration::from_millis(30)),
                "nothing is left to do"
            );
        },
    );
}

#[test]
fn deadlines_and_aborts_are_seen_by_the_loop() {
    simulated(
        "event_loop::deadlines_and_aborts_are_seen_by_the_loop",
        || {
            let ctx = Context::open().unwrap();
            let events = ctx.event_loop().unwrap();
            operations_take(-1);
            let abort = libxl::AbortHandle::new();
            let limited = domain(&ctx, 3)
                .shutdown()
                .deadline(Duration::from_millis(80));
            let pulled = domain(&ctx, 4).shutdown().abort_with(&abort);
            let running = [limited.start().unwrap(), pulled.start().unwrap()];
            events.dispatch().unwrap();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                abort.abort();
            });
            let rounds = run(&events, &running);
            assert!(rounds < 20, "{rounds} rounds: it spins");
            let [limited, pulled] = running;
            assert_eq!(limited.wait().unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(pulled.wait().unwrap_err().kind(), ErrorKind::Aborted);
            assert_eq!(aborts(), 2);
        },
    );
}

/// A waiting thread polls as well: the loop must neither miss what the thread finds nor spin
/// meanwhile.
#[test]
fn a_loop_and_a_thread_share_a_context() {
    simulated("event_loop::a_loop_and_a_thread_share_a_context", || {
        let ctx = Context::open().unwrap();
        let events = ctx.event_loop().unwrap();
        operations_take(600);
        let waits = domain(&ctx, 3).shutdown().start().unwrap();
        let mut running = Vec::new();
        for ms in [100, 101, 400, 401] {
            operations_take(ms);
            running.push(domain(&ctx, 4).shutdown().start().unwrap());
        }
        // From here on the descriptor has a time.
        events.dispatch().unwrap();
        let waiter = thread::spawn(move || waits.wait());
        thread::sleep(Duration::from_millis(50));
        let rounds = run(&events, &running);
        assert!(rounds < 100, "{rounds} rounds: it spins");
        waiter.join().unwrap().unwrap();
        for running in running {
            running.wait().unwrap();
        }
    });
}

/// Wakes the thread that it was made by.
struct Unpark(thread::Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// The smallest executor.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut task = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut task) {
            return result;
        }
        let woken = unpark.1.swap(0, Ordering::SeqCst);
        if woken == 0 {
            thread::park_timeout(Duration::from_secs(20));
            assert!(
                unpark.1.load(Ordering::SeqCst) > 0,
                "nobody has woken the task"
            );
        }
    }
}

#[test]
fn an_operation_is_awaited_with_no_loop() {
    simulated("event_loop::an_operation_is_awaited_with_no_loop", || {
        let ctx = Context::open().unwrap();
        for ms in [0, 30, 31] {
            operations_take(ms);
            block_on(async { domain(&ctx, 3).shutdown().start()?.await }).unwrap();
        }
        operations_take(-1);
        let limited = domain(&ctx, 3)
            .shutdown()
            .deadline(Duration::from_millis(40));
        let error = block_on(limited.start().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
        drop(ctx);
        eventually("its thread ends, and the context with it", || {
            contexts() == 0
        });
    });
}

#[test]
fn an_operation_is_awaited_beside_a_loop() {
    simulated("event_loop::an_operation_is_awaited_beside_a_loop", || {
        let ctx = Context::open().unwrap();
        let events = ctx.event_loop().unwrap();
        operations_take(30);
        let awaited = domain(&ctx, 3).shutdown().start().unwrap();
        let task = thread::spawn(move || block_on(awaited));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !task.is_finished() && Instant::now() < deadline {
            if readable(&events, Duration::from_millis(20)) {
                events.dispatch().unwrap();
            }
        }
        task.join().unwrap().unwrap();
    });
}

#[test]
fn a_loop_that_goes_leaves_nothing_unfinished() {
    simulated(
        "event_loop::a_loop_that_goes_leaves_nothing_unfinished",
        || {
            let ctx = Context::open().unwrap();
            let events = ctx.event_loop().unwrap();
            operations_take(50);
            let running = domain(&ctx, 3).shutdown().start().unwrap();
            drop(events);
            eventually("it is over although nobody waits", || running.is_over());
            running.wait().unwrap();
        },
    );
}

#[test]
fn a_task_is_woken_by_a_disaster() {
    simulated("event_loop::a_task_is_woken_by_a_disaster", || {
        let ctx = Context::open().unwrap();
        operations_take(-1);
        let awaited = domain(&ctx, 3).shutdown().start().unwrap();
        let task = thread::spawn(move || block_on(awaited).unwrap_err());
        thread::sleep(Duration::from_millis(30));
        crate::stand_in::disaster();
        assert_eq!(task.join().unwrap().kind(), ErrorKind::NotAvailable);
    });
}

/// mio reports each edge once.
#[test]
fn mio_drives_a_context() {
    simulated("event_loop::mio_drives_a_context", || {
        use mio::{Events, Interest, Poll, Token, unix::SourceFd};
        let ctx = Context::open().unwrap();
        let events = ctx.event_loop().unwrap();
        let mut poll = Poll::new().unwrap();
        let fd = events.as_raw_fd();
        let mut source = SourceFd(&fd);
        let registry = poll.registry();
        registry
            .register(&mut source, Token(7), Interest::READABLE)
            .unwrap();
        let mut running = Vec::new();
        for n in 0..200 {
            operations_take(n % 50);
            let domain = domain(&ctx, u32::try_from(n).unwrap() % 60);
            running.push(domain.shutdown().start().unwrap());
        }
        let mut found = Events::with_capacity(4);
        let mut rounds = 0;
        while !running.iter().all(Running::is_over) {
            poll.poll(&mut found, Some(Duration::from_secs(20)))
                .unwrap();
            assert!(!found.is_empty(), "round {rounds}: an edge was missed");
            events.dispatch().unwrap();
            rounds += 1;
        }
        assert!(rounds < 1000, "{rounds} rounds: it spins");
        for running in running {
            running.wait().unwrap();
        }
    });
}

#[test]
fn tokio_drives_a_context() {
    simulated("event_loop::tokio_drives_a_context", || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let all = runtime.block_on(async {
            let ctx = Context::open().unwrap();
            let events = ctx.event_loop().unwrap();
            // SAFETY: it has one descriptor for as long as it exists.
            let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
            let events = events.unwrap();
            let driver = tokio::spawn(async move {
                loop {
                    let mut ready = events.readable().await.unwrap();
                    // Before the dispatch, so that what comes meanwhile is seen.
                    ready.clear_ready();
                    events.get_ref().dispatch().unwrap();
                }
            });
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..200 {
                operations_take(n % 50);
                let domain = domain(&ctx, u32::try_from(n).unwrap() % 60);
                tasks.spawn(domain.shutdown().start().unwrap());
            }
            operations_take(-1);
            let limited = domain(&ctx, 3).shutdown();
            let limited = limited.deadline(Duration::from_millis(60)).start().unwrap();
            let error = limited.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
            let all = tokio::time::timeout(Duration::from_secs(20), tasks.join_all());
            let all = all.await.unwrap();
            driver.abort();
            all
        });
        assert_eq!(all.len(), 200);
        for result in all {
            result.unwrap();
        }
    });
}
