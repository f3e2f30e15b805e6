//! Paravirtual sound cards.

use super::enums::{VsndPcmFormat, VsndStreamType};

config_struct! {
    /// A paravirtual sound card (`libxl_device_vsnd`).
    pub struct Vsnd {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's sound cards. Default: the next free one.
        pub devid: Option<i32>,
        /// Its short name.
        pub short_name: Option<String>,
        /// Its long name.
        pub long_name: Option<String>,
        /// What it can; devices and streams may narrow this.
        pub params: VsndParams,
        /// Its devices.
        pub pcms: Vec<VsndPcm>,
    }
}

config_struct! {
    /// A device of a sound card (`libxl_vsnd_pcm`).
    pub struct VsndPcm {
        /// Its name.
        pub name: Option<String>,
        /// What it can, within what the card can.
        pub params: VsndParams,
        /// Its streams.
        pub streams: Vec<VsndStream>,
    }
}

config_struct! {
    /// A stream of a device (`libxl_vsnd_stream`).
    pub struct VsndStream {
        /// How the program that serves it tells it from others.
        pub unique_id: Option<String>,
        /// Its direction.
        pub r#type: Option<VsndStreamType>,
        /// What it can, within what the device can.
        pub params: VsndParams,
    }
}

config_struct! {
    /// What a sound card, a device or a stream can (`libxl_vsnd_params`).
    pub struct VsndParams {
        /// Samples per second.
        pub sample_rates: Vec<u32>,
        /// Formats of a sample.
        pub sample_formats: Vec<VsndPcmFormat>,
        /// Fewest channels.
        pub channels_min: Option<u32>,
        /// Most channels.
        pub channels_max: Option<u32>,
        /// Largest buffer of a stream, in bytes.
        pub buffer_size: Option<u32>,
    }
}
