//! The less common kinds of devices: virtual TPMs, keyboards, screens, displays, shared directories
//! and sockets.

use std::ffi::c_int;

use libxl_sys as sys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::macros::{device_info, device_methods};
use crate::{
    Domain, Error, ErrorKind, Operation, Result,
    config::{P9, Pvcallsif, Vdispl, Vfb, Vkb, Vtpm},
};

device_info! {
    /// Connection state of a virtual TPM (`libxl_vtpminfo`).
    #[doc(alias = "libxl_vtpminfo")]
    pub struct VtpmInfo {
        /// The guest's event channel; -1 if it has none yet.
        pub evtch: i32,
        /// The grant of the ring; -1 if there is none yet.
        pub rref: i32,
        /// UUID of the virtual TPM.
        pub uuid: Uuid,
    }
}

device_methods! {
    Vtpm as libxl_device_vtpm, "a virtual TPM":
    #[doc(alias = "libxl_device_vtpm_add")]
    add vtpm_add = libxl_device_vtpm_add;
    #[doc(alias = "libxl_device_vtpm_remove")]
    remove vtpm_remove = libxl_device_vtpm_remove;
    #[doc(alias = "libxl_device_vtpm_destroy")]
    destroy vtpm_destroy = libxl_device_vtpm_destroy;
    #[doc(alias = "libxl_device_vtpm_list")]
    #[doc(alias = "libxl_device_vtpm_list_free")]
    list vtpm_list = libxl_device_vtpm_list, libxl_device_vtpm_list_free;
    #[doc(alias = "libxl_device_vtpm_getinfo")]
    info vtpm_info = libxl_device_vtpm_getinfo, libxl_vtpminfo => VtpmInfo;
}

device_info! {
    /// Connection state of a paravirtual keyboard (`libxl_vkbinfo`).
    #[doc(alias = "libxl_vkbinfo")]
    pub struct VkbInfo {
        /// The guest's event channel; -1 if it has none yet.
        pub evtch: i32,
        /// The grant of the ring; -1 if there is none yet.
        pub rref: i32,
    }
}

device_methods! {
    Vkb as libxl_device_vkb, "a paravirtual keyboard":
    #[doc(alias = "libxl_device_vkb_add")]
    add vkb_add = libxl_device_vkb_add;
    #[doc(alias = "libxl_device_vkb_remove")]
    remove vkb_remove = libxl_device_vkb_remove;
    #[doc(alias = "libxl_device_vkb_destroy")]
    destroy vkb_destroy = libxl_device_vkb_destroy;
    #[doc(alias = "libxl_device_vkb_list")]
    #[doc(alias = "libxl_device_vkb_list_free")]
    list vkb_list = libxl_device_vkb_list, libxl_device_vkb_list_free;
    #[doc(alias = "libxl_device_vkb_getinfo")]
    info vkb_info = libxl_device_vkb_getinfo, libxl_vkbinfo => VkbInfo;
}

device_methods! {
    Vfb as libxl_device_vfb, "a paravirtual screen":
    #[doc(alias = "libxl_device_vfb_add")]
    add vfb_add = libxl_device_vfb_add;
    #[doc(alias = "libxl_device_vfb_remove")]
    remove vfb_remove = libxl_device_vfb_remove;
    #[doc(alias = "libxl_device_vfb_destroy")]
    destroy vfb_destroy = libxl_device_vfb_destroy;
}

device_info! {
    /// Connection state of a paravirtual display (`libxl_vdisplinfo`).
    #[doc(alias = "libxl_vdisplinfo")]
    pub struct VdisplInfo {
        /// True if the backend provides the buffers.
        pub be_alloc: bool,
        /// State of each connector.
        pub connectors: Vec<ConnectorInfo>,
    }
}

/// Connection state of a connector of a display (`libxl_connectorinfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "libxl_connectorinfo")]
pub struct ConnectorInfo {
    /// Name by which the backend program identifies the connector.
    pub unique_id: Option<String>,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// The guest's event channel for requests; -1 if it has none yet.
    pub req_evtch: i32,
    /// The grant of the ring for requests; -1 if there is none yet.
    pub req_rref: i32,
    /// The guest's event channel for events; -1 if it has none yet.
    pub evt_evtch: i32,
    /// The grant of the page for events; -1 if there is none yet.
    pub evt_rref: i32,
}

device_methods! {
    Vdispl as libxl_device_vdispl, "a paravirtual display":
    #[doc(alias = "libxl_device_vdispl_add")]
    add vdispl_add = libxl_device_vdispl_add;
    #[doc(alias = "libxl_device_vdispl_remove")]
    remove vdispl_remove = libxl_device_vdispl_remove;
    #[doc(alias = "libxl_device_vdispl_destroy")]
    destroy vdispl_destroy = libxl_device_vdispl_destroy;
    #[doc(alias = "libxl_device_vdispl_list")]
    #[doc(alias = "libxl_device_vdispl_list_free")]
    list vdispl_list = libxl_device_vdispl_list, libxl_device_vdispl_list_free;
    #[doc(alias = "libxl_device_vdispl_getinfo")]
    info vdispl_info = libxl_device_vdispl_getinfo, libxl_vdisplinfo => VdisplInfo;
}

device_methods! {
    P9 as libxl_device_p9, "a shared directory":
    #[doc(alias = "libxl_device_p9_remove")]
    remove p9_remove = libxl_device_p9_remove;
    #[doc(alias = "libxl_device_p9_destroy")]
    destroy p9_destroy = libxl_device_p9_destroy;
}

device_methods! {
    Pvcallsif as libxl_device_pvcallsif, "an interface to another domain's sockets":
    #[doc(alias = "libxl_device_pvcallsif_remove")]
    remove pvcallsif_remove = libxl_device_pvcallsif_remove;
    #[doc(alias = "libxl_device_pvcallsif_destroy")]
    destroy pvcallsif_destroy = libxl_device_pvcallsif_destroy;
}

/// Defines methods that look up a device by its number.
macro_rules! by_devid {
    ($($device:ident, $what:literal, $(#[$alias:meta])* $method:ident = $function:ident;)*) => {
        impl Domain {$(
            #[doc = concat!("The ", $what, " with this number.")]
            ///
            /// # Errors
            ///
            /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is none,
            /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
            $(#[$alias])*
            pub fn $method(&self, devid: i32) -> Result<$device> {
                self.device_find(stringify!($function), |ctx, domid, device| {
                    // SAFETY: a live context and an initialised structure.
                    unsafe { sys::$function(ctx, domid, c_int::from(devid), device) }
                })
            }
        )*}
    };
}

by_devid! {
    Vkb, "paravirtual keyboard",
    #[doc(alias = "libxl_devid_to_device_vkb")]
    vkb_by_devid = libxl_devid_to_device_vkb;
    Vdispl, "paravirtual display",
    #[doc(alias = "libxl_devid_to_device_vdispl")]
    vdispl_by_devid = libxl_devid_to_device_vdispl;
}

impl Domain {
    /// Returns the virtual TPM with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_devid_to_device_vtpm")]
    pub fn vtpm_by_devid(&self, devid: i32) -> Result<Vtpm> {
        self.vtpm_that(|vtpm| vtpm.devid == Some(devid))
    }

    /// Returns the virtual TPM with this UUID.
    ///
    /// # Errors
    ///
    /// As [`vtpm_by_devid`](Self::vtpm_by_devid).
    #[doc(alias = "libxl_uuid_to_device_vtpm")]
    pub fn vtpm_by_uuid(&self, uuid: Uuid) -> Result<Vtpm> {
        self.vtpm_that(|vtpm| vtpm.uuid == Some(uuid))
    }

    /// Looks up a virtual TPM in the list of the domain's devices.
    ///
    /// libxl's own functions do the same, but for a domain without a virtual TPM they never free
    /// the memory that they allocate (Xen 4.14 to 4.22).
    fn vtpm_that(&self, matches: impl Fn(&Vtpm) -> bool) -> Result<Vtpm> {
        let vtpm = self.vtpm_list()?.into_iter().find(matches);
        vtpm.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "libxl_device_vtpm_list")
                .with_domain(Some(self.domid()))
                .with_message("the domain has no such device")
        })
    }

    /// Adds a shared directory to the domain. Since Xen 4.19; before, a shared directory can only
    /// be there from the start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] before Xen 4.19, else as
    /// [`nic_add`](Self::nic_add).
    #[doc(alias = "libxl_device_9pfs_add")]
    pub fn p9_add(&self, device: &P9) -> Result<Operation<P9>> {
        #[cfg(libxl_have = "p9_add")]
        return self.device_add("libxl_device_9pfs_add", device, sys::libxl_device_9pfs_add);
        #[cfg(not(libxl_have = "p9_add"))]
        {
            let _ = device;
            Err(crate::Context::lacks("libxl_device_9pfs_add", "p9_add"))
        }
    }
}
