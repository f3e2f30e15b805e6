//! Parameters for creating a domain in Xen.

use std::collections::BTreeMap;

use super::enums::Passthrough;
use super::json::{defbool, key_values, uuid as uuid_form};
use uuid::Uuid;

config_struct! {
    /// Parameters for creating a domain in Xen (`libxl_domain_create_info`).
    ///
    /// libxl's field `type` has no counterpart here: it follows from [`BuildInfo::guest`](super::BuildInfo::guest) and
    /// is written with the whole configuration.
    pub struct CreateInfo {
        /// Translate the guest's memory in hardware (EPT, NPT) rather than by shadow page tables. HVM and PVH.
        /// Default: yes if the hardware supports it.
        #[serde(with = "defbool")]
        pub hap: Option<bool>,
        /// Let shadow page tables be out of sync for a while. Default: yes.
        #[serde(with = "defbool")]
        pub oos: Option<bool>,
        /// XSM security identifier of the domain while it is built. Default: that of an ordinary domain.
        ///
        /// libxl sets this field from `ssid_label` if there is a label.
        pub ssidref: Option<u32>,
        /// XSM label of the domain while it is built. The label stays afterwards if there is no
        /// [`BuildInfo::exec_ssid_label`](super::BuildInfo::exec_ssid_label).
        pub ssid_label: Option<String>,
        /// Name of the domain. No other domain of the host may have the same name.
        pub name: String,
        /// Requested domid. Default: the next free domid. `0xffff_fffe`, libxl's `RANDOM_DOMID`, requests a random
        /// domid.
        pub domid: Option<u32>,
        /// UUID of the domain. The constructors choose a UUID; libxl does not, and would use the nil UUID.
        #[serde(with = "uuid_form")]
        pub uuid: Option<Uuid>,
        /// Keys and values to write below the domain's xenstore directory. The guest can read them.
        #[serde(with = "key_values")]
        pub xsdata: BTreeMap<String, String>,
        /// Keys and values to write below the directory `platform` of the domain's xenstore directory.
        #[serde(with = "key_values")]
        pub platformdata: BTreeMap<String, String>,
        /// Number of the CPU pool. Default: pool 0. libxl sets this field from `pool_name` if there is a name.
        pub poolid: Option<u32>,
        /// Name or number of the CPU pool.
        pub pool_name: Option<String>,
        /// Run the hotplug scripts from libxl rather than from udev. Default: yes.
        #[serde(with = "defbool")]
        pub run_hotplug_scripts: Option<bool>,
        /// The domain serves devices to other domains. Default: no.
        #[serde(with = "defbool")]
        pub driver_domain: Option<bool>,
        /// The domain's IOMMU. Default: enabled if there are devices to pass through.
        pub passthrough: Option<Passthrough>,
        /// Behave like xend, for old drivers. Default: no.
        ///
        /// There is no xenstore node for the suspend event channel, and the guest may write to the whole `device`
        /// directory.
        #[serde(with = "defbool")]
        pub xend_suspend_evtchn_compat: Option<bool>,
    }
}
