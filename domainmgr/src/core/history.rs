//! The history of a domain, as a sequence of events.
//!
//! An event is the difference between the state at the last event and the present state. The record holds the state at
//! the last event, and is committed together with the event. So no event is lost or told twice, even if the agent ends.

use time::OffsetDateTime;

use super::context::Ctx;
use super::effect::Effect;
use super::event::Event;
use super::state::facts::Facts;
use super::state::told::Told;
use super::view;

impl Told {
    fn of(f: &Facts) -> Self {
        let exit = f.past.last_exit.clone();
        Self {
            state: view::state(f).word().to_owned(),
            domid: f.domain().map_or(0, |id| id.domid),
            exit: exit.map(|exit| (exit, f.past.last_action.clone().unwrap_or_default())),
            error: f
                .error
                .as_ref()
                .map(|(why, _)| why.clone())
                .unwrap_or_default(),
            held: f
                .orders
                .hold
                .as_ref()
                .map(|hold| hold.words())
                .unwrap_or_default(),
            changed: f.changes.words().join("; "),
        }
    }
}

/// Emits an event for each difference from the state at the last event.
pub(super) fn tell(cx: &mut Ctx, f: &mut Facts) {
    // At once: the record that no longer has the order is committed together with the event.
    if std::mem::take(&mut f.orders.untold) {
        if let Some(job) = &f.orders.last {
            let end = Event::of_job(job.ended.unwrap_or(cx.now.wall), f, job);
            cx.effects.push(Effect::Event(end));
        }
    }
    if !f.publishable() {
        return;
    }
    let now = Told::of(f);
    let before = std::mem::replace(&mut f.past.told, now.clone());
    if before == now {
        return;
    }
    let (at, name) = (cx.now.wall, f.name().unwrap_or_default());
    let domid = now.domid;
    let event = |what: &str, detail: String| {
        Effect::Event(Event {
            at,
            name: name.clone(),
            domid,
            what: what.to_owned(),
            detail,
        })
    };
    if (&before.state, before.domid) != (&now.state, now.domid) {
        let ended = now.exit.as_ref().filter(|_| before.exit != now.exit);
        let why = ended.map(|(exit, action)| match action.as_str() {
            "" => exit.clone(),
            action => format!("{exit}: {action}"),
        });
        cx.effects.push(event(&now.state, why.unwrap_or_default()));
    }
    if before.error != now.error && !now.error.is_empty() {
        cx.effects.push(event("error", now.error));
    }
    for (what, before, now) in [
        ("held", before.held, now.held),
        ("changed", before.changed, now.changed),
    ] {
        if before != now {
            let back = "taken back".to_owned();
            let words = if now.is_empty() { back } else { now };
            cx.effects.push(event(what, words));
        }
    }
}

impl Facts {
    /// Returns the last event of a domain: nothing is left of it.
    #[must_use]
    pub fn removed(&self, at: OffsetDateTime) -> Event {
        Event {
            at,
            name: self.name().unwrap_or_default(),
            domid: 0,
            what: "removed".to_owned(),
            detail: String::new(),
        }
    }
}
