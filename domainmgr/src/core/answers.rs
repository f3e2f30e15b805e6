//! Answers to orders.

use super::context::Ctx;
use super::effect::Effect;
use super::event::Event;
use super::named_files::not_restored;
use super::running::running;
use super::state::facts::Facts;
use super::state::job::Job;
use super::state::order::{Answer, Order};
use super::state::phase::Phase;
use crate::toolstack::{Error, Life};

/// Answers the order whose change has been made, or has failed.
pub(super) fn changed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    // Somebody may have asked for something else meanwhile.
    let ordered = f.orders.under_way.as_ref().map(|o| &o.given.order);
    if matches!(ordered, Some(Order::Change(_))) {
        over(cx, f, result);
    }
}

/// Answers the order under way, whose operation has ended so.
pub(super) fn over(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let answer = result.map_err(|e| e.to_string());
    answer_with(cx, f, answer.map_or_else(Answer::Failed, |()| Answer::Done));
}

/// Answers the order under way, and the one that asked for its end.
pub(super) fn answer_with(cx: &mut Ctx, f: &mut Facts, answer: Answer) {
    let Some(under_way) = f.orders.under_way.take() else {
        return;
    };
    let mut answer = answer;
    if let Some((id, by)) = &under_way.cancel {
        let (of_job, of_cancel) = match answer {
            Answer::Failed(_) => (Answer::Failed(format!("cancelled by {by}")), Answer::Done),
            other => (
                other,
                Answer::Failed("it was done before it could be cancelled".to_owned()),
            ),
        };
        cx.effects.push(Effect::Answer(*id, of_cancel));
        answer = of_job;
    }
    if matches!(answer, Answer::Failed(_)) {
        not_restored(f, &under_way);
    }
    let job = Job {
        ended: Some(cx.now.wall),
        failure: match &answer {
            Answer::Failed(why) => Some(why.clone()),
            _ => None,
        },
        ..under_way.job()
    };
    // The record that no longer has the order is committed together with the event.
    cx.effects
        .push(Effect::Event(Event::of_job(cx.now.wall, f, &job)));
    f.orders.last = Some(job);
    cx.effects.push(Effect::Answer(under_way.given.id, answer));
}

/// Answers the order to receive the domain, if it is under way.
pub(super) fn answer_received(cx: &mut Ctx, f: &mut Facts, answer: Answer) {
    let ordered = f.orders.under_way.as_ref().map(|o| &o.given.order);
    if matches!(ordered, Some(Order::Receive { .. })) {
        answer_with(cx, f, answer);
    }
}

/// Gives up the order under way.
pub(super) fn give_up(cx: &mut Ctx, f: &mut Facts, why: String) {
    answer_with(cx, f, Answer::Failed(why));
}

/// Answers the order under way if it has been worked off, or cannot be.
pub(super) fn settle(cx: &mut Ctx, f: &mut Facts) {
    let Some(under_way) = &f.orders.under_way else {
        return;
    };
    let runs = f.phase.is_started() && !f.phase.goes_down();
    let answer = match under_way.given.order {
        Order::Start { .. } | Order::Restart | Order::Restore { .. } if f.phase.boot_failed() => {
            let why = f.error.as_ref().map(|(why, _)| why.clone());
            Answer::Failed(why.unwrap_or_else(|| "it did not boot".to_owned()))
        }
        Order::Start { .. } | Order::Restart | Order::Restore { .. } if f.phase.has_ended() => {
            let why = f.past.last_exit.as_deref().unwrap_or_default();
            Answer::Failed(format!("the domain ended: {why}"))
        }
        Order::Start { .. } | Order::Restart | Order::Restore { .. } if runs && !f.looks.stale => {
            Answer::Done
        }
        // Its operations answer it.
        Order::Receive { .. } => return,
        Order::Migrate { .. } | Order::Resolve if f.moved.is_some() && !f.phase.has_domain() => {
            Answer::Done
        }
        Order::Migrate { .. } | Order::Resolve if matches!(f.phase, Phase::GivenAway(..)) => return,
        Order::Change(_) if f.changing.is_none() => Answer::Done,
        Order::Stop { .. } if !f.phase.has_domain() && f.looks.clear => Answer::Done,
        Order::Save { .. } if !f.phase.has_domain() && f.looks.clear => match &f.saved {
            Some(_) => Answer::Done,
            None => Answer::Failed("the domain ended before it was saved".to_owned()),
        },
        Order::Save { .. } if matches!(f.phase, Phase::PutAway(_)) => return,
        // An earlier run of the agent has done it.
        Order::Pause if !under_way.begun && is_paused(f) == Some(true) => Answer::Done,
        Order::Unpause if !under_way.begun && is_paused(f) == Some(false) => Answer::Done,
        Order::DumpCore { .. } if f.is_preserved() => return,
        Order::Pause
        | Order::Unpause
        | Order::Save { .. }
        | Order::Migrate { .. }
        | Order::Resolve
        | Order::DumpCore { .. } => match running(f) {
            Ok(_) if under_way.given.order == Order::Resolve => Answer::Done,
            Ok(_) => return,
            Err(why) => Answer::Failed(why),
        },
        _ => return,
    };
    answer_with(cx, f, answer);
}

/// Returns whether the domain is paused, if it runs or is paused, and has been looked at.
fn is_paused(f: &Facts) -> Option<bool> {
    let known = f.looks.done && !f.looks.stale;
    let domain = running(f).ok().filter(|_| known)?;
    Some(domain.life == Life::Paused)
}
