//! The fields of a DomainConfig and of its parts, and the consequence of those that are not followed.
//!
//! The fields are those of `pkg/pillar/types/domainmgrtypes.go` and the structs embedded there, up to 2026.

/// The consequence of a field that is set but that the agent does not follow.
#[derive(Clone, Copy)]
pub(super) enum Unread {
    /// The field changes nothing that a guest gets on Xen, or is meant for other hypervisors.
    Harmless,
    /// The guest runs without the effect of the field.
    Warned(&'static str),
    /// The guest would differ from the one that was asked for.
    Refused(&'static str),
}

use Unread::{Harmless, Refused, Warned};

pub(super) type Fields = &'static [(&'static str, Unread)];

const CONTAINER: &str = "containers are not run, only virtual machines";

pub(super) const DOMAIN: Fields = &[
    // Fields that the agent reads.
    ("UUIDandVersion", Harmless),
    ("DisplayName", Harmless),
    ("Activate", Harmless),
    ("AppNum", Harmless),
    ("Kernel", Harmless),
    ("Ramdisk", Harmless),
    ("Memory", Harmless),
    ("MaxMem", Harmless),
    ("VCpus", Harmless),
    ("MaxCpus", Harmless),
    ("RootDev", Harmless),
    ("ExtraArgs", Harmless),
    ("BootLoader", Harmless),
    ("CPUs", Harmless),
    ("DeviceTree", Harmless),
    ("DtDev", Harmless),
    ("IRQs", Harmless),
    ("IOMem", Harmless),
    ("VirtualizationMode", Harmless),
    ("EnableVnc", Harmless),
    ("VncDisplay", Harmless),
    ("VncPasswd", Harmless),
    ("VncListen", Harmless),
    ("DiskConfigList", Harmless),
    ("VifList", Harmless),
    ("IoAdapterList", Harmless),
    ("CloudInitUserData", Harmless),
    ("CloudInitVersion", Harmless),
    ("MetaDataType", Harmless),
    ("OnPoweroff", Harmless),
    ("OnReboot", Harmless),
    ("OnCrash", Harmless),
    ("OnWatchdog", Harmless),
    ("OnSoftReset", Harmless),
    ("OnDeviceModelExit", Harmless),
    ("Priority", Harmless),
    ("After", Harmless),
    ("OnHostStop", Harmless),
    // 2019 to 2021.
    ("IsContainer", Refused(CONTAINER)),
    (
        "IsCipher",
        Refused(
            "the user data is encrypted, and only EVE has the key: write it as CloudInitUserData",
        ),
    ),
    ("CipherBlockID", Harmless),
    ("CipherContextID", Harmless),
    ("CipherContext", Harmless),
    ("InitialValue", Harmless),
    ("CipherData", Harmless),
    ("pubsub-large-CipherData", Harmless),
    ("pubsub-file-CipherData", Harmless),
    ("ClearTextHash", Harmless),
    (
        "pubsub-file-CloudInitUserData",
        Refused("the user data is in a file of EVE's own: write it as CloudInitUserData"),
    ),
    (
        "GPUConfig",
        Warned("there is no GPU but the one that VNC shows"),
    ),
    // Errors and logs of EVE's own domainmgr.
    ("Error", Harmless),
    ("ErrorTime", Harmless),
    ("ErrorSeverity", Harmless),
    ("ErrorRetryCondition", Harmless),
    ("ErrorEntities", Harmless),
    ("DisableLogs", Harmless),
    // 2022 to 2026.
    ("Service", Refused(CONTAINER)),
    ("KubeImageName", Refused(CONTAINER)),
    (
        "DeploymentType",
        Refused("only virtual machines on this host, the type 0, are run"),
    ),
    (
        "CPUsPinned",
        Warned("no processors are set aside: name them in CPUs"),
    ),
    ("VMMMaxMem", Harmless),
    (
        "EnableVncShimVM",
        Warned("there is no such virtual machine for VNC"),
    ),
    (
        "EnforceNetworkInterfaceOrder",
        Warned("interfaces are in the order of VifList"),
    ),
    (
        "EnableOemWinLicenseKey",
        Warned("the licence key of the host's firmware is not handed on"),
    ),
    ("OemWindowsLicenseKeyInfo", Harmless),
    ("DisableVirtualTPM", Harmless),
    (
        "BootOrder",
        Warned("HVM domains boot from a CD-ROM, then from a disk"),
    ),
    ("UserActivate", Harmless),
    ("PurgeCounter", Harmless),
    ("RestartCounter", Harmless),
    ("IsDNidNode", Harmless),
    ("AffinityType", Harmless),
];

pub(super) const UUID_AND_VERSION: Fields = &[("UUID", Harmless), ("Version", Harmless)];

pub(super) const DISK: Fields = &[
    ("ImageSha256", Harmless),
    ("ReadOnly", Harmless),
    ("Preserve", Harmless),
    ("Maxsizebytes", Harmless),
    ("Format", Harmless),
    ("Devtype", Harmless),
    ("FileLocation", Harmless),
    ("Shared", Harmless),
    ("ImageID", Harmless),
    ("VolumeKey", Harmless),
    ("DisplayName", Harmless),
    ("MountDir", Harmless),
    ("WWN", Warned("the disk has no such name on Xen")),
    ("CustomMeta", Warned("it is not handed on")),
    // 1 is a disk; 2 to 5 are a kernel, RAM disks, and a use that the application defines.
    (
        "Target",
        Refused(
            "only disks, the targets 0 and 1, are for a DiskConfigList: name a kernel or a RAM disk in Kernel and Ramdisk",
        ),
    ),
];

pub(super) const VIF: Fields = &[
    ("Bridge", Harmless),
    ("Vif", Harmless),
    ("Mac", Harmless),
    ("Type", Harmless),
    ("MTU", Harmless),
    ("VifUsed", Harmless),
    (
        "Vlan",
        Refused("the interface would be in no VLAN: give it a bridge that is in the right one"),
    ),
    ("PodVif", Harmless),
    ("VifOrder", Harmless),
];

pub(super) const IO_ADAPTER: Fields = &[
    ("Type", Harmless),
    ("Name", Harmless),
    (
        "EthVf",
        Refused("virtual functions are not made: name one that is there as an adapter of its own"),
    ),
    ("IntfOrder", Harmless),
];
