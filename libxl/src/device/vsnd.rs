//! Paravirtual sound cards.

use libxl_sys as sys;
use serde::{Deserialize, Serialize};

use super::{device_info, device_methods};
use crate::{Domain, Error, ErrorKind, Result, config::Vsnd, sound_cards};

device_info! {
    /// How far a paravirtual sound card is (`libxl_vsndinfo`).
    #[doc(alias = "libxl_vsndinfo")]
    pub struct VsndInfo {
        /// Its devices.
        pub pcms: Vec<PcmInfo>,
    }
}

/// How far a device of a sound card is (`libxl_pcminfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "libxl_pcminfo")]
pub struct PcmInfo {
    /// Its streams.
    pub streams: Vec<StreamInfo>,
}

/// How far a stream is (`libxl_streaminfo`).
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
    /// Those of the domain's devices that are a paravirtual sound card.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; [`ErrorKind::Failed`] when xenstore holds what no device is.
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

    /// The paravirtual sound card with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_devid_to_device_vsnd")]
    pub fn vsnd_by_devid(&self, devid: i32) -> Result<Vsnd> {
        let _turn = sound_cards::turn();
        self.device_find("libxl_devid_to_device_vsnd", |ctx, domid, device| {
            // SAFETY: a live context and an initialised structure; nobody else reads sound cards.
            unsafe { sys::libxl_devid_to_device_vsnd(ctx, domid, devid, device) }
        })
    }

    /// How far a paravirtual sound card is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the domain has no card with the number in `devid`, or `devid` is
    /// not set; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_vsnd_getinfo")]
    pub fn vsnd_info(&self, device: &Vsnd) -> Result<VsndInfo> {
        const FUNCTION: &str = "libxl_device_vsnd_getinfo";
        // libxl takes it for granted that xenstore names the card's backend, and reads what it found
        // without looking whether it found anything (4.14 to 4.22). (A card that somebody takes away
        // between the look and the call would still end the process.)
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
