//! Paravirtual sound cards.

use libxl_sys as sys;
use serde::{Deserialize, Serialize};

use super::macros::{device_info, device_methods};
use crate::{Domain, Error, ErrorKind, Result, config::Vsnd, sound_cards};

device_info! {
    /// Connection state of a paravirtual sound card (`libxl_vsndinfo`).
    #[doc(alias = "libxl_vsndinfo")]
    pub struct VsndInfo {
        /// State of each device of the card.
        pub pcms: Vec<PcmInfo>,
    }
}

/// Connection state of a device of a sound card (`libxl_pcminfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "libxl_pcminfo")]
pub struct PcmInfo {
    /// State of each stream of the device.
    pub streams: Vec<StreamInfo>,
}

/// Connection state of a stream (`libxl_streaminfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "libxl_streaminfo")]
pub struct StreamInfo {
    /// The guest's event channel for requests; -1 if it has none yet.
    pub req_evtch: i32,
    /// The grant of the ring for requests; -1 if there is none yet.
    pub req_rref: i32,
}

device_methods! {
    Vsnd as libxl_device_vsnd, "a paravirtual sound card":
    #[doc(alias = "libxl_device_vsnd_add")]
    add vsnd_add = libxl_device_vsnd_add;
    #[doc(alias = "libxl_device_vsnd_remove")]
    remove vsnd_remove = libxl_device_vsnd_remove;
    #[doc(alias = "libxl_device_vsnd_destroy")]
    destroy vsnd_destroy = libxl_device_vsnd_destroy;
}

impl Domain {
    /// Returns the domain's paravirtual sound cards.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; [`ErrorKind::Failed`] when xenstore holds an invalid device.
    #[doc(alias = "libxl_device_vsnd_list")]
    #[doc(alias = "libxl_device_vsnd_list_free")]
    pub fn vsnd_list(&self) -> Result<Vec<Vsnd>> {
        let _turn = sound_cards::turn();
        self.device_list(
            "libxl_device_vsnd_list",
            sys::libxl_device_vsnd_list,
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_device_vsnd_list_free(list, count) },
        )
    }

    /// Returns the paravirtual sound card with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_devid_to_device_vsnd")]
    pub fn vsnd_by_devid(&self, devid: i32) -> Result<Vsnd> {
        let _turn = sound_cards::turn();
        self.device_find("libxl_devid_to_device_vsnd", |ctx, domid, device| {
            // SAFETY: a live context and an initialised structure; no other thread reads sound
            // cards.
            unsafe { sys::libxl_devid_to_device_vsnd(ctx, domid, devid, device) }
        })
    }

    /// Returns the connection state of a paravirtual sound card.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the domain has no card with the number in `devid`, or `devid` is
    /// not set; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_vsnd_getinfo")]
    pub fn vsnd_info(&self, device: &Vsnd) -> Result<VsndInfo> {
        const FUNCTION: &str = "libxl_device_vsnd_getinfo";
        // libxl assumes that xenstore names the card's backend, and uses the result without
        // checking whether it found one (4.14 to 4.22). (If somebody removes the card between the
        // look and the call, the process still ends.)
        let known = self.vsnd_list()?;
        if device.devid.is_none() || known.iter().all(|card| card.devid != device.devid) {
            let why = device.devid.map_or_else(
                || "no sound card was named".to_owned(),
                |devid| format!("the domain has no sound card {devid}"),
            );
            return Err(Error::new(ErrorKind::NotFound, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(why));
        }
        self.device_info::<_, sys::libxl_vsndinfo, _>(
            FUNCTION,
            device,
            sys::libxl_device_vsnd_getinfo,
        )
    }
}
