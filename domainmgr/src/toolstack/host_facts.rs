//! Facts about this host, as reported by its kernel.

use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

use crate::spec::Spec;
use crate::spec::feasibility::{self, Interface};

/// Returns the facts about this host, which has so many `processors`, that decide whether `spec` can be built.
///
/// # Errors
/// From the file system: `/sys/class/net` cannot be read.
pub fn facts_of_this_host(spec: &Spec, processors: u32) -> std::io::Result<feasibility::Facts> {
    // A host may have thousands of interfaces, so they are read only if needed.
    let interfaces = if spec.nics.is_empty() {
        Vec::new()
    } else {
        interfaces(Path::new("/sys/class/net"))?
    };
    Ok(feasibility::Facts {
        interfaces,
        processors: 0..processors,
        deaf: feasibility::listens(spec).and_then(deaf),
    })
}

/// Returns the network interfaces that Linux lists in `classes`, which is `/sys/class/net`.
///
/// # Errors
/// From the file system: `classes` cannot be read.
fn interfaces(classes: &Path) -> io::Result<Vec<Interface>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(classes)? {
        let entry = entry?;
        // No config contains a name that is not UTF-8.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let mac = read("address").trim().to_owned();
        // `backend/vif/3/0`: netback's end of the interface of domain 3.
        let node = read("device/nodename");
        let domain = node.trim().strip_prefix("backend/vif/");
        let domain = domain.and_then(|rest| Some(rest.split_once('/')?.0.to_owned()));
        found.push(Interface { name, mac, domain });
    }
    Ok(found)
}

/// Returns the reason why no program of the host can listen on `address`; `None` if one can.
fn deaf(address: IpAddr) -> Option<String> {
    let listener = TcpListener::bind((address, 0));
    listener.err().map(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_domains_interfaces_are_told_from_the_hosts() {
        let dir = tempfile::tempdir().unwrap();
        for (name, file, text) in [
            ("eth0", "address", "02:00:00:00:00:01\n"),
            ("eth0/device", "uevent", "DRIVER=x\n"),
            ("web", "address", "fe:ff:ff:ff:ff:ff\n"),
            ("web/device", "nodename", "backend/vif/12/0\n"),
            ("odd/device", "nodename", "device/vif/0\n"),
        ] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(file), text).unwrap();
        }
        let mut found = interfaces(dir.path()).unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let domains: Vec<_> = found.iter().map(|i| i.domain.as_deref()).collect();
        assert_eq!(domains, [None, None, Some("12")]);
        assert_eq!(found[0].mac, "02:00:00:00:00:01");
        assert!(interfaces(&dir.path().join("nothing")).is_err());
    }

    #[test]
    fn this_host_listens_where_it_is() {
        assert_eq!(deaf("127.0.0.1".parse().unwrap()), None);
        assert_eq!(deaf("0.0.0.0".parse().unwrap()), None);
        // An address for documentation, which no host has.
        assert!(deaf("192.0.2.1".parse().unwrap()).is_some());
    }
}
