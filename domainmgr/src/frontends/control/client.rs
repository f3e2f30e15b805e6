//! A client of the control socket, as the command line is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use varlink::{Connection, ErrorKind, MethodCall};

use super::interface::NAME;
use super::wire::{
    Agent, AgentShown, Cancel, Cancelled, Changed, Complaint, Domain, Events, Fate, Figured, Job,
    Jobs, Listed, MayCome, Named, OfMigration, Ordered, Received, Refusals, Shown, Since, Watch,
};

use crate::host::remote::Question;

/// The reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// Nobody listens at the socket.
    NoAgent(PathBuf, String),
    /// The user may not use the socket.
    NotAllowed(PathBuf),
    /// The name stands for no domain.
    NoSuchDomain,
    /// The name fits all of these domains.
    SeveralDomains(Vec<String>),
    /// No order has the number.
    NoSuchJob,
    /// The agent refused the order. Nothing has changed.
    Refused(String),
    /// The order was begun, and failed.
    Failed(String),
    /// The agent ended, or closed the connection.
    Lost,
    /// Any other error.
    Other(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAgent(path, why) => {
                write!(f, "no agent listens at {}: {why}", path.display())
            }
            Self::NotAllowed(path) => write!(
                f,
                "{}: you may not use it: root may, and the group that the agent was given with --control-group",
                path.display()
            ),
            Self::NoSuchDomain => f.write_str("no such domain; `domainmgr status` lists them"),
            Self::NoSuchJob => f.write_str(
                "no such job is under way: it is over, or a newer order has taken its place; `domainmgr jobs` lists them",
            ),
            Self::SeveralDomains(uuids) => write!(
                f,
                "there are several; say which by its full name or uuid: {}",
                uuids.join(", ")
            ),
            Self::Refused(why) | Self::Failed(why) | Self::Other(why) => f.write_str(why),
            Self::Lost => f.write_str(
                "the agent has closed the connection; an order that it had accepted is remembered: see `domainmgr jobs`",
            ),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<varlink::Error> for ClientError {
    fn from(e: varlink::Error) -> Self {
        let ErrorKind::VarlinkErrorReply(reply) = e.kind() else {
            return match e.kind() {
                ErrorKind::ConnectionClosed => Self::Lost,
                ErrorKind::InvalidParameter(what) => {
                    Self::Other(format!("the agent does not understand {what}"))
                }
                ErrorKind::MethodNotFound(what) => Self::Other(format!(
                    "the agent does not know {what}: it may be an older one"
                )),
                other => Self::Other(other.to_string()),
            };
        };
        let parameters = reply.parameters.clone().unwrap_or_default();
        let what: Complaint = serde_json::from_value(parameters).unwrap_or_default();
        let reason = what
            .reason
            .unwrap_or_else(|| "no reason was given".to_owned());
        let error = reply.error.as_deref().unwrap_or_default();
        match error.strip_prefix(NAME).unwrap_or(error) {
            ".NoSuchDomain" => Self::NoSuchDomain,
            ".NoSuchJob" => Self::NoSuchJob,
            ".SeveralDomains" => Self::SeveralDomains(what.uuids),
            ".Refused" => Self::Refused(reason),
            ".Failed" => Self::Failed(reason),
            ".TooManyClients" => Self::Refused(format!(
                "the agent serves {} clients already",
                what.limit.unwrap_or_default()
            )),
            other => Self::Other(other.to_owned()),
        }
    }
}

type Result<T> = std::result::Result<T, ClientError>;

/// A connection to an agent. One call at a time.
#[allow(missing_debug_implementations, reason = "varlink's has none")]
pub struct Client(Arc<RwLock<Connection>>);

impl Client {
    /// Connects to the agent whose socket is at `path`.
    ///
    /// # Errors
    /// No agent listens there, or the user may not connect.
    pub fn connect(path: &Path) -> Result<Self> {
        let address = format!("unix:{}", path.display());
        match Connection::with_address(&address) {
            Ok(connection) => Ok(Self(connection)),
            Err(error) => match std::os::unix::net::UnixStream::connect(path) {
                // varlink's own error for a socket that cannot be opened has no reason in it.
                Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                    Err(ClientError::NotAllowed(path.to_owned()))
                }
                Err(why) => Err(ClientError::NoAgent(path.to_owned(), why.to_string())),
                Ok(_) => Err(error.into()),
            },
        }
    }

    fn call<A: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        arguments: A,
    ) -> MethodCall<A, T, ClientError> {
        MethodCall::new(Arc::clone(&self.0), format!("{NAME}.{method}"), arguments)
    }

    /// Returns all domains.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn list(&self) -> Result<Vec<Domain>> {
        let none = serde_json::json!({});
        let listed: Listed = self.call("List", none).call()?;
        Ok(listed.domains)
    }

    /// Returns facts about the agent itself.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn agent(&self) -> Result<Agent> {
        let none = serde_json::json!({});
        let shown: AgentShown = self.call("Agent", none).call()?;
        Ok(shown.agent)
    }

    /// Returns the figures, in the format of Prometheus.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn metrics(&self) -> Result<String> {
        let none = serde_json::json!({});
        let figured: Figured = self.call("Metrics", none).call()?;
        Ok(figured.text)
    }

    /// Returns the orders of all domains, or of the named one, that are being worked off or were the last to end.
    ///
    /// # Errors
    /// The name stands for no domain, or for several.
    pub fn jobs(&self, name: Option<&str>) -> Result<Vec<Job>> {
        let name = name.map(ToOwned::to_owned);
        let listed: Jobs = self.call("Jobs", Watch { name }).call()?;
        Ok(listed.jobs)
    }

    /// Has an order given up, and returns it.
    ///
    /// # Errors
    /// There is no order with that number, or it cannot be cancelled.
    pub fn cancel(&self, job: u64) -> Result<Job> {
        let cancelled: Cancelled = self.call("Cancel", Cancel { job }).call()?;
        Ok(cancelled.job)
    }

    /// Waits until the domain of a migration to this host is received.
    ///
    /// # Errors
    /// It is not, for this reason.
    pub fn received(&self, token: &str) -> Result<()> {
        let token = token.to_owned();
        let received: Received = self.call("Received", OfMigration { token }).call()?;
        drop(received);
        Ok(())
    }

    /// Returns the reasons why a domain may not come to this host.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn refusals(&self, question: Question) -> Result<Vec<String>> {
        let refusals: Refusals = self.call("MayCome", MayCome { question }).call()?;
        Ok(refusals.refusals)
    }

    /// Returns what became of a migration to this host.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn outcome(&self, token: &str) -> Result<String> {
        let token = token.to_owned();
        let fate: Fate = self.call("Outcome", OfMigration { token }).call()?;
        Ok(fate.outcome)
    }

    /// Returns one domain, with its DomainStatus.
    ///
    /// # Errors
    /// The name stands for no domain, or for several.
    pub fn show(&self, name: &str) -> Result<Shown> {
        self.call("Show", named(name)).call()
    }

    /// Passes the state of each domain, or of the named one, to `take` at once and after each change, until `take` returns false.
    ///
    /// # Errors
    /// The name stands for no domain, or the agent has ended.
    pub fn watch(&self, name: Option<&str>, mut take: impl FnMut(Changed) -> bool) -> Result<()> {
        let name = name.map(ToOwned::to_owned);
        let mut call = self.call::<_, Changed>("Watch", Watch { name });
        for change in call.more()? {
            if !take(change?) {
                return Ok(());
            }
        }
        Err(ClientError::Lost)
    }

    /// Passes the events that `since` asks for to `take`, in their order, until there are no more or `take` returns false.
    ///
    /// `take` is also told if some events were not kept.
    ///
    /// # Errors
    /// There is no such domain, or the agent has ended.
    pub fn events(&self, since: Since, mut take: impl FnMut(Events) -> bool) -> Result<()> {
        let mut call = self.call::<_, Events>("Events", since);
        for page in call.more()? {
            if !take(page?) {
                break;
            }
        }
        Ok(())
    }

    /// Gives an order: `method` is one of the interface's verbs. Passes each reply to `take`.
    ///
    /// Waits for the last reply, or, without `wait`, until the order has been accepted.
    ///
    /// # Errors
    /// The order is refused, or has failed.
    pub fn order(
        &self,
        method: &str,
        arguments: impl Serialize,
        wait: bool,
        mut take: impl FnMut(&Ordered),
    ) -> Result<Ordered> {
        let mut call = self.call::<_, Ordered>(method, arguments);
        if !wait {
            return call.call();
        }
        let mut last = None;
        for reply in call.more()? {
            let reply = reply?;
            take(&reply);
            last = Some(reply);
        }
        last.filter(|reply| reply.done).ok_or(ClientError::Lost)
    }
}

/// Returns the parameters of a method that takes nothing but a domain.
#[must_use]
pub fn named(name: &str) -> Named {
    Named {
        name: name.to_owned(),
    }
}
