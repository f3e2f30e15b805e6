//! The graphical console.

use std::net::{IpAddr, Ipv4Addr};

use super::fields::{Result, some};
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::limits;
use crate::spec::{Mode, Secret, Vnc};

pub(super) fn screen(c: &DomainConfig, mode: Mode) -> Result<Option<Vnc>> {
    // The screen of the other modes is one string of settings in xl.cfg, which has no way to quote these.
    if mode != Mode::Hvm && c.vnc_passwd.0.contains([',', ' ', '\t']) {
        return Err(FieldError::new(
            "VncPasswd",
            "commas and blanks cannot be part of it, save for an HVM domain",
        ));
    }
    let listen = match (c.vnc_listen.as_str(), c.vnc_listen.parse()) {
        ("", _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (_, Ok(address)) => address,
        (text, Err(_)) => {
            return Err(FieldError::new(
                "VncListen",
                format!("expected an address of the host like \"0.0.0.0\", found {text:?}"),
            ));
        }
    };
    // The canonical form, so that equal addresses compare equal.
    let listen = listen.to_canonical();
    if listen.is_multicast() || listen == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(FieldError::new(
            "VncListen",
            format!("nothing can listen on {listen}, which is the address of many"),
        ));
    }
    if c.vnc_display > limits::VNC_DISPLAY {
        return Err(FieldError::new(
            "VncDisplay",
            format!(
                "{} is more than {}, whose port is the last one",
                c.vnc_display,
                limits::VNC_DISPLAY
            ),
        ));
    }
    Ok(c.enable_vnc.then(|| Vnc {
        listen,
        display: (c.vnc_display != 0).then_some(c.vnc_display),
        passwd: some(&c.vnc_passwd.0).map(Secret::new),
    }))
}
