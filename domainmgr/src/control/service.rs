//! The methods of the interface.

use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;
use varlink::{Call, CallTrait, Reply, Request};

use super::board::{Board, Change};
use super::names::{self, Lost};
use super::wire::{
    Changed, Complaint, Domain, Event, Events, Listed, Named, Ordered, Shown, Since, Watch,
};
use super::{INTERFACE, NAME};
use crate::core::{Answer, Order};
use crate::eve::DomainStatus;
use crate::journal::{Journal, PAGE, Page};

/// How long a client may be gone before that is noticed, if there is nothing to tell it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the client has closed its end.
pub(super) type HasLeft = Box<dyn Fn() -> bool + Send + Sync>;

/// A client is being served.
pub(super) struct Busy(pub(super) Box<dyn FnMut()>);

impl Drop for Busy {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// What one client is served.
pub(super) struct Service {
    pub(super) board: Arc<Board>,
    /// Not there if it is damaged.
    pub(super) journal: Option<Journal>,
    /// Who the client is, for people.
    pub(super) client: String,
    pub(super) has_left: HasLeft,
    /// Takes note that the client is being served, until what it returns is dropped.
    pub(super) begin: Box<dyn Fn() -> Busy + Send + Sync>,
}

/// An error of the interface.
struct Bad {
    error: &'static str,
    what: Complaint,
}

type Done<T> = Result<T, Bad>;

impl varlink::Interface for Service {
    fn get_description(&self) -> &'static str {
        INTERFACE
    }

    fn get_name(&self) -> &'static str {
        NAME
    }

    fn call_upgraded(&self, _: &mut Call, _: &mut dyn BufRead) -> varlink::Result<Vec<u8>> {
        // Nothing is ever upgraded.
        Ok(Vec::new())
    }

    fn call(&self, call: &mut Call) -> varlink::Result<()> {
        if !call.is_oneway() {
            return self.answer(call);
        }
        // Whatever would be said is said to nobody.
        let Some(request) = call.request else {
            return Ok(());
        };
        let quiet = Request {
            more: None,
            ..request.clone()
        };
        self.answer(&mut Call::new(&mut std::io::sink(), &quiet))
    }
}

impl Service {
    fn answer(&self, call: &mut Call) -> varlink::Result<()> {
        let Some(request) = call.request else {
            return Ok(());
        };
        let _busy = (self.begin)();
        let method = request.method.strip_prefix(NAME).unwrap_or_default();
        let method = method.trim_start_matches('.').to_owned();
        let parameters = request.parameters.clone();
        match method.as_str() {
            "List" => self.list(call),
            "Show" => match arguments::<Named>(call, parameters, &[])? {
                Some(named) => self.show(call, &named.name),
                None => Ok(()),
            },
            "Watch" => match arguments::<Watch>(call, parameters, &[])? {
                Some(watch) => self.watch(call, watch.name.as_deref()),
                None => Ok(()),
            },
            "Events" => match arguments::<Since>(call, parameters, &[])? {
                Some(since) => self.events(call, &since),
                None => Ok(()),
            },
            "Start" | "Stop" | "Restart" | "Pause" | "Unpause" => {
                let own: &[&str] = match method.as_str() {
                    "Start" => &["anyway"],
                    "Stop" => &["destroy"],
                    _ => &[],
                };
                let Some(named) = arguments::<Named>(call, parameters, own)? else {
                    return Ok(());
                };
                let order = match method.as_str() {
                    "Start" => Order::Start {
                        anyway: named.anyway.unwrap_or_default(),
                    },
                    "Stop" => Order::Stop {
                        destroy: named.destroy.unwrap_or_default(),
                    },
                    "Restart" => Order::Restart,
                    "Pause" => Order::Pause,
                    _ => Order::Unpause,
                };
                self.order(call, &named.name, order)
            }
            _ => call.reply_method_not_found(method),
        }
    }
}

/// The parameters, if they are right; otherwise the client has been told. `own` are those of [`Named`] that this method has.
fn arguments<T: DeserializeOwned>(
    call: &mut Call,
    parameters: Option<Value>,
    own: &[&str],
) -> varlink::Result<Option<T>> {
    let parameters = parameters.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let foreign = ["anyway", "destroy"].into_iter().find(|field| {
        let given = parameters.get(field).is_some_and(|v| !v.is_null());
        given && !own.contains(field)
    });
    if let Some(field) = foreign {
        call.reply_invalid_parameter(field.to_owned())?;
        return Ok(None);
    }
    match serde_path_to_error::deserialize(parameters) {
        Ok(found) => Ok(Some(found)),
        Err(e) => {
            let path = e.path().to_string();
            // What is missing has no path of its own.
            let name = match path.as_str() {
                "." => e.inner().to_string(),
                _ => path,
            };
            call.reply_invalid_parameter(name)?;
            Ok(None)
        }
    }
}

fn reply<T: Serialize>(call: &mut Call, continues: bool, what: &T) -> varlink::Result<()> {
    let parameters = serde_json::to_value(what).map_err(varlink::map_context!())?;
    call.set_continues(continues);
    call.reply_struct(Reply::parameters(Some(parameters)))
}

fn complain(call: &mut Call, bad: Bad) -> varlink::Result<()> {
    let parameters = serde_json::to_value(bad.what).map_err(varlink::map_context!())?;
    call.set_continues(false);
    let name = format!("{NAME}.{}", bad.error);
    call.reply_struct(Reply::error(name, Some(parameters)))
}

impl Service {
    /// The domain that `name` stands for. When the agent has just started, it may not have said yet which there are.
    fn find(&self, name: &str) -> Done<(Uuid, Arc<DomainStatus>)> {
        let (_, watcher) = self.board.watch(None);
        let end = Instant::now() + PATIENCE;
        loop {
            let complete = self.board.is_complete();
            let all = self.board.all();
            let complaint = |error, keys: &[Uuid]| {
                let what = Complaint {
                    name: Some(name.to_owned()),
                    uuids: keys.iter().map(Uuid::to_string).collect(),
                    ..Complaint::default()
                };
                Err(Bad { error, what })
            };
            let rest = end.saturating_duration_since(Instant::now());
            match names::find(&all, name) {
                Ok(key) => {
                    let found = all.into_iter().find(|(other, _)| *other == key);
                    return found.map_or_else(|| complaint("NoSuchDomain", &[]), Ok);
                }
                Err(Lost::Several(keys)) => return complaint("SeveralDomains", &keys),
                Err(Lost::Nobody) if complete || rest.is_zero() => {
                    return complaint("NoSuchDomain", &[]);
                }
                // Whatever is said next may be it.
                Err(Lost::Nobody) => drop(watcher.next(rest)),
            }
        }
    }

    fn list(&self, call: &mut Call) -> varlink::Result<()> {
        let mut all = self.board.all();
        all.sort_by(|(_, a), (_, b)| (a.app_num, &a.domain_name).cmp(&(b.app_num, &b.domain_name)));
        let domains = all.iter().map(|(_, s)| Domain::from(s.as_ref())).collect();
        reply(call, false, &Listed { domains })
    }

    fn show(&self, call: &mut Call, name: &str) -> varlink::Result<()> {
        match self.find(name) {
            Err(bad) => complain(call, bad),
            Ok((_, status)) => {
                let shown = Shown {
                    domain: Domain::from(status.as_ref()),
                    status: serde_json::to_value(status.as_ref())
                        .map_err(varlink::map_context!())?,
                };
                reply(call, false, &shown)
            }
        }
    }

    fn watch(&self, call: &mut Call, name: Option<&str>) -> varlink::Result<()> {
        let only = match name.map(|name| self.find(name)).transpose() {
            Err(bad) => return complain(call, bad),
            Ok(found) => found.map(|(key, _)| key),
        };
        let (known, watcher) = self.board.watch(only);
        let more = call.wants_more();
        for status in known {
            reply(call, more, &changed(&Change::Status(status)))?;
            if !more {
                return Ok(());
            }
        }
        if !more {
            return reply(call, false, &Changed::default());
        }
        while !(self.has_left)() {
            if let Some(change) = watcher.next(PATIENCE) {
                reply(call, true, &changed(&change))?;
            }
        }
        Ok(())
    }

    fn events(&self, call: &mut Call, since: &Since) -> varlink::Result<()> {
        let known = since.name.as_deref().map(|name| {
            // Nothing but its events may be left of it.
            let found = self.find(name).map(|(key, _)| key);
            found.or_else(|bad| name.parse::<Uuid>().map_err(|_| bad))
        });
        let key = match known.transpose() {
            Err(bad) => return complain(call, bad),
            Ok(key) => key,
        };
        let failed = |reason: String| Bad {
            error: "Failed",
            what: Complaint {
                name: Some(since.name.clone().unwrap_or_default()),
                reason: Some(reason),
                ..Complaint::default()
            },
        };
        let Some(journal) = &self.journal else {
            return complain(call, failed("the journal is damaged".to_owned()));
        };
        // Before the first look: nothing is missed in between.
        let news = journal.follow();
        let more = call.wants_more();
        let follow = more && since.follow == Some(true);
        let mut after = since.after.unwrap_or_default();
        while !(self.has_left)() {
            let page = match journal.events(after, key) {
                Ok(page) => page,
                Err(why) => return complain(call, failed(why)),
            };
            let full = page.events.len() == PAGE;
            let silent = page.events.is_empty();
            after = page.events.last().map_or(after, |(seq, ..)| *seq);
            let last = !more || !(full || follow);
            if last || !silent {
                reply(call, !last, &wired(page))?;
            }
            if last {
                return Ok(());
            }
            if !full {
                // Whatever it says, it is time to look again.
                news.wait(PATIENCE);
            }
        }
        Ok(())
    }

    fn order(&self, call: &mut Call, name: &str, order: Order) -> varlink::Result<()> {
        let (key, status) = match self.find(name) {
            Err(bad) => return complain(call, bad),
            Ok(found) => found,
        };
        let Some(desk) = self.board.desk(key) else {
            return complain(call, bad("Refused", &status, "it is just being forgotten"));
        };
        // Before the order: no change that follows from it is missed.
        let (_, watcher) = self.board.watch(Some(key));
        let answers = desk.order(order, self.client.clone());
        let more = call.wants_more();
        let mut accepted = false;
        while !(self.has_left)() {
            select! {
                recv(answers) -> answer => {
                    let lost = "its thread has ended, and nobody knows what came of it";
                    match answer.unwrap_or_else(|_| Answer::Failed(lost.to_owned())) {
                        Answer::Accepted => {
                            accepted = true;
                            reply(call, more, &self.ordered(key, &status, false))?;
                            if !more {
                                return Ok(());
                            }
                        }
                        Answer::Done => return reply(call, false, &self.ordered(key, &status, true)),
                        Answer::Refused(why) => {
                            return complain(call, bad("Refused", &status, &why));
                        }
                        Answer::Failed(why) => return complain(call, bad("Failed", &status, &why)),
                    }
                }
                recv(watcher.queue()) -> change => {
                    if let (true, Ok(Change::Status(status))) = (accepted, change) {
                        let domain = Domain::from(status.as_ref());
                        reply(call, more, &Ordered { domain, done: false })?;
                    }
                }
                default(PATIENCE) => {}
            }
        }
        // It is worked off all the same.
        Ok(())
    }

    fn ordered(&self, key: Uuid, before: &DomainStatus, done: bool) -> Ordered {
        let now = self.board.one(key);
        Ordered {
            domain: Domain::from(now.as_deref().unwrap_or(before)),
            done,
        }
    }
}

fn bad(error: &'static str, status: &DomainStatus, why: &str) -> Bad {
    Bad {
        error,
        what: Complaint {
            name: Some(status.domain_name.clone()),
            reason: Some(why.to_owned()),
            ..Complaint::default()
        },
    }
}

fn wired(page: Page) -> Events {
    let events = page.events.into_iter();
    Events {
        events: events
            .map(|(seq, key, event)| Event {
                seq,
                at: event.at,
                uuid: key.to_string(),
                name: event.name,
                domid: (event.domid != 0).then_some(event.domid),
                what: event.what,
                detail: event.detail,
            })
            .collect(),
        gap: page.gap,
    }
}

fn changed(change: &Change) -> Changed {
    match change {
        Change::Status(status) => Changed {
            domain: Some(Domain::from(status.as_ref())),
            ..Changed::default()
        },
        Change::Gone(key) => Changed {
            gone: Some(key.to_string()),
            ..Changed::default()
        },
        Change::Missed(count) => Changed {
            missed: Some(*count),
            ..Changed::default()
        },
    }
}
