//! Watching all domains of the host.

use std::{sync::mpsc::RecvTimeoutError, thread, time::Duration};

use libxl::{Context, DomId, DomainEvent, Events, HostEvent, ShutdownReason, Watcher};

use crate::stand_in::{
    GONE, OFF, RUNNING, SUSPENDED, becomes, contexts, domain, introduce, is_called, simulated,
    store_runs, store_watches,
};

const LONG: Duration = Duration::from_secs(20);
/// Time in which no event is expected.
const SHORT: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

fn watcher(resync: Duration) -> Watcher {
    Watcher::start_with(Context::builder(), resync).unwrap()
}

/// The next event, in short.
fn next(events: &Events<HostEvent>) -> String {
    short(&events.recv_timeout(LONG).unwrap())
}

fn short(event: &HostEvent) -> String {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    match event {
        HostEvent::Appeared {
            id,
            name,
            state,
            former,
            ..
        } => {
            let former = former.map(|id| format!(" was {id}")).unwrap_or_default();
            format!("{} {} {state}{former}", id.domid, text(name))
        }
        HostEvent::Changed { id, event, .. } => format!("{} {event}", id.domid),
        HostEvent::Renamed { id, from, to, .. } => {
            format!("{} from {} to {to}", id.domid, text(from))
        }
        HostEvent::Missed { total, .. } => format!("missed {total}"),
        other => panic!("{other:?}"),
    }
}

fn nothing(events: &Events<HostEvent>) {
    assert_eq!(events.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
}

/// Leaves only these domains.
fn only(domids: &[u32]) {
    for domid in 1..64 {
        becomes(
            domid,
            if domids.contains(&domid) {
                RUNNING
            } else {
                GONE
            },
        );
    }
}

#[test]
fn the_first_batch_names_all_that_are_there() {
    simulated(
        "watch_all::the_first_batch_names_all_that_are_there",
        || {
            only(&[3, 4, 9]);
            becomes(4, OFF);
            is_called(9, 7);
            let watcher = watcher(HOUR);
            // The first events do not count for the capacity.
            let events = watcher.watch_all_with(1).unwrap();
            let mut batch: Vec<String> = events.batch().unwrap().iter().map(short).collect();
            // The watcher also reads the states itself, and may report this once more.
            while let Ok(event) = events.recv_timeout(SHORT) {
                batch.push(short(&event));
            }
            batch.retain(|event| event != "4 shut down (poweroff)");
            assert_eq!(
                batch,
                [
                    "3 d3-0 running",
                    "4 d4-0 shut down (poweroff)",
                    "9 d9-7 running"
                ]
            );
            nothing(&events);
            // A second reader shares what the first one has, and begins with it.
            let again = watcher.watch_all().unwrap();
            assert_eq!(again.batch().unwrap().len(), 3);
        },
    );
}

#[test]
fn domains_appear_change_and_go() {
    simulated("watch_all::domains_appear_change_and_go", || {
        only(&[3]);
        let watcher = watcher(HOUR);
        let events = watcher.watch_all().unwrap();
        assert_eq!(next(&events), "3 d3-0 running");
        is_called(5, -1);
        becomes(5, RUNNING);
        introduce();
        assert_eq!(next(&events), "5  running");
        is_called(5, 1);
        assert_eq!(next(&events), "5 from  to d5-1");
        is_called(5, 2);
        assert_eq!(next(&events), "5 from d5-1 to d5-2");
        is_called(5, -1);
        nothing(&events);
        becomes(5, SUSPENDED);
        assert_eq!(next(&events), "5 shut down (suspend)");
        let ctx = Context::open().unwrap();
        domain(&ctx, 5).resume(true).unwrap();
        assert_eq!(next(&events), "5 resumed");
        becomes(5, GONE);
        assert_eq!(next(&events), "5 died");
        is_called(5, 3);
        nothing(&events);
        // The UUID of a domain of the stand-in comes from its id.
        becomes(5, RUNNING);
        introduce();
        assert_eq!(next(&events), "5 d5-3 running was 5");
        nothing(&events);
    });
}

#[test]
fn a_slow_reader_begins_anew() {
    simulated("watch_all::a_slow_reader_begins_anew", || {
        only(&[3, 4]);
        let watcher = watcher(HOUR);
        let slow = watcher.watch_all_with(4).unwrap();
        let quick = watcher.watch_all().unwrap();
        assert_eq!(slow.batch().unwrap().len(), 2);
        assert_eq!(quick.batch().unwrap().len(), 2);
        for n in 1..=5 {
            is_called(3, n);
            assert!(next(&quick).ends_with(&format!("to d3-{n}")));
        }
        becomes(4, GONE);
        assert_eq!(next(&quick), "4 died");
        let batch: Vec<String> = slow.batch().unwrap().iter().map(short).collect();
        assert_eq!(
            batch,
            ["missed 5", "3 d3-5 running", "4 d4-0 running", "4 died"]
        );
        assert_eq!((slow.missed(), quick.missed()), (5, 0));
    });
}

/// A lost connection is silent: the resync notices it, and the list is read until the connection is
/// back.
#[test]
fn xenstored_may_go_and_come_back() {
    simulated("watch_all::xenstored_may_go_and_come_back", || {
        only(&[3]);
        let watcher = watcher(Duration::from_millis(300));
        let events = watcher.watch_all().unwrap();
        assert_eq!(next(&events), "3 d3-0 running");
        store_runs(false);
        becomes(4, RUNNING);
        assert_eq!(next(&events), "4 d4-0 running");
        store_runs(true);
        // The watcher reconnects within a second, with watches for the names of both.
        for _ in 0..100 {
            is_called(4, 1);
            if let Ok(event) = events.recv_timeout(SHORT) {
                assert_eq!(short(&event), "4 from d4-0 to d4-1");
                return;
            }
        }
        panic!("the name is not watched any more");
    });
}

#[test]
fn without_xenstored_it_says_so() {
    simulated("watch_all::without_xenstored_it_says_so", || {
        let watcher = watcher(HOUR);
        store_runs(false);
        let error = watcher.watch_all().unwrap_err();
        assert_eq!(error.function(), "xs_open", "{error}");
        store_runs(true);
        assert!(watcher.watch_all().unwrap().batch().unwrap().len() > 60);
    });
}

#[test]
fn nothing_is_left_when_nobody_reads() {
    simulated("watch_all::nothing_is_left_when_nobody_reads", || {
        only(&[3, 4]);
        let watcher = watcher(HOUR);
        let events = watcher.watch_all().unwrap();
        assert_eq!(store_watches(), 3, "appearing, and two names");
        becomes(4, GONE);
        while next(&events) != "4 died" {}
        crate::stand_in::eventually("a dead one's name is not watched", || store_watches() == 2);
        drop(events);
        introduce();
        crate::stand_in::eventually("the thread ends, and its connection with it", || {
            store_watches() == 0
        });
        let events = watcher.watch_all().unwrap();
        assert_eq!(next(&events), "3 d3-0 running", "and may begin again");
        let reader = thread::spawn(move || (&events).into_iter().count());
        drop(watcher);
        assert_eq!(reader.join().unwrap(), 0, "the queue is closed");
        assert_eq!((store_watches(), contexts()), (0, 0));
    });
}

#[test]
fn a_disaster_costs_nobody_an_event() {
    simulated("watch_all::a_disaster_costs_nobody_an_event", || {
        only(&[3]);
        let watcher = watcher(HOUR);
        let events = watcher.watch_all().unwrap();
        let mut ids = Vec::new();
        for event in events.batch().unwrap() {
            if let HostEvent::Appeared { id, .. } = event {
                ids.push(id.domid);
            }
        }
        assert_eq!(ids, [DomId(3)]);
        crate::stand_in::disaster();
        crate::stand_in::eventually("it goes on", || watcher.restarts() == 1);
        becomes(3, OFF);
        let event = events.recv_timeout(LONG).unwrap();
        assert!(
            matches!(event, HostEvent::Changed { event: DomainEvent::Shutdown(reason), .. }
                if reason == ShutdownReason::POWEROFF),
            "{event}"
        );
        becomes(4, RUNNING);
        introduce();
        assert_eq!(next(&events), "4 d4-0 running");
    });
}
