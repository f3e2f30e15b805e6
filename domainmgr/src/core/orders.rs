//! Orders of an operator, and the holds that they leave behind.
//!
//! A hold overrides the wish of the DomainConfig, until another order takes it back or a newer wish comes.

use std::sync::Arc;

use super::answers;
use super::context::{Ctx, Next};
use super::effect::Effect;
use super::named_files::is_saved_in;
use super::op::Op;
use super::running::{running, suspended};
use super::state::backoff::Backoff;
use super::state::facts::Facts;
use super::state::halt::Stage;
use super::state::job::UnderWay;
use super::state::order::{Answer, Given, Hold, Order, Until};
use super::state::phase::Phase;
use super::state::saved::Saved;
use super::state::wish::{File, Pending};
use super::{abort, cancel, changing, elsewhere, migrating, saving};
use crate::host::disks::Copies;
use crate::host::remote::Destination;
use crate::toolstack::{Error, Life};

/// Takes an order. An [`Effect::Answer`] tells the result, now or later.
pub(super) fn given(cx: &mut Ctx, f: &mut Facts, given: Given) {
    if must_wait(f, &given.order) {
        f.orders.waiting.push(given);
        return;
    }
    if let Order::Cancel(job) = given.order {
        cancel::asked(cx, f, job, &given);
        return;
    }
    if let Some(why) = refusal(f, &given.order) {
        cx.effects
            .push(Effect::Answer(given.id, Answer::Refused(why)));
        return;
    }
    let (word, by) = (given.order.word(), &given.by);
    if given.order == Order::Forget {
        cx.info(format!("{word}: asked for by {by}"));
        f.orders.hold = None;
        cx.effects.push(Effect::Answer(given.id, Answer::Done));
        return;
    }
    answers::give_up(cx, f, format!("given up: {by} asked for {word}"));
    changing::give_up(f);
    cx.info(format!("{word}: asked for by {by}"));
    let before = f.orders.hold.clone();
    obey(cx, f, &given);
    cx.effects.push(Effect::Answer(given.id, Answer::Accepted));
    f.orders.under_way = Some(UnderWay {
        given,
        since: cx.now.wall,
        begun: false,
        before,
        cancel: None,
    });
}

/// Returns whether the order can be neither obeyed nor refused yet.
fn must_wait(f: &Facts, order: &Order) -> bool {
    // The domain has not been looked at yet.
    if f.wish.file == File::Unread || !f.looks.done {
        return true;
    }
    // The operation under way comes to its end first, unless the order is the end of it.
    let goes_on = |op: &Op| !op.is_look() && !abort::on_order(op, order);
    if !matches!(order, Order::Cancel(_)) && f.outstanding.as_ref().is_some_and(goes_on) {
        return true;
    }
    // Other orders wait for the end of the change under way.
    let ends = matches!(
        order,
        Order::Stop { .. } | Order::Restart | Order::Cancel(_)
    );
    f.changing.is_some() && !ends
}

/// Changes the facts so that the next steps carry out the order.
fn obey(cx: &Ctx, f: &mut Facts, given: &Given) {
    let hold = |run, until| Hold {
        run,
        until,
        by: given.by.clone(),
        since: cx.now.wall,
    };
    // A hold that ends with the host leaves it to a cluster manager where the domain runs afterwards. No other start prolongs it.
    let ends = f.runs_until_boot();
    let run = |until| hold(true, if ends { Until::Boot } else { until });
    match &given.order {
        Order::Start { fresh, until, .. } => {
            if *fresh {
                f.drop_saved();
            }
            start(f, run(*until));
        }
        Order::Restore { file } => {
            if file.is_some() && !is_saved_in(f, file.as_deref()) {
                f.saved = Some(Saved {
                    spec: None,
                    file: file.clone(),
                    at: cx.now.wall,
                    named_by: Some(given.id),
                });
            }
            start(f, run(Until::Started));
        }
        Order::Stop { destroy, until } => {
            // Whoever destroys a guest that was given away says that it runs there.
            if let Phase::GivenAway(_, moving) = &f.phase {
                let moving = moving.clone();
                elsewhere::note(f, &moving, cx.now.wall, false);
            }
            let until = f.stops_until(*until);
            stop(f, hold(false, until));
            if *destroy {
                destroy_at_once(cx, f);
            }
        }
        Order::Restart => restart(cx, f, run(Until::Started)),
        Order::Pause
        | Order::Unpause
        | Order::Cancel(_)
        | Order::Receive { .. }
        | Order::Forget => {}
        Order::Resolve => {
            if let Phase::GivenAway(_, moving) = &mut f.phase {
                moving.asking = Backoff::default();
            }
        }
        Order::Change(change) => changing::asked(f, change, &given.by),
        // A domain that is suspended already belongs to another toolstack, so a look comes before the guest is asked.
        Order::Save { .. } | Order::Migrate { .. } | Order::DumpCore { .. } => f.looks.stale = true,
    }
}

fn start(f: &mut Facts, hold: Hold) {
    f.orders.hold = (!f.is_activated()).then_some(hold);
    f.moved = None;
    // A domain on its way down goes down first.
    if let Some(halt) = f.phase.halt_mut() {
        halt.again = true;
    }
    anew(f);
    afresh(f);
}

fn stop(f: &mut Facts, hold: Hold) {
    let needed = f.is_activated() || f.phase.has_domain() || f.orders.hold.is_some();
    f.orders.hold = needed.then_some(hold);
    f.phase.not_again();
    f.past.has_run |= f.phase.boot_failed();
    afresh(f);
}

/// Acts as if the guest had been asked to stop, and the wish had changed back since: the domain goes down, and is built
/// anew. But if somebody suspends it meanwhile, it is not destroyed.
fn restart(cx: &Ctx, f: &mut Facts, hold: Hold) {
    f.orders.hold = (!f.is_activated()).then_some(hold);
    anew(f);
    afresh(f);
    let halt = f.phase.halting(cx.now.mono + f.settings.graceful);
    if let Some(halt) = halt {
        halt.again = true;
        halt.asked = true;
        halt.ask_again = true;
    }
}

/// Takes the waiting orders, once the config file and Xen have been looked at and no operation is under way.
pub(super) fn hear(cx: &mut Ctx, f: &mut Facts) {
    if f.wish.file != File::Unread && f.looks.done && f.outstanding.is_none() {
        for waiting in std::mem::take(&mut f.orders.waiting) {
            given(cx, f, waiting);
        }
    }
}

/// Forgets the end of the last domain. A stop does not forget it: a domain that somebody took away may still live on
/// elsewhere at the next start.
fn anew(f: &mut Facts) {
    if let Some(boot) = f.phase.boot_mut() {
        boot.forget_end();
    }
}

/// Ends every wait, except the one before the next attempt to destroy.
fn afresh(f: &mut Facts) {
    if f.phase.domain().is_none_or(|d| d.destroying.failures == 0) {
        f.error = None;
    }
    if let Some(boot) = f.phase.boot_mut() {
        boot.at_once();
    }
    f.past.tries = 0;
    f.past.short_lives = 0;
    f.wish.pending = Some(Pending::Modify);
    // No event tells of a domain that an outsider has built meanwhile.
    f.looks.outdate();
}

fn destroy_at_once(cx: &Ctx, f: &mut Facts) {
    if let Some(halt) = f.phase.halting(cx.now.mono) {
        halt.stage = Stage::Destroy;
    }
}

/// Returns the reason why the order cannot be obeyed.
fn refusal(f: &Facts, order: &Order) -> Option<String> {
    if let Some((why, _)) = &f.hands_off {
        return Some(why.clone());
    }
    if f.wish.file == File::Absent {
        return Some("its DomainConfig was removed: it is being brought down for good".to_owned());
    }
    if f.wish.desired.is_none() {
        let problem = f.wish.problem.as_ref().map(|(why, _)| why.clone());
        return Some(problem.unwrap_or_else(|| "it has no DomainConfig".to_owned()));
    }
    if let Some(why) = elsewhere::given_away(f) {
        let anyway = matches!(
            order,
            Order::Resolve | Order::Stop { destroy: true, .. } | Order::Cancel(_)
        );
        return (!anyway).then_some(why);
    }
    match *order {
        Order::Receive { .. } | Order::Resolve | Order::Forget | Order::Migrate { .. } => {
            moving(f, order)
        }
        Order::Change(ref change) => changing::refusal(f, change),
        Order::Start { anyway, .. } => starting(f, anyway),
        Order::Restore {
            file: Some(ref file),
        } => saving::restoring_refusal(f, file).or_else(|| starting(f, true)),
        Order::Restore { file: None } if f.saved.is_none() => Some("it is not saved".to_owned()),
        Order::Restore { file: None } => starting(f, false),
        Order::DumpCore { .. } if f.is_preserved() => None,
        Order::DumpCore { .. } => running(f).err(),
        Order::Save { .. } => match running(f) {
            Ok(domain) if domain.life == Life::Paused => {
                Some("it is paused, and cannot suspend itself: unpause it first".to_owned())
            }
            Ok(_) => saving::refusal(f),
            Err(_) if f.saved.is_some() => Some("it is saved already".to_owned()),
            Err(why) => Some(why),
        },
        Order::Stop { .. } | Order::Cancel(_) => None,
        Order::Restart => match f.phase.domain() {
            Some(domain) if domain.is_suspended() => Some(suspended(domain)),
            Some(_) if f.is_preserved() => Some(KEPT.to_owned()),
            Some(_) => None,
            None => starting(f, false),
        },
        Order::Pause => match running(f) {
            Ok(domain) if domain.life == Life::Paused => Some("it is paused already".to_owned()),
            Ok(_) => None,
            Err(why) => Some(why),
        },
        Order::Unpause => match running(f) {
            Ok(domain) if domain.life == Life::Paused => None,
            Ok(_) => Some("it is not paused".to_owned()),
            Err(why) => Some(why),
        },
    }
}

/// Returns the reason why an order about a migration cannot be obeyed.
fn moving(f: &Facts, order: &Order) -> Option<String> {
    match order {
        Order::Receive { .. } => receiving(f),
        Order::Forget => forgetting(f),
        Order::Migrate { .. } => match running(f) {
            Ok(domain) if domain.life == Life::Paused => {
                Some("it is paused, and cannot suspend itself: unpause it first".to_owned())
            }
            Ok(_) => migrating::refusal(f),
            Err(why) => elsewhere::reason(f).or(Some(why)),
        },
        _ => Some("it was not given away to another host".to_owned()),
    }
}

/// Returns the reason why the domain cannot be received.
fn receiving(f: &Facts) -> Option<String> {
    if let Some(id) = f.domain() {
        return Some(format!("it is here already, as domain {id}"));
    }
    f.saved.is_some().then(|| {
        "it is saved here, and would be older here than there: start it --fresh and stop it first".to_owned()
    })
}

/// Returns the reason why the domain cannot be forgotten.
fn forgetting(f: &Facts) -> Option<String> {
    if !f.wish.desired.as_ref().is_some_and(|d| d.unwritten) {
        return Some("a file describes it: remove that instead".to_owned());
    }
    (!f.is_down()).then(|| "it is not down: stop it first".to_owned())
}

impl Facts {
    /// Returns whether there is no domain, and none is on its way.
    pub(super) fn is_down(&self) -> bool {
        let held = self.orders.hold.as_ref().is_some_and(|hold| !hold.run);
        !self.phase.has_domain() && (held || self.phase.has_ended())
    }
}

fn starting(f: &Facts, anyway: bool) -> Option<String> {
    if let (Some(why), false) = (elsewhere::reason(f), anyway) {
        return Some(why);
    }
    if let Some(Err(why)) = f.wish.desired.as_ref().map(|d| &d.spec) {
        return Some(why.clone());
    }
    if f.phase.has_vanished() && !anyway {
        let how = f.past.last_exit.as_deref().unwrap_or("gone, not by us");
        return Some(format!(
            "{how}: it may live on elsewhere, and two of it would destroy its disks; make sure that it does not, then start \
             it anyway"
        ));
    }
    let Some(domain) = f.phase.domain() else {
        // The DomainConfig may be unreadable at the moment.
        let problem = f
            .wish
            .problem
            .as_ref()
            .filter(|_| f.wish.file == File::Doubtful);
        return problem.map(|(why, _)| why.clone());
    };
    match domain.life {
        _ if domain.is_suspended() => Some(suspended(domain)),
        Life::Paused if f.phase.is_started() && !f.phase.goes_down() => {
            Some("it is paused: unpause it".to_owned())
        }
        Life::Shutdown(_) if f.is_preserved() => Some(KEPT.to_owned()),
        _ => None,
    }
}

const KEPT: &str = "it has ended and is kept to be looked into: stop it first";

/// Begins an ordered pause, unpause or save of a domain that runs or is paused.
pub(super) fn next(f: &mut Facts) -> Option<Next> {
    let domain = running(f).ok()?;
    let (id, paused) = (domain.id, domain.life == Life::Paused);
    let until_boot = f.runs_until_boot();
    let under_way = f.orders.under_way.as_mut().filter(|o| !o.begun)?;
    // An earlier run of the agent may have done it.
    let done = match under_way.given.order {
        Order::Pause => paused,
        Order::Unpause => !paused,
        _ => false,
    };
    if done {
        let by = under_way.given.by.clone();
        if let Some(domain) = f.phase.domain_mut() {
            domain.paused_by = paused.then_some(by);
        }
        return None;
    }
    let op = match &under_way.given.order {
        Order::Pause => Op::Pause(id),
        Order::Unpause => Op::Unpause(id),
        Order::Save { file, .. } => Op::Save(id, file.clone()),
        Order::Migrate { to } => Op::Send(
            id,
            Arc::new(Destination {
                until_boot,
                ..(**to).clone()
            }),
        ),
        _ => return None,
    };
    under_way.begun = true;
    Some(Next::Run(op))
}

/// Begins an ordered core dump of a domain that runs, is paused, or has ended and is kept.
pub(super) fn dump(f: &mut Facts) -> Option<Next> {
    let there = f.is_preserved() || running(f).is_ok();
    let id = f.domain().filter(|_| there)?;
    let under_way = f.orders.under_way.as_mut().filter(|o| !o.begun)?;
    let Order::DumpCore { file } = &under_way.given.order else {
        return None;
    };
    let op = Op::Dump(id, file.clone());
    under_way.begun = true;
    Some(Next::Run(op))
}

/// Handles the result of [`Op::Dump`].
pub(super) fn dumped(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    // Somebody may have asked for something else meanwhile.
    let order = f.orders.under_way.as_ref().filter(|o| o.begun);
    if order.is_some_and(|o| matches!(o.given.order, Order::DumpCore { .. })) {
        answers::over(cx, f, result);
    }
}

/// Has the order tried again, because it could not be handed to Xen.
pub(super) fn not_begun(f: &mut Facts) {
    if let Some(under_way) = &mut f.orders.under_way {
        under_way.begun = false;
    }
}

/// Handles the result of [`Op::Pause`].
pub(super) fn paused(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    // Another order may have come meanwhile.
    let Some(by) = f
        .orders
        .under_way
        .as_ref()
        .and_then(|o| o.is_begun(&Order::Pause))
    else {
        return;
    };
    if let (Ok(()), Some(domain)) = (&result, f.phase.domain_mut()) {
        domain.paused_by = Some(by.to_owned());
        domain.life = Life::Paused;
    }
    answers::over(cx, f, result);
}

/// Handles the result of [`Op::Save`].
pub(super) fn saved(cx: &mut Ctx, f: &mut Facts, file: Option<String>, result: Result<(), Error>) {
    let begun = f.orders.under_way.as_ref().filter(|o| o.begun);
    let asked = begun.and_then(|o| match o.given.order {
        Order::Save { until, .. } => Some((o.given.by.clone(), f.stops_until(until))),
        _ => None,
    });
    match (asked, result) {
        (Some((by, until)), Ok(())) => saving::saved(cx, f, by, until, file),
        (None, Ok(())) => saving::take_back(cx, f, file),
        (asked, Err(e)) => {
            saving::failed(cx, f, &e);
            if asked.is_some() {
                answers::answer_with(cx, f, Answer::Failed(format!("it goes on running: {e}")));
            }
        }
    }
}

/// Handles the result of [`Op::Unpause`] for a domain that had run before. Returns whether an order asked for it.
pub(super) fn unpaused(cx: &mut Ctx, f: &mut Facts, result: &Result<(), Error>) -> bool {
    let ordered = f.orders.under_way.as_ref();
    let ordered = ordered.is_some_and(|o| o.is_begun(&Order::Unpause).is_some());
    if let (true, Ok(()), Some(domain)) = (ordered, result, f.phase.domain_mut()) {
        domain.life = Life::Running;
    }
    if ordered {
        answers::over(cx, f, result.clone());
    }
    ordered
}

/// Ends holds, changes and orders made by hand, because a newer wish has come.
pub(super) fn wish_goes_before(cx: &mut Ctx, f: &mut Facts) {
    f.phase.not_again();
    if let Some(hold) = f.orders.hold.take() {
        cx.info(format!(
            "the DomainConfig is newer than what {} asked for by hand",
            hold.by
        ));
    }
    changing::wish_goes_before(cx, f);
    answers::give_up(cx, f, "given up: the DomainConfig has changed".to_owned());
}

/// Treatment of copies that are not preserved, after the domain was brought down.
///
/// They survive a stop and a restart by an operator. `again` is that of [`Phase::is_built_again`].
pub(super) fn copies_after_halt(f: &Facts, again: bool) -> Copies {
    if again || f.orders.hold.as_ref().is_some_and(|hold| !hold.run) {
        Copies::Keep
    } else {
        Copies::Fresh
    }
}
