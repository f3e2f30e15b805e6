//! Types of what clients are shown.

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::frontends::eve::DomainStatus;

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// True if the domain is to run, false if it is to be down.
    pub run: bool,
    /// Name of the user that has placed the hold.
    pub by: String,
    /// Time at which the hold was placed, in the format of RFC 3339.
    pub since: String,
    /// Only until the host is started again.
    #[serde(default)]
    pub boot: bool,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Kind of work.
    pub work: String,
    /// Operations that wait for their turn.
    pub waiting: u64,
    /// Operations under way.
    pub under_way: u64,
    /// Most operations that are begun at once, as long as none takes long.
    pub most: u64,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Time of the start, in the format of RFC 3339.
    pub since: String,
    /// Number of domains.
    pub domains: u64,
    /// Number of connected clients.
    pub clients: u64,
    /// Processor time in seconds.
    pub cpu: f64,
    /// Resident memory in KiB.
    pub memory: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Number of file descriptors.
    pub descriptors: Option<u64>,
    /// False if the journal is damaged.
    pub journal: bool,
    /// Each kind of work.
    pub work: Vec<Work>,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentShown {
    /// The agent itself.
    pub agent: Agent,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figured {
    /// The figures, in Prometheus' text format.
    pub text: String,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// Its key.
    pub uuid: String,
    /// Its name in Xen.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Its domid, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domid: Option<u32>,
    /// The `StateName` of its DomainStatus.
    pub state: String,
    /// PV, PVH or HVM.
    pub mode: String,
    /// Reason for the state.
    pub reason: String,
    /// Error, empty if there is none.
    pub error: String,
    /// Memory of the domain, in kB.
    pub memory: u64,
    /// Time at which the domain was started, in the format of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// Number of times that the domain was built again because its guest ended.
    pub restarts: u32,
    /// Hold that an operator has placed, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Changes by operators that apply in addition to the domain's file.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Changes that wait for the next start of the domain, with the reasons.
    #[serde(default)]
    pub waiting: Vec<String>,
    /// Those with a higher priority stop later when the host goes down.
    #[serde(default)]
    pub priority: i32,
    /// NAMEs of domains that stop after it when the host goes down.
    #[serde(default)]
    pub after: Vec<String>,
    /// Action when the host goes down: `save`, `shutdown`, or empty.
    #[serde(default)]
    pub on_host_stop: String,
}

impl From<&DomainStatus> for Domain {
    fn from(status: &DomainStatus) -> Self {
        let date = |at: Option<time::OffsetDateTime>| at?.format(&Rfc3339).ok();
        Self {
            uuid: status.uuid_and_version.uuid.clone(),
            name: status.domain_name.clone(),
            display_name: status.display_name.clone(),
            domid: (status.domain_id != 0).then_some(status.domain_id),
            state: status.state_name.clone(),
            mode: status.virtualization_mode_name.clone(),
            reason: status.state_reason.clone(),
            error: status.last_err.clone(),
            memory: status.memory,
            booted: date(status.boot_time),
            restarts: status.restarts,
            hold: (!status.held.is_empty()).then(|| Hold {
                run: status.held == "started",
                by: status.held_by.clone(),
                since: date(status.held_since).unwrap_or_default(),
                boot: status.held_until_boot,
            }),
            changed: status.changed.clone(),
            waiting: status.waiting.clone(),
            priority: status.priority,
            after: status.after.clone(),
            on_host_stop: status.on_host_stop.clone(),
        }
    }
}

/// Parameters of methods that take nothing but a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// NAME of the domain.
    pub name: String,
}

/// Parameters of `Watch` and `Jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// NAME of the domain; all domains if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Reply of `List`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// All domains.
    pub domains: Vec<Domain>,
}

/// Reply of `Show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The domain.
    pub domain: Domain,
    /// Its DomainStatus.
    pub status: serde_json::Value,
}

/// Each reply of `Watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The present state of a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The uuid of a domain that is gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Number of changes that were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Number of the event, which rises from each to the next.
    pub seq: i64,
    /// Time at which the event was noticed, in the format of RFC 3339.
    pub at: String,
    /// The key of the domain.
    pub uuid: String,
    /// The domain's name at that time.
    pub name: String,
    /// Its domid at that time, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domid: Option<u32>,
    /// The kind of event: a state; or `error`, `held`, `removed`.
    pub what: String,
    /// Details: the reason, the user, or the error.
    pub detail: String,
}

/// Parameters of `Events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// NAME of the domain; all domains if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the last event that the client knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// Keep sending new events as they happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// Each reply of `Events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The events, in their order.
    pub events: Vec<Event>,
    /// True if some events before these are not kept any more.
    pub gap: bool,
}

/// Parameters of errors, as far as they have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// Name of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The uuids of all domains that the name fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uuids: Vec<String>,
    /// Reason for the error, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Maximum number of clients that are served at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Number of an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
}
