//! From a `VifConfig` to a [`Nic`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::fields::{Result, some};
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::VifConfig;
use crate::spec::limits;
use crate::spec::mac;
use crate::spec::{Mode, Nic, NicKind};

/// Reads `00:16:3e:00:00:01`, or the same six bytes in base64, as EVE writes them since 2023.
fn address(text: &str) -> Option<[u8; 6]> {
    if !text.contains(':') {
        return STANDARD.decode(text).ok()?.try_into().ok();
    }
    let octet = |s: &str| {
        let digits = s.len() == 2 && s.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(s, 16).ok()).flatten()
    };
    let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
    octets?.try_into().ok()
}

pub(super) fn nics(key: Uuid, list: &[VifConfig], mode: Mode) -> Result<Vec<Nic>> {
    let bad = |reason: String| Err(FieldError::new("VifList", reason));
    if list.len() > limits::INTERFACES {
        let (found, most) = (list.len(), limits::INTERFACES);
        return bad(format!("{found} interfaces, at most {most}"));
    }
    let nics = list.iter().enumerate();
    let nics: Vec<Nic> = nics
        .map(|(i, vif)| nic(key, i, vif, mode))
        .collect::<Result<_>>()?;
    let cards = limits::emulated_cards(mode, &nics);
    if cards > limits::EMULATED_CARDS {
        return bad(format!(
            "{cards} interfaces with an emulated card, and an HVM domain can have {}: make the others Type \"vif\"",
            limits::EMULATED_CARDS
        ));
    }
    Ok(nics)
}

/// An error in a field of the interface at `i`.
fn bad(i: usize, field: &str, reason: impl Into<String>) -> FieldError {
    FieldError::new(format!("VifList[{i}].{field}"), reason)
}

fn nic(key: Uuid, i: usize, v: &VifConfig, mode: Mode) -> Result<Nic> {
    let mac = mac_address(key, i, &v.mac)?;
    let kind = kind(i, &v.r#type, mode)?;
    names(i, v, limits::interface(mode, kind))?;
    if v.mtu != 0 && !limits::MTU.contains(&v.mtu) {
        let (least, most) = (limits::MTU.start(), limits::MTU.end());
        let reason = format!("expected 0, or {least} to {most} bytes, found {}", v.mtu);
        return Err(bad(i, "MTU", reason));
    }
    Ok(Nic {
        bridge: some(&v.bridge),
        vif: some(&v.vif),
        mac,
        kind,
        mtu: (v.mtu != 0).then_some(v.mtu),
        ..Nic::default()
    })
}

/// Returns the address that the config gives, or a generated one.
fn mac_address(key: Uuid, i: usize, text: &str) -> Result<[u8; 6]> {
    if text.is_empty() {
        return Ok(mac::generated(key, i));
    }
    let reason = match address(text) {
        Some(mac) if mac[0] & 1 == 1 => format!("{text} is a multicast address"),
        // libxl takes it for "any", and picks another address at each start.
        Some([0, 0, 0, 0, 0, 0]) => format!("{text} is no address"),
        // The host's end of each interface has this address.
        Some([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]) => format!("{text} is the host's own"),
        Some(mac) => return Ok(mac),
        None => format!("expected six hexadecimal octets, found {text:?}"),
    };
    Err(bad(i, "Mac", reason))
}

fn kind(i: usize, word: &str, mode: Mode) -> Result<Option<NicKind>> {
    let reason = match word {
        "" => return Ok(None),
        "vif" => return Ok(Some(NicKind::Vif)),
        "ioemu" if mode == Mode::Hvm => return Ok(Some(NicKind::Ioemu)),
        "ioemu" => "only an HVM domain has emulated cards".to_owned(),
        other => format!("expected \"vif\" or \"ioemu\", found {other:?}"),
    };
    Err(bad(i, "Type", reason))
}

/// Checks the names of the bridge and of the host's end of the interface. The latter may have `most` bytes.
fn names(i: usize, v: &VifConfig, most: usize) -> Result<()> {
    for (field, text, most) in [
        ("Bridge", &v.bridge, limits::INTERFACE),
        ("Vif", &v.vif, most),
    ] {
        if let Some(why) = limits::bad_interface(text, most) {
            return Err(bad(i, field, why));
        }
    }
    let bridge = if v.bridge.is_empty() {
        "xenbr0"
    } else {
        &v.bridge
    };
    if v.vif == "lo" || v.vif == bridge {
        let reason = format!("the host has an interface {:?} itself", v.vif);
        return Err(bad(i, "Vif", reason));
    }
    if limits::is_xens_interface(&v.vif) {
        let reason = format!(
            "Xen gives names like {:?} to interfaces that have no other",
            v.vif
        );
        return Err(bad(i, "Vif", reason));
    }
    Ok(())
}
