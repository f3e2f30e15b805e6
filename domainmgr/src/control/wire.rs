//! Types of the messages on the socket, as in `xen.domainmgr.varlink`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::eve::DomainStatus;

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

/// Parameters of `Start`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// NAME of the domain.
    pub name: String,
    /// Start it even if it may live on elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyway: Option<bool>,
    /// Discard the saved memory, if there is any, and have the domain boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// Parameters of `Stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// NAME of the domain.
    pub name: String,
    /// Do not ask the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy: Option<bool>,
    /// Only until the host is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<bool>,
}

/// Parameters of `Save`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// NAME of the domain.
    pub name: String,
    /// Only until the host is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<bool>,
}

/// Kinds of devices that can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A disk.
    Disk,
    /// A network interface.
    Nic,
    /// A PCI device of the host.
    Pci,
    /// A USB device of the host.
    Usb,
}

/// Parameters of `Attach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// NAME of the domain.
    pub name: String,
    /// Kind of the device.
    pub kind: Kind,
    /// The device, in the language of xl.cfg.
    pub spec: String,
}

/// Parameters of `Detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// NAME of the domain.
    pub name: String,
    /// Kind of the device.
    pub kind: Kind,
    /// Name of a disk in the guest; address of an interface, or its name in the host.
    pub which: String,
}

/// Parameters of `Insert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    /// NAME of the domain.
    pub name: String,
    /// Name of the drive in the guest.
    pub vdev: String,
    /// Path of the disc.
    pub file: String,
}

/// Parameters of `Eject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eject {
    /// NAME of the domain.
    pub name: String,
    /// Name of the drive in the guest.
    pub vdev: String,
}

/// Parameters of `Set`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// NAME of the domain.
    pub name: String,
    /// Memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Number of processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Physical processors that the domain may run on, in the language of xl.cfg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Weight relative to other domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Limit of the domain's processor time, in percent of one processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
}

/// Parameters of `Watch`.
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

/// Each reply of a verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The domain as it is now.
    pub domain: Domain,
    /// True in the last reply, when the order has been carried out.
    pub done: bool,
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
}
