//! USB controllers and devices.

use super::ctext::{atoi, loose, parts};
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::config::{UsbHostdev, Usbctrl, UsbctrlType, Usbdev, UsbdevSource};

/// Reads the controllers.
pub(super) fn controllers(reader: &Reader<'_>) -> Result<Vec<Usbctrl>> {
    const KEY: &str = "usbctrl";
    let mut controllers = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut controller = Usbctrl {
            devid: devid(index),
            ..Usbctrl::default()
        };
        for part in parts(text) {
            match part.split_once('=') {
                Some(("type", value)) => {
                    controller.r#type = reader.parse_word::<UsbctrlType>(KEY, "type=", value)?;
                }
                Some(("version", value)) => controller.version = count(value),
                Some(("ports", value)) => controller.ports = count(value),
                _ => return reader.refuse(KEY, unknown(part, "type, version and ports")),
            }
        }
        controllers.push(controller);
    }
    Ok(controllers)
}

/// Reads the devices of the host.
pub(super) fn devices(reader: &Reader<'_>) -> Result<Vec<Usbdev>> {
    const KEY: &str = "usbdev";
    let mut devices = Vec::new();
    for text in reader.texts(KEY).unwrap_or_default() {
        let mut device = Usbdev::default();
        let mut host = UsbHostdev::default();
        for part in parts(&text) {
            match part.split_once('=') {
                // libxl has one kind, and takes the word in any case.
                Some(("type", value)) if value.eq_ignore_ascii_case("hostdev") => {}
                Some(("type", value)) => {
                    return reader.refuse(KEY, format!("type={value}; write hostdev"));
                }
                Some(("hostbus", value)) => host.hostbus = low_byte(value),
                Some(("hostaddr", value)) => host.hostaddr = low_byte(value),
                Some(("controller", value)) => {
                    device.ctrl = Some(atoi(value)).filter(|&number| number != -1);
                }
                Some(("port", value)) => device.port = count(value),
                _ => {
                    let known = "type, hostbus, hostaddr, controller and port";
                    return reader.refuse(KEY, unknown(part, known));
                }
            }
        }
        device.source = UsbdevSource::Hostdev(host);
        devices.push(device);
    }
    Ok(devices)
}

fn unknown(part: &str, known: &str) -> String {
    format!("{part:?} is not known; write name=value with {known}")
}

/// Parses a number as atoi(3) does; 0 is libxl's "not set".
fn count(text: &str) -> Option<u32> {
    u32::try_from(atoi(text)).ok().filter(|&number| number != 0)
}

/// The low 8 bits, as C assigns to a `uint8_t`.
#[allow(clippy::cast_possible_truncation)] // The cut is intended.
fn low_byte(text: &str) -> u8 {
    loose(text) as u8
}
