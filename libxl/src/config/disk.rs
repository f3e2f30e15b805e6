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
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Image file or block device in the backend domain, or the value that [`script`](Self::script) takes.
        /// `None` only for an empty CD drive.
        pub pdev_path: Option<String>,
        /// Name of the disk in the guest: `xvda`, `hdc`, `sdb`, also with a partition number.
        pub vdev: Option<String>,
        /// Kind of backend. Default: the simplest one that can serve the disk.
        pub backend: Option<DiskBackend>,
        /// Format of the image. libxl has no default.
        pub format: Option<DiskFormat>,
        /// The hotplug script that makes a block device from `pdev_path`. Default: `block`.
        pub script: Option<String>,
        /// The medium can be removed. An `int` in C.
        #[serde(with = "int_bool")]
        pub removable: bool,
        /// The guest may write to the disk. An `int` in C.
        #[serde(with = "int_bool")]
        pub readwrite: bool,
        /// The device is a CD drive. An `int` in C.
        #[serde(with = "int_bool")]
        pub is_cdrom: bool,
        /// `O_DIRECT` is safe for this image: omit the workaround for kernels that crash when the image is on a network
        /// file system.
        pub direct_io_safe: bool,
        /// Let the guest discard blocks. Default: yes if the guest may write.
        #[serde(with = "defbool")]
        pub discard_enable: Option<bool>,
        /// Protocol of the disk. Default: Xen's block interface. Since Xen 4.17.
        pub specification: Option<DiskSpecification>,
        /// Transport of a virtio disk. Since Xen 4.17.
        pub transport: Option<DiskTransport>,
        /// The interrupt of a virtio disk, chosen by libxl. Since Xen 4.17.
        pub irq: Option<u32>,
        /// The address of a virtio disk's registers, chosen by libxl. Since Xen 4.17.
        pub base: Option<u64>,
        /// Replicate the disk with COLO. Default: no. COLO fields may change with any Xen release.
        #[serde(with = "defbool")]
        pub colo_enable: Option<bool>,
        /// The disk is the secondary of a COLO pair. Default: no.
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
        /// COLO: the overlay that keeps the data that the primary overwrote.
        pub hidden_disk: Option<String>,
        /// The backend is trusted: the guest need not guard itself against the backend. Default: yes. Since Xen 4.17.
        #[serde(with = "defbool")]
        pub trusted: Option<bool>,
        /// The backend of a virtio disk accesses the guest's memory by grants. Default: yes if the backend domain is
        /// not dom0. Since Xen 4.19.
        #[serde(with = "defbool")]
        pub grant_usage: Option<bool>,
    }
}

impl Disk {
    /// Creates a writable disk from an image of the given format.
    pub fn new(path: impl Into<String>, vdev: impl Into<String>, format: DiskFormat) -> Self {
        Self {
            pdev_path: Some(path.into()),
            vdev: Some(vdev.into()),
            format: Some(format),
            readwrite: true,
            ..Self::default()
        }
    }

    /// Creates a writable disk from a block device, or from a file with the bytes of the disk.
    pub fn raw(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self::new(path, vdev, DiskFormat::Raw)
    }

    /// Creates a writable disk from a qcow2 image.
    pub fn qcow2(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self::new(path, vdev, DiskFormat::Qcow2)
    }

    /// Creates a CD drive with a disc from a raw image.
    pub fn cdrom(path: impl Into<String>, vdev: impl Into<String>) -> Self {
        Self {
            removable: true,
            readwrite: false,
            is_cdrom: true,
            ..Self::new(path, vdev, DiskFormat::Raw)
        }
    }

    /// Creates a CD drive without a disc.
    pub fn empty_cdrom(vdev: impl Into<String>) -> Self {
        Self {
            vdev: Some(vdev.into()),
            format: Some(DiskFormat::Empty),
            removable: true,
            is_cdrom: true,
            ..Self::default()
        }
    }

    /// Makes the disk read-only for the guest.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            readwrite: false,
            ..self
        }
    }
}
