//! Recovery of the facts from the record that an earlier run of the agent has left.

use uuid::Uuid;

use super::record::{Begun, Record};
use super::state::adapters::Holding;
use super::state::boot::{Boot, Cause, Rest};
use super::state::domain::Interrupted;
use super::state::exit::After;
use super::state::facts::Facts;
use super::state::halt::Stage;
use super::state::job::Job;
use super::state::moving::{Arrival, Word};
use super::state::order::{Order, Until};
use super::state::phase::{Halting, Phase, Unstarted};
use super::{elsewhere, gone, orders};
use crate::base::time::{Now, Time};
use crate::host::disks::Copies;
use crate::spec::settings::Settings;

impl Facts {
    /// Returns the facts of a worker whose predecessor has left `record`. `boot` is the present run of the host.
    #[must_use]
    pub fn recover(now: Now, uuid: Uuid, settings: Settings, record: Record, boot: Uuid) -> Self {
        let same_run = record.boot == boot;
        let mut f = Self::new(uuid, settings);
        f.phase = phase(&record);
        f.recovered = true;
        f.wish.desired = record.wish;
        f.orders.hold = record.hold;
        f.orders.last = record.last_job;
        f.orders.under_way = record.under_way;
        f.changes = record.changes;
        f.changing = record.changing;
        f.past.told = record.told;
        f.wish.renewed = record.renewed;
        f.siblings = record.kept;
        // Reservations are stored elsewhere, and may be older or newer than this record.
        f.adapters.holding = Holding::Unknown;
        f.disks.copies = record.copies;
        f.disks.shown = record.disks;
        f.disks.whole = record.whole;
        f.disks.made = record.made;
        f.past.restarts = record.restarts;
        if f.phase.is_started() {
            f.past.tries = record.tries;
        }
        f.past.has_run = record.has_run;
        f.past.last_exit = record.last_exit;
        f.past.last_action = record.last_action;
        f.past.boot_time = record.boot_time;
        f.past.spent = record.spent;
        f.error = record.error;
        f.saved = record.saved;
        f.moved = record.moved;
        f.past.arrived = record.arrived;
        let retries = gone::retries(&f);
        if let Some(boot) = f.phase.boot_mut().filter(|b| b.has_ended() && !retries) {
            boot.rest = Rest::Ended;
        }
        if same_run {
            resume(now, &mut f, record.begun);
        } else {
            f.orders.hold = f.orders.hold.filter(|hold| hold.until != Until::Boot);
            after_host_reboot(now, &mut f, &record.begun);
        }
        take_up_order(now, &mut f, same_run);
        f
    }
}

/// Takes up the order that was being worked off when the agent ended.
fn take_up_order(now: Now, f: &mut Facts, same_run: bool) {
    let is_to_run = f.is_activated() || f.orders.hold.as_ref().is_some_and(|hold| hold.run);
    let (saved, moved, arrived) = (f.saved.is_some(), f.moved.is_some(), f.past.arrived);
    let given_away = matches!(f.phase, Phase::GivenAway(..));
    let Some(under_way) = &mut f.orders.under_way else {
        return;
    };
    let begun = std::mem::take(&mut under_way.begun);
    let failure = match under_way.given.order {
        Order::Save { .. } if begun && !saved => {
            "it goes on running: the agent ended while it was saved"
        }
        Order::Migrate { .. } if given_away => {
            "the agent ended before the other host has said whether it runs there"
        }
        Order::Migrate { .. } if begun && !moved => {
            "it goes on running: the agent ended while it was sent"
        }
        // Its hold has ended with the host.
        Order::Start { .. } | Order::Restart | Order::Restore { .. } if !same_run && !is_to_run => {
            "the host was started again before the domain ran"
        }
        // The other side has lost this one.
        Order::Receive { token, .. } if arrived != Some(token) => {
            "the agent ended before the domain was received"
        }
        _ => return,
    };
    let job = Job {
        ended: Some(now.wall),
        failure: Some(failure.to_owned()),
        ..under_way.job()
    };
    f.orders.last = Some(job);
    f.orders.untold = true;
    f.orders.under_way = None;
}

/// Returns the phase that was recorded.
fn phase(record: &Record) -> Phase {
    let boot = Boot {
        cause: match record {
            Record { vanished: true, .. } => Cause::Vanished,
            Record { ended: true, .. } => Cause::Ended,
            Record {
                restarting: true, ..
            } => Cause::Restart,
            _ => Cause::Wish,
        },
        rebuild: record.rebuild.clone(),
        ..Boot::default()
    };
    let Some(known) = record.domain.clone() else {
        return Phase::Down(boot);
    };
    let (leftover, saved, known_arrival) = (known.leftover, known.saved, known.arrival);
    let unstarted = (!known.started).then(|| Unstarted {
        boot: boot.clone(),
        restored: known.restored,
        reset: known.reset,
        arrival: known.arrival,
    });
    let domain = known.domain(Time::default());
    if leftover {
        return Phase::Leftover(domain, boot);
    }
    if saved {
        return Phase::PutAway(domain);
    }
    if let Some(moving) = record.moving.clone() {
        return Phase::GivenAway(domain, moving);
    }
    // Its source has heard nothing of this agent since, so it goes on there.
    if matches!(known_arrival, Some(Arrival::Waits(_))) {
        return Phase::Leftover(domain, boot);
    }
    match (record.halt.clone(), record.exit.clone(), unstarted) {
        (Some(halt), _, unstarted) => Phase::Halting(domain, Halting { halt, unstarted }),
        (None, _, Some(unstarted)) => Phase::Built(domain, unstarted),
        (None, Some(exit), None) => Phase::Ending(domain, exit),
        (None, None, None) => Phase::Up(domain),
    }
}

/// Takes up the step that was under way when the agent ended.
fn resume(now: Now, f: &mut Facts, begun: Begun) {
    f.looks.rejoin = f.phase.has_domain();
    if let Some(domain) = f.phase.domain_mut() {
        domain.since = now.mono;
        domain.interrupted = match begun {
            // The domain may have run since. If it is gone, it may live on elsewhere.
            Begun::Start => Some(Interrupted::Start),
            // The progress of the reset is unknown: the domain that it has left is replaced, like a half-built one.
            Begun::SoftReset => Some(Interrupted::SoftReset),
            Begun::Preserve(suffix) => Some(Interrupted::Preserve(suffix)),
            // The result of the save is unknown.
            Begun::Save => Some(Interrupted::Asked),
            Begun::Create(_) | Begun::Nothing => None,
        };
    } else if let (Begun::Create(name), Some(boot)) = (begun, f.phase.boot_mut()) {
        boot.remains = Some(name);
    }
    if let Some(halt) = f.phase.halt_mut() {
        // The guest is asked once more: it is unknown whether it received the request. Its graceful time starts anew.
        halt.until = now.mono + f.settings.graceful;
        halt.ask_again = halt.asked && halt.stage != Stage::Destroy;
    }
}

/// Adapts the facts to a restart of the host: no earlier domain is left, and none of them was ended by anybody.
fn after_host_reboot(now: Now, f: &mut Facts, begun: &Begun) {
    f.siblings.clear();
    f.past.boot_time = None;
    let phase = match f.phase.down(Boot::default()) {
        Phase::GivenAway(_, moving) => {
            let confirmed = moving.word == Word::Runs;
            elsewhere::note(f, &moving, now.wall, confirmed);
            let host = &moving.to.host;
            let how = format!("given away to {host} before this host was restarted");
            gone::note_end(now, f, Cause::Vanished, how, confirmed);
            return;
        }
        // It has not run here, so that it goes on at its source.
        Phase::Built(
            _,
            Unstarted {
                arrival: Some(_), ..
            },
        ) => {
            f.past.arrived = None;
            f.orders.hold = None;
            return;
        }
        other => other,
    };
    let Some(domain) = phase.domain().filter(|_| !phase.is_leftover()) else {
        f.phase.down(phase.into_boot());
        return;
    };
    f.past.has_run = true;
    // A domain that this agent was saving was not moved by anybody, and the file is not whole.
    let ours = *begun == Begun::Save;
    if domain.suspended.is_some() && !phase.goes_down() && !ours {
        // A domain is suspended in order to be saved or moved, and that may have been completed.
        let how = gone::LOST_SUSPENDED.to_owned();
        gone::note_end(now, f, Cause::Vanished, how, false);
        return;
    }
    if phase.is_started() {
        f.disks.copies = orders::copies_after_halt(f, phase.is_built_again());
    }
    match phase {
        Phase::Ending(_, exit) if exit.after == After::Restart => {
            f.phase.down(Boot::default());
            f.disks.copies = Copies::Keep;
        }
        Phase::Ending(_, exit) => {
            let peacefully = gone::is_peaceful(exit.reason);
            let how = exit.reason.to_string();
            gone::note_end(now, f, Cause::Ended, how, peacefully);
        }
        phase => {
            if !phase.goes_down() {
                f.error = None;
            }
            f.phase.down(phase.into_boot());
        }
    }
}
