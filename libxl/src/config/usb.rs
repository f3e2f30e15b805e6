//! USB controllers, and devices of the host behind them.

use serde::{Deserialize, Serialize};

use super::enums::UsbctrlType;

config_struct! {
    /// A USB controller (`libxl_device_usbctrl`).
    pub struct Usbctrl {
        /// Kind of controller. Default: [`UsbctrlType::Auto`].
        pub r#type: Option<UsbctrlType>,
        /// Device number among the domain's controllers. Default: the next free number.
        pub devid: Option<i32>,
        /// USB version: 1 for USB 1.1, 2 for 2.0, 3 for 3.0 (emulated controllers only). Default: 2.
        pub version: Option<u32>,
        /// Number of ports. Default: 8, or the number that QEMU emulates.
        pub ports: Option<u32>,
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
    }
}

config_struct! {
    /// A USB device on a controller (`libxl_device_usbdev`).
    ///
    /// ```
    /// use libxl::config::Usbdev;
    ///
    /// let device = Usbdev::hostdev(1, 4);
    /// # assert_eq!(device.ctrl, None);
    /// ```
    pub struct Usbdev {
        /// Device number of the controller. Default: a controller with a free port, created if there is none.
        pub ctrl: Option<i32>,
        /// Port of the controller, counted from 1; only with `ctrl`. Default: a free port.
        pub port: Option<u32>;
        +
        /// Source of the device.
        pub source: UsbdevSource,
    }
}

impl Usbdev {
    /// Creates a USB device from the host's device at this address, on any free port.
    pub fn hostdev(hostbus: u8, hostaddr: u8) -> Self {
        Self {
            source: UsbdevSource::Hostdev(UsbHostdev { hostbus, hostaddr }),
            ..Self::default()
        }
    }
}

/// Source of a USB device (`libxl_usbdev_type` and its union).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UsbdevSource {
    /// A USB device of the host.
    #[serde(rename = "type.hostdev")]
    Hostdev(UsbHostdev),
}

impl Default for UsbdevSource {
    fn default() -> Self {
        Self::Hostdev(UsbHostdev::default())
    }
}

/// The address of a USB device in the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UsbHostdev {
    /// Number of the bus.
    pub hostbus: u8,
    /// Number of the device on the bus.
    pub hostaddr: u8,
}
