//! DomainStatus, as EVE read it in 2019, with the additions of this agent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::config::{DiskConfig, IoAdapter, UuidAndVersion, VifConfig};
use crate::spec::Disk;

/// State of one application instance.
///
/// The password of a graphical console is only in the DomainConfig: there is no `VncPasswd` here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainStatus {
    /// The application, and the version of the config that the agent last took note of.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// Name for people.
    pub display_name: String,
    /// State, as EVE's number.
    pub state: State,
    /// Name of the state, with more states than EVE has: `SUSPENDED`, `PAUSED` and `PRESERVED`. Addition.
    pub state_name: String,
    /// True if the file asks for the domain to run. Addition.
    pub activate: bool,
    /// True if a domain exists and has been started.
    pub activated: bool,
    /// Small number unique on this host.
    pub app_num: u32,
    /// True while the first config is being acted upon.
    pub pending_add: bool,
    /// True while a newer config is being acted upon.
    pub pending_modify: bool,
    /// True if the config is gone and the domain is not yet.
    pub pending_delete: bool,
    /// The domain's name in Xen.
    pub domain_name: String,
    /// Domid of the domain; 0 if there is no domain.
    pub domain_id: u32,
    /// Memory that the domain has, in kB; 0 if there is no domain. Addition.
    pub memory: u64,
    /// Time at which the domain was started.
    #[serde(with = "go_time")]
    pub boot_time: Option<OffsetDateTime>,
    /// Disks.
    pub disk_status_list: Vec<DiskStatus>,
    /// Network interfaces.
    pub vif_list: Vec<VifConfig>,
    /// Addresses of the PCI devices that the domain has, or is to have, by a file of xl's or by hand. Addition.
    pub pci_list: Vec<String>,
    /// Assigned devices.
    pub io_adapter_list: Vec<IoAdapter>,
    /// Virtualisation mode: 0 for PV or PVH, 1 for HVM.
    pub virtualization_mode: u8,
    /// Name of the virtualisation mode: `PV`, `HVM` or `PVH`. Addition.
    pub virtualization_mode_name: String,
    /// True if the guest has a graphical console.
    pub enable_vnc: bool,
    /// Number of the VNC display.
    pub vnc_display: u32,
    /// Number of boot attempts since the domain was asked for, or since its last end.
    pub tried_count: u32,
    /// Description of the error; empty if there is none.
    pub last_err: String,
    /// Time at which the error began.
    #[serde(with = "go_time")]
    pub last_err_time: Option<OffsetDateTime>,
    /// True if a series of boot attempts has failed; `NextRetry` is the time at which booting is tried again.
    pub boot_failed: bool,
    /// True if devices to assign are missing.
    pub adapters_failed: bool,
    /// Name that somebody has given to the domain; empty if it was not renamed. Addition.
    pub renamed_to: String,
    /// Reason for the state where another toolstack is involved, and what an operator can do. Addition.
    pub state_reason: String,
    /// Time since which the guest has been suspended; zero if it is not. Addition.
    #[serde(with = "go_time")]
    pub suspended_since: Option<OffsetDateTime>,
    /// Reason of the guest's last end: `poweroff`, `reboot`, `crash`, `watchdog`, `soft-reset`, `reason N`, or text. Addition.
    pub shutdown_reason: String,
    /// Action after that end: an `On…` word. If another action was necessary, also that action and the reason. Addition.
    pub shutdown_action: String,
    /// True if somebody else ended the domain, which may go on elsewhere. Only a newer config builds it again. Addition.
    pub vanished: bool,
    /// Hold that an operator has placed: `stopped`, `started`, or empty. Addition.
    pub held: String,
    /// Name of the user that placed the hold. Addition.
    pub held_by: String,
    /// True if the hold lasts only until the host is started again. Addition.
    pub held_until_boot: bool,
    /// Time at which the hold was placed. Addition.
    #[serde(with = "go_time")]
    pub held_since: Option<OffsetDateTime>,
    /// The order that is being worked off, after the last one that has come to its end. Addition.
    pub jobs: Vec<Job>,
    /// Time since which the memory of the domain has been in a file; zero if it is not. The domain goes on from the file when
    /// it is started. Addition.
    #[serde(with = "go_time")]
    pub saved_since: Option<OffsetDateTime>,
    /// Files that somebody has named and that the guest must not go on from any more. Addition.
    pub spent_files: Vec<SpentFile>,
    /// The file that the domain is saved in, if somebody has named one; empty for the agent's own. Addition.
    pub saved_in: String,
    /// The host that the guest has gone to; empty if it has not. Addition.
    pub moved_to: String,
    /// The host that the guest was given away to, as long as it is not known whether it runs there; else empty. Addition.
    pub given_to: String,
    /// Changes made by hand, which apply beside the config. Addition.
    pub changed: Vec<String>,
    /// Those of the changes that the domain gets only at its next start, and the reasons. Addition.
    pub waiting: Vec<String>,
    /// Domains of this application that do not run and are kept for an operator to examine. Addition.
    pub preserved: Vec<PreservedDomain>,
    /// Number of times that the guest was restarted because it had ended. Addition.
    pub restarts: u32,
    /// Time of the next boot attempt; zero if none is planned. Addition.
    #[serde(with = "go_time")]
    pub next_retry: Option<OffsetDateTime>,
    /// True if the guest ended of its own accord although it should run. Addition.
    pub ended: bool,
    /// Warnings, such as those about fields of the config that have no effect. Addition.
    pub warnings: Vec<String>,
    /// Priority when the host starts and goes down. Addition.
    pub priority: i32,
    /// Domains that this one needs: they start before it, and stop after it when the host goes down. Addition.
    pub after: Vec<String>,
    /// Action when the host goes down: `save` or `shutdown`; empty for that of `host-stop`. Addition.
    pub on_host_stop: String,
    /// Digest of the config, which changes with it. Addition.
    pub config_digest: String,
}

/// An operator's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Job {
    /// Number of the order.
    pub id: u64,
    /// The verb of the order on the command line.
    pub verb: String,
    /// Name of the user that gave the order.
    pub by: String,
    /// Time at which the order was accepted.
    #[serde(with = "go_time")]
    pub since: Option<OffsetDateTime>,
    /// Progress in percent, where it is known.
    pub percent: Option<u8>,
    /// Time of the end; zero if the order is being worked off.
    #[serde(with = "go_time")]
    pub ended: Option<OffsetDateTime>,
    /// Reason why it came to nothing; empty if it did not.
    pub failure: String,
}

/// A file with the memory of a guest that has gone on from there: its disks are no longer as they were then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SpentFile {
    /// Its path.
    pub path: String,
    /// A file that was written there after this time is another.
    #[serde(with = "go_time")]
    pub since: Option<OffsetDateTime>,
}

/// A domain that is kept for an operator to examine and destroy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PreservedDomain {
    /// Domid of the domain.
    pub domain_id: u32,
    /// Name of the domain in Xen.
    pub domain_name: String,
    /// Reason of its end, as in `ShutdownReason`, or a note that it is suspended.
    pub reason: String,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskStatus {
    /// Hash that names the image.
    pub image_sha256: String,
    /// True if the guest may only read.
    pub read_only: bool,
    /// True if the guest's copy outlives a restart.
    pub preserve: bool,
    /// Path of the image, or of the file that is used in place.
    pub file_location: String,
    /// Size to grow to, in bytes.
    pub maxsizebytes: u64,
    /// Format of the file, such as `raw`.
    pub format: String,
    /// Empty or `cdrom`.
    pub devtype: String,
    /// Name in the guest.
    pub vdev: String,
    /// Path of the file that the guest uses.
    pub active_file_location: String,
    /// Progress of the guest's copy, in percent; 0 if none is being made. Addition.
    pub progress: u8,
}

impl DiskStatus {
    /// The status of the disk at `index`.
    #[must_use]
    pub fn new(config: &DiskConfig, index: usize) -> Self {
        Self {
            image_sha256: config.image_sha256.clone(),
            read_only: config.read_only,
            preserve: config.preserve,
            file_location: config.file_location.clone(),
            maxsizebytes: config.maxsizebytes,
            format: config.format.clone(),
            devtype: config.devtype.clone(),
            vdev: super::build::vdev(index),
            active_file_location: if config.image_sha256.is_empty() {
                config.file_location.clone()
            } else {
                String::new()
            },
            progress: 0,
        }
    }

    /// The status of a disk that is ready.
    #[must_use]
    pub fn ready(disk: &Disk) -> Self {
        let image = disk.image.as_ref();
        let copy = image.and_then(|i| i.copy.as_ref());
        Self {
            image_sha256: image.map(|i| i.sha256.clone()).unwrap_or_default(),
            read_only: disk.read_only,
            preserve: copy.is_some_and(|c| c.preserve),
            file_location: image.map_or_else(|| disk.path.clone(), |i| i.location.clone()),
            maxsizebytes: disk.least_size,
            format: disk.format.word().to_owned(),
            devtype: if disk.cdrom { "cdrom" } else { "" }.to_owned(),
            vdev: disk.vdev.clone(),
            active_file_location: disk.path.clone(),
            progress: 0,
        }
    }
}

/// EVE's states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There never was a domain.
    #[default]
    Installed,
    /// A domain is being built.
    Booting,
    /// The domain has been started.
    Running,
    /// The domain is going down.
    Halting,
    /// The domain is gone.
    Halted,
}

impl State {
    /// EVE's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Installed => 5,
            Self::Booting => 6,
            Self::Running => 7,
            Self::Halting => 8,
            Self::Halted => 9,
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(match u32::deserialize(d)? {
            6 => Self::Booting,
            7 => Self::Running,
            8 => Self::Halting,
            9 => Self::Halted,
            _ => Self::Installed,
        })
    }
}

/// Go's zero time, which stands for no time.
const ZERO: &str = "0001-01-01T00:00:00Z";

pub(super) mod go_time {
    use super::{Deserialize, Deserializer, OffsetDateTime, Rfc3339, Serializer, ZERO};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::frontends::eve) fn serialize<S: Serializer>(
        at: &Option<OffsetDateTime>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match at.map(|at| at.format(&Rfc3339)) {
            Some(Ok(text)) => s.serialize_str(&text),
            Some(Err(e)) => Err(serde::ser::Error::custom(e)),
            None => s.serialize_str(ZERO),
        }
    }

    pub(in crate::frontends::eve) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        let text = String::deserialize(d)?;
        if text == ZERO {
            return Ok(None);
        }
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(Some)
            .map_err(serde::de::Error::custom)
    }
}
