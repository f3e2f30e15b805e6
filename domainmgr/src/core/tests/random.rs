//! Random schedules against what must always hold. `PROPTEST_CASES` sets how many.

use proptest::prelude::*;

use super::harness::{Delivery, Harness, KEY, OTHER};
use crate::spec::Mode;
use crate::toolstack::{DomainId, Life, ShutdownReason};

#[derive(Clone, Debug)]
enum Act {
    Wait(u64),
    Wish {
        activate: bool,
        mode: Mode,
        words: usize,
        memory: u64,
        action: usize,
    },
    Remove,
    Suspend,
    Resume,
    End(u8),
    Pause,
    Unpause,
    Kill,
    Rename,
    /// Its number becomes another's, and nobody says so.
    Replace,
    Hint,
    Restart,
    Delivery {
        lost: bool,
        doubled: bool,
        delay: u64,
    },
}

const WORDS: [&str; 12] = [
    "",
    "lab.action=poweroff lab.after=7",
    "lab.action=reboot lab.after=4",
    "lab.action=crash lab.after=0.1",
    "sim.stubborn",
    "sim.deaf",
    "sim.nopv sim.stop=20",
    "sim.fail-create=2 sim.litter",
    "sim.fail-create=4",
    "sim.fail-unpause=1 sim.fail-destroy=2",
    "sim.create=20 sim.destroy=9",
    "sim.destroy=90",
];

const ACTIONS: [&str; 8] = [
    "",
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "restart",
];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop_oneof![0_u64..500, 0_u64..20_000, 0_u64..200_000].prop_map(Act::Wait),
        4 => (any::<bool>(), 0_usize..3, 0..WORDS.len(), 1_u64..4, 0..ACTIONS.len()).prop_map(
            |(activate, mode, words, memory, action)| Act::Wish {
                activate,
                mode: [Mode::Pv, Mode::Hvm, Mode::Pvh][mode],
                words,
                memory,
                action,
            }
        ),
        1 => Just(Act::Remove),
        2 => Just(Act::Suspend),
        3 => Just(Act::Resume),
        2 => prop_oneof![Just(0), Just(1), Just(3), Just(4), Just(5), any::<u8>()].prop_map(Act::End),
        1 => Just(Act::Pause),
        1 => Just(Act::Unpause),
        1 => Just(Act::Kill),
        1 => Just(Act::Rename),
        1 => Just(Act::Replace),
        1 => Just(Act::Hint),
        1 => Just(Act::Restart),
        2 => (any::<bool>(), any::<bool>(), 0_u64..90_000)
            .prop_map(|(lost, doubled, delay)| Act::Delivery { lost, doubled, delay }),
    ]
}

fn perform(h: &mut Harness, act: &Act, foreign: &mut Vec<DomainId>) {
    match *act {
        Act::Wait(span) => h.advance(span),
        Act::Wish {
            activate,
            mode,
            words,
            memory,
            action,
        } => {
            let desired = Harness::desired_with(activate, mode, WORDS[words], |c| {
                c.memory.0 = memory * 65536;
                for slot in [&mut c.on_poweroff, &mut c.on_crash, &mut c.on_watchdog] {
                    *slot = ACTIONS[action].into();
                }
            });
            h.wish(Some(desired));
        }
        Act::Remove => h.wish(None),
        // An outsider may do the impossible: then Xen says no.
        Act::Suspend => h.outside(|xen, id| {
            if xen.info(id).is_some_and(|s| s.life == Life::Running) {
                xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
            }
        }),
        Act::Resume => h.outside(|xen, id| drop(xen.resume(id))),
        Act::End(reason) => h.outside(|xen, id| {
            if xen.info(id).is_some_and(|s| s.life == Life::Running) {
                xen.shut_down(id, ShutdownReason(reason)).unwrap();
            }
        }),
        Act::Pause => h.outside(|xen, id| drop(xen.pause(id))),
        Act::Unpause => h.outside(|xen, id| drop(xen.unpause(id))),
        Act::Kill => h.outside(|xen, id| drop(xen.kill(id))),
        Act::Rename => h.outside(|xen, id| drop(xen.rename(id, "renamed"))),
        Act::Replace => {
            if let Some(seen) = h.theirs() {
                let domid = h.xen.outsider(
                    OTHER,
                    &format!("taker{}", foreign.len()),
                    Some(seen.id.domid),
                );
                foreign.push(DomainId { domid, uuid: OTHER });
            }
        }
        Act::Hint => h.hint(),
        Act::Restart => h.restart(),
        Act::Delivery {
            lost,
            doubled,
            delay,
        } => {
            h.delivery = Delivery {
                lost,
                doubled,
                delay,
            }
        }
    }
}

/// What must hold in the end, if everybody plays fair from now on.
fn converges(h: &mut Harness) {
    // Whatever an outsider holds, is let go.
    h.outside(|xen, id| drop(xen.resume(id)));
    h.outside(|xen, id| {
        if xen
            .info(id)
            .is_some_and(|s| s.life == Life::Paused && s.cpu_time_ns > 0)
        {
            drop(xen.unpause(id));
        }
    });
    h.fair(30);
    let state = h.state();
    let trace = || {
        format!(
            "{state}\n{:#?}\n{:#?}\n{:?}",
            h.published,
            h.xen.list(),
            h.notes
        )
    };
    if h.is_wanted() {
        let status = h.published.as_ref().unwrap();
        match state.as_str() {
            // A guest that reboots, or dies young, may be anywhere in its circle.
            "BOOTING" | "HALTING" => {}
            "RUNNING" | "SUSPENDED" | "PAUSED" | "PRESERVED" => {
                assert_eq!(
                    Some(status.domain_id),
                    h.theirs().map(|s| s.id.domid),
                    "{}",
                    trace()
                );
            }
            _ => assert!(
                status.ended || status.boot_failed || !status.last_err.is_empty(),
                "down for no reason: {}",
                trace()
            ),
        }
    } else {
        assert_eq!(h.xen.live(KEY), 0, "still there: {}", trace());
        assert!(
            state.is_empty() || state == "HALTED" || state == "INSTALLED",
            "{}",
            trace()
        );
    }
    h.wish(None);
    h.fair(30);
    assert!(
        h.finished,
        "never unpublished: {:#?}\n{:?}",
        h.published, h.notes
    );
    assert_eq!(h.xen.live(KEY), 0);
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(10_000),
        max_shrink_iters: 20_000,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_schedule_loses_a_domain(acts in prop::collection::vec(act(), 1..40)) {
        let mut h = Harness::new();
        let mut foreign = Vec::new();
        for act in &acts {
            perform(&mut h, act, &mut foreign);
            for id in &foreign {
                prop_assert!(h.xen.info(*id).is_some_and(|s| s.life == Life::Running), "another's domain was touched");
            }
        }
        converges(&mut h);
        for id in &foreign {
            prop_assert!(h.xen.info(*id).is_some(), "another's domain was touched");
        }
    }
}
