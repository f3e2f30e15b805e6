//! Network interfaces.

use super::enums::NicType;
use super::json::defbool;
use super::mac::Mac;

config_struct! {
    /// A network interface (`libxl_device_nic`).
    ///
    /// ```
    /// use libxl::config::{Mac, Nic};
    ///
    /// let nic = Nic::bridge("xenbr0").with_mac(Mac([0x00, 0x16, 0x3e, 0, 0, 1]));
    /// # assert_eq!(nic.bridge.as_deref(), Some("xenbr0"));
    /// ```
    pub struct Nic {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's NICs. Default: the next free number.
        pub devid: Option<i32>,
        /// Size of the largest packet, in bytes. Default: 1500 (1492 up to Xen 4.14), or the bridge's MTU.
        pub mtu: Option<u32>,
        /// The VLANs of the port, such as `10p/20`. Since Xen 4.19.
        pub vlan: Option<String>,
        /// The emulated card, such as `e1000`. Default: `rtl8139`.
        pub model: Option<String>,
        /// The guest's Ethernet address. Default: random, in Xen's range `00:16:3e`.
        pub mac: Option<Mac>,
        /// An IP address for the hotplug script.
        pub ip: Option<String>,
        /// The bridge that the interface is attached to. Default: `xenbr0`.
        pub bridge: Option<String>,
        /// Name of the interface in the backend domain. Default: `vifDOMID.DEVID`.
        pub ifname: Option<String>,
        /// The hotplug script that connects the interface. Default: `vif-bridge`.
        pub script: Option<String>,
        /// Kind of NIC. Default: [`NicType::VifIoemu`] for HVM, else [`NicType::Vif`].
        pub nictype: Option<NicType>,
        /// Number of bytes that the guest may send in one interval. Default: no limit.
        pub rate_bytes_per_interval: Option<u64>,
        /// Length of the interval, in microseconds.
        pub rate_interval_usecs: Option<u32>,
        /// The host's interface in the guest's network, for the hotplug script `vif-route`.
        pub gatewaydev: Option<String>,
        /// COLO: the device that packets are forwarded through. COLO fields may change with any Xen release.
        pub coloft_forwarddev: Option<String>,
        /// COLO: primary, socket `mirror`: id.
        pub colo_sock_mirror_id: Option<String>,
        /// COLO: primary, socket `mirror`: address.
        pub colo_sock_mirror_ip: Option<String>,
        /// COLO: primary, socket `mirror`: port.
        pub colo_sock_mirror_port: Option<String>,
        /// COLO: primary, socket `compare_pri_in`: id.
        pub colo_sock_compare_pri_in_id: Option<String>,
        /// COLO: primary, socket `compare_pri_in`: address.
        pub colo_sock_compare_pri_in_ip: Option<String>,
        /// COLO: primary, socket `compare_pri_in`: port.
        pub colo_sock_compare_pri_in_port: Option<String>,
        /// COLO: primary, socket `compare_sec_in`: id.
        pub colo_sock_compare_sec_in_id: Option<String>,
        /// COLO: primary, socket `compare_sec_in`: address.
        pub colo_sock_compare_sec_in_ip: Option<String>,
        /// COLO: primary, socket `compare_sec_in`: port.
        pub colo_sock_compare_sec_in_port: Option<String>,
        /// COLO: primary, socket `compare_notify`: id.
        pub colo_sock_compare_notify_id: Option<String>,
        /// COLO: primary, socket `compare_notify`: address.
        pub colo_sock_compare_notify_ip: Option<String>,
        /// COLO: primary, socket `compare_notify`: port.
        pub colo_sock_compare_notify_port: Option<String>,
        /// COLO: primary, socket `redirector0`: id.
        pub colo_sock_redirector0_id: Option<String>,
        /// COLO: primary, socket `redirector0`: address.
        pub colo_sock_redirector0_ip: Option<String>,
        /// COLO: primary, socket `redirector0`: port.
        pub colo_sock_redirector0_port: Option<String>,
        /// COLO: primary, socket `redirector1`: id.
        pub colo_sock_redirector1_id: Option<String>,
        /// COLO: primary, socket `redirector1`: address.
        pub colo_sock_redirector1_ip: Option<String>,
        /// COLO: primary, socket `redirector1`: port.
        pub colo_sock_redirector1_port: Option<String>,
        /// COLO: primary, socket `redirector2`: id.
        pub colo_sock_redirector2_id: Option<String>,
        /// COLO: primary, socket `redirector2`: address.
        pub colo_sock_redirector2_ip: Option<String>,
        /// COLO: primary, socket `redirector2`: port.
        pub colo_sock_redirector2_port: Option<String>,
        /// COLO: primary, filter `mirror`: queue.
        pub colo_filter_mirror_queue: Option<String>,
        /// COLO: primary, filter `mirror`: output.
        pub colo_filter_mirror_outdev: Option<String>,
        /// COLO: primary, filter `redirector0`: queue.
        pub colo_filter_redirector0_queue: Option<String>,
        /// COLO: primary, filter `redirector0`: input.
        pub colo_filter_redirector0_indev: Option<String>,
        /// COLO: primary, filter `redirector0`: output.
        pub colo_filter_redirector0_outdev: Option<String>,
        /// COLO: primary, filter `redirector1`: queue.
        pub colo_filter_redirector1_queue: Option<String>,
        /// COLO: primary, filter `redirector1`: input.
        pub colo_filter_redirector1_indev: Option<String>,
        /// COLO: primary, filter `redirector1`: output.
        pub colo_filter_redirector1_outdev: Option<String>,
        /// COLO: comparison: the primary's packets.
        pub colo_compare_pri_in: Option<String>,
        /// COLO: comparison: the secondary's packets.
        pub colo_compare_sec_in: Option<String>,
        /// COLO: comparison: output.
        pub colo_compare_out: Option<String>,
        /// COLO: comparison: the device that the comparison reports to.
        pub colo_compare_notify_dev: Option<String>,
        /// COLO: secondary, socket `redirector0`: id.
        pub colo_sock_sec_redirector0_id: Option<String>,
        /// COLO: secondary, socket `redirector0`: address.
        pub colo_sock_sec_redirector0_ip: Option<String>,
        /// COLO: secondary, socket `redirector0`: port.
        pub colo_sock_sec_redirector0_port: Option<String>,
        /// COLO: secondary, socket `redirector1`: id.
        pub colo_sock_sec_redirector1_id: Option<String>,
        /// COLO: secondary, socket `redirector1`: address.
        pub colo_sock_sec_redirector1_ip: Option<String>,
        /// COLO: secondary, socket `redirector1`: port.
        pub colo_sock_sec_redirector1_port: Option<String>,
        /// COLO: secondary, filter `redirector0`: queue.
        pub colo_filter_sec_redirector0_queue: Option<String>,
        /// COLO: secondary, filter `redirector0`: input.
        pub colo_filter_sec_redirector0_indev: Option<String>,
        /// COLO: secondary, filter `redirector0`: output.
        pub colo_filter_sec_redirector0_outdev: Option<String>,
        /// COLO: secondary, filter `redirector1`: queue.
        pub colo_filter_sec_redirector1_queue: Option<String>,
        /// COLO: secondary, filter `redirector1`: input.
        pub colo_filter_sec_redirector1_indev: Option<String>,
        /// COLO: secondary, filter `redirector1`: output.
        pub colo_filter_sec_redirector1_outdev: Option<String>,
        /// COLO: secondary, filter `rewriter0`: queue.
        pub colo_filter_sec_rewriter0_queue: Option<String>,
        /// COLO: the host of the checkpoint connection.
        pub colo_checkpoint_host: Option<String>,
        /// COLO: the port of the checkpoint connection.
        pub colo_checkpoint_port: Option<String>,
        /// The backend is trusted: the guest need not guard itself against the backend. Default: yes. Since Xen 4.17.
        #[serde(with = "defbool")]
        pub trusted: Option<bool>,
    }
}

impl Nic {
    /// Creates a NIC on a bridge of the host. libxl chooses the Ethernet address.
    pub fn bridge(bridge: impl Into<String>) -> Self {
        Self {
            bridge: Some(bridge.into()),
            ..Self::default()
        }
    }

    /// Sets the Ethernet address.
    #[must_use]
    pub fn with_mac(self, mac: Mac) -> Self {
        Self {
            mac: Some(mac),
            ..self
        }
    }

    /// Sets the name of the interface in the backend domain.
    #[must_use]
    pub fn with_ifname(self, ifname: impl Into<String>) -> Self {
        Self {
            ifname: Some(ifname.into()),
            ..self
        }
    }
}
