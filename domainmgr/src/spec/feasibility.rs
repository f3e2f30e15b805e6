//! The facts about a host that decide whether a domain can be built there.

use std::net::IpAddr;
use std::ops::Range;

use crate::base::field_error::FieldError;
use crate::spec::domain::{Mode, NicKind, Spec};
use crate::spec::words;

/// A network interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its address, as people write it.
    pub mac: String,
    /// The domain whose interface this is the end of.
    pub domain: Option<String>,
}

/// Facts about a host, as far as a spec depends on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All network interfaces.
    pub interfaces: Vec<Interface>,
    /// The numbers of its processors.
    pub processors: Range<u32>,
    /// The reason why nothing can listen on the address of the screen.
    pub deaf: Option<String>,
}

/// Why a domain cannot be built on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The host is like that.
    Lasting(FieldError),
    /// A domain has an interface that the spec names, or has had it a moment ago: the kernel removes it after libxl has
    /// destroyed the domain.
    Domains(FieldError),
    /// A tap that no interface of a domain belongs to: QEMU is on its way out, or somebody else has made it.
    Leftover(FieldError),
}

impl Refusal {
    /// The field and the reason.
    #[must_use]
    pub fn error(self) -> FieldError {
        match self {
            Self::Lasting(e) | Self::Domains(e) | Self::Leftover(e) => e,
        }
    }
}

/// The address on which the screen of `spec` listens.
#[must_use]
pub fn listens(spec: &Spec) -> Option<IpAddr> {
    spec.vnc.as_ref().map(|vnc| vnc.listen)
}

/// Checks that `spec` can be built on a host.
///
/// # Errors
/// The first field that asks for what the host does not have, or has itself.
pub fn check(spec: &Spec, host: &Facts) -> Result<(), Refusal> {
    let words = words::of(spec);
    let named = |name: &str| host.interfaces.iter().find(|i| i.name == name);
    let (mut own, mut of_domains, mut left) = (None, None, None);
    for (i, nic) in spec.nics.iter().enumerate() {
        let Some(name) = &nic.vif else { continue };
        let field = format!("{}.{}", words.of_nic(i), words.vif);
        match named(name) {
            Some(Interface {
                domain: Some(domain),
                ..
            }) => {
                let why = format!("{name:?} is an interface of domain {domain}");
                of_domains.get_or_insert(FieldError::new(field, why));
            }
            Some(_) => {
                let why = format!("the host has an interface {name:?} itself");
                own.get_or_insert(FieldError::new(field, why));
            }
            None if spec.mode == Mode::Hvm && nic.kind != Some(NicKind::Vif) => {
                let tap = format!("{name}-emu");
                if named(&tap).is_some() {
                    let why = format!(
                        "the host has an interface {tap:?}, as the emulated card's would be called"
                    );
                    left.get_or_insert(FieldError::new(field, why));
                }
            }
            None => {}
        }
    }
    if let Some(e) = own {
        return Err(Refusal::Lasting(e));
    }
    if let (Some(address), Some(why)) = (listens(spec), &host.deaf) {
        let why = format!("nothing can listen on {address}: {why}");
        return Err(Refusal::Lasting(FieldError::new(words.listen, why)));
    }
    if !spec.cpus.is_empty() && spec.cpus.iter().all(|n| !host.processors.contains(n)) {
        let why = format!("the host has none of them: {}", these(host));
        return Err(Refusal::Lasting(FieldError::new(words.cpus, why)));
    }
    match (left, of_domains) {
        (Some(e), _) => Err(Refusal::Leftover(e)),
        (None, Some(e)) => Err(Refusal::Domains(e)),
        (None, None) => Ok(()),
    }
}

/// Words for the processors of a host.
fn these(host: &Facts) -> String {
    format!(
        "its processors are 0 to {}",
        host.processors.end.saturating_sub(1)
    )
}

/// Warnings about what `spec` gets only in part, or has in common with the host.
#[must_use]
pub fn doubts(spec: &Spec, host: &Facts) -> Vec<FieldError> {
    let words = words::of(spec);
    let mut found = Vec::new();
    let missing = spec.cpus.iter().filter(|n| !host.processors.contains(n));
    let missing: Vec<String> = missing.take(9).map(ToString::to_string).collect();
    if !missing.is_empty() {
        let more = if missing.len() < 9 { "" } else { " …" };
        let why = format!(
            "the host has no processor {}{more}: {}",
            missing.join(", "),
            these(host)
        );
        found.push(FieldError::new(words.cpus, why));
    }
    for (i, nic) in spec.nics.iter().enumerate() {
        let mac = nic.address();
        let own = host.interfaces.iter().filter(|i| i.domain.is_none());
        if let Some(own) = own.into_iter().find(|i| i.mac == mac) {
            let why = format!("{mac} is also the address of the host's {}", own.name);
            let field = format!("{}.{}", words.of_nic(i), words.mac);
            found.push(FieldError::new(field, why));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::domain::{Nic, Vnc};

    fn interface(name: &str, mac: &str, domain: Option<&str>) -> Interface {
        Interface {
            name: name.into(),
            mac: mac.into(),
            domain: domain.map(str::to_owned),
        }
    }

    fn host() -> Facts {
        Facts {
            interfaces: vec![
                interface("lo", "00:00:00:00:00:00", None),
                interface("eth0", "02:00:00:00:00:01", None),
                interface("web", "fe:ff:ff:ff:ff:ff", Some("3")),
                interface("tap-emu", "02:00:00:00:00:03", None),
            ],
            processors: 0..2,
            deaf: None,
        }
    }

    fn nic(vif: Option<&str>, mac: [u8; 6]) -> Nic {
        Nic {
            bridge: None,
            vif: vif.map(str::to_owned),
            mac,
            kind: None,
            mtu: None,
            ..Nic::default()
        }
    }

    #[test]
    fn an_interface_of_the_host_is_no_domains() {
        for (mode, name, wanted) in [
            (Mode::Pv, Some("free"), None),
            (Mode::Pv, None, None),
            (
                Mode::Pv,
                Some("eth0"),
                Some(("lasting", "the host has an interface \"eth0\" itself")),
            ),
            (
                Mode::Pv,
                Some("web"),
                Some(("domains", "\"web\" is an interface of domain 3")),
            ),
            (Mode::Pv, Some("tap"), None),
            (
                Mode::Hvm,
                Some("tap"),
                Some((
                    "leftover",
                    "the host has an interface \"tap-emu\", as the emulated card's would be called",
                )),
            ),
        ] {
            let spec = Spec {
                mode,
                nics: vec![nic(None, [2; 6]), nic(name, [2; 6])],
                ..Spec::default()
            };
            let found = check(&spec, &host()).err().map(|refusal| {
                let kind = match refusal {
                    Refusal::Lasting(_) => "lasting",
                    Refusal::Domains(_) => "domains",
                    Refusal::Leftover(_) => "leftover",
                };
                (kind, refusal.error().to_string())
            });
            let wanted = wanted.map(|(kind, why)| (kind, format!("VifList[1].Vif: {why}")));
            assert_eq!(found, wanted, "{name:?}");
        }
        // A lasting reason is reported before one that may pass.
        let spec = Spec {
            nics: vec![nic(Some("web"), [2; 6]), nic(Some("lo"), [2; 6])],
            ..Spec::default()
        };
        let refusal = check(&spec, &host()).unwrap_err();
        assert!(matches!(refusal, Refusal::Lasting(_)), "{refusal:?}");
    }

    #[test]
    fn a_domain_runs_on_processors_that_are_there() {
        for (cpus, refused, doubt) in [
            (vec![], false, None),
            (vec![0, 1], false, None),
            (vec![1, 2, 3], false, Some("2, 3")),
            (vec![2], true, Some("2")),
        ] {
            let spec = Spec {
                cpus,
                ..Spec::default()
            };
            let found = check(&spec, &host()).map_err(|r| r.error().to_string());
            let none = "CPUs: the host has none of them: its processors are 0 to 1";
            assert_eq!(found.err().as_deref(), refused.then_some(none));
            let doubt = doubt.map(|these| {
                format!("CPUs: the host has no processor {these}: its processors are 0 to 1")
            });
            let said = doubts(&spec, &host());
            assert_eq!(said.first().map(ToString::to_string), doubt);
        }
    }

    #[test]
    fn a_screen_is_where_it_can_be() {
        let mut spec = Spec {
            vnc: Some(Vnc {
                listen: "192.0.2.1".parse().unwrap(),
                display: None,
                passwd: None,
            }),
            ..Spec::default()
        };
        let deaf = Facts {
            deaf: Some("no such address".into()),
            ..host()
        };
        check(&spec, &host()).unwrap();
        assert_eq!(
            check(&spec, &deaf).unwrap_err().error().to_string(),
            "VncListen: nothing can listen on 192.0.2.1: no such address"
        );
        spec.vnc = None;
        check(&spec, &deaf).unwrap();
    }

    #[test]
    fn an_address_of_the_hosts_is_doubtful() {
        let spec = Spec {
            nics: vec![
                nic(None, [2, 0, 0, 0, 0, 2]),
                nic(None, [2, 0, 0, 0, 0, 1]),
                nic(None, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ],
            ..Spec::default()
        };
        check(&spec, &host()).unwrap();
        let said: Vec<String> = doubts(&spec, &host())
            .iter()
            .map(ToString::to_string)
            .collect();
        // The last one is the address of each domain's end.
        assert_eq!(
            said,
            ["VifList[1].Mac: 02:00:00:00:00:01 is also the address of the host's eth0"]
        );
    }
}
