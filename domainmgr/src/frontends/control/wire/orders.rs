//! Types about orders: the parameters of the verbs, and what is said of an order.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use super::shown::Domain;
use crate::frontends::eve::DomainStatus;
use crate::host::remote::Question;

/// See the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Number of the order.
    pub job: u64,
    /// The key of the domain.
    pub uuid: String,
    /// The domain's name in Xen.
    pub name: String,
    /// The verb of the order on the command line.
    pub verb: String,
    /// Name of the user that gave the order.
    pub by: String,
    /// Time at which the order was accepted, in the format of RFC 3339.
    pub since: String,
    /// State of the domain.
    pub state: String,
    /// Progress in percent, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Time of the end, in the format of RFC 3339; none if the order is being worked off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Reason why it came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Job {
    /// The orders that `status` shows.
    #[must_use]
    pub fn all_of(status: &DomainStatus) -> Vec<Self> {
        let date = |at: Option<time::OffsetDateTime>| at?.format(&Rfc3339).ok();
        let jobs = status.jobs.iter().map(|job| Self {
            job: job.id,
            uuid: status.uuid_and_version.uuid.clone(),
            name: status.domain_name.clone(),
            verb: job.verb.clone(),
            by: job.by.clone(),
            since: date(job.since).unwrap_or_default(),
            state: status.state_name.clone(),
            percent: job.percent,
            ended: date(job.ended),
            failure: Some(job.failure.clone()).filter(|why| !why.is_empty()),
        });
        jobs.collect()
    }
}

/// Reply of `Jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// The orders, by their numbers.
    pub jobs: Vec<Job>,
}

/// Parameters of `Cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Number of the order.
    pub job: u64,
}

/// Reply of `Cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The order that came to nothing.
    pub job: Job,
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
    /// Only until the host is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<bool>,
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
    /// Absolute path of the file; none for one of the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Parameters of `Restore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// NAME of the domain; none if the file says which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Absolute path of the file; none if the agent knows the domain to be saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Also from a file that the guest has gone on from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyway: Option<bool>,
}

/// Parameters of `Migrate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// NAME of the domain.
    pub name: String,
    /// The other host, as `ssh` knows it.
    pub host: String,
    /// A command of the shell that takes the place of `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// xl receives the domain there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xl: Option<bool>,
    /// The guest runs while most of it is sent; else it is suspended first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<bool>,
    /// Seconds that it may take until the guest is given away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
}

/// Parameters of `Receive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// Number of the migration, a UUID.
    pub token: String,
    /// The domain runs only until the host is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<bool>,
    /// The domain does not come by this connection, but by the descriptors that are passed after the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<bool>,
}

/// Parameters of `Received` and `Outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfMigration {
    /// Number of the migration, a UUID.
    pub token: String,
}

/// Reply of `Received`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The key of the domain, which runs.
    pub uuid: String,
}

/// Parameters of `MayCome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MayCome {
    /// The needs of the domain.
    pub question: Question,
}

/// Reply of `MayCome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// The reasons why the domain may not come; none if it may.
    pub refusals: Vec<String>,
}

/// Reply of `Outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Fate of the domain: `runs`, `never` or `pending`.
    pub outcome: String,
}

/// Parameters of `DumpCore`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpCore {
    /// NAME of the domain.
    pub name: String,
    /// Absolute path of the file; none for the place where the dumps of crashed guests go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
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

/// Each reply of a verb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The domain as it is now.
    pub domain: Domain,
    /// True in the last reply, when the order has been carried out.
    pub done: bool,
    /// Number of the order.
    #[serde(default)]
    pub job: u64,
    /// Progress in percent, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl Ordered {
    /// The reply about the order with the number `job` while its domain is as `status` says.
    #[must_use]
    pub fn new(status: &DomainStatus, job: u64, done: bool) -> Self {
        let one = status.jobs.iter().find(|one| one.id == job);
        Self {
            domain: Domain::from(status),
            done,
            job,
            percent: one.and_then(|one| one.percent),
        }
    }
}
