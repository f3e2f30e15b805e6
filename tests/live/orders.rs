//! Contexts, watches, events and operations, made and dropped in every order by many threads.

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

/// Anything that can be dropped anywhere.
type Thing = Box<dyn Send>;

/// How many things [`things`] makes.
const THINGS: usize = 5;

/// One of each. All of it is at work: the operation is under way and does not end by itself, and
/// the watch has something to tell.
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

/// All orders of so many things.
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
    // Every second thing is dropped by another thread than the one that made it.
    // Without a queue: libxl ends a process that runs out of descriptors.
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
    // Nobody has touched the guests, and their own watch still hears of them.
    assert_eq!(paused.state(), Some(DomainState::Paused));
    assert!(paused.events.try_recv().is_err() && ended.events.try_recv().is_err());
    paused.destroy();
    ended.destroy();
}

/// The watch's own thread may end all there is.
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
    // The sink is dropped with its watch: nothing keeps the channel open.
    assert!(told.recv_timeout(LONG).is_err());
    guest.expect(DomainEvent::Death);
}

/// A panic of one who watches is told in the log, and costs nobody an event.
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

/// Xen takes the lower sixteen bits of an id for the whole, and some ids stand for the asker.
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

/// libxl ends the process of whoever has it both ways.
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

/// libxl forks to take a domain apart, and the child calls Xen: what other threads were doing at that
/// moment must not keep it waiting.
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
    // Not joined: it may be stuck.
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
