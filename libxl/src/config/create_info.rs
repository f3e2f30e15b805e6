//! What Xen needs to know to make a domain.

use std::collections::BTreeMap;

use super::enums::Passthrough;
use super::json::{defbool, key_values, uuid as uuid_form};
use uuid::Uuid;

config_struct! {
    /// What Xen needs to know to make a domain (`libxl_domain_create_info`).
    ///
    /// libxl's field `type` is not here: it follows from [`BuildInfo::guest`](super::BuildInfo::guest) and is
    /// written with the whole configuration.
    pub struct CreateInfo {
        /// Translate the guest's memory in hardware (EPT, NPT) rather than by shadow page tables. HVM and PVH.
        /// Default: yes where the hardware can.
        #[serde(with = "defbool")]
        pub hap: Option<bool>,
        /// Let shadow page tables be out of step for a while. Default: yes.
        #[serde(with = "defbool")]
        pub oos: Option<bool>,
        /// XSM security identifier of the domain while it is built. Default: that of an ordinary domain. libxl
        /// sets it from `ssid_label` if there is one.
        pub ssidref: Option<u32>,
        /// XSM label of the domain while it is built, and ever after if there is no
        /// [`BuildInfo::exec_ssid_label`](super::BuildInfo::exec_ssid_label).
        pub ssid_label: Option<String>,
        /// The name. No other domain of the host may have it.
        pub name: String,
        /// The domain id to be had. Default: the next free one. `0xffff_fffe`, libxl's `RANDOM_DOMID`, chooses one at
        /// random.
        pub domid: Option<u32>,
        /// The UUID. libxl does not choose one: without it the domain has the nil UUID. The constructors do.
        #[serde(with = "uuid_form")]
        pub uuid: Option<Uuid>,
        /// Keys and values to be written below the domain's xenstore directory. The guest can read them.
        #[serde(with = "key_values")]
        pub xsdata: BTreeMap<String, String>,
        /// Keys and values to be written below the directory `platform` of the domain's xenstore directory.
        #[serde(with = "key_values")]
        pub platformdata: BTreeMap<String, String>,
        /// The CPU pool by number. Default: pool 0. libxl sets it from `pool_name` if there is one.
        pub poolid: Option<u32>,
        /// The CPU pool by name or number.
        pub pool_name: Option<String>,
        /// Run the hotplug scripts from libxl rather than from udev. Default: yes.
        #[serde(with = "defbool")]
        pub run_hotplug_scripts: Option<bool>,
        /// It serves devices to other domains. Default: no.
        #[serde(with = "defbool")]
        pub driver_domain: Option<bool>,
        /// Whether it has an IOMMU. Default: if there are devices to pass through.
        pub passthrough: Option<Passthrough>,
        /// Do as xend did: no xenstore node for the suspend event channel, the whole `device` directory writable by
        /// the guest. For old drivers. Default: no.
        #[serde(with = "defbool")]
        pub xend_suspend_evtchn_compat: Option<bool>,
    }
}
