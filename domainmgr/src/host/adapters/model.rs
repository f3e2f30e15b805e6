//! `AssignableAdapters` and `DeviceNetworkStatus`: the devices of the host that domains can get, and those that the host
//! needs for itself.

use serde::{Deserialize, Serialize};

use super::xen_cfg::xen_cfg;
use crate::base::field_error::FieldError;
use crate::spec::PciAddress;

/// EVE's numbers for kinds of adapters.
pub mod kind {
    /// A network adapter.
    pub const ETHERNET: u32 = 1;
    /// A USB controller.
    pub const USB: u32 = 2;
}

/// The adapters of a hardware model. This agent publishes the same structure with their present state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AssignableAdapters {
    /// True if everything is known that must be known before an adapter is touched. Published only.
    pub initialized: bool,
    /// Groups of adapters, each of which is assigned as a whole.
    pub io_bundle_list: Vec<IoBundle>,
}

/// Adapters that are assigned only together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IoBundle {
    /// 1 Ethernet, 2 USB controller, 3 serial port, 255 something else.
    pub r#type: u32,
    /// Name by which a DomainConfig refers to the bundle.
    pub name: String,
    /// Interfaces of the bundle, or names for people.
    pub members: Vec<String>,
    /// The application that has the bundle. Published only.
    #[serde(rename = "UsedByUUID")]
    pub used_by_uuid: String,
    /// True if the members are names of interfaces, whose PCI addresses are looked up.
    pub lookup: bool,
    /// The PCI address, with the domain: `0000:00:14.0`.
    pub pci_long: String,
    /// The PCI address without the domain: `00:14.0`.
    pub pci_short: String,
    /// Lines of xl.cfg instead of a PCI address: `irqs` and `ioports`.
    pub xen_cfg: String,
    /// The host's serial line, which QEMU serves to an HVM domain, such as `/dev/ttyS1`. EVE got this field later.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Place of the device according to the firmware. Not used.
    pub unique: String,
    /// PCI addresses that were looked up, one for each member. Published only.
    #[serde(rename = "MPciLong")]
    pub m_pci_long: Vec<String>,
    /// The addresses of `MPciLong` without the domain. Published only.
    #[serde(rename = "MPciShort")]
    pub m_pci_short: Vec<String>,
    /// Not used.
    #[serde(rename = "MUnique")]
    pub m_unique: Vec<String>,
    /// The interface that each device had when it was taken from the host. Published only. Addition.
    #[serde(rename = "MIfName")]
    pub m_if_name: Vec<String>,
    /// True if the bundle is taken from the host. Published only.
    #[serde(rename = "IsPCIBack")]
    pub is_pci_back: bool,
    /// True if the host needs the bundle as a port. Published only.
    pub is_port: bool,
    /// Error of the bundle; empty if there is none. Published only. Addition.
    pub error: String,
}

impl AssignableAdapters {
    /// Checks the fields of a model.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), FieldError> {
        for (i, bundle) in self.io_bundle_list.iter().enumerate() {
            let bad = |field: &str, reason: String| {
                Err(FieldError::new(
                    format!("IoBundleList[{i}].{field}"),
                    reason,
                ))
            };
            if bundle.name.is_empty() {
                return bad("Name", "missing".to_owned());
            }
            let same = |other: &IoBundle| {
                other.r#type == bundle.r#type && other.name.eq_ignore_ascii_case(&bundle.name)
            };
            if let Some(first) = self.io_bundle_list[..i].iter().position(same) {
                return bad(
                    "Name",
                    format!("{:?} is that of IoBundleList[{first}] too", bundle.name),
                );
            }
            if bundle.lookup && bundle.members.is_empty() {
                return bad("Members", "nothing to look up".to_owned());
            }
            if bundle.lookup && !(bundle.pci_long.is_empty() && bundle.pci_short.is_empty()) {
                return bad("PciLong", "either this or Lookup".to_owned());
            }
            for (field, text) in [
                ("PciLong", &bundle.pci_long),
                ("PciShort", &bundle.pci_short),
            ] {
                if !text.is_empty() && text.parse::<PciAddress>().is_err() {
                    return bad(
                        field,
                        format!("expected a PCI address like 0000:00:14.0, found {text:?}"),
                    );
                }
            }
            if let Err(reason) = xen_cfg(&bundle.xen_cfg) {
                return bad("XenCfg", reason);
            }
            // The text becomes one of QEMU's arguments, in which a comma would begin an option.
            let odd = |c: char| !(c.is_ascii_alphanumeric() || "/._-:".contains(c));
            let serial = bundle.serial.as_str();
            if !serial.is_empty() && (!serial.starts_with("/dev/") || serial.chars().any(odd)) {
                return bad(
                    "Serial",
                    format!("expected a device like /dev/ttyS1, found {serial:?}"),
                );
            }
        }
        Ok(())
    }
}

/// Status that the host's network manager publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceNetworkStatus {
    /// True while the ports are being tried out: the next ones may be others.
    pub testing: bool,
    /// Ports that the host needs for itself, for management or not.
    pub ports: Vec<Port>,
}

/// A port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Port {
    /// Name of the interface.
    pub if_name: String,
    /// Name that the controller gave to the port.
    pub name: String,
    /// PCI address of the port, which later versions of EVE write.
    pub pci_long: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::json::parse;

    fn model(text: &str) -> Result<AssignableAdapters, String> {
        let model: AssignableAdapters = parse(text.as_bytes()).map_err(|e| e.to_string())?;
        model.check().map_err(|e| e.to_string())?;
        Ok(model)
    }

    #[test]
    fn a_model_of_eves() {
        let text = r#"{ "IoBundleList": [
            {"Type":1,"Name":"eth0-1","Members":["eth0","eth1"],"Lookup":true,"MPciLong":null},
            {"Type":2,"Name":"USB","Members":["USB0"],"PciLong":"0000:00:14.0","Pcishort":"00:14.0"},
            {"Type":3,"Name":"COM1","Members":["COM1"],"XenCfg":"irqs=[4]\nioports=['3f8-3ff']\n","Other":1}]}"#;
        let model = model(text).unwrap();
        assert_eq!(model.io_bundle_list.len(), 3);
        assert_eq!(model.io_bundle_list[1].pci_short, "00:14.0");
        assert!(model.io_bundle_list[0].lookup);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            (
                r#"{"IoBundleList":[{"Type":1}]}"#,
                "IoBundleList[0].Name: missing",
            ),
            (
                r#"{"IoBundleList":[{"Type":1,"Name":"a"},{"Type":1,"Name":"A"}]}"#,
                "IoBundleList[1].Name: \"A\" is that of IoBundleList[0] too",
            ),
            (
                r#"{"IoBundleList":[{"Type":1,"Name":"a","Lookup":true}]}"#,
                "IoBundleList[0].Members: nothing to look up",
            ),
            (
                r#"{"IoBundleList":[{"Type":2,"Name":"a","PciLong":"14.0"}]}"#,
                "IoBundleList[0].PciLong: expected a PCI address like 0000:00:14.0, found \"14.0\"",
            ),
            (
                r#"{"IoBundleList":[{"Type":3,"Name":"a","XenCfg":"kernel='/etc/passwd'"}]}"#,
                "IoBundleList[0].XenCfg: kernel: expected a list in brackets, found \"'/etc/passwd'\"",
            ),
            (
                r#"{"IoBundleList":[{"Type":"eth"}]}"#,
                "IoBundleList[0].Type: expected u32, found string \"eth\"",
            ),
        ] {
            assert_eq!(model(text).unwrap_err(), error);
        }
    }

    #[test]
    fn ports() {
        let status: DeviceNetworkStatus = parse(
            br#"{"Version":2,"Testing":true,"Ports":[{"IfName":"eth0","Name":"uplink","IsMgmt":true,"Free":true}]}"#,
        )
        .unwrap();
        assert!(status.testing);
        assert_eq!(status.ports[0].name, "uplink");
        assert_eq!(
            parse::<DeviceNetworkStatus>(b"{\"Ports\":null}")
                .unwrap()
                .ports,
            []
        );
    }
}
