//! One step: an input changes the facts, and the next action follows from them.

use std::time::Duration;

use super::answers;
use super::context::{Ctx, Next};
use super::effect::Effect;
use super::input::{Input, Outcome};
use super::next::next;
use super::op::Op;
use super::state::boot::Failure;
use super::state::facts::Facts;
use super::{
    adapters, boot, changing, devices, disks, exit_actions, halting, history, looks, migrating,
    orders, receiving, saving, screen, starved, turns, wishes,
};
use crate::base::time::{Now, Time};

/// Takes one input. Returns the new facts and the effects to carry out.
#[must_use]
pub fn step(now: Now, mut facts: Facts, input: Input) -> (Facts, Vec<Effect>) {
    let mut cx = Ctx {
        now,
        effects: Vec::new(),
    };
    match input {
        Input::Wish(wish) => wishes::wished(&mut cx, &mut facts, wish),
        Input::Settings(settings) => facts.settings = settings,
        Input::Order(given) => orders::given(&mut cx, &mut facts, given),
        // The state may have changed since the timer was set, so a look comes before anything is done.
        Input::Hint | Input::Timer => {
            facts.looks.outdate();
            if !facts.phase.has_domain() {
                facts.looks.wide = true;
            }
        }
        Input::Resync => {
            facts.looks.outdate();
            facts.looks.wide = true;
        }
        Input::Progress(progress) => facts.progress = Some(progress),
        Input::Freed => {
            adapters::news(&mut facts);
            turns::news(&mut facts);
            if facts.phase.boot().and_then(|boot| boot.failed) == Some(Failure::InUse) {
                facts.try_boot_again();
            }
        }
        Input::Done(outcome) => done(&mut cx, &mut facts, outcome),
    }
    changing::absorb(&mut facts);
    orders::hear(&mut cx, &mut facts);
    if facts.outstanding.is_none() {
        let mut action = next(&mut cx, &mut facts);
        // The domain may have ended just now, and be kept: orders need not wait for the change any more.
        if matches!(action, Next::Wait(_)) && changing::absorb(&mut facts) {
            orders::hear(&mut cx, &mut facts);
            action = next(&mut cx, &mut facts);
        }
        act(&mut cx, &mut facts, action);
    }
    answers::settle(&mut cx, &mut facts);
    history::tell(&mut cx, &mut facts);
    (facts, cx.effects)
}

/// Begins the next action.
fn act(cx: &mut Ctx, f: &mut Facts, action: Next) {
    match action {
        Next::Run(op) => {
            let deadline = deadline(f, cx.now.mono, &op);
            f.outstanding = Some(op.clone());
            cx.effects.push(Effect::Run(op, deadline));
        }
        Next::Wait(until) => {
            wishes::settle(f);
            cx.effects.push(Effect::Wake(until));
        }
        Next::Finish => cx.effects.push(Effect::Finish),
    }
}

fn deadline(f: &Facts, now: Time, op: &Op) -> Option<Duration> {
    match op {
        Op::Shutdown(_) | Op::PowerButton(_) => f.phase.halt().map(|h| h.until.since(now)),
        // The deadline doubles with each failure: a destroy that needs longer than its deadline would never end.
        Op::Destroy(_) => {
            let failures = f.phase.domain().map_or(0, |d| d.destroying.failures);
            Some(f.settings.destroy.saturating_mul(1 << failures.min(6)))
        }
        _ => None,
    }
}

fn done(cx: &mut Ctx, f: &mut Facts, outcome: Outcome) {
    let Some(op) = f.outstanding.take() else {
        return;
    };
    if !op.is_look() {
        // Whatever the outcome, only a look tells the present state.
        f.looks.outdate();
    }
    f.progress = None;
    if let Some(e) = starved::failure(&op, &outcome) {
        starved::again(cx, f, op, e);
        return;
    }
    if !matches!(op, Op::Look(_) | Op::Turn) {
        starved::over(f);
    }
    let Some((op, outcome)) = moved(cx, f, op, outcome) else {
        return;
    };
    match (op, outcome) {
        (Op::Disks(spec, ..), Outcome::Disks(result)) => disks::prepared(cx, f, spec, result),
        (Op::Discard(_), Outcome::Ended(result)) => disks::discarded(cx, f, result),
        (Op::Devices(_), Outcome::Devices(result)) => devices::looked(f, cx.now.mono, result),
        (Op::Screen(_), Outcome::Screen(result)) => screen::looked(f, result),
        (Op::Look(scope), Outcome::Looked(result)) => looks::looked(cx, f, scope, result),
        (Op::Create(spec), Outcome::Created(Ok(built))) => boot::created(cx, f, spec, built, false),
        (Op::Restore(spec, _), Outcome::Created(Ok(built))) => {
            boot::created(cx, f, spec, built, true);
        }
        (Op::Turn, Outcome::Turn(first)) => turns::told(cx, f, first),
        (Op::Reserve(spec), Outcome::Reserved(result)) => adapters::reserved(cx, f, &spec, result),
        (Op::Release, Outcome::Ended(_)) => adapters::released(f),
        (Op::Create(spec) | Op::Restore(spec, _), Outcome::Created(Err(e))) => {
            boot::not_created(cx, f, &spec, &e);
        }
        (Op::Unpause(_), Outcome::Ended(result)) => boot::unpaused(cx, f, result),
        (Op::Pause(_), Outcome::Ended(result)) => orders::paused(cx, f, result),
        (Op::Change(_, _, _, after), Outcome::Ended(result)) => {
            changing::made(cx, f, after, result);
        }
        (Op::Save(_, file), Outcome::Ended(result)) => orders::saved(cx, f, file, result),
        (Op::Dump(..), Outcome::Ended(result)) => orders::dumped(cx, f, result),
        (Op::Resume(_), Outcome::Ended(result)) => saving::resumed(cx, f, result),
        (Op::Withdraw(_), Outcome::Ended(result)) => saving::withdrawn(cx, f, result),
        (Op::DiscardSaved, Outcome::Ended(result)) => {
            if let Err(e) = result {
                cx.warn(format!("a file of a saved domain cannot be removed: {e}"));
            }
        }
        (Op::Shutdown(_), Outcome::Ended(result)) => halting::asked(cx, f, result),
        (Op::PowerButton(_), Outcome::Ended(result)) => halting::pressed(cx, f, result),
        (Op::Destroy(_), Outcome::Ended(result)) => halting::destroyed(cx, f, result),
        (op, Outcome::Ended(result)) => exit_actions::stepped(cx, f, &op, result),
        (op, _) => cx.warn(format!(
            "{} ended as something else; looking again",
            op.word()
        )),
    }
}

/// Handles the outcome of an operation of a migration. Returns that of any other.
fn moved(cx: &mut Ctx, f: &mut Facts, op: Op, outcome: Outcome) -> Option<(Op, Outcome)> {
    match (op, outcome) {
        (Op::Send(_, to), Outcome::Ended(result)) => migrating::sent(cx, f, to, result),
        (Op::HandOver(_), Outcome::HandedOver(result)) => migrating::handed_over(cx, f, result),
        (Op::Ask(..), Outcome::Asked(result)) => migrating::asked(cx, f, result),
        (Op::TakeBack(..), Outcome::Ended(result)) => migrating::taken_back(cx, f, result),
        (Op::Receive(spec, token), Outcome::Created(result)) => {
            receiving::received(cx, f, spec, token, result);
        }
        (Op::AwaitGo(_), Outcome::Ended(result)) => receiving::granted(cx, f, result),
        (Op::Land(..), Outcome::Ended(result)) => receiving::landed(cx, f, result),
        other => return Some(other),
    }
    None
}
