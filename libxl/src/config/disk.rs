//! Disks and CD drives.

use super::enums::{DiskBackend, DiskFormat, DiskSpecification, DiskTransport};
use super::json::{defbool, int_bool};

config_struct! {
    /// A disk or a CD drive (`libxl_device_disk`).
    ///
    /// ```
    /// use libxl::config::Disk;
    ///
    /// let disk = Disk::raw("/dev/vg/web", "xvda");
    /// let data = Disk { readwrite: false, ..Disk::qcow2("/images/data.qcow2", "xvdb") };
    /// let drive = Disk::cdrom("/images/install.iso", "hdc");
    /// # assert!(disk.readwrite && !data.readwrite && drive.is_cdrom);
    /// ```
    pub struct Disk {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// The image file or block device in the domain that serves it, or what [`script`](Self::script) takes.
        /// `None` only for an empty CD drive.
        pub pdev_path: Option<String>,
        /// What the guest sees: `xvda`, `hdc`, `sdb`, also with a partition number.
        pub vdev: Option<String>,
        /// What serves it. Default: the simplest that can.
        pub backend: Option<DiskBackend>,
        /// The image's format. libxl has no default.
        pub format: Option<DiskFormat>,
        /// The hotplug script that makes a block device from `pdev_path`. Default: `block`.
        pub script: Option<String>,
        /// The medium can be taken out. In C an `int`.
        #[serde(with = "int_bool")]
        pub removable: bool,
        /// The guest may write. In C an `int`.
        #[serde(with = "int_bool")]
        pub readwrite: bool,
        /// It is a CD drive. In C an `int`.
        #[serde(with = "int_bool")]
        pub is_cdrom: bool,
        /// `O_DIRECT` is safe here: do without the workaround for kernels that crash when the image is on a network
        /// file system.
        pub direct_io_safe: bool,
        /// Offer the guest to discard blocks. Default: if it may write.
        #[serde(with = "defbool")]
        pub discard_enable: Option<bool>,
        /// The protocol. Default: Xen's. Since Xen 4.17.
        pub specification: Option<DiskSpecification>,
        /// How a virtio disk is reached. Since Xen 4.17.
        pub transport: Option<DiskTransport>,
        /// The interrupt of a virtio disk, chosen by libxl. Since Xen 4.17.
        pub irq: Option<u32>,
        /// The address of a virtio disk's registers, chosen by libxl. Since Xen 4.17.
        pub base: Option<u64>,
        /// Replicate it with COLO. Default: no. COLO's fields may change with any Xen.
        #[serde(with = "defbool")]
        pub colo_enable: Option<bool>,
        /// It is the secondary of a COLO pair. Default: no.
        #[serde(with = "defbool")]
        pub colo_restore_enable: Option<bool>,
        /// COLO: the secondary's host.
        pub colo_host: Option<String>,
        /// COLO: the secondary's port.
        pub colo_port: Option<u32>,
        /// COLO: the export's name.
        pub colo_export: Option<String>,
        /// COLO: the overlay with the secondary's own writes.
        pub active_disk: Option<String>,
        /// COLO: the overlay that keeps what the primary overwrote.
        pub hidden_disk: Option<String>,
        /// The guest need not guard itself against the domain that serves it. Default: yes. Since Xen 4.17.
        #[serde(with = "defbool")]
        pub trusted: Option<bool>,
        /// A virtio disk reaches the guest's memory by grants. Default: if it is not served by dom0. Since Xen 4.19.
        #[serde(with = "defbool")]
        pub grant_usage: Option<bool>,
    }
}

impl Disk {
    /// A disk that the guest may write, from an image of the given format.
    pub fn new(path: impl Into<String>, vdev: impl Into<String>, format: DiskFormat) -> Self {
        Self {
            pdev_path: Some(path.into()),
            vdev: Some(vdev.into()),
            format: Some(format),
            readwrite: true,
            ..Self::default()
        }
    }

    /// A disk that the guest may write, from a block device or a file with its bytes.
    pub fn raw(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self::new(path, vdev, DiskFormat::Raw)
    }

    /// A disk that the guest may write, from a qcow2 image.
    pub fn qcow2(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self::new(path, vdev, DiskFormat::Qcow2)
    }

    /// A CD drive with a disc in it.
    pub fn cdrom(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self {
            removable: true,
            readwrite: false,
            is_cdrom: true,
            ..Self::new(path, vdev, DiskFormat::Raw)
        }
    }

    /// A CD drive without a disc.
    pub fn empty_cdrom(vdev: impl Into<String>) -> Self {
        Self {
            vdev: Some(vdev.into()),
            format: Some(DiskFormat::Empty),
            removable: true,
            is_cdrom: true,
            ..Self::default()
        }
    }

    /// The same, but the guest may not write.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            readwrite: false,
            ..self
        }
    }
}
