//! Checks for settings that xl accepts and that Xen would refuse or cut off: the rows of `docs/limits.md` that hold for
//! every file.
//!
//! Only settings that are sure to fail are refused. xl builds the rest as well.

use libxl::config::DomainConfig;

use crate::spec::limits;
use crate::spec::words;
use crate::spec::{Disk, Mode, NicKind, Spec};

/// Refuses a domain that cannot start.
pub(super) fn check(spec: &Spec, config: &DomainConfig) -> Result<(), String> {
    nics(spec, config)?;
    qemu_disks(spec, config)?;
    memory(spec, config)?;
    let most = limits::vcpus(spec.mode);
    if spec.mode != Mode::Pv && spec.max_vcpus > most {
        return Err(format!(
            "maxvcpus: {} is more than the {most} of a {} domain",
            spec.max_vcpus,
            spec.mode.word()
        ));
    }
    if limits::WITHOUT_DEVICE_TREE && !config.dtdevs.is_empty() {
        return Err("dtdev: this host has no device tree to give devices from".to_owned());
    }
    let display = spec.vnc.as_ref().and_then(|vnc| vnc.display);
    match display {
        Some(display) if display > limits::VNC_DISPLAY => Err(format!(
            "vncdisplay: {display} is more than {}",
            limits::VNC_DISPLAY
        )),
        _ => Ok(()),
    }
}

/// Returns warnings about settings with which the domain starts, but that do not take effect as written.
pub(super) fn doubts(spec: &Spec) -> Vec<String> {
    let words = words::of(spec);
    let mut said = Vec::new();
    for (i, nic) in spec.nics.iter().enumerate() {
        let (least, most) = (limits::MTU.start(), limits::MTU.end());
        if nic.mtu.is_some_and(|mtu| !limits::MTU.contains(&mtu)) {
            said.push(format!(
                "{}: mtu: Linux takes {least} to {most} bytes, and leaves the MTU of the interface as it is",
                words.of_nic(i)
            ));
        }
    }
    let length = spec.cmdline().len();
    if spec.mode == Mode::Pv && length > limits::PV_COMMAND_LINE {
        said.push(format!(
            "extra: the command line has {length} bytes; a PV domain gets the first {}",
            limits::PV_COMMAND_LINE
        ));
    }
    let passwd = spec.vnc.as_ref().and_then(|vnc| vnc.passwd.as_ref());
    if passwd.is_some_and(|passwd| passwd.reveal().len() > limits::VNC_PASSWORD) {
        said.push(format!(
            "vncpasswd: VNC looks at its first {} bytes",
            limits::VNC_PASSWORD
        ));
    }
    said
}

/// Returns whether a device model (QEMU) in dom0 emulates the domain's hardware. One in a stub domain has other limits.
fn is_emulated(spec: &Spec, config: &DomainConfig) -> bool {
    spec.mode == Mode::Hvm && config.b_info.device_model_stubdomain != Some(true)
}

fn nics(spec: &Spec, config: &DomainConfig) -> Result<(), String> {
    let words = words::of(spec);
    for (i, (nic, given)) in spec.nics.iter().zip(&config.nics).enumerate() {
        let elsewhere =
            given.backend_domname.is_some() || given.backend_domid.is_some_and(|id| id != 0);
        let kind = nic
            .kind
            .or((spec.mode == Mode::Hvm).then_some(NicKind::Ioemu));
        let names = [
            ("vifname", &nic.vif, limits::interface(spec.mode, kind)),
            ("bridge", &nic.bridge, limits::INTERFACE),
        ];
        for (key, name, most) in names.into_iter().filter(|_| !elsewhere) {
            let Some(name) = name else { continue };
            // Linux refuses these characters and names. Some scripts can handle more of the other characters than ours.
            let refused = name.contains(['/', ':', ' ', '\t'])
                || matches!(name.as_str(), "." | ".." | "all" | "default");
            if name.len() > most || refused {
                let why = limits::bad_interface(name, most).unwrap_or_default();
                return Err(format!("{}: {key}: {why}", words.of_nic(i)));
            }
        }
    }
    let cards = limits::emulated_cards(spec.mode, &spec.nics);
    if is_emulated(spec, config) && cards > limits::EMULATED_CARDS {
        return Err(format!(
            "vif: {cards} interfaces with an emulated card, and an HVM domain can have {}: make the others type=vif",
            limits::EMULATED_CARDS
        ));
    }
    Ok(())
}

/// The place of a disk among the drives of the IDE controller, which has room for the first four.
fn ide_place(disk: &Disk) -> Option<usize> {
    let letter = disk
        .vdev
        .strip_prefix("xvd")
        .or_else(|| disk.vdev.strip_prefix("hd"))?;
    let letter = letter.trim_end_matches(|c: char| c.is_ascii_digit());
    match letter.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(usize::from(letter - b'a')),
        _ => None,
    }
}

fn qemu_disks(spec: &Spec, config: &DomainConfig) -> Result<(), String> {
    if !is_emulated(spec, config) {
        return Ok(());
    }
    let words = words::of(spec);
    for (i, disk) in spec.disks.iter().enumerate() {
        let Some(place) = ide_place(disk) else {
            continue;
        };
        let field = words.of_disk(i, "");
        // libxl leaves out those after the fifth.
        if disk.cdrom && place == limits::IDE_DRIVES {
            return Err(format!(
                "{field}: {}: the CD-ROM drives of an HVM domain are among its first {} disks",
                disk.vdev,
                limits::IDE_DRIVES
            ));
        }
        if place >= limits::IDE_DRIVES {
            continue;
        }
        if disk.read_only && !disk.cdrom {
            return Err(format!(
                "{field}: {}: QEMU emulates no hard disk that can only be read: make it a cdrom, or name it after hdd",
                disk.vdev
            ));
        }
        if disk.path.contains(',') {
            return Err(format!(
                "{field}: QEMU, which emulates this drive for an HVM domain, cannot open a path with a comma: {:?}",
                disk.path
            ));
        }
    }
    Ok(())
}

fn memory(spec: &Spec, config: &DomainConfig) -> Result<(), String> {
    let (least, why) = limits::least_memory(spec.mode);
    // The minimum for an HVM domain depends on its screen and its firmware.
    if spec.mode != Mode::Hvm && spec.memory_mib < least {
        return Err(format!(
            "memory: {} MiB, but {} domains need at least {least} MiB: {why}",
            spec.memory_mib,
            spec.mode.word()
        ));
    }
    let on_demand = spec.max_memory_mib.is_some_and(|max| max > spec.memory_mib);
    if spec.mode == Mode::Hvm && on_demand && !config.pcidevs.is_empty() {
        return Err(
            "maxmem: libxl gives PCI devices to an HVM domain only if all of its memory is there from the beginning: make it as \
             much as memory"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::frontends::xl::{Host, understand};

    fn found(text: &str) -> (Result<Spec, String>, Vec<String>) {
        let text = format!("name=\"a\"\nkernel=\"/k\"\n{text}");
        let host = Host {
            facts: libxl::xlcfg::Host::new(4),
            conf: libxl::xlcfg::XlConf::default(),
        };
        let found = understand(Path::new("/x/a.cfg"), text.as_bytes(), &host).unwrap();
        (found.spec, found.warnings)
    }

    #[test]
    fn what_cannot_start_is_refused_with_its_key() {
        let hvm = "type=\"hvm\"\n";
        let five = ["\"\""; 5].join(",");
        for (text, why) in [
            (
                "vif=[\"vifname=abcdefghijklmnop\"]",
                "vif[0]: vifname: at most 15 bytes, found 16",
            ),
            (
                "vif=[\"vifname=a/b\"]",
                "vif[0]: vifname: expected the name",
            ),
            (
                "vif=[\"\",\"bridge=all\"]",
                "vif[1]: bridge: Linux has settings",
            ),
            (
                &format!("{hvm}vif=[\"vifname=abcdefghijkl\"]"),
                "vif[0]: vifname: at most 11 bytes, found 12",
            ),
            (
                &format!("{hvm}vif=[{five}]"),
                "vif: 5 interfaces with an emulated card, and an HVM domain can have 4",
            ),
            (
                &format!("{hvm}disk=[\"/d,raw,hde,cdrom\"]"),
                "disk[0]: hde: the CD-ROM drives",
            ),
            (
                &format!("{hvm}disk=[\"/d,raw,xvdb,ro\"]"),
                "disk[0]: xvdb: QEMU emulates no",
            ),
            (
                &format!("{hvm}disk=[\"vdev=hda,access=rw,target=/a,b\"]"),
                "disk[0]: QEMU, which emulates this drive",
            ),
            (
                "memory=3",
                "memory: 3 MiB, but PV domains need at least 4 MiB: Xen maps",
            ),
            (
                "type=\"pvh\"\nmemory=1",
                "memory: 1 MiB, but PVH domains need at least 2 MiB",
            ),
            (
                "type=\"pvh\"\nvcpus=129",
                "maxvcpus: 129 is more than the 128 of a PVH domain",
            ),
            (
                &format!("{hvm}memory=64\nmaxmem=128\npci=[\"00:10.0\"]"),
                "maxmem: libxl gives PCI devices",
            ),
            ("dtdev=[\"/a\"]", "dtdev: this host has no device tree"),
            (
                &format!("{hvm}vnc=1\nvncunused=0\nvncdisplay=59636"),
                "vncdisplay: 59636 is more than 59635",
            ),
        ] {
            if why.starts_with("dtdev") && !limits::WITHOUT_DEVICE_TREE {
                continue;
            }
            let refused = found(text).0.expect_err(text);
            assert!(
                refused.starts_with(&format!("/x/a.cfg: {why}")),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn whatever_may_start_is_left_to_xen() {
        let hvm = "type=\"hvm\"\n";
        for text in [
            "vif=[\"vifname=abcdefghijklmno,bridge=a+b\"]",
            "vif=[\"vifname=abcdefghijklmnop,backend=net\"]",
            &format!("{hvm}vif=[\"vifname=abcdefghijklmno,type=vif\"]"),
            &format!("{hvm}disk=[\"/d,raw,hdf,cdrom\",\"/d2,raw,xvde,ro\",\"/d3,raw,sda,ro\"]"),
            &format!("{hvm}disk=[\"vdev=xvde,target=/a,b\"]"),
            &format!("{hvm}memory=64\nmaxmem=128"),
            &format!("{hvm}vnc=1\nvncdisplay=59636"),
            "memory=4\nvcpus=600",
        ] {
            let (spec, warnings) = found(text);
            assert!(spec.is_ok(), "{text}: {spec:?}");
            assert_eq!(warnings, [""; 0], "{text}");
        }
    }

    #[test]
    fn what_comes_out_otherwise_is_said() {
        for (text, why) in [
            (
                "vif=[\"mtu=65518\"]",
                "vif[0]: mtu: Linux takes 68 to 65517 bytes",
            ),
            (
                &format!("extra=\"{}\"", "x".repeat(1024)),
                "extra: the command line has 1024 bytes; a PV domain gets the first 1023",
            ),
            (
                "type=\"hvm\"\nvnc=1\nvncpasswd=\"123456789\"",
                "vncpasswd: VNC looks at its first 8 bytes",
            ),
        ] {
            let (spec, warnings) = found(text);
            spec.unwrap();
            let said = warnings
                .iter()
                .any(|w| w.starts_with(&format!("/x/a.cfg: {why}")));
            assert!(said, "{text}: {warnings:?}");
        }
    }
}
