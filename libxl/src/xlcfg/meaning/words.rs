//! The words of libxl's enumerations, as the linked libxl knows them.

use libxl_sys as sys;

use crate::{
    config::{
        Altp2mMode, ArmSciType, BiosType, GfxPassthruKind, GicVersion, Hdtype, P9Type, Passthrough,
        SmbiosType, SveType, TeeType, TimerMode, TscMode, UsbctrlType, VendorDevice,
        ViridianEnlightenment, VirtioTransport, VkbBackend, VsndPcmFormat, VsndStreamType,
        VuartType,
    },
    raw::{c_string, copy_str},
};

/// An enumeration whose words libxl reads.
pub(super) trait Word: Sized {
    /// The value for a word; `None` for a word that libxl does not know, and `Some(None)` for one
    /// that only means "not set".
    fn parse(text: &str) -> Option<Option<Self>>;
    /// The words for a complaint.
    fn known() -> String;
}

macro_rules! words {
    ($($ty:ident, $raw:ident, $from:ident, $to:ident;)*) => {$(
        impl Word for $ty {
            fn parse(text: &str) -> Option<Option<Self>> {
                let text = c_string("from_string", "word", text).ok()?;
                let mut raw = sys::$raw(0);
                // SAFETY: the generated from_string function compares a NUL-terminated text with its
                // table and stores a number.
                let rc = unsafe { sys::$from(text.as_ptr(), &raw mut raw) };
                if rc != 0 {
                    return None;
                }
                // SAFETY: the generated to_string function returns a literal or NULL.
                unsafe { copy_str(sys::$to(raw)) }.map(value)
            }

            fn known() -> String {
                known(Self::KNOWN.iter().map(Self::word))
            }
        }
    )*};
}

/// Defines enumerations that these headers do not have, and that no key of their release needs.
#[allow(unused_macros)]
macro_rules! absent {
    ($($ty:ident)*) => {$(
        impl Word for $ty {
            fn parse(_: &str) -> Option<Option<Self>> {
                None
            }

            fn known() -> String {
                known(Self::KNOWN.iter().map(Self::word))
            }
        }
    )*};
}

words! {
    Altp2mMode, libxl_altp2m_mode, libxl_altp2m_mode_from_string, libxl_altp2m_mode_to_string;
    BiosType, libxl_bios_type, libxl_bios_type_from_string, libxl_bios_type_to_string;
    GfxPassthruKind, libxl_gfx_passthru_kind, libxl_gfx_passthru_kind_from_string, libxl_gfx_passthru_kind_to_string;
    GicVersion, libxl_gic_version, libxl_gic_version_from_string, libxl_gic_version_to_string;
    Hdtype, libxl_hdtype, libxl_hdtype_from_string, libxl_hdtype_to_string;
    Passthrough, libxl_passthrough, libxl_passthrough_from_string, libxl_passthrough_to_string;
    TeeType, libxl_tee_type, libxl_tee_type_from_string, libxl_tee_type_to_string;
    TimerMode, libxl_timer_mode, libxl_timer_mode_from_string, libxl_timer_mode_to_string;
    TscMode, libxl_tsc_mode, libxl_tsc_mode_from_string, libxl_tsc_mode_to_string;
    UsbctrlType, libxl_usbctrl_type, libxl_usbctrl_type_from_string, libxl_usbctrl_type_to_string;
    VendorDevice, libxl_vendor_device, libxl_vendor_device_from_string, libxl_vendor_device_to_string;
    ViridianEnlightenment, libxl_viridian_enlightenment, libxl_viridian_enlightenment_from_string, libxl_viridian_enlightenment_to_string;
    VkbBackend, libxl_vkb_backend, libxl_vkb_backend_from_string, libxl_vkb_backend_to_string;
    VsndPcmFormat, libxl_vsnd_pcm_format, libxl_vsnd_pcm_format_from_string, libxl_vsnd_pcm_format_to_string;
    VsndStreamType, libxl_vsnd_stream_type, libxl_vsnd_stream_type_from_string, libxl_vsnd_stream_type_to_string;
    VuartType, libxl_vuart_type, libxl_vuart_type_from_string, libxl_vuart_type_to_string;
}

#[cfg(libxl_have = "xen_9pfs")]
words! {
    P9Type, libxl_p9_type, libxl_p9_type_from_string, libxl_p9_type_to_string;
}

#[cfg(not(libxl_have = "xen_9pfs"))]
absent! { P9Type }

#[cfg(libxl_have = "buildinfo_arch_arm_sve_vl")]
words! {
    SveType, libxl_sve_type, libxl_sve_type_from_string, libxl_sve_type_to_string;
}

#[cfg(not(libxl_have = "buildinfo_arch_arm_sve_vl"))]
absent! { SveType }

// No macro announces virtio devices; they came with the same release as the macro used here.
#[cfg(libxl_have = "buildinfo_hvm_smbios")]
words! {
    SmbiosType, libxl_smbios_type, libxl_smbios_type_from_string, libxl_smbios_type_to_string;
    VirtioTransport, libxl_virtio_transport, libxl_virtio_transport_from_string, libxl_virtio_transport_to_string;
}

#[cfg(not(libxl_have = "buildinfo_hvm_smbios"))]
absent! { SmbiosType VirtioTransport }

#[cfg(libxl_have = "buildinfo_arch_arm_sci")]
words! {
    ArmSciType, libxl_arm_sci_type, libxl_arm_sci_type_from_string, libxl_arm_sci_type_to_string;
}

#[cfg(not(libxl_have = "buildinfo_arch_arm_sci"))]
absent! { ArmSciType }

fn known<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The value for libxl's spelling. A word that this crate does not know is kept as it is.
fn value<T: serde::de::DeserializeOwned>(word: String) -> Option<T> {
    if word == "unknown" || word == "invalid" {
        return None;
    }
    serde_json::from_value(word.into()).ok()
}
