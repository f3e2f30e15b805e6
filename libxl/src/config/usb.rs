//! USB controllers, and devices of the host behind them.

use serde::{Deserialize, Serialize};

use super::enums::UsbctrlType;

config_struct! {
    /// A USB controller (`libxl_device_usbctrl`).
    pub struct Usbctrl {
        /// Its kind. Default: [`UsbctrlType::Auto`].
        pub r#type: Option<UsbctrlType>,
        /// Its number among the domain's controllers. Default: the next free one.
        pub devid: Option<i32>,
        /// 1 for USB 1.1, 2 for 2.0, 3 for 3.0 (emulated controllers only). Default: 2.
        pub version: Option<u32>,
        /// How many ports it has. Default: 8, or what QEMU emulates.
        pub ports: Option<u32>,
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
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
        /// The number of its controller. Default: one with a free port, made if there is none.
        pub ctrl: Option<i32>,
        /// Its port, counted from 1; only with `ctrl`. Default: a free one.
        pub port: Option<u32>;
        +
        /// Where it comes from.
        pub source: UsbdevSource,
    }
}

impl Usbdev {
    /// The host's device at this address, on any free port.
    pub fn hostdev(hostbus: u8, hostaddr: u8) -> Self {
        Self {
            source: UsbdevSource::Hostdev(UsbHostdev { hostbus, hostaddr }),
            ..Self::default()
        }
    }
}

/// Where a USB device comes from (`libxl_usbdev_type` and its union).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UsbdevSource {
    /// From the host.
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
    /// Its bus.
    pub hostbus: u8,
    /// Its number on the bus.
    pub hostaddr: u8,
}
