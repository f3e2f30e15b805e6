//! What goes over the socket: the types of `xen.domainmgr.varlink`.

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::eve::DomainStatus;

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// It is to run; otherwise it is not to.
    pub run: bool,
    /// Who asked for it.
    pub by: String,
    /// Since when, as RFC 3339 writes it.
    pub since: String,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// Its key.
    pub uuid: String,
    /// Its name in Xen.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Its number in Xen, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domid: Option<u32>,
    /// The `StateName` of its DomainStatus.
    pub state: String,
    /// PV, PVH or HVM.
    pub mode: String,
    /// Why the state is what it is.
    pub reason: String,
    /// What is wrong.
    pub error: String,
    /// kB that it has.
    pub memory: u64,
    /// When it was started, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// How often it was built again because its guest ended.
    pub restarts: u32,
    /// What was asked for by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
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
            }),
        }
    }
}

/// Parameters of most methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Which domain.
    pub name: String,
    /// Of `Start` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyway: Option<bool>,
    /// Of `Stop` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy: Option<bool>,
}

/// Parameters of `Watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which domain; all of them without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What `List` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// All domains.
    pub domains: Vec<Domain>,
}

/// What `Show` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The domain.
    pub domain: Domain,
    /// Its DomainStatus.
    pub status: serde_json::Value,
}

/// What `Watch` returns, again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// A domain as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The uuid of one that is gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// How many changes were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises from one to the next.
    pub seq: i64,
    /// When it was noticed, as RFC 3339 writes it.
    pub at: String,
    /// The key.
    pub uuid: String,
    /// The domain's name at that time.
    pub name: String,
    /// Its number in Xen at that time, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domid: Option<u32>,
    /// A state; or `error`, `held`, `removed`.
    pub what: String,
    /// Why, by whom, what is wrong.
    pub detail: String,
}

/// Parameters of `Events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// Which domain; all of them without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the last event that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// Go on for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

/// What `Events` returns, again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// In their order.
    pub events: Vec<Event>,
    /// Some before these are not kept any more.
    pub gap: bool,
}

/// What the verbs return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The domain as it is now.
    pub domain: Domain,
    /// The order has been obeyed. It is the last reply.
    pub done: bool,
}

/// Parameters of errors, as far as they have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// Which domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uuids: Vec<String>,
    /// Words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}
