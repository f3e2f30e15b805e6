//! Receiving a domain from another host, by its order.
//!
//! The guest belongs to its source until the source says GO. The record says that it has, before the guest runs here.

use std::sync::Arc;

use uuid::Uuid;

use super::answers;
use super::boot;
use super::context::{Ctx, Next};
use super::effect::Effect;
use super::input::Built;
use super::op::Op;
use super::state::domain::Domain;
use super::state::facts::Facts;
use super::state::moving::Arrival;
use super::state::names::incoming;
use super::state::order::{Answer, Hold, Order, Until};
use super::state::phase::{Phase, Unstarted};
use crate::base::time::Time;
use crate::spec::Spec;
use crate::toolstack::{DomainId, Error, Life};

/// Returns the next step for a key whose domain is about to come from elsewhere.
pub(super) fn next(f: &mut Facts, now: Time) -> Option<Next> {
    let under_way = f.orders.under_way.as_ref().filter(|o| !o.begun)?;
    let Order::Receive { spec, token, .. } = &under_way.given.order else {
        return None;
    };
    let op = Op::Receive(Arc::clone(spec), *token);
    if !f.looks.clear {
        f.looks.wide = true;
        return Some(match f.looks.backoff.waiting(now) {
            Some(at) => Next::Wait(Some(at)),
            None => Next::Run(Op::Look(super::op::Scope::All)),
        });
    }
    if let Some(under_way) = &mut f.orders.under_way {
        under_way.begun = true;
    }
    Some(Next::Run(op))
}

/// Handles the result of [`Op::Receive`]: the domain is here, paused.
pub(super) fn received(
    cx: &mut Ctx,
    f: &mut Facts,
    spec: Arc<Spec>,
    token: Uuid,
    result: Result<Built, Error>,
) {
    match result {
        Ok(built) => here(cx, f, spec, built, token),
        Err(e) => {
            boot::may_have_left_as(f, incoming(&spec.name));
            failed(cx, f, &e);
        }
    }
}

/// Takes note of a domain that was received from another host, and is paused.
fn here(cx: &mut Ctx, f: &mut Facts, spec: Arc<Spec>, built: Built, token: Uuid) {
    let id = built.id;
    f.past.has_run = true;
    f.looks.stale = false;
    let domain = Domain {
        memory_kib: built.memory_kib,
        doubts: built.doubts,
        name: Some(incoming(&spec.name)),
        spec: Some(spec),
        ..Domain::new(id, Life::Paused, cx.now.mono)
    };
    f.phase.received(domain, Arrival::Waits(token));
    cx.info(format!("domain {id} received"));
    cx.effects.push(Effect::Watch(id));
}

/// Returns the next step for a domain that is here, and was not started here.
pub(super) fn with_domain(f: &Facts) -> Option<Next> {
    let (id, arrival) = arrival(f)?;
    Some(Next::Run(match arrival {
        Arrival::Waits(_) => Op::AwaitGo(id),
        Arrival::Granted(_) => Op::Land(id, f.name().unwrap_or_default()),
    }))
}

fn arrival(f: &Facts) -> Option<(DomainId, Arrival)> {
    match &f.phase {
        Phase::Built(domain, Unstarted { arrival, .. }) => Some((domain.id, (*arrival)?)),
        _ => None,
    }
}

/// Handles the result of [`Op::AwaitGo`]. From now on the guest is this host's.
pub(super) fn granted(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    if let Err(e) = result {
        f.phase.left_over(None);
        failed(cx, f, &e);
        return;
    }
    let Phase::Built(_, Unstarted { arrival, .. }) = &mut f.phase else {
        return;
    };
    let Some(token) = arrival.map(Arrival::token) else {
        return;
    };
    *arrival = Some(Arrival::Granted(token));
    f.past.arrived = Some(token);
    cx.info("the guest was given to this host");
}

/// Handles the result of [`Op::Land`].
pub(super) fn landed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    if let Err(e) = result {
        f.past.arrived = None;
        f.phase.left_over(None);
        failed(cx, f, &e);
        return;
    }
    f.moved = None;
    let given = f.orders.under_way.as_ref().map(|o| &o.given);
    let by = given.map(|given| given.by.clone());
    let until = given.map(|given| match given.order {
        Order::Receive { until, .. } => until,
        _ => Until::Started,
    });
    f.orders.hold = (!f.is_activated()).then(|| Hold {
        run: true,
        until: until.unwrap_or_default(),
        by: by.unwrap_or_default(),
        since: cx.now.wall,
    });
    boot::started(cx, f);
    answers::answer_received(cx, f, Answer::Done);
}

/// The domain is not received. Nothing is built in its place: it goes on elsewhere.
fn failed(cx: &mut Ctx, f: &mut Facts, why: &Error) {
    f.past.has_run = true;
    cx.warn(format!("the domain is not received: {why}"));
    answers::answer_received(cx, f, Answer::Failed(why.to_string()));
}

/// Knowledge of the last domain that came from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landed {
    /// It may still come to nothing.
    Pending,
    /// It runs here, or has run here.
    Runs,
}

impl Facts {
    /// Returns whether the guest that is being received is this host's.
    pub(super) fn is_granted(&self) -> bool {
        matches!(arrival(self), Some((_, Arrival::Granted(_))))
    }

    /// Returns the number of the last migration by which a domain has come here, and what is known of it.
    #[must_use]
    pub fn arrived(&self) -> Option<(Uuid, Landed)> {
        if let Some((_, arrival)) = arrival(self) {
            return Some((arrival.token(), Landed::Pending));
        }
        let under_way = self.orders.under_way.as_ref().filter(|o| o.begun);
        if let Some(Order::Receive { token, .. }) = under_way.map(|o| &o.given.order) {
            if self.past.arrived != Some(*token) {
                return Some((*token, Landed::Pending));
            }
        }
        self.past.arrived.map(|token| (token, Landed::Runs))
    }
}
