//! The events that are shown and recorded, one line each, with the time since the beginning.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde_json::{Value, json};

/// All events so far.
pub(crate) struct Timeline {
    begin: Instant,
    events: Mutex<Vec<Event>>,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    pub(crate) what: What,
}

/// The kinds of events.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A heading of the story.
    Heading(String),
    /// A DomainStatus has changed. `line` is for people.
    Status {
        name: String,
        state: String,
        domid: u64,
        line: String,
    },
    /// A DomainStatus has disappeared.
    Gone { name: String },
    /// The emulator has reset a guest. Neither the guest nor the demo has caused it.
    Reset { name: String, text: String },
    /// A guest has done something that nobody asked for.
    Wrong { name: String, text: String },
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self {
            begin: Instant::now(),
            events: Mutex::default(),
        }
    }

    /// Adds a heading of the story.
    pub(crate) fn say(&self, text: &str) {
        self.add(What::Heading(text.to_owned()));
    }

    /// Prints and records an event.
    pub(crate) fn add(&self, what: What) {
        let at = self.begin.elapsed().as_secs_f64();
        let event = Event { at, what };
        println!("{}", event.line());
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    /// Seconds since the beginning.
    pub(crate) fn now(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Returns all events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the last domain of an application other than its current one, or the current one if there was no
    /// other. 0 if it had none.
    pub(crate) fn domain_before(&self, app: &str) -> u64 {
        let domids: Vec<u64> = self
            .events()
            .iter()
            .filter_map(|event| match &event.what {
                What::Status { name, domid, .. } if name == app => Some(*domid),
                _ => None,
            })
            .collect();
        let now = domids.last().copied();
        domids
            .into_iter()
            .rev()
            .find(|domid| *domid != 0 && Some(*domid) != now)
            .or(now)
            .unwrap_or(0)
    }

    /// Writes all events to a file, for the picture.
    pub(crate) fn save(&self, path: &Path) {
        let events: Vec<Value> = self.events().iter().map(Event::to_json).collect();
        let text = json!({ "end": self.now(), "events": events }).to_string();
        fs::write(path, text).expect("the record of the demo can be written");
    }
}

impl Event {
    /// Returns the name of the domain concerned.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.what {
            What::Heading(_) => None,
            What::Status { name, .. }
            | What::Gone { name }
            | What::Reset { name, .. }
            | What::Wrong { name, .. } => Some(name),
        }
    }

    /// Returns the line that is printed.
    pub(crate) fn line(&self) -> String {
        let at = self.at;
        match &self.what {
            What::Heading(text) => format!("{at:>6.1} s  == {text}"),
            What::Status { name, line, .. } => format!("{at:>6.1} s     {name:<10} {line}"),
            What::Gone { name } => format!("{at:>6.1} s     {name:<10} (its DomainStatus is gone)"),
            What::Reset { name, text } | What::Wrong { name, text } => {
                format!("{at:>6.1} s     {name:<10} ({text})")
            }
        }
    }

    fn to_json(&self) -> Value {
        let at = self.at;
        match &self.what {
            What::Heading(text) => json!({ "at": at, "kind": "heading", "text": text }),
            What::Status {
                name, state, domid, ..
            } => {
                json!({ "at": at, "kind": "status", "name": name, "state": state, "domid": domid })
            }
            What::Gone { name } => json!({ "at": at, "kind": "gone", "name": name }),
            What::Reset { name, text } => {
                json!({ "at": at, "kind": "reset", "name": name, "text": text })
            }
            What::Wrong { name, text } => {
                json!({ "at": at, "kind": "wrong", "name": name, "text": text })
            }
        }
    }
}
