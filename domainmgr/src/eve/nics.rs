//! From a VifConfig to a [`Nic`].

use uuid::Uuid;

use super::build::some;
use super::{FieldError, VifConfig};
use crate::spec::{Mode, Nic, NicKind};

type Result<T> = std::result::Result<T, FieldError>;

/// Linux's limit for the name of an interface.
const MAX_IFNAME: usize = 15;

/// An address of Xen's own, the same whenever the domain is built: its guest has given a name to the interface that has
/// it, and its network may have given an IP address to it.
fn mac_of(key: Uuid, i: usize) -> [u8; 6] {
    let [a, b, c, ..] = Uuid::new_v5(&key, format!("vif{i}").as_bytes()).into_bytes();
    [0x00, 0x16, 0x3e, a, b, c]
}

pub(super) fn nic(key: Uuid, i: usize, v: &VifConfig, mode: Mode) -> Result<Nic> {
    let bad =
        |field: &str, reason: String| FieldError::new(format!("VifList[{i}].{field}"), reason);
    for (field, text) in [("Bridge", &v.bridge), ("Vif", &v.vif)] {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-:@+".contains(c));
        if text.len() > MAX_IFNAME || text.chars().any(odd) {
            return Err(bad(
                field,
                format!(
                    "expected the name of an interface, at most {MAX_IFNAME} letters and digits, found {text:?}"
                ),
            ));
        }
    }
    let mac = if v.mac.is_empty() {
        mac_of(key, i)
    } else {
        let octets: Option<Vec<u8>> = v
            .mac
            .split(':')
            .map(|s| {
                (s.len() == 2)
                    .then(|| u8::from_str_radix(s, 16).ok())
                    .flatten()
            })
            .collect();
        match octets.and_then(|o| <[u8; 6]>::try_from(o).ok()) {
            Some(mac) if mac[0] & 1 == 0 => mac,
            Some(_) => return Err(bad("Mac", format!("{} is a multicast address", v.mac))),
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
    if v.mtu != 0 && !(68..=65_535).contains(&v.mtu) {
        return Err(bad(
            "MTU",
            format!("expected 0, or 68 to 65535 bytes, found {}", v.mtu),
        ));
    }
    Ok(Nic {
        bridge: some(&v.bridge),
        vif: some(&v.vif),
        mac,
        kind,
        mtu: (v.mtu != 0).then_some(v.mtu),
    })
}
