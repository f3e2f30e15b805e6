//! DomainStatus, as EVE read it in 2019, with the additions of this agent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::spec::Disk;

use super::{DiskConfig, IoAdapter, UuidAndVersion, VifConfig};

/// What became of one application instance.
///
/// A password of a graphical console is in the DomainConfig only: there is no `VncPasswd` here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainStatus {
    /// Which application, and the version of the config last taken note of.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// For people.
    pub display_name: String,
    /// EVE's number.
    pub state: State,
    /// What the number means, and more: also `SUSPENDED`, `PAUSED` and `PRESERVED`. Addition.
    pub state_name: String,
    /// A domain exists, and has been started.
    pub activated: bool,
    /// Small number unique on this host.
    pub app_num: u32,
    /// The first config is being acted upon.
    pub pending_add: bool,
    /// A newer config is being acted upon.
    pub pending_modify: bool,
    /// The config is gone, the domain not yet.
    pub pending_delete: bool,
    /// The domain's name in Xen.
    pub domain_name: String,
    /// Its number in Xen; 0 if there is none.
    pub domain_id: u32,
    /// Memory that it has, in kB; 0 if there is no domain. Addition.
    pub memory: u64,
    /// When it was started.
    #[serde(with = "go_time")]
    pub boot_time: Option<OffsetDateTime>,
    /// Disks.
    pub disk_status_list: Vec<DiskStatus>,
    /// Network interfaces.
    pub vif_list: Vec<VifConfig>,
    /// Assigned devices.
    pub io_adapter_list: Vec<IoAdapter>,
    /// 0 PV or PVH, 1 HVM.
    pub virtualization_mode: u8,
    /// `PV`, `HVM` or `PVH`. Addition.
    pub virtualization_mode_name: String,
    /// Whether there is a graphical console.
    pub enable_vnc: bool,
    /// Its number.
    pub vnc_display: u32,
    /// How often booting was tried since the wish for it, or since the last end.
    pub tried_count: u32,
    /// What is wrong; empty if nothing is.
    pub last_err: String,
    /// Since when.
    #[serde(with = "go_time")]
    pub last_err_time: Option<OffsetDateTime>,
    /// Booting failed for good; `NextRetry` says when it is tried again.
    pub boot_failed: bool,
    /// Devices to assign are missing.
    pub adapters_failed: bool,
    /// What somebody has renamed the domain to; empty if nobody has. Addition.
    pub renamed_to: String,
    /// Why the state is what it is, where another toolstack has a hand in it, and what an operator can do. Addition.
    pub state_reason: String,
    /// Since when the guest is suspended; zero if it is not. Addition.
    #[serde(with = "go_time")]
    pub suspended_since: Option<OffsetDateTime>,
    /// Why the guest ended last: `poweroff`, `reboot`, `crash`, `watchdog`, `soft-reset`, `reason N`, or words. Addition.
    pub shutdown_reason: String,
    /// What was done about that: an `On…` word, and where something else had to be done, what and why. Addition.
    pub shutdown_action: String,
    /// The domain was ended by somebody else, and may go on elsewhere: only a newer config builds it again. Addition.
    pub vanished: bool,
    /// Hold that an operator has placed: `stopped`, `started`, or empty.
    /// Addition.
    pub held: String,
    /// Name of the user that placed it. Addition.
    pub held_by: String,
    /// Only until the host is started again. Addition.
    pub held_until_boot: bool,
    /// Since when. Addition.
    #[serde(with = "go_time")]
    pub held_since: Option<OffsetDateTime>,
    /// Since when the memory of the domain is in a file, from which it goes on when it is started; zero if it is not.
    /// Addition.
    #[serde(with = "go_time")]
    pub saved_since: Option<OffsetDateTime>,
    /// What was changed by hand, and stands beside the config. Addition.
    pub changed: Vec<String>,
    /// What of that the domain does not have before its next start, and why. Addition.
    pub waiting: Vec<String>,
    /// Domains of this application that do not run and are left for somebody to look into. Addition.
    pub preserved: Vec<PreservedDomain>,
    /// How often the guest was restarted because it ended. Addition.
    pub restarts: u32,
    /// When booting is tried next; zero if nothing is planned. Addition.
    #[serde(with = "go_time")]
    pub next_retry: Option<OffsetDateTime>,
    /// The guest ended by itself although it should run. Addition.
    pub ended: bool,
    /// What the config says and the guest gets nothing of. Addition.
    pub warnings: Vec<String>,
    /// Changes with the config. Addition.
    pub config_digest: String,
}

/// A domain that is left for somebody to look into, and to destroy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PreservedDomain {
    /// Its number in Xen.
    pub domain_id: u32,
    /// Its name in Xen.
    pub domain_name: String,
    /// Why it ended, as in `ShutdownReason`, or that it is suspended.
    pub reason: String,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskStatus {
    /// Hash that names the image.
    pub image_sha256: String,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Whether the guest's copy outlives a restart.
    pub preserve: bool,
    /// Where the image is.
    pub file_location: String,
    /// Size to grow to.
    pub maxsizebytes: u64,
    /// Format.
    pub format: String,
    /// Empty or `cdrom`.
    pub devtype: String,
    /// Name in the guest.
    pub vdev: String,
    /// Where the file is that the guest uses.
    pub active_file_location: String,
    /// How much of the guest's copy has been made, in percent; 0 if none is being made. Addition.
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
            vdev: super::disks::vdev(index),
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
    /// One is being built.
    Booting,
    /// It has been started.
    Running,
    /// It is going down.
    Halting,
    /// It is gone.
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

/// Go's idea of a time that is none.
const ZERO: &str = "0001-01-01T00:00:00Z";

pub(super) mod go_time {
    use super::{Deserialize, Deserializer, OffsetDateTime, Rfc3339, Serializer, ZERO};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::eve) fn serialize<S: Serializer>(
        at: &Option<OffsetDateTime>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match at.map(|at| at.format(&Rfc3339)) {
            Some(Ok(text)) => s.serialize_str(&text),
            Some(Err(e)) => Err(serde::ser::Error::custom(e)),
            None => s.serialize_str(ZERO),
        }
    }

    pub(in crate::eve) fn deserialize<'de, D: Deserializer<'de>>(
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
