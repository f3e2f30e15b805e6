//! From a `VifConfig` to a [`Nic`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::build::some;
use super::{FieldError, VifConfig};
use crate::limits;
use crate::spec::{Mode, Nic, NicKind};

type Result<T> = std::result::Result<T, FieldError>;

/// Returns a MAC address from Xen's own range, the same whenever the domain is built.
///
/// The guest has named its interface by this address, and its network may have assigned an IP address to it.
#[must_use]
pub fn mac_of(key: Uuid, i: usize) -> [u8; 6] {
    let [a, b, c, ..] = Uuid::new_v5(&key, format!("vif{i}").as_bytes()).into_bytes();
    [0x00, 0x16, 0x3e, a, b, c]
}

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

fn nic(key: Uuid, i: usize, v: &VifConfig, mode: Mode) -> Result<Nic> {
    let bad =
        |field: &str, reason: String| FieldError::new(format!("VifList[{i}].{field}"), reason);
    let mac = if v.mac.is_empty() {
        mac_of(key, i)
    } else {
        match address(&v.mac) {
            Some(mac) if mac[0] & 1 == 1 => {
                return Err(bad("Mac", format!("{} is a multicast address", v.mac)));
            }
            // libxl takes it for "any", and picks another address at each start.
            Some([0, 0, 0, 0, 0, 0]) => {
                return Err(bad("Mac", format!("{} is no address", v.mac)));
            }
            // The host's end of each interface has this address.
            Some([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]) => {
                return Err(bad("Mac", format!("{} is the host's own", v.mac)));
            }
            Some(mac) => mac,
            None => {
                return Err(bad(
                    "Mac",
                    format!("expected six hexadecimal octets, found {:?}", v.mac),
                ));
            }
        }
    };
    let kind = match v.r#type.as_str() {
        "" => None,
        "vif" => Some(NicKind::Vif),
        "ioemu" if mode == Mode::Hvm => Some(NicKind::Ioemu),
        "ioemu" => {
            return Err(bad(
                "Type",
                "only an HVM domain has emulated cards".to_owned(),
            ));
        }
        other => {
            return Err(bad(
                "Type",
                format!("expected \"vif\" or \"ioemu\", found {other:?}"),
            ));
        }
    };
    for (field, text, most) in [
        ("Bridge", &v.bridge, limits::INTERFACE),
        ("Vif", &v.vif, limits::interface(mode, kind)),
    ] {
        if let Some(why) = limits::bad_interface(text, most) {
            return Err(bad(field, why));
        }
    }
    let bridge = if v.bridge.is_empty() {
        "xenbr0"
    } else {
        &v.bridge
    };
    if v.vif == "lo" || v.vif == bridge {
        return Err(bad(
            "Vif",
            format!("the host has an interface {:?} itself", v.vif),
        ));
    }
    if limits::is_xens_interface(&v.vif) {
        return Err(bad(
            "Vif",
            format!(
                "Xen gives names like {:?} to interfaces that have no other",
                v.vif
            ),
        ));
    }
    if v.mtu != 0 && !limits::MTU.contains(&v.mtu) {
        let (least, most) = (limits::MTU.start(), limits::MTU.end());
        return Err(bad(
            "MTU",
            format!("expected 0, or {least} to {most} bytes, found {}", v.mtu),
        ));
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
