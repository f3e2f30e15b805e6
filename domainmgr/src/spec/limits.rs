//! Limits of Xen, libxl, its scripts, QEMU and Linux for the configuration of a domain.
//!
//! `docs/limits.md` has a row for each limit, and for each a live test shows that Xen really refuses more.

use crate::spec::disks::{Disk, Format};
use crate::spec::domain::{Mode, Nic, NicKind};

/// Maximum length of the name of a network interface, in bytes: Linux's `IFNAMSIZ` without the NUL.
pub const INTERFACE: usize = 15;

/// Maximum length, in bytes, of the name of an interface that the guest also sees as an emulated card.
///
/// The name of QEMU's tap is that name with `-emu` added (`libxl_nic.c`, `vif-common.sh`).
pub const EMULATED_INTERFACE: usize = INTERFACE - 4;

/// The smallest and the largest MTU of Linux's `xen-netback`, in bytes.
pub const MTU: std::ops::RangeInclusive<u32> = 68..=65_517;

/// Maximum number of network interfaces of a domain.
///
/// xenstored lets a guest have 1000 entries (`quota-nodes`). The frontend of an interface takes about 20, and 5 more for
/// each of its queues.
pub const INTERFACES: usize = 32;

/// Maximum number of emulated network cards of an HVM guest.
///
/// QEMU takes 256 KiB of the domain's memory for the firmware of each card, and libxl gives a domain 1 MiB in addition to
/// the configured memory (`LIBXL_MAXMEM_CONSTANT`). With one more card, QEMU ends with "failed to populate ram".
pub const EMULATED_CARDS: usize = 4;

/// Number of slots of an HVM guest's PCI bus for emulated network cards and devices of the host.
///
/// QEMU's machine `xenfv` has 32 slots. The host bridge, the PIIX3 (with IDE and USB), the Xen platform device and the
/// graphics adapter take one each.
pub const PCI_SLOTS: usize = 32 - 4;

/// Maximum number of serial lines of the host for an HVM domain.
///
/// QEMU has 4 (`MAX_ISA_SERIAL_PORTS`), and the first is the console. QEMU silently skips any more.
pub const SERIAL_LINES: usize = 4 - 1;

/// Size of a sector, in bytes. Linux counts the size of a disk in sectors.
pub const SECTOR: u64 = 512;

/// Number of hard disks and CD-ROM drives on the emulated IDE controller of an HVM guest, `xvda` to `xvdd` (`libxl_dm.c`).
pub const IDE_DRIVES: usize = 4;

/// Names of the drives on the emulated IDE controller.
pub const IDE: [&str; IDE_DRIVES] = ["xvda", "xvdb", "xvdc", "xvdd"];

/// Maximum number of disks of a domain: one letter for each.
pub const DISKS: usize = 26;

/// Maximum length of the command line of a PV guest, in bytes: `MAX_GUEST_CMDLINE` of Xen's `xen.h`, without the NUL.
///
/// `libxenguest` silently cuts off the rest.
pub const PV_COMMAND_LINE: usize = 1023;

/// Maximum length of the command line of other guests, in bytes: twice what a Linux kernel reads (`COMMAND_LINE_SIZE`).
pub const COMMAND_LINE: usize = 4096;

/// True where the host has no device tree to assign nodes from, as on x86: `xc_assign_dt_device` fails there.
pub const WITHOUT_DEVICE_TREE: bool = cfg!(any(target_arch = "x86_64", target_arch = "x86"));

/// The largest number of a VNC display: its port is 5900 higher.
pub const VNC_DISPLAY: u32 = 65_535 - 5900;

/// Number of bytes of a password that VNC uses.
pub const VNC_PASSWORD: usize = 8;

/// Maximum length of the path of a disk, in bytes: the path goes through xenstore, together with other text.
pub const DISK_PATH: usize = 1024;

/// Returns the maximum number of virtual processors of a domain.
#[must_use]
pub fn vcpus(mode: Mode) -> u32 {
    match mode {
        Mode::Pv => 512,
        // `HVM_MAX_VCPUS` of Xen's `hvm_info_table.h`.
        Mode::Hvm | Mode::Pvh => 128,
    }
}

/// Returns the memory below which a domain cannot be built, in MiB, and the reason.
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

/// Returns the number of emulated network cards that a guest with these interfaces has.
#[must_use]
pub fn emulated_cards(mode: Mode, nics: &[Nic]) -> usize {
    let emulated = nics.iter().filter(|nic| nic.kind != Some(NicKind::Vif));
    emulated.filter(|_| mode == Mode::Hvm).count()
}

/// Returns the maximum length of the name of an interface, in bytes.
#[must_use]
pub fn interface(mode: Mode, kind: Option<NicKind>) -> usize {
    match (mode, kind) {
        (Mode::Hvm, None | Some(NicKind::Ioemu)) => EMULATED_INTERFACE,
        _ => INTERFACE,
    }
}

/// Returns the reason why Linux, or one of Xen's scripts, cannot have an interface of this name; `None` if they can.
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

/// Returns whether the name has the form that Xen gives to interfaces without a configured name, such as `vif1.0`.
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

/// Returns the reason why this disk cannot have the path `path`; `None` if it can.
#[must_use]
pub fn bad_disk_path(mode: Mode, disk: &Disk, path: &str) -> Option<String> {
    if path.len() > DISK_PATH {
        return Some(format!("{} bytes, at most {DISK_PATH}", path.len()));
    }
    // An HVM guest has its CD-ROM drives from QEMU's emulation alone.
    let emulated_only = disk.cdrom && mode == Mode::Hvm;
    // Xen's script reads the path with `xenstore-read`, which prints all other characters in another form.
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
    // libxl puts the path into an option of QEMU unescaped, and a comma ends the path there.
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
