//! The history of a domain, as a sequence of events.
//!
//! An event is the difference between what was told last and what is now. The record has what was told, and is committed
//! together with the event: none is lost, and none is told twice, whatever becomes of the agent.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::facts::Facts;
use super::view;
use super::{Ctx, Effect};

/// Something that became of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was noticed.
    pub at: OffsetDateTime,
    /// The domain's name.
    pub name: String,
    /// Its number in Xen; 0 if there is none.
    pub domid: u32,
    /// A state, as DomainStatus has it in `StateName`; or `error`, `held`, `changed`, `removed`.
    pub what: String,
    /// Words: why, by whom.
    pub detail: String,
}

/// State at the last event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    state: String,
    domid: u32,
    exit: Option<(String, String)>,
    error: String,
    held: String,
    changed: String,
}

impl Told {
    fn of(f: &Facts) -> Self {
        let exit = f.last_exit.clone();
        Self {
            state: view::state(f).1.to_owned(),
            domid: f.domain().map_or(0, |id| id.domid),
            exit: exit.map(|exit| (exit, f.last_action.clone().unwrap_or_default())),
            error: f
                .error
                .as_ref()
                .map(|(why, _)| why.clone())
                .unwrap_or_default(),
            held: f.hold.as_ref().map(|hold| hold.words()).unwrap_or_default(),
            changed: f.changes.words().join("; "),
        }
    }
}

/// Tells what is different from what was told last.
pub(super) fn tell(cx: &mut Ctx, f: &mut Facts) {
    if !f.publishable() {
        return;
    }
    let now = Told::of(f);
    let before = std::mem::replace(&mut f.told, now.clone());
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
    /// The last event of all: nothing is left of the domain.
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
