//! Plain data to C and back, through libxl's own JSON.
//!
//! libxl's parser drops fields that it does not know or that have the wrong type, and reports
//! success. The parsed structure is therefore read back and compared, unless libxl has already
//! taken over one of the same [`shape`] in full.

use std::{
    collections::VecDeque,
    ffi::{c_char, c_int},
};

use libxl_sys as sys;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Context, Error, ErrorKind, Result,
    config::{lost_fields, redact, refused_fields, shape},
    have::BUILT_FOR,
    logger::expecting_failure,
    per_process::PerProcess,
    raw::{Owned, Structure, c_string, take_str},
};

/// A structure that libxl writes as JSON.
///
/// # Safety
///
/// `to_json` must be the function that libxl generates for this structure.
pub(crate) unsafe trait ToJson: Structure {
    /// The name of the function.
    const TO: &'static str;
    /// The `_to_json` function.
    unsafe fn to_json(ctx: *mut sys::libxl_ctx, from: *mut Self) -> *mut c_char;
}

/// A structure that libxl also reads from JSON.
///
/// # Safety
///
/// `from_json` must be the function that libxl generates for this structure.
pub(crate) unsafe trait FromJson: ToJson {
    /// The name of the function.
    const FROM: &'static str;
    /// The `_from_json` function.
    unsafe fn from_json(ctx: *mut sys::libxl_ctx, to: *mut Self, json: *const c_char) -> c_int;
}

macro_rules! to_json {
    ($($structure:ident: $to:ident;)*) => {$(
        // SAFETY: the function that libxl generates for this structure.
        unsafe impl ToJson for sys::$structure {
            const TO: &'static str = stringify!($to);
            unsafe fn to_json(ctx: *mut sys::libxl_ctx, from: *mut Self) -> *mut c_char {
                // SAFETY: the caller passes a live context and an initialised structure.
                unsafe { sys::$to(ctx, from) }
            }
        }
    )*};
}

macro_rules! from_json {
    ($($structure:ident: $from:ident;)*) => {$(
        // SAFETY: the function that libxl generates for this structure.
        unsafe impl FromJson for sys::$structure {
            const FROM: &'static str = stringify!($from);
            unsafe fn from_json(
                ctx: *mut sys::libxl_ctx,
                to: *mut Self,
                json: *const c_char,
            ) -> c_int {
                // SAFETY: the caller passes a live context, an initialised structure and a text.
                unsafe { sys::$from(ctx, to, json) }
            }
        }
    )*};
}

to_json! {
    libxl_domain_config: libxl_domain_config_to_json;
    libxl_domain_remus_info: libxl_domain_remus_info_to_json;
    libxl_device_disk: libxl_device_disk_to_json;
    libxl_device_nic: libxl_device_nic_to_json;
    libxl_diskinfo: libxl_diskinfo_to_json;
    libxl_device_usbctrl: libxl_device_usbctrl_to_json;
    libxl_device_usbdev: libxl_device_usbdev_to_json;
    libxl_device_vtpm: libxl_device_vtpm_to_json;
    libxl_device_vkb: libxl_device_vkb_to_json;
    libxl_device_vfb: libxl_device_vfb_to_json;
    libxl_device_vdispl: libxl_device_vdispl_to_json;
    libxl_device_vsnd: libxl_device_vsnd_to_json;
    libxl_device_p9: libxl_device_p9_to_json;
    libxl_device_pvcallsif: libxl_device_pvcallsif_to_json;
    libxl_usbctrlinfo: libxl_usbctrlinfo_to_json;
    libxl_vtpminfo: libxl_vtpminfo_to_json;
    libxl_vkbinfo: libxl_vkbinfo_to_json;
    libxl_vdisplinfo: libxl_vdisplinfo_to_json;
    libxl_vsndinfo: libxl_vsndinfo_to_json;
    libxl_device_channel: libxl_device_channel_to_json;
    libxl_channelinfo: libxl_channelinfo_to_json;
    libxl_domain_sched_params: libxl_domain_sched_params_to_json;
    libxl_vcpu_sched_params: libxl_vcpu_sched_params_to_json;
    libxl_nicinfo: libxl_nicinfo_to_json;
}

from_json! {
    libxl_domain_config: libxl_domain_config_from_json;
    libxl_domain_remus_info: libxl_domain_remus_info_from_json;
    libxl_device_disk: libxl_device_disk_from_json;
    libxl_device_nic: libxl_device_nic_from_json;
    libxl_device_usbctrl: libxl_device_usbctrl_from_json;
    libxl_device_usbdev: libxl_device_usbdev_from_json;
    libxl_device_vtpm: libxl_device_vtpm_from_json;
    libxl_device_vkb: libxl_device_vkb_from_json;
    libxl_device_vfb: libxl_device_vfb_from_json;
    libxl_device_vdispl: libxl_device_vdispl_from_json;
    libxl_device_vsnd: libxl_device_vsnd_from_json;
    libxl_device_p9: libxl_device_p9_from_json;
    libxl_device_pvcallsif: libxl_device_pvcallsif_from_json;
    libxl_device_channel: libxl_device_channel_from_json;
    libxl_domain_sched_params: libxl_domain_sched_params_from_json;
    libxl_vcpu_sched_params: libxl_vcpu_sched_params_from_json;
}

#[cfg(libxl_have = "xenstore_quota")]
to_json! {
    libxl_xs_quota_list: libxl_xs_quota_list_to_json;
}

#[cfg(libxl_have = "xenstore_quota")]
from_json! {
    libxl_xs_quota_list: libxl_xs_quota_list_from_json;
}

/// Number of shapes that are kept. One takes as much memory as the JSON of a configuration.
const SHAPES: usize = 32;

/// Shapes of what libxl has taken over in full, each with the function that has read it.
static TAKEN: PerProcess<VecDeque<(&'static str, Vec<u8>)>> = PerProcess::new(VecDeque::new());

fn is_known<T: FromJson>(taken: &VecDeque<(&str, Vec<u8>)>, shape: &[u8]) -> bool {
    let mut taken = taken.iter();
    taken.any(|(by, known)| *by == T::FROM && known == shape)
}

fn learn<T: FromJson>(shape: Vec<u8>) {
    let mut taken = TAKEN.lock();
    if is_known::<T>(&taken, &shape) {
        return;
    }
    if taken.len() == SHAPES {
        taken.pop_front();
    }
    taken.push_back((T::FROM, shape));
}

fn invalid<T: FromJson>(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid, T::FROM).with_message(error.to_string())
}

impl Context {
    /// Converts a value to libxl's structure, or fails if a part of the value would be lost.
    pub(crate) fn make_c<T: FromJson>(&self, value: &impl Serialize) -> Result<Owned<T>> {
        self.make_c_after(value, |_| Ok(()))
    }

    /// As [`make_c`](Self::make_c), if `check` finds nothing wrong with the JSON that libxl is about to read.
    ///
    /// It is `None` if JSON of the same [`shape`] has passed all checks before.
    pub(crate) fn make_c_after<T: FromJson>(
        &self,
        value: &impl Serialize,
        check: impl FnOnce(Option<&Value>) -> Result<()>,
    ) -> Result<Owned<T>> {
        let text = serde_json::to_string(value).map_err(|e| invalid::<T>(&e))?;
        let shape = shape(&text);
        let known = |shape: &Vec<u8>| is_known::<T>(&TAKEN.lock(), shape);
        let unknown = if shape.as_ref().is_some_and(known) {
            None
        } else {
            Some(serde_json::from_str(&text).map_err(|e| invalid::<T>(&e))?)
        };
        check(unknown.as_ref())?;
        let mark = self.log_mark();
        let (raw, rc) = self.parse::<T>(&text)?;
        if rc != 0 {
            let sent = match unknown {
                Some(sent) => sent,
                None => serde_json::from_str(&text).map_err(|e| invalid::<T>(&e))?,
            };
            // libxl names no field: offer it each field alone, to find those that it refuses.
            let refused = expecting_failure(|| {
                refused_fields(&sent, |part| {
                    let part = self.parse::<T>(&part.to_string());
                    part.is_ok_and(|(_, rc)| rc == 0)
                })
            });
            return Err(Error::from_code(T::FROM, rc)
                .with_kind(ErrorKind::Invalid)
                .with_message(format!(
                    "libxl {BUILT_FOR} does not take: {}",
                    refused.join(", ")
                ))
                .with_log(self.own_log_since(mark)));
        }
        let Some(sent) = unknown else {
            return Ok(raw);
        };
        let lost = lost_fields(&sent, &self.to_json(raw.as_ptr())?);
        if lost.is_empty() {
            shape.into_iter().for_each(learn::<T>);
            return Ok(raw);
        }
        Err(
            Error::new(ErrorKind::Unsupported, T::FROM).with_message(format!(
                "libxl {BUILT_FOR} has no place for: {}",
                lost.join(", ")
            )),
        )
    }

    /// Has libxl parse JSON, and returns the structure and libxl's return code.
    fn parse<T: FromJson>(&self, json: &str) -> Result<(Owned<T>, c_int)> {
        let text = c_string(T::FROM, "configuration", json)?;
        let raw = Owned::<T>::new();
        // SAFETY: a live context, an initialised structure, a NUL-terminated text.
        let rc = unsafe { T::from_json(self.enter().ptr(), raw.as_ptr(), text.as_ptr()) };
        Ok((raw, rc))
    }

    /// Reads libxl's structure.
    ///
    /// `raw` must be initialised and live: of an [`Owned`] or an array of libxl's.
    pub(crate) fn read_c<T: ToJson, V: DeserializeOwned>(&self, raw: *mut T) -> Result<V> {
        let mut value = self.to_json(raw)?;
        V::deserialize(&value).map_err(|e| {
            redact(&mut value);
            Error::new(ErrorKind::Failed, T::TO).with_message(format!("{e} in {value}"))
        })
    }

    fn to_json<T: ToJson>(&self, raw: *mut T) -> Result<Value> {
        let mark = self.log_mark();
        // SAFETY: a live context and a structure that libxl filled in; the string is for us.
        let text = unsafe { take_str(T::to_json(self.enter().ptr(), raw)) };
        let text = text.ok_or_else(|| {
            Error::new(ErrorKind::Failed, T::TO).with_log(self.own_log_since(mark))
        })?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::Failed, T::TO).with_message(e.to_string()))
    }
}
