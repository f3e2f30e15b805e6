//! NICs.

use std::ffi::c_int;

use libxl_sys as sys;

use super::macros::{device_info, device_methods};
use crate::{
    Domain, Error, ErrorKind, Result,
    config::{Mac, Nic},
};

device_info! {
    /// Connection state of a NIC (`libxl_nicinfo`).
    #[doc(alias = "libxl_nicinfo")]
    pub struct NicInfo {
        /// The guest's event channel; -1 if it has none yet, or one for each direction.
        pub evtch: i32,
        /// The grant of the ring for packets from the guest; -1 if there is none yet.
        pub rref_tx: i32,
        /// The grant of the ring for packets to the guest; -1 if there is none yet.
        pub rref_rx: i32,
    }
}

device_methods! {
    Nic as libxl_device_nic, "a NIC":
    #[doc(alias = "libxl_device_nic_add")]
    add nic_add = libxl_device_nic_add;
    #[doc(alias = "libxl_device_nic_remove")]
    remove nic_remove = libxl_device_nic_remove;
    #[doc(alias = "libxl_device_nic_destroy")]
    destroy nic_destroy = libxl_device_nic_destroy;
    #[doc(alias = "libxl_device_nic_list")]
    #[doc(alias = "libxl_device_nic_list_free")]
    list nic_list = libxl_device_nic_list, libxl_device_nic_list_free;
    #[doc(alias = "libxl_device_nic_getinfo")]
    info nic_info = libxl_device_nic_getinfo, libxl_nicinfo => NicInfo;
}

impl Domain {
    /// Returns the NIC with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such NIC, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_devid_to_device_nic")]
    pub fn nic_by_devid(&self, devid: i32) -> Result<Nic> {
        self.device_find("libxl_devid_to_device_nic", |ctx, domid, nic| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_devid_to_device_nic(ctx, domid, c_int::from(devid), nic) }
        })
    }

    /// Returns the NIC with this Ethernet address.
    ///
    /// # Errors
    ///
    /// As [`nic_by_devid`](Self::nic_by_devid).
    #[doc(alias = "libxl_mac_to_device_nic")]
    pub fn nic_by_mac(&self, mac: Mac) -> Result<Nic> {
        // libxl's own function does the same, but never frees the memory that it allocates for the
        // search (Xen 4.14 to 4.22).
        let mut nics = self.nic_list()?.into_iter();
        nics.find(|nic| nic.mac == Some(mac)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "libxl_device_nic_list")
                .with_domain(Some(self.domid()))
                .with_message("the domain has no such device")
        })
    }
}
