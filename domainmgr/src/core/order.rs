//! Orders of an operator, and the holds that they leave behind.
//!
//! A hold overrides the wish of the DomainConfig, until another order takes it back or a newer wish comes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::facts::{Domain, Facts, Pending, Rest};
use super::halting::{Halt, Stage};
use super::{Ctx, Effect, Next, Op, changing, saving};
use crate::change::Change;
use crate::disks::Copies;
use crate::toolstack::{DomainId, Error, Life, ShutdownReason};

/// End of a hold that keeps a domain down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// The domain is started by an order, or a newer wish comes.
    #[default]
    Started,
    /// The same, or the host is started again.
    Boot,
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run the domain, even if it has ended or its DomainConfig does not activate it.
    Start {
        /// Start the domain even if somebody else has taken it away, and it may live on elsewhere.
        anyway: bool,
        /// Discard the memory of a saved domain, and boot the domain.
        fresh: bool,
    },
    /// Bring the domain down, and keep it down.
    Stop {
        /// Destroy the domain without asking the guest.
        destroy: bool,
        /// End of the hold that keeps the domain down.
        until: Until,
    },
    /// Bring the domain down, and run it again.
    Restart,
    /// Write the domain's memory to a file, and keep the domain down. A start goes on from the file.
    Save {
        /// End of the hold that keeps the domain down.
        until: Until,
    },
    /// Let a saved domain go on from its file.
    Restore,
    /// Pause the domain: take the processors from it.
    Pause,
    /// Unpause the domain: give the processors back.
    Unpause,
    /// Make this change, now and whenever the domain is built again.
    Change(Arc<Change>),
}

impl Order {
    /// The verb of the order on the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart => "restart",
            Self::Save { .. } => "save",
            Self::Restore => "restore",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Change(change) => change.word(),
        }
    }
}

/// An order, with its number and the user that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Number of the order, by which it is answered.
    pub id: u64,
    /// The order itself.
    pub order: Order,
    /// Name of the user that gave the order.
    pub by: String,
}

/// Answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order cannot be obeyed, for this reason. Nothing has changed.
    Refused(String),
    /// The order is recorded, and is worked off even if the agent ends meanwhile. A later answer tells the result.
    Accepted,
    /// The order has been obeyed.
    Done,
    /// The order was given up or came to nothing, for this reason.
    Failed(String),
}

/// The lasting effect of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The domain is to run; if false, it is not.
    pub run: bool,
    /// End of the hold, if nobody takes it back before.
    #[serde(default)]
    pub until: Until,
    /// Name of the user that placed the hold.
    pub by: String,
    /// Time when the hold was placed.
    pub since: OffsetDateTime,
}

/// An order that is being worked off.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    given: Given,
    /// The order has been handed to Xen.
    begun: bool,
}

/// Takes an order. An [`Effect::Answer`] tells the result, now or later.
pub(super) fn given(cx: &mut Ctx, f: &mut Facts, given: Given) {
    if !f.heard || !f.looked {
        // The domain has not been looked at yet.
        f.unheard.push(given);
        return;
    }
    let (order, by) = (given.order.clone(), given.by.clone());
    let ends = matches!(order, Order::Stop { .. } | Order::Restart);
    if f.changing.is_some() && !ends {
        // The order waits for the end of the change under way.
        f.unheard.push(given);
        return;
    }
    if let Some(why) = refusal(f, &order) {
        cx.effects
            .push(Effect::Answer(given.id, Answer::Refused(why)));
        return;
    }
    let instead = format!("given up: {by} asked for {}", order.word());
    give_up(cx, f, instead);
    changing::give_up(f);
    cx.info(format!("{}: asked for by {by}", order.word()));
    let now = cx.now.wall;
    let hold = |run, until| Hold {
        run,
        until,
        by: by.clone(),
        since: now,
    };
    let activated = f.desired.as_ref().is_some_and(|d| d.origin.activate());
    match order {
        Order::Start { .. } | Order::Restore => {
            if matches!(order, Order::Start { fresh: true, .. }) && f.saved.take().is_some() {
                f.forget_saved = true;
            }
            f.hold = (!activated).then(|| hold(true, Until::Started));
            // A domain on its way down goes down first.
            f.cycle = f.domain.is_some() && f.halt.is_some();
            anew(f);
            afresh(f);
        }
        Order::Stop { destroy, until } => {
            let needed = activated || f.domain.is_some() || f.hold.is_some();
            f.hold = needed.then(|| hold(false, until));
            f.cycle = false;
            f.has_run |= f.boot_failed;
            afresh(f);
            if destroy {
                destroy_at_once(cx, f);
            }
        }
        Order::Restart => {
            f.hold = (!activated).then(|| hold(true, Until::Started));
            f.cycle = f.domain.is_some();
            anew(f);
            afresh(f);
            if f.cycle {
                // As if the guest had been asked to stop, and the wish had changed back since: the domain goes down,
                // and is built anew. But if somebody suspends it meanwhile, it is not destroyed.
                let until = cx.now.mono + f.settings.graceful;
                let halt = f.halt.get_or_insert_with(|| Halt::begin(until));
                halt.asked = true;
                halt.ask_again = true;
            }
        }
        Order::Pause | Order::Unpause => {}
        Order::Change(change) => changing::asked(f, &change, &by),
        // A domain that is suspended already belongs to another toolstack, so a look comes before the guest is asked.
        Order::Save { .. } => f.stale = true,
    }
    cx.effects.push(Effect::Answer(given.id, Answer::Accepted));
    f.order = Some(UnderWay {
        given,
        begun: false,
    });
}

/// Takes the waiting orders, once the config file and Xen have been looked at.
pub(super) fn hear(cx: &mut Ctx, f: &mut Facts) {
    if f.heard && f.looked {
        for waiting in std::mem::take(&mut f.unheard) {
            given(cx, f, waiting);
        }
    }
}

/// Forgets the end of the last domain. A stop does not forget it: a domain that somebody took away may still live on
/// elsewhere at the next start.
fn anew(f: &mut Facts) {
    f.vanished = false;
    f.ended = false;
}

/// Ends every wait, except the one before the next attempt to destroy.
fn afresh(f: &mut Facts) {
    if f.destroying.failures == 0 {
        f.error = None;
    }
    f.boot_failed = false;
    f.tries = 0;
    f.short_lives = 0;
    f.rest = Rest::Ready;
    f.next_retry = None;
    f.pending = Some(Pending::Modify);
    // No event tells of a domain that an outsider has built meanwhile.
    f.clear = false;
    f.stale = true;
}

fn destroy_at_once(cx: &mut Ctx, f: &mut Facts) {
    if f.domain.is_none() {
        return;
    }
    let until = cx.now.mono;
    let halt = f.halt.get_or_insert_with(|| Halt::begin(until));
    halt.stage = Stage::Destroy;
}

/// Returns the reason why the order cannot be obeyed.
fn refusal(f: &Facts, order: &Order) -> Option<String> {
    if let Some((why, _)) = &f.hands_off {
        return Some(why.clone());
    }
    if !f.present {
        return Some("its DomainConfig was removed: it is being brought down for good".to_owned());
    }
    if f.desired.is_none() {
        let problem = f.problem.as_ref().map(|(why, _)| why.clone());
        return Some(problem.unwrap_or_else(|| "it has no DomainConfig".to_owned()));
    }
    match *order {
        Order::Change(ref change) => changing::refusal(f, change),
        Order::Start { anyway, .. } => starting(f, anyway),
        Order::Restore if f.saved.is_none() => Some("it is not saved".to_owned()),
        Order::Restore => starting(f, false),
        Order::Save { .. } => match running(f) {
            Ok(domain) if domain.life == Life::Paused => {
                Some("it is paused, and cannot suspend itself: unpause it first".to_owned())
            }
            Ok(_) => saving::refusal(f),
            Err(why) => Some(why),
        },
        Order::Stop { .. } => None,
        Order::Restart => match &f.domain {
            Some(domain) if domain.is_suspended() => Some(suspended(domain.id)),
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

fn starting(f: &Facts, anyway: bool) -> Option<String> {
    if let Some(Err(why)) = f.desired.as_ref().map(|d| &d.spec) {
        return Some(why.clone());
    }
    if f.vanished && !anyway {
        let how = f.last_exit.as_deref().unwrap_or("gone, not by us");
        return Some(format!(
            "{how}: it may live on elsewhere, and two of it would destroy its disks; make sure that it does not, then start \
             it anyway"
        ));
    }
    let Some(domain) = &f.domain else {
        // The DomainConfig may be unreadable at the moment.
        let problem = f.problem.as_ref().filter(|_| f.doubtful);
        return problem.map(|(why, _)| why.clone());
    };
    match domain.life {
        _ if domain.is_suspended() => Some(suspended(domain.id)),
        Life::Paused if domain.started && f.halt.is_none() => {
            Some("it is paused: unpause it".to_owned())
        }
        Life::Shutdown(_) if f.is_preserved() => Some(KEPT.to_owned()),
        _ => None,
    }
}

const KEPT: &str = "it has ended and is kept to be looked into: stop it first";

fn suspended(id: DomainId) -> String {
    format!(
        "domain {id} is suspended, for a save or a migration: resume it if it runs nowhere else, stop it if it does"
    )
}

/// Returns the domain, if it can be paused or unpaused; otherwise the reason why not.
pub(super) fn running(f: &Facts) -> Result<&Domain, String> {
    match &f.domain {
        None => Err("there is no domain".to_owned()),
        Some(_) if f.halt.is_some() => Err("it is being brought down".to_owned()),
        Some(domain) if !domain.started || domain.leftover => Err("it is being built".to_owned()),
        Some(domain) => match domain.life {
            Life::Running | Life::Paused => Ok(domain),
            Life::Shutdown(ShutdownReason::SUSPEND) => Err(suspended(domain.id)),
            Life::Shutdown(_) | Life::Dying => Err("it has ended".to_owned()),
        },
    }
}

/// Begins an ordered pause, unpause or save of a domain that runs or is paused.
pub(super) fn next(f: &mut Facts) -> Option<Next> {
    let id = running(f).ok()?.id;
    let under_way = f.order.as_mut().filter(|o| !o.begun)?;
    let op = match under_way.given.order {
        Order::Pause => Op::Pause(id),
        Order::Unpause => Op::Unpause(id),
        Order::Save { .. } => Op::Save(id),
        _ => return None,
    };
    under_way.begun = true;
    Some(Next::Run(op))
}

/// Has the order tried again, because it could not be handed to Xen.
pub(super) fn not_begun(f: &mut Facts) {
    if let Some(under_way) = &mut f.order {
        under_way.begun = false;
    }
}

/// Handles the result of [`Op::Pause`].
pub(super) fn paused(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    // Another order may have come meanwhile.
    let Some(by) = f.order.as_ref().and_then(|o| o.is_begun(&Order::Pause)) else {
        return;
    };
    if let (Ok(()), Some(domain)) = (&result, &mut f.domain) {
        domain.paused_by = Some(by.to_owned());
        domain.life = Life::Paused;
    }
    over(cx, f, result);
}

/// Handles the result of [`Op::Save`].
pub(super) fn saved(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let begun = f.order.as_ref().filter(|o| o.begun);
    let asked = begun.and_then(|o| match o.given.order {
        Order::Save { until } => Some((o.given.by.clone(), until)),
        // Somebody has asked for something else meanwhile.
        _ => None,
    });
    let (by, until) = asked.clone().unwrap_or_default();
    saving::saved(cx, f, &by, until, &result);
    if let (Err(e), Some(_)) = (result, asked) {
        answer_with(cx, f, Answer::Failed(format!("it goes on running: {e}")));
    }
}

/// Handles the result of [`Op::Unpause`] for a domain that had run before. Returns whether an order asked for it.
pub(super) fn unpaused(cx: &mut Ctx, f: &mut Facts, result: &Result<(), Error>) -> bool {
    let ordered = f.order.as_ref();
    let ordered = ordered.is_some_and(|o| o.is_begun(&Order::Unpause).is_some());
    if let (true, Ok(()), Some(domain)) = (ordered, result, &mut f.domain) {
        domain.life = Life::Running;
    }
    if ordered {
        over(cx, f, result.clone());
    }
    ordered
}

/// Answers the order whose change has been made, or has failed.
pub(super) fn changed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    // Somebody may have asked for something else meanwhile.
    let ordered = f.order.as_ref().map(|o| &o.given.order);
    if matches!(ordered, Some(Order::Change(_))) {
        over(cx, f, result);
    }
}

fn over(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let answer = result.map_err(|e| e.to_string());
    answer_with(cx, f, answer.map_or_else(Answer::Failed, |()| Answer::Done));
}

fn answer_with(cx: &mut Ctx, f: &mut Facts, answer: Answer) {
    if let Some(under_way) = f.order.take() {
        cx.effects.push(Effect::Answer(under_way.given.id, answer));
    }
}

fn give_up(cx: &mut Ctx, f: &mut Facts, why: String) {
    answer_with(cx, f, Answer::Failed(why));
}

/// Answers the order under way if it has been worked off, or cannot be.
pub(super) fn settle(cx: &mut Ctx, f: &mut Facts) {
    let Some(under_way) = &f.order else { return };
    let runs = f.domain.as_ref().is_some_and(|d| d.started && !d.leftover) && f.halt.is_none();
    let answer = match under_way.given.order {
        Order::Start { .. } | Order::Restart | Order::Restore if f.boot_failed => {
            let why = f.error.as_ref().map(|(why, _)| why.clone());
            Answer::Failed(why.unwrap_or_else(|| "it did not boot".to_owned()))
        }
        Order::Start { .. } | Order::Restart | Order::Restore if f.ended => {
            let why = f.last_exit.as_deref().unwrap_or_default();
            Answer::Failed(format!("the domain ended: {why}"))
        }
        Order::Start { .. } | Order::Restart | Order::Restore if runs && !f.cycle && !f.stale => {
            Answer::Done
        }
        Order::Change(_) if f.changing.is_none() => Answer::Done,
        Order::Stop { .. } if f.domain.is_none() && f.clear => Answer::Done,
        Order::Save { .. } if f.domain.is_none() && f.clear => match &f.saved {
            Some(_) => Answer::Done,
            None => Answer::Failed("the domain ended before it was saved".to_owned()),
        },
        Order::Save { .. } if f.domain.as_ref().is_some_and(|d| d.saved) => return,
        Order::Pause | Order::Unpause | Order::Save { .. } => match running(f) {
            Ok(_) => return,
            Err(why) => Answer::Failed(why),
        },
        _ => return,
    };
    answer_with(cx, f, answer);
}

/// Ends holds, changes and orders made by hand, because a newer wish has come.
pub(super) fn wish_goes_before(cx: &mut Ctx, f: &mut Facts) {
    f.cycle = false;
    if let Some(hold) = f.hold.take() {
        cx.info(format!(
            "the DomainConfig is newer than what {} asked for by hand",
            hold.by
        ));
    }
    changing::wish_goes_before(cx, f);
    give_up(cx, f, "given up: the DomainConfig has changed".to_owned());
}

/// Treatment of copies that are not preserved, after the domain was brought down.
///
/// They survive a stop and a restart by an operator.
pub(super) fn copies_after_halt(f: &Facts) -> Copies {
    if f.cycle || f.hold.as_ref().is_some_and(|hold| !hold.run) {
        Copies::Keep
    } else {
        Copies::Fresh
    }
}

impl Hold {
    /// Description of the hold, for people.
    pub(super) fn words(&self) -> String {
        let (what, undo) = if self.run {
            ("started", "stop")
        } else {
            ("stopped", "start")
        };
        let boot = match self.until {
            Until::Started => "",
            Until::Boot => "the host is started again, ",
        };
        format!(
            "{what} by {}, until {boot}a `domainmgr {undo}` or a newer DomainConfig",
            self.by
        )
    }
}

impl UnderWay {
    /// Name of the user that gave the order, if it is `order` and has been handed to Xen.
    fn is_begun(&self, order: &Order) -> Option<&str> {
        (self.begun && self.given.order == *order).then_some(self.given.by.as_str())
    }
}

impl Domain {
    fn is_suspended(&self) -> bool {
        super::sibling::is_suspended(self.life)
    }
}
