//! Receives domains from other hosts: finds or makes the worker of each, and gives it the order to receive.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::bounded;
use uuid::Uuid;

use super::arrivals::Fate;
use super::env::{Env, Report};
use crate::base::abort::AbortToken;
use crate::core::{Answer, Order};
use crate::frontends::arrived::Arrived;
use crate::frontends::control::{Coming, Reception};
use crate::frontends::inputs::Home;
use crate::host::remote::Question;
use crate::spec::Spec;
use crate::toolstack::{Arriving, Limits, Peer};

/// Time in which all of a domain has to come.
const TRANSFER: Duration = Duration::from_secs(4 * 3600);
/// Time that the main thread gets to start a worker, and a new worker to look around.
const START: Duration = Duration::from_secs(30);
/// Time in which a migration that is asked for has to come to an end.
const DECISION: Duration = Duration::from_secs(20);
/// Number of results that are kept for those who ask.
const RESULTS: usize = 64;

type Outcome = Result<Uuid, String>;

#[derive(Debug, Default)]
struct Results {
    all: HashMap<Uuid, Option<Outcome>>,
    order: VecDeque<Uuid>,
}

/// Receives domains from other hosts.
#[derive(Debug)]
pub struct Receptionist {
    env: Arc<Env>,
    results: Mutex<Results>,
    changed: Condvar,
}

impl Receptionist {
    /// Returns one that has received nothing yet.
    #[must_use]
    pub fn new(env: Arc<Env>) -> Self {
        Self {
            env,
            results: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn note(&self, token: Uuid, outcome: Option<Outcome>) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.all.insert(token, outcome).is_none() {
            results.order.push_back(token);
        }
        while results.order.len() > RESULTS {
            let oldest = results.order.pop_front();
            oldest.map(|oldest| results.all.remove(&oldest));
        }
        drop(results);
        self.changed.notify_all();
    }

    fn receive_now(&self, peer: Peer, coming: Coming, by: &str) -> Outcome {
        let env = &self.env;
        let limits = Limits {
            abort: AbortToken::new(),
            deadline: Some(TRANSFER),
            urgent: true,
        };
        let arriving = env.toolstack.arriving(peer, &limits).map_err(|e| {
            // A sender that has asked meanwhile, and has heard that the domain may not come, ends like this.
            log::info!("a sender ended before a domain came: {e}");
            e.to_string()
        })?;
        let spec = arriving.spec().map_err(|e| e.to_string());
        let outcome = spec.and_then(|spec| self.take_in(arriving, spec, coming, limits.abort, by));
        if let Err(why) = &outcome {
            log::warn!("a domain from another host is not received: {why}");
        }
        outcome
    }

    /// Receives a domain whose configuration has come.
    fn take_in(
        &self,
        arriving: Box<dyn Arriving>,
        spec: Spec,
        coming: Coming,
        abort: AbortToken,
        by: &str,
    ) -> Outcome {
        let (env, token) = (&self.env, coming.token);
        let (key, name) = (spec.uuid, spec.name.clone());
        log::info!(key:% = key; "{name} comes from another host, by {by}");
        if !env.arrivals.put(token, arriving, abort) {
            return Err(format!(
                "{name}: there was a migration with the number {token} before"
            ));
        }
        let outcome = self.order(coming, spec, by);
        env.arrivals.over(token);
        outcome
            .map(|()| key)
            .map_err(|why| format!("{name}: {why}"))
    }

    /// Has the worker of the key receive its domain, and waits until it has.
    fn order(&self, coming: Coming, spec: Spec, by: &str) -> Result<(), String> {
        let env = &self.env;
        let key = spec.uuid;
        let lost = "the agent is ending";
        let order = Order::Receive {
            spec: Arc::new(spec.clone()),
            token: coming.token,
            until: coming.until,
        };
        if env.board.worker(key).is_none() {
            env.inputs.arrive(key, Arc::new(Arrived { spec }));
            let (done, started) = bounded(1);
            let report = Report::Arrives(key, done);
            env.reports.send(report).map_err(|_| lost.to_owned())?;
            started.recv_timeout(START).map_err(|_| lost.to_owned())?;
        }
        let worker = env.board.worker(key);
        let Some(worker) = worker else {
            if env.inputs.home(key) == Home::Arrived {
                env.inputs.forget(key);
            }
            return Err("there is no thread for it".to_owned());
        };
        let (_, answers) = worker.order(&order, by.to_owned());
        loop {
            match answers.recv() {
                Ok(Answer::Accepted) => {}
                Ok(Answer::Done) => return Ok(()),
                Ok(Answer::Refused(why) | Answer::Failed(why)) => return Err(why),
                Err(_) => return Err(lost.to_owned()),
            }
        }
    }
}

impl Reception for Receptionist {
    fn receive(&self, peer: Peer, coming: Coming, by: &str) -> Outcome {
        let token = coming.token;
        self.note(token, None);
        let outcome = self.receive_now(peer, coming, by);
        self.note(token, Some(outcome.clone()));
        outcome
    }

    fn result(&self, token: Uuid) -> Outcome {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_while(results, |results| results.all.get(&token) == Some(&None));
        let results = waited.unwrap_or_else(PoisonError::into_inner);
        let known = results.all.get(&token).cloned().flatten();
        known.unwrap_or_else(|| Err("nothing is known of this migration".to_owned()))
    }

    fn refusals(&self, question: &Question) -> Vec<String> {
        let host = self
            .env
            .toolstack
            .session()
            .and_then(|mut session| session.host());
        match host {
            Ok(host) => question.refusals(&host),
            Err(e) => vec![format!("Xen: {e}")],
        }
    }

    fn fate(&self, token: Uuid) -> &'static str {
        // Only the workers know what came before this run of the agent.
        if !self.env.board.wait_until_complete(START) {
            return "pending";
        }
        match self.env.arrivals.fate(token, DECISION) {
            Fate::Runs => "runs",
            Fate::Never => "never",
            Fate::Pending => "pending",
        }
    }
}
