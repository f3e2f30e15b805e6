//! Contexts, watches, events and operations that many threads create and drop in every order.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use libxl::{Context, DomId, DomainEvent, DomainId, DomainState, ErrorKind, ShutdownReason};

use crate::support::{Guest, Kind, LONG, context, tiny_config, wait_for, watcher};

/// A value that can be dropped anywhere.
type Thing = Box<dyn Send>;

/// Number of things that [`things`] makes.
const THINGS: usize = 5;

/// Returns one of each. All are active: the operation is under way and does not end on its own, and the watch has an
/// event to report.
fn things(paused: DomainId, ended: DomainId) -> [Thing; THINGS] {
    let ctx = context();
    let domain = ctx.domain(paused);
    let idle = domain.unpause();
    let running = domain.shutdown().start().unwrap();
    let watcher = watcher();
    let (watch, events) = watcher.watch_channel(ended).unwrap();
    [
        // Three handles of one context.
        Box::new((ctx, domain, idle)),
        Box::new(running),
        Box::new(watcher),
        Box::new(watch),
        Box::new(events),
    ]
}

/// Returns all orders of this many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for next in 0..count {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    orders
}

#[test]
fn all_orders_are_tried() {
    let all = orders(4);
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (24, 24));
}

#[test]
fn everything_is_dropped_in_every_order_by_many_threads() {
    const THREADS: usize = 4;
    let ctx = context();
    let watcher = watcher();
    let paused = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "paused", ""));
    let ended = Guest::start(
        &ctx,
        &watcher,
        &tiny_config(Kind::Pv, "ended", "lab.action=poweroff"),
    );
    ended.expect_shutdown(ShutdownReason::POWEROFF);

    let todo = Mutex::new(orders(THINGS));
    let done = AtomicUsize::new(0);
    // Every second thing is dropped by a thread other than its creator. The channel has no queue, because libxl ends
    // a process that runs out of descriptors.
    let (give, take) = mpsc::sync_channel::<Thing>(0);
    thread::scope(|scope| {
        scope.spawn(move || take.into_iter().for_each(drop));
        for _ in 0..THREADS {
            let give = give.clone();
            let (todo, done) = (&todo, &done);
            let (paused, ended) = (paused.id(), ended.id());
            scope.spawn(move || {
                loop {
                    let order = todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(order) = order else { break };
                    let mut things = things(paused, ended).map(Some);
                    for (turn, &which) in order.iter().enumerate() {
                        let thing = things[which].take().unwrap();
                        if turn % 2 == 0 {
                            drop(thing);
                        } else {
                            give.send(thing).unwrap();
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        drop(give);
    });
    assert_eq!(done.into_inner(), 120);
    // Nobody has touched the guests, and their own watches still report events.
    assert_eq!(paused.state(), Some(DomainState::Paused));
    assert!(paused.events.try_recv().is_err() && ended.events.try_recv().is_err());
    paused.destroy();
    ended.destroy();
}

/// The callback of a watch may drop the watch and its watcher.
#[test]
fn a_watch_and_its_watcher_are_dropped_by_what_they_call() {
    let ctx = context();
    let outer = watcher();
    let guest = Guest::create(&ctx, &outer, &tiny_config(Kind::Pv, "inside", ""));
    let own = watcher();
    let slot = Arc::new(Mutex::new(None));
    let (tell, told) = mpsc::channel();
    let watch = own
        .watch(guest.id(), {
            let slot = Arc::clone(&slot);
            move |event| {
                let all = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(all);
                // The test may be over.
                let _ = tell.send(event);
            }
        })
        .unwrap();
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((own, watch));
    guest.domain.destroy().wait().unwrap();
    let first = told.recv_timeout(LONG).unwrap();
    assert_eq!(first, DomainEvent::Death);
    // The sink is dropped with its watch, so nothing keeps the channel open.
    assert!(told.recv_timeout(LONG).is_err());
    guest.expect(DomainEvent::Death);
}

/// A panic in a callback is logged, and nobody loses an event.
#[test]
fn a_panic_of_one_who_watches_is_no_loss_to_others() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "panics", "lab.action=poweroff");
    let guest = Guest::create(&ctx, &watcher, &config);
    let called = Arc::new(AtomicUsize::new(0));
    let _watch = watcher
        .watch(guest.id(), {
            let called = Arc::clone(&called);
            move |event| {
                called.fetch_add(1, Ordering::SeqCst);
                panic!("a panic that is part of the test, at {event}");
            }
        })
        .unwrap();
    guest.domain.unpause().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.destroy();
    wait_for("both events", || called.load(Ordering::SeqCst) == 2);
}

/// Xen uses only the lower sixteen bits of a domid, and some domids stand for the calling domain.
#[test]
fn an_id_that_no_domain_can_have_is_nobodys() {
    let ctx = Context::open().unwrap();
    for domid in [0x7ff0, 0x7ff4, 0x1_0000, u32::MAX] {
        let error = ctx.domain_info(DomId(domid)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{domid:#x}");
        let dom0 = ctx.domain_info(DomId::DOM0).unwrap();
        let wrong = ctx.domain(DomainId {
            domid: DomId(domid),
            uuid: dom0.uuid,
        });
        let error = wrong.pause().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{domid:#x}");
    }
}

/// libxl ends a process that uses both modes.
#[test]
fn contexts_of_both_sigchld_modes_are_refused() {
    let _one = context();
    let error = Context::builder()
        .sigchld(libxl::SigchldMode::Mainloop)
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("is open"), "{error}");
}

/// libxl forks to destroy a domain, and the child calls Xen. It must not block on anything that other threads were
/// doing at the moment of the fork.
#[test]
fn domains_are_taken_apart_while_others_call_xen() {
    const DOMAINS: usize = 20;
    let over = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..8)
        .map(|_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let ctx = context();
                while !over.load(Ordering::SeqCst) {
                    ctx.list_domains().unwrap();
                }
            })
        })
        .collect();
    let (destroyed, ends) = mpsc::channel();
    // Not joined, because it may be stuck.
    thread::spawn(move || {
        let ctx = context();
        for _ in 0..DOMAINS {
            let config = tiny_config(Kind::Pv, "apart", "");
            let id = ctx.domain_create_new(&config).unwrap().wait().unwrap();
            ctx.domain(id).destroy().wait().unwrap();
            destroyed.send(()).unwrap();
        }
    });
    let count = (0..DOMAINS)
        .take_while(|_| ends.recv_timeout(LONG).is_ok())
        .count();
    over.store(true, Ordering::SeqCst);
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(count, DOMAINS);
}
