//! Disks and CD drives.

use libxl_sys as sys;

use super::macros::{device_info, device_methods};
use crate::{Domain, Operation, Result, config::Disk, raw::c_string};

device_info! {
    /// Connection state of a disk (`libxl_diskinfo`).
    #[doc(alias = "libxl_diskinfo")]
    pub struct DiskInfo {
        /// The guest's event channel; -1 if it has none yet.
        pub evtch: i32,
        /// The grant of the ring for requests; -1 if there is none yet.
        pub rref: i32,
    }
}

device_methods! {
    Disk as libxl_device_disk, "a disk", named by validate_name:
    #[doc(alias = "libxl_device_disk_add")]
    add disk_add = libxl_device_disk_add;
    #[doc(alias = "libxl_device_disk_remove")]
    remove disk_remove = libxl_device_disk_remove;
    #[doc(alias = "libxl_device_disk_destroy")]
    destroy disk_destroy = libxl_device_disk_destroy;
    #[doc(alias = "libxl_device_disk_list")]
    #[doc(alias = "libxl_device_disk_list_free")]
    list disk_list = libxl_device_disk_list, libxl_device_disk_list_free;
    #[doc(alias = "libxl_device_disk_getinfo")]
    info disk_info = libxl_device_disk_getinfo, libxl_diskinfo => DiskInfo;
}

impl Domain {
    /// Removes a disk as [`disk_remove`](Self::disk_remove) does, but fails while the guest uses
    /// the disk. Since Xen 4.15.
    ///
    /// `disk_remove` removes the disk by force when the guest does not answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when the guest does not release the
    /// disk, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) before Xen 4.15,
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
    #[doc(alias = "libxl_device_disk_safe_remove")]
    pub fn disk_safe_remove(&self, disk: &Disk) -> Result<Operation<()>> {
        #[cfg(libxl_have = "disk_safe_remove")]
        return self.device_remove(
            "libxl_device_disk_safe_remove",
            disk,
            sys::libxl_device_disk_safe_remove,
        );
        #[cfg(not(libxl_have = "disk_safe_remove"))]
        {
            let _ = disk;
            Err(crate::Context::lacks(
                "libxl_device_disk_safe_remove",
                "disk_safe_remove",
            ))
        }
    }

    /// Changes the disc in a CD drive of an HVM domain.
    ///
    /// `disc` names the drive by [`Disk::vdev`] and describes the new disc. [`Disk::empty_cdrom`]
    /// removes the present one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a domain that is not HVM, or a drive
    /// that the domain does not have;
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
    #[doc(alias = "libxl_cdrom_insert")]
    pub fn cdrom_insert(&self, disc: &Disk) -> Result<Operation<Disk>> {
        self.device_add("libxl_cdrom_insert", disc, sys::libxl_cdrom_insert)
    }

    /// Returns the disk that the guest sees under this name, such as `xvda`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such disk,
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
    #[doc(alias = "libxl_vdev_to_device_disk")]
    pub fn disk_by_vdev(&self, vdev: &str) -> Result<Disk> {
        const FUNCTION: &str = "libxl_vdev_to_device_disk";
        let vdev = c_string(FUNCTION, "vdev", vdev)?;
        self.device_find(FUNCTION, |ctx, domid, disk| {
            // SAFETY: a live context, a NUL-terminated name and an initialised structure.
            unsafe { sys::libxl_vdev_to_device_disk(ctx, domid, vdev.as_ptr(), disk) }
        })
    }
}
