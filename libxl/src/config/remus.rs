//! Parameters for keeping a copy of a running domain.

use super::json::defbool;

config_struct! {
    /// Parameters for keeping a copy of a domain on another host (`libxl_domain_remus_info`).
    ///
    /// See [`Domain::remus_start`](crate::Domain::remus_start).
    #[doc(alias = "libxl_domain_remus_info")]
    pub struct Remus {
        /// Time that the guest runs between two checkpoints, in milliseconds. Default: 0; `xl` uses 200.
        pub interval: Option<i32>,
        /// Allow settings that may lose data: `blackhole`, and the absence of `netbuf` or `diskbuf`. Default: no.
        #[serde(with = "defbool")]
        pub allow_unsafe: Option<bool>,
        /// Discard the copy, to measure the cost of the checkpoints. Default: no.
        #[serde(with = "defbool")]
        pub blackhole: Option<bool>,
        /// Compress checkpoints. Default: yes, except with `colo`.
        #[serde(with = "defbool")]
        pub compression: Option<bool>,
        /// Hold back packets that the guest sends until the following checkpoint has arrived. Default: yes. Needs a
        /// libxl that was built with libnl.
        #[serde(with = "defbool")]
        pub netbuf: Option<bool>,
        /// The script that sets up `netbuf`. Default: `remus-netbuf-setup` in Xen's script directory.
        pub netbufscript: Option<String>,
        /// Replicate writes to disks, which must be DRBD disks. Default: yes.
        #[serde(with = "defbool")]
        pub diskbuf: Option<bool>,
        /// Run the copy too, and replace it only when its answers differ (COLO). Default: no.
        #[serde(with = "defbool")]
        pub colo: Option<bool>,
        /// For COLO, compare the answers in QEMU rather than in the kernel. Default: no.
        #[serde(with = "defbool")]
        pub userspace_colo_proxy: Option<bool>,
    }
}
