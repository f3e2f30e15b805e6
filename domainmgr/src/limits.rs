//! What Xen, libxl, its scripts, QEMU and Linux can take of a domain's configuration.
//!
//! `docs/limits.md` has a row for each, and a live test shows for each that Xen really refuses more.

use crate::spec::{Disk, Format, Mode, Nic, NicKind};

/// Bytes in the name of a network interface: Linux's `IFNAMSIZ` without the NUL.
pub const INTERFACE: usize = 15;

/// Bytes in the name of an interface of which the guest also sees an emulated card: the name of QEMU's tap is made from
/// it by adding `-emu` (`libxl_nic.c`, `vif-common.sh`).
pub const EMULATED_INTERFACE: usize = INTERFACE - 4;

/// Bytes in a packet: the smallest and the largest MTU of Linux's `xen-netback`.
pub const MTU: std::ops::RangeInclusive<u32> = 68..=65_517;

/// Network interfaces of a domain. xenstored lets a guest have 1000 entries (`quota-nodes`); the frontend of an interface
/// takes about 20, and 5 more for each of its queues.
pub const INTERFACES: usize = 32;

/// Emulated network cards of an HVM guest. QEMU takes 256 KiB of the domain's memory for the firmware of each, and libxl gives
/// a domain 1 MiB beside what it is to have (`LIBXL_MAXMEM_CONSTANT`): with one more, QEMU ends with "failed to populate ram".
pub const EMULATED_CARDS: usize = 4;

/// Slots of an HVM guest's PCI bus for emulated network cards and devices of the host. Of the 32 of QEMU's machine
/// `xenfv`, the host bridge, the PIIX3 (with IDE and USB), the Xen platform device and the graphics adapter take one each.
pub const PCI_SLOTS: usize = 32 - 4;

/// Serial lines of the host that an HVM domain can have: QEMU has 4 (`MAX_ISA_SERIAL_PORTS`), and the first is the console.
/// It skips the others without a word.
pub const SERIAL_LINES: usize = 4 - 1;

/// Bytes in a sector, in which Linux counts the size of a disk.
pub const SECTOR: u64 = 512;

/// Hard disks and CD-ROM drives that an HVM guest finds on the emulated IDE controller, as `xvda` to `xvdd`
/// (`libxl_dm.c`).
pub const IDE_DRIVES: usize = 4;

/// Their names.
pub const IDE: [&str; IDE_DRIVES] = ["xvda", "xvdb", "xvdc", "xvdd"];

/// Disks of a domain: one letter for each.
pub const DISKS: usize = 26;

/// Bytes in the command line of a PV guest: `MAX_GUEST_CMDLINE` of Xen's `xen.h`, without the NUL. `libxenguest` cuts off
/// the rest without a word.
pub const PV_COMMAND_LINE: usize = 1023;

/// Bytes in the command line of another guest: twice what a Linux kernel reads (`COMMAND_LINE_SIZE`).
pub const COMMAND_LINE: usize = 4096;

/// True where the host has no device tree to assign nodes from, as on x86: `xc_assign_dt_device` fails there.
pub const WITHOUT_DEVICE_TREE: bool = cfg!(any(target_arch = "x86_64", target_arch = "x86"));

/// The largest number of a VNC display: its port is 5900 higher.
pub const VNC_DISPLAY: u32 = 65_535 - 5900;

/// Bytes of a password that VNC looks at.
pub const VNC_PASSWORD: usize = 8;

/// Bytes in the path of a disk: it has to go through xenstore, with room for what surrounds it.
pub const DISK_PATH: usize = 1024;

/// Virtual processors that a domain can have.
#[must_use]
pub fn vcpus(mode: Mode) -> u32 {
    match mode {
        Mode::Pv => 512,
        // `HVM_MAX_VCPUS` of Xen's `hvm_info_table.h`.
        Mode::Hvm | Mode::Pvh => 128,
    }
}

/// Memory below which a domain cannot be built, in MiB, and the reason.
#[must_use]
pub fn least_memory(mode: Mode) -> (u64, &'static str) {
    match mode {
        // `count_pgtables` in libxenguest: "not enough memory for initial mapping".
        Mode::Pv => (4, "Xen maps the first 4 MiB before its kernel runs"),
        Mode::Pvh => (2, "an x86 kernel is loaded at 1 MiB"),
        // libxl sets `video_memkb` aside for the emulated graphics adapter; hvmloader is loaded at 1 MiB of the rest.
        Mode::Hvm => (
            12,
            "8 MiB of it are the memory of the emulated screen, and the firmware runs in the rest",
        ),
    }
}

/// Number of emulated network cards that a guest with these interfaces has.
#[must_use]
pub fn emulated_cards(mode: Mode, nics: &[Nic]) -> usize {
    let emulated = nics.iter().filter(|nic| nic.kind != Some(NicKind::Vif));
    emulated.filter(|_| mode == Mode::Hvm).count()
}

/// Bytes in the name that an interface may be given.
#[must_use]
pub fn interface(mode: Mode, kind: Option<NicKind>) -> usize {
    match (mode, kind) {
        (Mode::Hvm, None | Some(NicKind::Ioemu)) => EMULATED_INTERFACE,
        _ => INTERFACE,
    }
}

/// Why Linux, or one of Xen's scripts, cannot have an interface of this name; `None`: they can.
#[must_use]
pub fn bad_interface(name: &str, most: usize) -> Option<String> {
    // Linux takes more: but `:`, `@` and a `+` at the end mean something to `ip` and to `iptables`, as does a `-` at
    // the beginning.
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
    if name.len() > most {
        return Some(format!("at most {most} bytes, found {}", name.len()));
    }
    // Linux has directories of these names where it would put the settings of the interface.
    if matches!(name, "all" | "default") {
        return Some(format!(
            "Linux has settings for all interfaces under the name {name:?}, and no interface can have it"
        ));
    }
    let bad = name.chars().any(odd) || name.starts_with('-') || matches!(name, "." | "..");
    bad.then(|| {
        format!("expected the name of an interface, letters, digits and \"._-\", found {name:?}")
    })
}

/// Whether Xen itself gives this name to the interfaces of domains that have no other.
#[must_use]
pub fn is_xens_interface(name: &str) -> bool {
    let numbers = name
        .strip_prefix("vif")
        .or_else(|| name.strip_prefix("tap"));
    let numbers = numbers.map(|n| n.strip_suffix("-emu").unwrap_or(n));
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    numbers
        .and_then(|n| n.split_once('.'))
        .is_some_and(|(domid, devid)| number(domid) && number(devid))
}

/// Why `path` cannot be that of this disk; `None`: it can.
#[must_use]
pub fn bad_disk_path(mode: Mode, disk: &Disk, path: &str) -> Option<String> {
    if path.len() > DISK_PATH {
        return Some(format!("{} bytes, at most {DISK_PATH}", path.len()));
    }
    // An HVM guest has its CD-ROM drives from QEMU's emulation alone.
    let emulated_only = disk.cdrom && mode == Mode::Hvm;
    // Of anything else, `xenstore-read`, by which Xen's script reads the path, writes another word for it.
    let odd = |c: char| !(c == ' ' || c.is_ascii_graphic()) || c == '\\';
    if disk.format == Format::Raw && !emulated_only && path.contains(odd) {
        return Some(format!(
            "Xen's block script, which serves this disk, finds only paths of printable ASCII without \\: {path:?}"
        ));
    }
    // An older QEMU reads the path from xenstore up to the first white space.
    if disk.format != Format::Raw && !emulated_only && path.contains(char::is_whitespace) {
        return Some(format!(
            "QEMU, which serves this disk, cannot open a path with white space: {path:?}"
        ));
    }
    // libxl puts it into an option of QEMU as it is, and a comma ends it there.
    if mode == Mode::Hvm && IDE.contains(&disk.vdev.as_str()) && path.contains(',') {
        return Some(format!(
            "QEMU, which emulates this drive for an HVM domain, cannot open a path with a comma: {path:?}"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces() {
        for good in ["eth0", "br-lan", "nbu1x1", "a.b_c", "x"] {
            assert_eq!(bad_interface(good, INTERFACE), None);
        }
        for bad in [
            "", "..", ".", "-x", "all", "default", "a:b", "a@b", "eth+", "a b", "a/b", "é", "a\n",
        ] {
            assert_eq!(
                bad_interface(bad, INTERFACE).is_some(),
                !bad.is_empty(),
                "{bad:?}"
            );
        }
        assert_eq!(
            bad_interface("abcdefghijkl", EMULATED_INTERFACE).unwrap(),
            "at most 11 bytes, found 12"
        );
        assert_eq!(interface(Mode::Hvm, None), 11);
        assert_eq!(interface(Mode::Hvm, Some(NicKind::Vif)), 15);
        assert_eq!(interface(Mode::Pv, None), 15);
        for xens in ["vif1.0", "vif1.0-emu", "tap23.4"] {
            assert!(is_xens_interface(xens), "{xens}");
        }
        for free in ["vif", "vif1", "vifx.0", "vif1.", "myvif1.0"] {
            assert!(!is_xens_interface(free), "{free}");
        }
    }

    #[test]
    fn paths_of_disks() {
        let disk = |format, vdev: &str, cdrom| Disk {
            format,
            vdev: vdev.into(),
            cdrom,
            ..Disk::default()
        };
        let (raw, qcow2) = (
            disk(Format::Raw, "xvda", false),
            disk(Format::Qcow2, "xvda", false),
        );
        let (fifth, disc) = (
            disk(Format::Raw, "xvde", false),
            disk(Format::Raw, "xvda", true),
        );
        let long = "/a".repeat(600);
        for (mode, disk, path, wanted) in [
            (Mode::Pv, &raw, "/a b,c'\"$", None),
            (Mode::Pv, &raw, &long, Some("at most 1024")),
            (Mode::Pv, &raw, "/\u{e4}", Some("printable ASCII")),
            (Mode::Hvm, &fifth, "/a\\b", Some("printable ASCII")),
            (Mode::Pvh, &qcow2, "/\u{e4}\\,", None),
            (Mode::Pvh, &qcow2, "/a b", Some("white space")),
            (Mode::Hvm, &raw, "/a,b", Some("comma")),
            (Mode::Hvm, &fifth, "/a,b", None),
            (Mode::Hvm, &disc, "/a b\u{e4}", None),
            (Mode::Hvm, &disc, "/a,b", Some("comma")),
            (Mode::Pv, &disc, "/\u{e4}", Some("printable ASCII")),
        ] {
            let found = bad_disk_path(mode, disk, path);
            match wanted {
                None => assert_eq!(found, None, "{path:?}"),
                Some(words) => assert!(found.unwrap().contains(words), "{path:?}"),
            }
        }
    }
}
