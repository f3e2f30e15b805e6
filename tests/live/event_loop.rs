//! A context driven by an external event loop, and operations that nobody waits for.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use libxl::{
    AbortHandle, DomId, DomainEvent, DomainState, ErrorKind, EventLoop, Running, ShutdownReason,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::support::{Guest, Kind, LONG, config, context, tiny_config, wait_for, watcher};

/// Waits with poll(2) until there is something to do. Returns false on a timeout.
fn is_ready(events: &EventLoop, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(events, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::try_from(rest).unwrap())) {
            Ok(ready) => return ready == 1,
            // Children of this test and of others end.
            Err(Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// Runs the loop until all operations are over. Returns the number of rounds.
fn run<T>(events: &EventLoop, running: &[Running<T>]) -> usize {
    let mut rounds = 0;
    while !running.iter().all(Running::is_over) {
        assert!(is_ready(events, LONG), "nothing has happened for {LONG:?}");
        events.dispatch().unwrap();
        rounds += 1;
    }
    rounds
}

#[test]
fn two_hundred_operations_are_done_by_one_thread() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "loop", ""));
    let events = ctx.event_loop().unwrap();
    let running: Vec<_> = (0..200)
        .map(|n| {
            if n % 2 == 0 {
                guest.domain.unpause().start().unwrap()
            } else {
                guest.domain.pause().start().unwrap()
            }
        })
        .collect();
    run(&events, &running);
    for running in running {
        running.wait().unwrap();
    }
    assert_eq!(guest.state(), Some(DomainState::Paused));
}

/// Creates, starts and destroys domains. Meanwhile libxl forks, and opens and closes descriptors.
#[test]
fn whole_lives_are_led_by_one_thread() {
    let ctx = context();
    let events = ctx.event_loop().unwrap();
    let mut creating = Vec::new();
    for _ in 0..4 {
        let config = tiny_config(Kind::Pv, "lives", "");
        creating.push(ctx.domain_create_new(&config).unwrap().start().unwrap());
    }
    run(&events, &creating);
    let domains: Vec<_> = creating
        .into_iter()
        .map(|created| ctx.domain(created.wait().unwrap()))
        .collect();
    let steps = [
        domains
            .iter()
            .map(|d| d.unpause().start().unwrap())
            .collect::<Vec<_>>(),
        domains
            .iter()
            .map(|d| d.destroy().start().unwrap())
            .collect(),
    ];
    for step in steps {
        let rounds = run(&events, &step);
        assert!(rounds < 20_000, "{rounds} rounds: it spins");
        for running in step {
            running.wait().unwrap();
        }
    }
    // Nothing remains that would keep the descriptor readable.
    let before = Instant::now();
    let mut rounds = 0;
    while before.elapsed() < Duration::from_secs(2) {
        if is_ready(&events, Duration::from_millis(100)) {
            events.dispatch().unwrap();
            rounds += 1;
        }
    }
    // The loop also sees the ends of other tests' children.
    assert!(rounds < 500, "{rounds} rounds in two seconds: it spins");
}

/// A paused guest acknowledges nothing, so libxl would wait for a minute.
#[test]
fn limits_hold_although_nobody_waits() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "unwaited", ""));
    let abort = AbortHandle::new();
    let pulled = guest.domain.shutdown().abort_with(&abort).start().unwrap();
    abort.abort();
    let error = pulled.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error:#}");
    let begun = Instant::now();
    let limited = guest.domain.shutdown().deadline(Duration::from_secs(1));
    let limited = limited.start().unwrap();
    thread::sleep(Duration::from_secs(3));
    let error = limited.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "libxl's own minute"
    );
}

/// Wakes the thread that created it.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A minimal executor.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut task = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut task) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_life_is_awaited() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "awaited", ""));
    block_on(async {
        guest.domain.unpause().start()?.await?;
        guest.wait_until_up();
        guest.domain.shutdown().start()?.await
    })
    .unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    block_on(guest.domain.destroy().start().unwrap()).unwrap();
    guest.expect(DomainEvent::Death);
}

#[test]
fn a_detached_destroy_goes_on_without_its_context() {
    let watcher = watcher();
    let guest = Guest::create(&context(), &watcher, &tiny_config(Kind::Pv, "detached", ""));
    let own = context();
    let destroying = own.domain(guest.id()).destroy().start().unwrap();
    destroying.detach().unwrap();
    drop(own);
    wait_for("the domain to be gone", || guest.state().is_none());
    let error = context()
        .domain_info(DomId(guest.id().domid.0))
        .map(|info| info.state());
    assert!(
        matches!(error, Err(_) | Ok(DomainState::Dying)),
        "{error:?}"
    );
}

/// Nobody else in this process may resume a domain that is being destroyed.
#[test]
fn what_is_destroyed_cannot_be_resumed_meanwhile() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "claimed", ""));
    guest.wait_until_up();
    let suspended = guest.domain.suspend_only(&libxl::Limits::none()).unwrap();
    let destroying = suspended.destroy().start().unwrap();
    let error = guest.domain.resume(true).unwrap_err();
    assert!(
        error.to_string().contains("is destroying the domain"),
        "{error:#}"
    );
    destroying.wait().unwrap();
}
