//! Random schedules, checked against what must always hold. `PROPTEST_CASES` sets their number, which is at least
//! 10,000.

use std::sync::Arc;

use proptest::prelude::*;

use super::changing::{MAC, disk, nic};
use super::harness::{Delivery, Harness, KEY, OTHER};
use super::migration::Migration;
use crate::core::{Op, Order, Until};
use crate::spec::Mode;
use crate::spec::change::{Change, Figures};
use crate::spec::settings::Settings;
use crate::toolstack::{DomainId, Life, Seen, ShutdownReason};

#[derive(Clone, Debug)]
pub(super) enum Act {
    Wait(u64),
    Wish {
        activate: bool,
        number: u32,
        mode: Mode,
        words: usize,
        dying: usize,
        booting: usize,
        memory: u64,
        action: usize,
    },
    Remove,
    /// An operator gives an order.
    Order(Order),
    /// An operator gives up the newest order.
    Cancel,
    Suspend,
    /// The guest is asked to suspend, and does so later.
    SuspendLate(u64),
    Resume,
    /// The guest powers off between the two halves of a resume.
    ResumeAndEnd,
    /// A migration to this very host begins, or goes on.
    Migrate,
    MigrationFails,
    SenderDies,
    /// A migration to another host comes to the point of no return.
    NameAway,
    /// The domain is restored from a file, or comes back from another host.
    Restore,
    OtherDies,
    /// Step of the wall clock, in seconds.
    ClockStep(i64),
    /// Another domain is to start first, or does no more.
    First(bool),
    /// The operations of actions fail, or succeed again.
    Refuse(bool),
    /// Operations come to their end before an abort reaches them, or are aborted again.
    TooLate(bool),
    End(u8),
    Pause,
    Unpause,
    Kill,
    Rename,
    /// The domid becomes another domain's, and no event tells of that.
    Replace,
    Hint,
    Resync,
    Restart,
    /// The agent is killed when its next operation is done, before it learns the result.
    RestartLate,
    RebootHost,
    Delivery(Delivery),
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

/// Time for which a dead domain has its memory.
const DYING: [&str; 3] = ["", "sim.dying=3", "sim.dying=70"];

/// Time that a guest takes to boot.
const BOOTING: [&str; 3] = ["", "sim.deaf=25", "sim.deaf=80"];

/// Memory of the host, in MiB. On the small host there is no room for two of the larger domains.
const MEMORY: [u64; 2] = [4096, 280];

const ACTIONS: [&str; 8] = [
    "",
    "destroy",
    "restart",
    "rename-restart",
    "preserve",
    "coredump-destroy",
    "coredump-restart",
    "soft-reset",
];

fn until() -> impl Strategy<Value = Until> {
    prop_oneof![Just(Until::Started), Just(Until::Boot)]
}

fn file() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), Just(Some("/f".to_owned()))]
}

fn change() -> impl Strategy<Value = Change> {
    let memory = |mib: u64| {
        Change::Set(Figures {
            memory_mib: Some(mib),
            ..Figures::default()
        })
    };
    prop_oneof![
        // Some sizes are more than a domain was built with.
        prop::sample::select(&[32_u64, 64, 96, 150][..]).prop_map(memory),
        Just(disk("xvdx")),
        Just(Change::DetachDisk("xvdx".to_owned())),
        Just(nic()),
        Just(Change::DetachNic(MAC)),
    ]
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop_oneof![0_u64..500, 0_u64..20_000, 0_u64..200_000].prop_map(Act::Wait),
        4 => (
            any::<bool>(),
            // A new number is a new name.
            prop_oneof![4 => Just(1), 1 => Just(2)],
            0_usize..3,
            0..WORDS.len(),
            0..DYING.len(),
            0..BOOTING.len(),
            1_u64..4,
            0..ACTIONS.len(),
        ).prop_map(|(activate, number, mode, words, dying, booting, memory, action)| Act::Wish {
            activate,
            number,
            mode: [Mode::Pv, Mode::Hvm, Mode::Pvh][mode],
            words,
            dying,
            booting,
            memory,
            action,
        }),
        1 => Just(Act::Remove),
        3 => prop_oneof![
            until().prop_map(|until| Order::Start { anyway: false, fresh: false, until }),
            (any::<bool>(), until()).prop_map(|(destroy, until)| Order::Stop { destroy, until }),
            Just(Order::Restart),
            Just(Order::Pause),
            Just(Order::Unpause),
            (until(), file()).prop_map(|(until, file)| Order::Save { until, file }),
            (until(), file()).prop_map(|(until, file)| Order::Save { until, file }),
            Just(Order::Restore { file: None }),
            file().prop_map(|file| Order::DumpCore { file }),
            until().prop_map(|until| Order::Start { anyway: false, fresh: true, until }),
        ].prop_map(Act::Order),
        1 => Just(Act::Cancel),
        3 => change().prop_map(|change| Act::Order(Order::Change(Arc::new(change)))),
        2 => Just(Act::Suspend),
        1 => (0_u64..90_000).prop_map(Act::SuspendLate),
        3 => Just(Act::Resume),
        1 => Just(Act::ResumeAndEnd),
        4 => Just(Act::Migrate),
        1 => Just(Act::MigrationFails),
        1 => Just(Act::SenderDies),
        1 => Just(Act::NameAway),
        1 => Just(Act::Restore),
        1 => Just(Act::OtherDies),
        1 => (-100_000_i64..100_000).prop_map(Act::ClockStep),
        1 => any::<bool>().prop_map(Act::First),
        1 => any::<bool>().prop_map(Act::Refuse),
        1 => any::<bool>().prop_map(Act::TooLate),
        2 => prop_oneof![Just(0), Just(1), Just(3), Just(4), Just(5), any::<u8>()].prop_map(Act::End),
        1 => Just(Act::Pause),
        1 => Just(Act::Unpause),
        1 => Just(Act::Kill),
        1 => Just(Act::Rename),
        1 => Just(Act::Replace),
        1 => Just(Act::Hint),
        2 => Just(Act::Resync),
        1 => Just(Act::Restart),
        2 => Just(Act::RestartLate),
        1 => Just(Act::RebootHost),
        2 => (any::<bool>(), any::<bool>(), 0_u64..90_000, any::<bool>()).prop_map(
            |(lost, doubled, delay, bare)| Act::Delivery(Delivery { lost, doubled, delay, bare })
        ),
    ]
}

/// The outsider's domains, and the migration under way.
#[derive(Default)]
struct Outsider {
    /// Domains that are not ours.
    foreign: Vec<DomainId>,
    migration: Option<Migration>,
    /// The outsider has had a domain suspended, perhaps later than now, or has held up a guest that was asked to suspend for
    /// longer than anybody waits; or a guest boots for so long.
    suspends: bool,
}

fn perform(h: &mut Harness, act: &Act, outsider: &mut Outsider) {
    outsider.suspends |= matches!(
        act,
        Act::Suspend
            | Act::SuspendLate(_)
            | Act::Migrate
            | Act::Pause
            | Act::Wish { booting: 1.., .. }
    );
    match *act {
        Act::Wait(span) => h.advance(span),
        Act::Wish {
            activate,
            number,
            mode,
            words,
            dying,
            booting,
            memory,
            action,
        } => {
            // If two words say how deaf the guest is, the last one counts.
            let words = [BOOTING[booting], DYING[dying], WORDS[words]].join(" ");
            let desired = Harness::desired_with(activate, mode, &words, |c| {
                c.app_num = number;
                c.memory.0 = memory * 65536;
                for slot in [
                    &mut c.on_poweroff,
                    &mut c.on_reboot,
                    &mut c.on_crash,
                    &mut c.on_watchdog,
                    &mut c.on_soft_reset,
                ] {
                    *slot = ACTIONS[action].into();
                }
            });
            h.wish(Some(desired));
        }
        Act::Remove => h.wish(None),
        Act::Order(ref order) => {
            if !h.finished {
                h.order(order.clone());
            }
        }
        Act::Cancel => {
            if !h.finished {
                h.cancel();
            }
        }
        // An outsider may try the impossible, which Xen refuses.
        Act::Suspend => h.outside(|xen, id| {
            if xen.info(id).is_some_and(|s| s.life == Life::Running) {
                xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
            }
        }),
        Act::SuspendLate(after) => h.outside(|xen, id| drop(xen.request_suspend(id, after))),
        Act::Resume => h.outside(|xen, id| drop(xen.resume(id))),
        Act::ResumeAndEnd => h.outside(|xen, id| {
            if xen.resume_in_xen(id).is_ok() {
                // Fails if the domain is paused as well.
                drop(xen.shut_down(id, ShutdownReason::POWEROFF));
                xen.resume_in_xenstore(id).unwrap();
            }
        }),
        Act::Migrate => {
            outsider.migration = match outsider.migration.take() {
                Some(migration) => migration.go_on(h),
                None => Migration::begin(h),
            }
        }
        Act::MigrationFails => {
            outsider.migration = outsider.migration.take().and_then(|m| m.fail(h));
        }
        Act::SenderDies => {
            if let Some(migration) = outsider.migration.take() {
                migration.lose_sender(h);
            }
        }
        Act::NameAway => h.outside(|xen, id| {
            if xen
                .info(id)
                .is_some_and(|s| s.life == Life::Shutdown(ShutdownReason::SUSPEND))
            {
                drop(xen.rename(id, "app.1--migratedaway"));
            }
        }),
        Act::Restore => {
            // The outsider looks before acting, as the agent does. If both look at once, nobody can decide between
            // them. Without a key, the domain would be nobody's here.
            if !h.finished && h.could_run().is_empty() && !h.is_busy() {
                h.meanwhile(|xen| xen.outsider(KEY, "app.1", None));
            }
        }
        Act::OtherDies => h.meanwhile(|xen| {
            let domid = xen.outsider(OTHER, "dies", None);
            xen.kill(DomainId { domid, uuid: OTHER }).unwrap();
        }),
        Act::First(first) => {
            h.first = first.then_some("other.1");
            if !first && !h.finished {
                h.adapters_news();
            }
        }
        Act::Refuse(true) => {
            h.fails = |op| matches!(op, Op::CoreDump(_) | Op::Preserve(..) | Op::SoftReset(..));
        }
        Act::Refuse(false) => h.fails = |_| false,
        Act::TooLate(too_late) => h.too_late = too_late,
        Act::ClockStep(by) => h.clock_step += time::Duration::seconds(by),
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
                    &format!("taker{}", outsider.foreign.len()),
                    Some(seen.id.domid),
                );
                outsider.foreign.push(DomainId { domid, uuid: OTHER });
            }
        }
        Act::Hint => h.hint(),
        Act::Resync => h.resync(),
        Act::Restart => h.restart(),
        Act::RestartLate => h.dies = true,
        Act::RebootHost => {
            *outsider = Outsider::default();
            h.reboot_host();
        }
        Act::Delivery(delivery) => h.delivery = delivery,
    }
}

/// Checks what must hold in the end, if everybody plays fair from now on.
fn converges(h: &mut Harness, outsider: &mut Outsider) {
    h.dies = false;
    perform(h, &Act::First(false), outsider);
    // The outsider lets go of everything.
    while let Some(migration) = outsider.migration.take() {
        outsider.migration = migration.fail(h).and_then(|m| m.go_on(h));
    }
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
    let changed = h.has_what_was_changed();
    let trace = || {
        format!(
            "{state}\n{:#?}\n{:#?}\n{:?}",
            h.published,
            h.xen.list(),
            h.notes
        )
    };
    // An order waits as long as somebody else has the domain suspended.
    let suspended = |seen: Seen| seen.life == Life::Shutdown(ShutdownReason::SUSPEND);
    assert!(
        h.theirs().is_some_and(suspended) || !h.owes_an_answer(),
        "an order has no answer: {}",
        trace()
    );
    assert!(
        state != "SUSPENDED" || outsider.suspends,
        "suspended by nobody: {}",
        trace()
    );
    if h.is_wanted() {
        let status = h.published.as_ref().unwrap();
        match state.as_str() {
            // A guest that reboots, or ends soon after its start, may be in any state of its cycle.
            "BOOTING" | "HALTING" => {}
            "RUNNING" | "BROKEN" | "SUSPENDED" | "PAUSED" | "PRESERVED" => {
                assert!(
                    state != "BROKEN" || !status.last_err.is_empty(),
                    "{}",
                    trace()
                );
                // If the guest moved and was gone before anyone looked, only the sending end is left.
                let mut left = h.superseded.iter().map(|id| id.domid);
                let left = left.find(|&domid| state == "SUSPENDED" && domid == status.domain_id);
                let there = h.theirs().map(|s| s.id.domid).or(left);
                assert_eq!(Some(status.domain_id), there, "{}", trace());
                assert_eq!(changed, Ok(()), "{}", trace());
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
            state.is_empty() || ["HALTED", "INSTALLED", "SAVED"].contains(&state.as_str()),
            "{}",
            trace()
        );
        assert!(
            state != "SAVED" || h.file == Some(false),
            "its memory is not in the file: {}",
            trace()
        );
    }
    if let Some(status) = &h.published {
        for seen in h.xen.list() {
            let listed = status
                .preserved
                .iter()
                .any(|p| p.domain_id == seen.id.domid);
            assert!(
                listed || !h.xen.is_preserved(seen.id),
                "kept and not shown: {seen:?} {}",
                trace()
            );
        }
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

pub(super) fn memory() -> impl Strategy<Value = u64> {
    prop::sample::select(&MEMORY[..])
}

/// Carries out a schedule, and checks that nothing is lost.
pub(super) fn carry_out(acts: &[Act], memory: u64) -> Result<(), TestCaseError> {
    let mut h = Harness::on(memory, Settings::default());
    let mut outsider = Outsider::default();
    for act in acts {
        perform(&mut h, act, &mut outsider);
        for id in &outsider.foreign {
            prop_assert!(
                h.xen.info(*id).is_some_and(|s| s.life == Life::Running),
                "another's domain was touched"
            );
        }
    }
    converges(&mut h, &mut outsider);
    for id in &outsider.foreign {
        prop_assert!(h.xen.info(*id).is_some(), "another's domain was touched");
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_schedule_loses_a_domain(acts in prop::collection::vec(act(), 1..40), memory in memory()) {
        carry_out(&acts, memory)?;
    }
}
