//! Paravirtual sound cards.

use super::enums::{VsndPcmFormat, VsndStreamType};

config_struct! {
    /// A paravirtual sound card (`libxl_device_vsnd`).
    pub struct Vsnd {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's sound cards. Default: the next free number.
        pub devid: Option<i32>,
        /// Short name of the card.
        pub short_name: Option<String>,
        /// Long name of the card.
        pub long_name: Option<String>,
        /// Capabilities of the card; devices and streams may narrow them.
        pub params: VsndParams,
        /// Devices of the card.
        pub pcms: Vec<VsndPcm>,
    }
}

config_struct! {
    /// A device of a sound card (`libxl_vsnd_pcm`).
    pub struct VsndPcm {
        /// Name of the device.
        pub name: Option<String>,
        /// Capabilities of the device, within those of the card.
        pub params: VsndParams,
        /// Streams of the device.
        pub streams: Vec<VsndStream>,
    }
}

config_struct! {
    /// A stream of a device (`libxl_vsnd_stream`).
    pub struct VsndStream {
        /// Identifier by which the backend program distinguishes the stream from others.
        pub unique_id: Option<String>,
        /// Direction of the stream.
        pub r#type: Option<VsndStreamType>,
        /// Capabilities of the stream, within those of the device.
        pub params: VsndParams,
    }
}

config_struct! {
    /// Capabilities of a sound card, a device or a stream (`libxl_vsnd_params`).
    pub struct VsndParams {
        /// Supported sample rates, in samples per second.
        pub sample_rates: Vec<u32>,
        /// Supported formats of a sample.
        pub sample_formats: Vec<VsndPcmFormat>,
        /// Minimum number of channels.
        pub channels_min: Option<u32>,
        /// Maximum number of channels.
        pub channels_max: Option<u32>,
        /// Maximum size of a stream's buffer, in bytes.
        pub buffer_size: Option<u32>,
    }
}
