//! The methods of the interface.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use varlink::{Call, CallTrait, Reply, Request};

use super::broadcast::Broadcast;
use super::connection::Connection;
use super::interface::{INTERFACE, NAME};
use super::names::{self, Lost};
use super::reception::{Reception, Upgraded};
use super::saved_files::SavedFiles;
use super::wire::{
    Agent, AgentShown, Cancel, Complaint, Domain, Figured, Listed, Named, Ordered, Shown, Since,
    Start, Stop, Watch, Work,
};
use crate::base::queue::Queues;
use crate::core::{Answer, Order, Until};
use crate::frontends::board::{Board, Change};
use crate::frontends::eve::DomainStatus;
use crate::frontends::metrics::{Figures, exposition, process};
use crate::frontends::xl::Hosts;
use crate::journal::Journal;

/// Interval at which a client is checked for having left, while there is nothing to send to it.
pub(super) const PATIENCE: Duration = Duration::from_secs(if cfg!(fuzzing) { 0 } else { 5 });

/// Sources of everything that clients are shown.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The domains.
    pub board: Arc<Board>,
    /// The history; `None` if the journal is damaged.
    pub journal: Option<Journal>,
    /// The last measurement.
    pub figures: Arc<Figures>,
    /// The queues of operations.
    pub queues: Arc<Queues>,
    /// The facts on which the meaning of xl's language depends.
    pub hosts: Arc<Hosts>,
    /// Reads whose memory a file holds.
    pub saved_files: SavedFiles,
    /// Receives domains from other hosts.
    pub reception: Arc<dyn Reception>,
    /// Time at which the agent was started.
    pub since: OffsetDateTime,
}

impl Sources {
    /// Returns the figures in the format of Prometheus.
    ///
    /// # Errors
    /// A figure cannot be represented, which is a bug in this program.
    pub fn figures(&self) -> Result<String, String> {
        let transactions = self.journal.as_ref().map(Journal::transactions);
        let sys = Path::new("/sys");
        exposition::text(&self.board, &self.figures, &self.queues, transactions, sys)
    }
}

/// The service for one client.
pub(super) struct Service {
    pub(super) sources: Sources,
    /// Name of the client's user.
    pub(super) client: String,
    /// The client is root.
    pub(super) is_root: bool,
    pub(super) connection: Connection,
    pub(super) broadcast: Arc<Broadcast>,
    /// The migration for which the connection was upgraded.
    pub(super) upgraded: Upgraded,
}

/// An error of the interface.
pub(super) struct Bad {
    pub(super) error: &'static str,
    pub(super) what: Complaint,
}

pub(super) type Done<T> = Result<T, Bad>;

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
        // Replies are discarded.
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
        let _busy = self.connection.busy();
        let method = request.method.strip_prefix(NAME).unwrap_or_default();
        let method = method.trim_start_matches('.').to_owned();
        let parameters = request.parameters.clone();
        match method.as_str() {
            "List" => self.list(call),
            "Show" => with(call, parameters, |call, named: Named| {
                self.show(call, &named.name)
            }),
            "Agent" => self.agent(call),
            "Metrics" => self.metrics(call),
            "Watch" => with(call, parameters, |call, watch: Watch| {
                self.watch(call, watch.name.as_deref())
            }),
            "Jobs" => with(call, parameters, |call, of: Watch| {
                self.jobs(call, of.name.as_deref())
            }),
            "Cancel" => with(call, parameters, |call, cancel: Cancel| {
                self.cancel(call, cancel.job)
            }),
            "Events" => with(call, parameters, |call, since: Since| {
                self.events(call, &since)
            }),
            _ => self.verb(call, method, parameters),
        }
    }

    /// Serves a method that gives an order.
    fn verb(
        &self,
        call: &mut Call,
        method: String,
        parameters: Option<Value>,
    ) -> varlink::Result<()> {
        match method.as_str() {
            "Start" => with(call, parameters, |call, start: Start| {
                let order = Order::Start {
                    anyway: start.anyway.unwrap_or_default(),
                    fresh: start.fresh.unwrap_or_default(),
                    until: until(start.boot),
                };
                self.order(call, &start.name, &order)
            }),
            "Stop" => with(call, parameters, |call, stop: Stop| {
                let order = Order::Stop {
                    destroy: stop.destroy.unwrap_or_default(),
                    until: until(stop.boot),
                };
                self.order(call, &stop.name, &order)
            }),
            "Restart" => with(call, parameters, |call, named: Named| {
                self.order(call, &named.name, &Order::Restart)
            }),
            "Save" => with(call, parameters, |call, save| self.save(call, save)),
            "Restore" => with(call, parameters, |call, restore| {
                self.restore(call, restore)
            }),
            "DumpCore" => with(call, parameters, |call, dump| self.dump_core(call, dump)),
            "Migrate" => with(call, parameters, |call, migrate| {
                self.migrate(call, &migrate)
            }),
            "Resolve" => with(call, parameters, |call, named: Named| {
                self.order(call, &named.name, &Order::Resolve)
            }),
            "Forget" => with(call, parameters, |call, named: Named| {
                self.order(call, &named.name, &Order::Forget)
            }),
            "Receive" => with(call, parameters, |call, receive| {
                self.receive(call, &receive)
            }),
            "Received" => with(call, parameters, |call, receive| {
                self.received(call, &receive)
            }),
            "MayCome" => with(call, parameters, |call, asked| self.may_come(call, &asked)),
            "Outcome" => with(call, parameters, |call, receive| {
                self.outcome(call, &receive)
            }),
            "Pause" => with(call, parameters, |call, named: Named| {
                self.order(call, &named.name, &Order::Pause)
            }),
            "Unpause" => with(call, parameters, |call, named: Named| {
                self.order(call, &named.name, &Order::Unpause)
            }),
            "Attach" => with(call, parameters, |call, attach| self.attach(call, &attach)),
            "Detach" => with(call, parameters, |call, detach| self.detach(call, &detach)),
            "Insert" => with(call, parameters, |call, insert| self.insert(call, insert)),
            "Eject" => with(call, parameters, |call, eject| self.eject(call, eject)),
            "Set" => with(call, parameters, |call, set| self.set(call, &set)),
            _ => call.reply_method_not_found(method),
        }
    }
}

/// Returns the end of a hold. With `boot`, the next start of the host is an end, too.
pub(super) fn until(boot: Option<bool>) -> Until {
    if boot == Some(true) {
        Until::Boot
    } else {
        Until::Started
    }
}

/// Serves a call if its parameters are valid; otherwise replies with the name of the invalid one.
fn with<T: DeserializeOwned>(
    call: &mut Call,
    parameters: Option<Value>,
    serve: impl FnOnce(&mut Call, T) -> varlink::Result<()>,
) -> varlink::Result<()> {
    let parameters = parameters.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    match serde_path_to_error::deserialize(parameters) {
        Ok(found) => serve(call, found),
        Err(e) => {
            let path = e.path().to_string();
            // A missing parameter has no path of its own.
            let name = match path.as_str() {
                "." => e.inner().to_string(),
                _ => path,
            };
            call.reply_invalid_parameter(name)
        }
    }
}

pub(super) fn reply<T: Serialize>(
    call: &mut Call,
    continues: bool,
    what: &T,
) -> varlink::Result<()> {
    let parameters = serde_json::to_value(what).map_err(varlink::map_context!())?;
    call.set_continues(continues);
    call.reply_struct(Reply::parameters(Some(parameters)))
}

pub(super) fn complain(call: &mut Call, bad: Bad) -> varlink::Result<()> {
    let parameters = serde_json::to_value(bad.what).map_err(varlink::map_context!())?;
    call.set_continues(false);
    let name = format!("{NAME}.{}", bad.error);
    call.reply_struct(Reply::error(name, Some(parameters)))
}

impl Service {
    fn agent(&self, call: &mut Call) -> varlink::Result<()> {
        let process = process::now();
        let work = self.sources.queues.iter().map(|(work, queue)| {
            let load = queue.load();
            Work {
                work: (*work).to_owned(),
                waiting: load.waiting as u64,
                under_way: load.under_way as u64,
                most: queue.most() as u64,
            }
        });
        let agent = Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.sources.since.format(&Rfc3339).unwrap_or_default(),
            domains: self.sources.board.all().len() as u64,
            clients: self.connection.clients() as u64,
            cpu: process.cpu.as_secs_f64(),
            memory: process.memory.map(|bytes| bytes >> 10),
            threads: process.threads,
            descriptors: process.descriptors,
            journal: self.sources.journal.is_some(),
            work: work.collect(),
        };
        reply(call, false, &AgentShown { agent })
    }

    fn metrics(&self, call: &mut Call) -> varlink::Result<()> {
        match self.sources.figures() {
            Ok(text) => reply(call, false, &Figured { text }),
            Err(reason) => complain(
                call,
                Bad {
                    error: "Failed",
                    what: Complaint {
                        reason: Some(reason),
                        ..Complaint::default()
                    },
                },
            ),
        }
    }

    /// Returns the domain that `name` stands for. Waits for the workers, which may not have published their domains yet if the
    /// agent has just started.
    pub(super) fn find(&self, name: &str) -> Done<(Uuid, Arc<DomainStatus>)> {
        let end = Instant::now() + PATIENCE;
        loop {
            // The subscription comes before the looks, so that no change is missed.
            let incomplete = !self.sources.board.is_complete();
            let watcher = incomplete.then(|| self.sources.board.watch(None).1);
            let watcher = watcher.filter(|_| !self.sources.board.is_complete());
            let all = self.sources.board.all();
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
                Err(Lost::Nobody) => match watcher {
                    Some(watcher) if !rest.is_zero() => drop(watcher.next(rest)),
                    _ => return complaint("NoSuchDomain", &[]),
                },
            }
        }
    }

    /// Returns the status of every domain. Waits for the workers, which may not have published theirs yet if the agent has just
    /// started.
    pub(super) fn all(&self) -> Vec<(Uuid, Arc<DomainStatus>)> {
        // A worker that is stuck keeps nobody from seeing the others.
        let _ = self.sources.board.wait_until_complete(PATIENCE);
        self.sources.board.all()
    }

    fn list(&self, call: &mut Call) -> varlink::Result<()> {
        let mut all = self.all();
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

    pub(super) fn order(&self, call: &mut Call, name: &str, order: &Order) -> varlink::Result<()> {
        let (key, status) = match self.find(name) {
            Err(bad) => return complain(call, bad),
            Ok(found) => found,
        };
        let Some(worker) = self.sources.board.worker(key) else {
            return complain(call, bad("Refused", &status, "it is just being forgotten"));
        };
        // The subscription comes before the order, so that no change that follows from the order is missed.
        let (_, watcher) = self.sources.board.watch(Some(key));
        let (job, answers) = worker.order(order, self.client.clone());
        let more = call.wants_more();
        let mut accepted = false;
        while !self.connection.has_left() {
            select! {
                recv(answers) -> answer => {
                    let lost = "its thread has ended, and nobody knows what came of it";
                    match answer.unwrap_or_else(|_| Answer::Failed(lost.to_owned())) {
                        Answer::Accepted => {
                            accepted = true;
                            reply(call, more, &self.ordered(key, &status, job, false))?;
                            if !more {
                                return Ok(());
                            }
                        }
                        Answer::Done => return reply(call, false, &self.ordered(key, &status, job, true)),
                        Answer::Refused(why) => {
                            return complain(call, bad("Refused", &status, &why));
                        }
                        Answer::Failed(why) => return complain(call, bad("Failed", &status, &why)),
                    }
                }
                recv(watcher.queue()) -> change => {
                    if let (true, Ok(Change::Status(status))) = (accepted, change) {
                        reply(call, more, &Ordered::new(&status, job, false))?;
                    }
                }
                default(PATIENCE) => {}
            }
        }
        // The order is carried out even though the client has left.
        Ok(())
    }

    fn ordered(&self, key: Uuid, before: &DomainStatus, job: u64, done: bool) -> Ordered {
        let now = self.sources.board.one(key);
        Ordered::new(now.as_deref().unwrap_or(before), job, done)
    }
}

/// An order that is refused before it reaches a worker.
pub(super) fn refused(name: &str, reason: String) -> Bad {
    Bad {
        error: "Refused",
        what: Complaint {
            name: Some(name.to_owned()),
            reason: Some(reason),
            ..Complaint::default()
        },
    }
}

pub(super) fn bad(error: &'static str, status: &DomainStatus, why: &str) -> Bad {
    Bad {
        error,
        what: Complaint {
            name: Some(status.domain_name.clone()),
            reason: Some(why.to_owned()),
            ..Complaint::default()
        },
    }
}
