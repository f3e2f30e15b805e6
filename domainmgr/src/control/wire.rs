//! Types of the messages on the socket, as in `xen.domainmgr.varlink`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::eve::DomainStatus;

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// It is to run; otherwise it is not to.
    pub run: bool,
    /// Name of the user that asked for it.
    pub by: String,
    /// Since when, as RFC 3339 writes it.
    pub since: String,
    /// Only until the host is started again.
    #[serde(default)]
    pub boot: bool,
}

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figured {
    /// In Prometheus' text format.
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
    /// Error, empty if there is none.
    pub error: String,
    /// kB that it has.
    pub memory: u64,
    /// When it was started, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted: Option<String>,
    /// How often it was built again because its guest ended.
    pub restarts: u32,
    /// Hold that an operator has placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Changes by hand that stand beside its file.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Those that it does not have before its next start, and why.
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
    /// If it is saved: forget that, and have it boot.
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
    /// Physical processors that it may run on, in the language of xl.cfg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Weight against others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// The most it gets, in percent of one processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
}

/// Parameters of `Watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which domain; all of them without.
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
    /// A domain as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The uuid of one that is gone for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// Number of changes that were dropped.
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

/// Each reply of `Events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// In their order.
    pub events: Vec<Event>,
    /// Some before these are not kept any more.
    pub gap: bool,
}

/// Each reply of a verb.
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
    /// Number of clients that are served at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}
