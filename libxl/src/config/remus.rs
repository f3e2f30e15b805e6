//! How a copy of a running domain is kept.

use super::json::defbool;

config_struct! {
    /// How a copy of a domain is kept on another host (`libxl_domain_remus_info`); see
    /// [`Domain::remus_start`](crate::Domain::remus_start).
    #[doc(alias = "libxl_domain_remus_info")]
    pub struct Remus {
        /// How long the guest runs between two checkpoints, in milliseconds. Default: 0; `xl` takes
        /// 200.
        pub interval: Option<i32>,
        /// Allows what may lose data: `blackhole`, and no `netbuf` or `diskbuf`. Default: no.
        #[serde(with = "defbool")]
        pub allow_unsafe: Option<bool>,
        /// The copy is thrown away, to measure what the checkpoints cost. Default: no.
        #[serde(with = "defbool")]
        pub blackhole: Option<bool>,
        /// Checkpoints are compressed. Default: yes, except with `colo`.
        #[serde(with = "defbool")]
        pub compression: Option<bool>,
        /// What the guest sends is held back until the checkpoint after it has arrived. Default:
        /// yes. Needs a libxl that was built with libnl.
        #[serde(with = "defbool")]
        pub netbuf: Option<bool>,
        /// The script that sets that up. Default: `remus-netbuf-setup` in Xen's directory of
        /// scripts.
        pub netbufscript: Option<String>,
        /// Writes to disks are replicated, which must be DRBD's. Default: yes.
        #[serde(with = "defbool")]
        pub diskbuf: Option<bool>,
        /// The copy runs, too, and is only replaced when it answers differently (COLO). Default:
        /// no.
        #[serde(with = "defbool")]
        pub colo: Option<bool>,
        /// COLO's answers are compared by QEMU and not in the kernel. Default: no.
        #[serde(with = "defbool")]
        pub userspace_colo_proxy: Option<bool>,
    }
}
