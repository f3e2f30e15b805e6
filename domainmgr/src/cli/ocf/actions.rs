//! The actions: each looks at the domain, asks `decide.rs`, and carries the decision out.

use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::agent::{Agent, Ending};
use super::cluster::{self, Fencing};
use super::decide::{self, Found, Silence, Start, Watched};
use super::parameters::Parameters;
use super::verdict::{Code, Verdict};
use crate::frontends::control::client::{ClientError, named};
use crate::frontends::control::wire;
use crate::frontends::eve::DomainStatus;

/// Pause before a domain that is on its way is looked at again.
const AGAIN: Duration = Duration::from_millis(200);

/// The resource of one domain.
pub(super) struct Resource {
    parameters: Parameters,
    agent: Agent,
}

impl Resource {
    pub(super) fn new(parameters: Parameters) -> Self {
        let agent = Agent::new(parameters.run_dir.clone());
        Self { parameters, agent }
    }

    fn find(&self, end: Instant) -> Found {
        self.agent.find(&self.parameters.name, end)
    }

    /// Looks at the domain. One message, unless something has to be put right.
    pub(super) fn monitor(&self) -> Verdict {
        let found = self.find(self.parameters.patience());
        let status = match found.or(Verdict::not_running()) {
            Ok(status) => status,
            Err(verdict) => return verdict,
        };
        let now = OffsetDateTime::now_utc();
        match decide::watched(&status, self.parameters.is_recurring, now) {
            Watched::Is(verdict) => verdict,
            Watched::Withdraw => match self.brought_down(false, self.parameters.end()) {
                Ending::Done => Verdict::not_running(),
                other => Verdict::failed(format!(
                    "it does not run, and the agent may start it at any time: {}",
                    in_words(&other)
                )),
            },
            Watched::UntilBoot => match self.started(false, false) {
                Ending::Done => Verdict::ok(),
                other => Verdict::failed(format!(
                    "it runs, and would be started again with this node: {}",
                    in_words(&other)
                )),
            },
        }
    }

    /// The verdict about a domain that this node could not run.
    fn unknown(&self) -> Verdict {
        let name = &self.parameters.name;
        let why = format!("{name}: no file of this node describes such a domain, or no agent runs");
        Verdict::new(Code::Installed, why)
    }

    pub(super) fn start(&self) -> Verdict {
        let status = match self.find(self.parameters.before_end()).or(self.unknown()) {
            Ok(status) => status,
            Err(verdict) => return verdict,
        };
        let fencing = cluster::fencing();
        let anyway = match decide::start(&status, fencing, self.parameters.require_fencing) {
            Start::Is(verdict) => return verdict,
            Start::Do { anyway } => anyway,
        };
        // Pacemaker starts nothing that it has on its way here. The source may have been switched off, which ends no connection.
        if decide::is_coming(&status) {
            let ended = self.brought_down(false, self.parameters.before_end());
            if ended != Ending::Done {
                return Verdict::failed(in_words(&ended));
            }
        }
        loop {
            match self.started(anyway, true) {
                Ending::Done => return Verdict::ok(),
                // The next agent is given the order again. If it remembers the order, nothing changes.
                Ending::Failed(ClientError::Lost | ClientError::NoAgent(..))
                    if Instant::now() < self.parameters.before_end() =>
                {
                    thread::sleep(AGAIN);
                }
                late @ Ending::Late { job } => {
                    let end = self.parameters.end();
                    let undone = job.is_some_and(|job| self.agent.cancel(job, end));
                    let undone = if undone { "; it was given up" } else { "" };
                    return Verdict::failed(format!("{}{undone}", in_words(&late)));
                }
                other @ Ending::Failed(_) => return Verdict::failed(in_words(&other)),
            }
        }
    }

    /// Has the domain run until the host is started again. With `fresh`, a saved memory is removed: the domain may have run elsewhere
    /// since, and its disks are newer.
    fn started(&self, anyway: bool, fresh: bool) -> Ending {
        let start = wire::Start {
            name: self.parameters.name.clone(),
            anyway: anyway.then_some(true),
            fresh: fresh.then_some(true),
            boot: Some(true),
        };
        self.agent
            .order("Start", start, self.parameters.before_end())
    }

    fn brought_down(&self, destroy: bool, end: Instant) -> Ending {
        let stop = wire::Stop {
            name: self.parameters.name.clone(),
            destroy: destroy.then_some(true),
            boot: None,
        };
        self.agent.order("Stop", stop, end)
    }

    pub(super) fn stop(&self) -> Verdict {
        let end = self.parameters.end();
        loop {
            let status = match self.find(end).or(Verdict::ok()) {
                Ok(status) => status,
                Err(verdict) => return verdict,
            };
            let ending = if decide::is_stopped(&status) {
                return Verdict::ok();
            } else if status.given_to.is_empty() {
                self.shut_down(end)
            } else {
                match self.resolve(&status) {
                    Ok(ending) => ending,
                    Err(verdict) => return verdict,
                }
            };
            match ending {
                // The domain is looked at again: a guest that has come back from its migration is still to be shut down.
                Ending::Done => {}
                Ending::Failed(ClientError::NoSuchDomain) => return Verdict::ok(),
                Ending::Failed(ClientError::Lost | ClientError::NoAgent(..)) => {}
                // The guest may just have been given away.
                Ending::Failed(ClientError::Refused(_)) if Instant::now() + AGAIN < end => {
                    thread::sleep(AGAIN);
                }
                other => return Verdict::failed(in_words(&other)),
            }
        }
    }

    /// Asks the guest to shut down, and destroys the domain when its time is over.
    fn shut_down(&self, end: Instant) -> Ending {
        match self.brought_down(false, self.parameters.destroy_at()) {
            Ending::Late { .. } => self.brought_down(true, end),
            other => other,
        }
    }

    /// Finds out what became of a guest that was given away. If nobody can say, and it is safe, the domain here is destroyed.
    fn resolve(&self, status: &DomainStatus) -> Result<Ending, Verdict> {
        let asked = self.agent.order(
            "Resolve",
            named(&self.parameters.name),
            self.parameters.destroy_at(),
        );
        let why = match asked {
            Ending::Done | Ending::Failed(ClientError::Lost | ClientError::NoAgent(..)) => {
                return Ok(asked);
            }
            other => in_words(&other),
        };
        match decide::silence(status, cluster::fencing(), &why) {
            Silence::Destroy => Ok(self.brought_down(true, self.parameters.end())),
            Silence::Is(verdict) => Err(verdict),
        }
    }

    pub(super) fn migrate_to(&self) -> Verdict {
        let Some(host) = self.parameters.target() else {
            let why = "CRM_meta_migrate_target: Pacemaker has not said where to";
            return Verdict::new(Code::Configured, why);
        };
        let found = self.find(self.parameters.patience());
        match found.or(Verdict::not_running()) {
            Ok(status) if !decide::is_there(&status) => return Verdict::not_running(),
            Ok(_) => {}
            Err(verdict) => return verdict,
        }
        let rest = self.parameters.before_end();
        let rest = rest.saturating_duration_since(Instant::now()).as_secs();
        let migrate = wire::Migrate {
            name: self.parameters.name.clone(),
            host,
            via: self.parameters.via.clone(),
            xl: None,
            live: None,
            // It ends in time also if this program is killed.
            timeout: u32::try_from(rest).ok().filter(|seconds| *seconds > 0),
        };
        match self
            .agent
            .order("Migrate", migrate, self.parameters.before_end())
        {
            Ending::Done => Verdict::ok(),
            Ending::Failed(ClientError::Lost | ClientError::NoAgent(..)) => self.moved(),
            late @ Ending::Late { job } => {
                // Pacemaker stops the domain on both nodes after this action. A guest that is still on its way could arrive later.
                let end = self.parameters.end();
                if job.is_some_and(|job| self.agent.cancel(job, end)) {
                    let why = format!("{}; it was given up, and goes on here", in_words(&late));
                    return Verdict::failed(why);
                }
                self.moved()
            }
            other @ Ending::Failed(_) => Verdict::failed(in_words(&other)),
        }
    }

    /// Waits until it is known what became of a migration whose answer was not heard.
    fn moved(&self) -> Verdict {
        let end = self.parameters.end();
        loop {
            let status = match self.find(end).or(Verdict::not_running()) {
                Ok(status) => status,
                Err(verdict) => return verdict,
            };
            if !decide::is_there(&status) && !status.moved_to.is_empty() {
                return Verdict::ok();
            }
            if status.state_name == "RUNNING" && status.given_to.is_empty() {
                return Verdict::failed(format!(
                    "the migration was interrupted, and it goes on here: {}",
                    decide::described(&status)
                ));
            }
            if Instant::now() + AGAIN >= end {
                let why = decide::undecided(&status);
                return Verdict::failed(why.unwrap_or_else(|| decide::described(&status)));
            }
            thread::sleep(AGAIN);
        }
    }

    /// The migration is over, so that the domain runs here, unless the agent has just been started again.
    pub(super) fn migrate_from(&self) -> Verdict {
        let end = self.parameters.end();
        loop {
            let absent = Verdict::failed("it has not arrived");
            let status = match self.find(end).or(absent) {
                Ok(status) => status,
                Err(verdict) => return verdict,
            };
            if matches!(status.state_name.as_str(), "RUNNING" | "PAUSED") {
                return Verdict::ok();
            }
            let arrives = status.state_name == "BOOTING";
            if !arrives || Instant::now() + AGAIN >= end {
                let state = decide::described(&status);
                return Verdict::failed(format!("it has not arrived: {state}"));
            }
            thread::sleep(AGAIN);
        }
    }

    /// Checks that this node could run the domain.
    pub(super) fn validate(&self) -> Verdict {
        let status = match self.find(self.parameters.patience()).or(self.unknown()) {
            Ok(status) => status,
            Err(verdict) => return verdict,
        };
        match decide::start(&status, Fencing::On, false) {
            Start::Is(verdict) if verdict.code == Code::Installed => verdict,
            _ => Verdict::ok(),
        }
    }
}

fn in_words(ending: &Ending) -> String {
    match ending {
        Ending::Done => "done".to_owned(),
        Ending::Failed(e) => e.to_string(),
        Ending::Late { .. } => "it was not done in the time that Pacemaker gives it".to_owned(),
    }
}
