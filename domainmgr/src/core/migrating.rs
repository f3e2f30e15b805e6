//! Sending a domain to another host, by an operator's order.
//!
//! A guest belongs to exactly one host, and the record says to which before anything follows from it:
//!
//! * Until the record says that it was given away, it is this host's. Whatever fails, it goes on here.
//! * From then on it may run at the other host. It stays suspended here until the other side has said whether it does: by the
//!   connection, or when it is asked later.
//! * A guest that has moved is not built here again by any wish. Only an order can do that.

use std::sync::Arc;

use super::answers;
use super::context::{Ctx, Next};
use super::halting;
use super::op::Op;
use super::saving;
use super::state::backoff::Backoff;
use super::state::facts::Facts;
use super::state::moving::{Elsewhere, Moving, Word};
use super::state::order::{Answer, Order};
use super::state::phase::Phase;
use crate::host::remote::Destination;
use crate::toolstack::{Error, ErrorKind, HandedOver, Life};

/// Handles the result of [`Op::Send`]: the other side has everything, and waits for GO.
pub(super) fn sent(cx: &mut Ctx, f: &mut Facts, to: Arc<Destination>, result: Result<(), Error>) {
    let begun = f.orders.under_way.as_ref().filter(|o| o.begun);
    let by = begun
        .filter(|o| matches!(o.given.order, Order::Migrate { .. }))
        .filter(|o| o.cancel.is_none())
        .map(|o| o.given.by.clone());
    match (by, result) {
        (Some(by), Ok(())) => {
            let since = cx.now.wall;
            f.phase.given_away(Moving {
                to,
                by,
                since,
                unsaid: true,
                word: Word::Unheard,
                asking: Backoff::default(),
                silence: None,
            });
        }
        // Dropping the connection lets the guest go on.
        (None, Ok(())) => saving::failed(cx, f, &Error::new(ErrorKind::Aborted, "")),
        (by, Err(e)) => {
            saving::failed(cx, f, &e);
            let waits = f.orders.under_way.as_ref();
            let waits = waits.is_some_and(|o| matches!(o.given.order, Order::Migrate { .. }));
            if by.is_some() || waits {
                answers::answer_with(cx, f, Answer::Failed(format!("it goes on running: {e}")));
            }
        }
    }
}

/// Handles the result of [`Op::HandOver`].
pub(super) fn handed_over(cx: &mut Ctx, f: &mut Facts, result: HandedOver) {
    let Phase::GivenAway(domain, moving) = &mut f.phase else {
        return;
    };
    let (id, host) = (domain.id, moving.to.host.clone());
    moving.unsaid = false;
    let failure = match result {
        HandedOver::Moved => {
            moving.word = Word::Runs;
            cx.info(format!("the guest of domain {id} runs at {host}"));
            return;
        }
        HandedOver::Kept(e) => {
            came_back(cx, f, &e);
            format!("it goes on running: {e}")
        }
        HandedOver::GivenBack(e) => {
            came_back(cx, f, &e);
            format!("it goes on running: {host}: {e}")
        }
        HandedOver::Undecided(e) => {
            let text = format!("{host} has the guest, and has not said whether it runs there: {e}");
            cx.fail(f, text.clone());
            format!("{text}; it is suspended here until that is known")
        }
    };
    cx.warn(format!("migrating to {host}: {failure}"));
    answer(cx, f, Answer::Failed(failure));
}

/// The guest goes on here.
fn came_back(cx: &Ctx, f: &mut Facts, why: &Error) {
    f.phase.came_back();
    saving::failed(cx, f, why);
}

/// Handles the result of [`Op::Ask`].
pub(super) fn asked(cx: &mut Ctx, f: &mut Facts, result: Result<Elsewhere, Error>) {
    let Phase::GivenAway(_, moving) = &mut f.phase else {
        return;
    };
    let host = moving.to.host.clone();
    match result {
        Ok(Elsewhere::Runs) => {
            moving.word = Word::Runs;
            f.error = None;
            cx.info(format!("{host} says that the guest runs there"));
        }
        Ok(Elsewhere::Never) => {
            moving.word = Word::Never;
            cx.info(format!(
                "{host} says that the guest does not run there, and never will"
            ));
        }
        Err(e) => {
            moving.asking.fail(cx.now.mono);
            let news = moving.silence.as_ref() != Some(&e.message);
            moving.silence = Some(e.message.clone());
            if news {
                cx.warn(format!("what became of the guest is not known: {e}"));
            }
            let waits = f.orders.under_way.as_ref();
            if waits.is_some_and(|o| o.given.order == Order::Resolve) {
                answer(
                    cx,
                    f,
                    Answer::Failed(format!("it is not known where it runs: {e}")),
                );
            }
        }
    }
}

/// Handles the result of [`Op::TakeBack`].
pub(super) fn taken_back(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    match result {
        Ok(()) => {
            f.phase.came_back();
            if let Some(domain) = f.phase.domain_mut() {
                domain.life = Life::Running;
            }
            f.error = None;
        }
        Err(e) => {
            if let Phase::GivenAway(_, moving) = &mut f.phase {
                moving.asking.fail(cx.now.mono);
            }
            cx.fail(
                f,
                format!("the guest is this host's again, and cannot go on under its name: {e}"),
            );
        }
    }
}

/// Returns the next step for a guest that was given away.
pub(super) fn next(cx: &mut Ctx, f: &mut Facts) -> Option<Next> {
    let Phase::GivenAway(domain, moving) = &f.phase else {
        return None;
    };
    let (id, life, word) = (domain.id, domain.life, moving.word);
    let host = &moving.to.host;
    let waits = moving.asking.waiting(cx.now.mono);
    if !domain.is_suspended() && life != Life::Dying {
        if let Some(at) = waits {
            return Some(Next::Wait(Some(at)));
        }
        cx.warn(format!(
            "somebody has resumed domain {id}, which was given away to {host}: if it runs there as well, destroy one of the two"
        ));
        // It is still called as one that was given away.
        return Some(Next::Run(Op::TakeBack(id, f.name().unwrap_or_default())));
    }
    if moving.unsaid {
        return Some(Next::Run(Op::HandOver(id)));
    }
    Some(match (word, waits) {
        (Word::Runs, _) => halting::destroy(cx, f),
        (_, Some(at)) => Next::Wait(Some(at)),
        (Word::Never, None) => Next::Run(Op::TakeBack(id, f.name().unwrap_or_default())),
        (Word::Unheard, None) if moving.to.remembers() => {
            Next::Run(Op::Ask(id, Arc::clone(&moving.to)))
        }
        (Word::Unheard, None) => Next::Wait(None),
    })
}

/// Answers an order to migrate, or to find out what became of one.
fn answer(cx: &mut Ctx, f: &mut Facts, answer: Answer) {
    let waits = f.orders.under_way.as_ref().map(|o| &o.given.order);
    if matches!(waits, Some(Order::Migrate { .. } | Order::Resolve)) {
        answers::answer_with(cx, f, answer);
    }
}

/// Returns the reason why the domain cannot be sent elsewhere.
pub(super) fn refusal(f: &Facts) -> Option<String> {
    let devices = saving::has_devices(f);
    devices.then(|| {
        "it has devices of the host, which cannot go with it: stop it, or detach them".to_owned()
    })
}
