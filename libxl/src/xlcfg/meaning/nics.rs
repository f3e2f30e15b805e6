//! Network interfaces.

use super::ctext::{cut_i32, low_u32, parts, unsigned};
use super::reader::{Reader, Result};
use super::{devid::devid, nic_colo};
use crate::{
    config::{Mac, Nic, NicType},
    xlcfg::specs::parse_vif_rate,
};

const KEY: &str = "vif";

/// Reads the network interfaces. `xl` only warns of parameters that it does not understand.
pub(super) fn nics(reader: &Reader<'_>) -> Result<Vec<Nic>> {
    let mut nics = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut nic = Nic {
            devid: devid(index),
            script: reader.xl_conf.vif_script.clone(),
            bridge: reader.xl_conf.vif_bridge.clone(),
            gatewaydev: reader.xl_conf.vif_gatewaydev.clone(),
            backend_domname: reader.xl_conf.vif_backend.clone(),
            ..Nic::default()
        };
        for part in parts(text) {
            set(reader, &mut nic, part)?;
        }
        nics.push(nic);
    }
    if let Some(crate::xlcfg::file::Value::List(_)) = reader.value("vif2") {
        reader.warn("vif2", "ignored: there is no netchannel2; write vif");
    }
    Ok(nics)
}

fn set(reader: &Reader<'_>, nic: &mut Nic, part: &str) -> Result<()> {
    let Some((name, value)) = part.split_once('=') else {
        match part {
            "trusted" if reader.release.has(17) => nic.trusted = Some(true),
            "untrusted" if reader.release.has(17) => nic.trusted = Some(false),
            _ => reader.warn(KEY, format!("{part:?}: ignored; write name=value")),
        }
        return Ok(());
    };
    let text = Some(value.to_owned());
    match name {
        "type" => match value {
            "vif" => nic.nictype = Some(NicType::Vif),
            "ioemu" => nic.nictype = Some(NicType::VifIoemu),
            _ => reader.warn(KEY, format!("type={value}: ignored; write vif or ioemu")),
        },
        "mac" => set_mac(reader, nic, value)?,
        "bridge" => nic.bridge = text,
        "netdev" => {
            reader.warn(KEY, "netdev: an old name; write gatewaydev");
            nic.gatewaydev = text;
        }
        "gatewaydev" => nic.gatewaydev = text,
        "ip" => nic.ip = text,
        "script" => nic.script = text,
        "backend" => nic.backend_domname = text,
        "vifname" => nic.ifname = text,
        "model" => nic.model = text,
        "rate" => set_rate(reader, nic, value)?,
        "accel" => reader.warn(KEY, "accel: ignored; there is no such thing any more"),
        "devid" => nic.devid = device_number(number(reader, name, value)?),
        "mtu" if reader.release.has(15) => {
            nic.mtu = Some(low_u32(number(reader, name, value)?)).filter(|&mtu| mtu != 0);
        }
        "vlan" if reader.release.has(19) => nic.vlan = text,
        _ if nic_colo::set(nic, name, value) => {}
        _ => reader.warn(KEY, format!("{name}: ignored; a NIC does not have it")),
    }
    Ok(())
}

/// Converts the number of a device; all ones is libxl's "not set".
fn device_number(number: u64) -> Option<i32> {
    let number = cut_i32(low_u32(number).into());
    (number != -1).then_some(number)
}

fn number(reader: &Reader<'_>, name: &str, value: &str) -> Result<u64> {
    match unsigned(value, 10).filter(|(number, _)| *number != u64::MAX) {
        Some((number, _)) => Ok(number),
        None => reader.refuse(KEY, format!("{name}={value}: no number; write one")),
    }
}

/// Sets the MAC address. `xl` keeps the bytes before the first wrong one, and warns. If the text
/// ends early, `xl` reads beyond it; such a text is refused here.
fn set_mac(reader: &Reader<'_>, nic: &mut Nic, text: &str) -> Result<()> {
    const FORM: &str = "write six pairs of hexadecimal digits with colons";
    let mut mac = nic.mac.unwrap_or_default();
    let mut rest = Some(text);
    for byte in &mut mac.0 {
        let Some(at) = rest else {
            return reader.refuse(KEY, format!("mac={text}: too short; {FORM}"));
        };
        let parsed = unsigned(at, 16).and_then(|(value, rest)| {
            let value = u8::try_from(low_u32(value)).ok()?;
            Some((value, rest))
        });
        let Some((value, after)) = parsed else {
            reader.warn(KEY, format!("mac={text}: not understood; {FORM}"));
            break;
        };
        *byte = value;
        // Any character separates two bytes.
        let mut after = after.chars();
        rest = after.next().map(|_| after.as_str());
    }
    nic.mac = Some(mac).filter(|mac: &Mac| !mac.is_nil());
    Ok(())
}

fn set_rate(reader: &Reader<'_>, nic: &mut Nic, text: &str) -> Result<()> {
    match parse_vif_rate(text) {
        Ok(rate) => {
            nic.rate_bytes_per_interval = rate.rate_bytes_per_interval;
            nic.rate_interval_usecs = rate.rate_interval_usecs;
            Ok(())
        }
        Err(error) => reader.refuse(
            KEY,
            format!("rate={text}: no rate ({error}); write 10MB/s or 1MB/s@20ms"),
        ),
    }
}
