//! Traffic of the disks and interfaces of domains, as Linux counts it in dom0's backends.
//!
//! Disks that QEMU serves are not counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bytes in a sector, in which blkback counts.
const SECTOR: u64 = 512;

/// Traffic of a device since it was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Bytes read and written, requests to read and to write.
    Disk([u64; 4]),
    /// Bytes sent and received by the guest, packets sent and received.
    Interface([u64; 4]),
}

/// Returns the traffic of all devices for each domid, with the device's name: `vbd-51712`, `vif-0`.
pub(super) fn read(sys: &Path) -> BTreeMap<u32, Vec<(String, Traffic)>> {
    let mut found = BTreeMap::<u32, Vec<_>>::new();
    // Without Xen there are no backends.
    let entries = fs::read_dir(sys.join("bus/xen-backend/devices"));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((kind, domid, device)) = name.to_str().and_then(parts) else {
            continue;
        };
        let traffic = match kind {
            "vbd" => disk(&entry.path().join("statistics")),
            "vif" => interface(&entry.path().join("net")),
            _ => None,
        };
        if let Some(traffic) = traffic {
            let devices = found.entry(domid).or_default();
            devices.push((format!("{kind}-{device}"), traffic));
        }
    }
    for devices in found.values_mut() {
        devices.sort_by(|a, b| a.0.cmp(&b.0));
    }
    found
}

/// Splits the name of a backend into kind, domid and device: `vbd-3-51712` is a disk of domain 3.
fn parts(name: &str) -> Option<(&str, u32, &str)> {
    let (kind, rest) = name.split_once('-')?;
    let (domid, device) = rest.split_once('-')?;
    Some((kind, domid.parse().ok()?, device))
}

fn disk(dir: &Path) -> Option<Traffic> {
    let [read, written] = ["rd_sect", "wr_sect"].map(|name| number(&dir.join(name)));
    let [reads, writes] = ["rd_req", "wr_req"].map(|name| number(&dir.join(name)));
    Some(Traffic::Disk([
        read?.saturating_mul(SECTOR),
        written?.saturating_mul(SECTOR),
        reads?,
        writes?,
    ]))
}

/// Reads the counters of the host's end, which receives what the guest sends.
fn interface(dir: &Path) -> Option<Traffic> {
    let interface = fs::read_dir(dir).ok()?.flatten().next()?;
    let statistics = interface.path().join("statistics");
    let count = |name: &str| number(&statistics.join(name));
    Some(Traffic::Interface([
        count("rx_bytes")?,
        count("tx_bytes")?,
        count("rx_packets")?,
        count("tx_packets")?,
    ]))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_counted() {
        let sys = tempfile::tempdir().unwrap();
        let put = |path: &str, value: u64| {
            let path = sys.path().join("bus/xen-backend/devices").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        };
        for (name, value) in [("rd_sect", 2), ("wr_sect", 4), ("rd_req", 1), ("wr_req", 3)] {
            put(&format!("vbd-3-51712/statistics/{name}"), value);
        }
        for (name, value) in [
            ("rx_bytes", 10),
            ("tx_bytes", 20),
            ("rx_packets", 1),
            ("tx_packets", 2),
        ] {
            put(&format!("vif-3-0/net/web/statistics/{name}"), value);
        }
        // Served by QEMU, going, or something else.
        for odd in [
            "qdisk-3-51728/state",
            "vbd-4-51712/mode",
            "vif-4-0/type",
            "odd/x",
        ] {
            put(odd, 0);
        }
        let found = read(sys.path());
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [(
                3,
                vec![
                    ("vbd-51712".to_owned(), Traffic::Disk([1024, 2048, 1, 3])),
                    ("vif-0".to_owned(), Traffic::Interface([10, 20, 1, 2])),
                ]
            )]
        );
        assert!(read(Path::new("/no/sys")).is_empty());
    }
}
