//! QEMU's command line: the equipment of a computer, and the way it starts.

use super::accel::Backend;
use super::host::Host;
use super::image::Init;
use super::model::Model;

// Names of QEMU's files, as links in its working directory. A space or a comma in a path would end it for QEMU or begin an option, and
// each option has its own syntax for escaping them.
pub(super) const EMULATOR: &str = "emulator";
pub(super) const IMAGE: &str = "image";
pub(super) const STATE: &str = "state";
pub(super) const SHARE: &str = "share";
pub(super) const SERIAL: &str = "serial.log";
pub(super) const SHARED_DISK: &str = "shared-disk";

/// Socket on which QEMU waits for the cable of a host, in its working directory.
pub(super) const CABLE: &str = "cable";

/// Command line of Xen. `bootscrub=0` leaves unused memory untouched, which keeps the saved state small. A large log keeps the messages
/// that explain a failure.
const XEN_LINE: &str = "console=com1 conring_size=1M dom0_max_vcpus=2 bootscrub=0 loglvl=info guest_loglvl=info spec-ctrl=no";

const DOM0_LINE: &str =
    "console=hvc0 root=/dev/vda rw rootfstype=ext4 panic=5 mitigations=off net.ifnames=0 init=";

/// Drivers of the devices to give away. They are loaded later than those of dom0's own devices, so that eth0 is always the link to the
/// host.
const LATE_DRIVERS: &str = "e1000 xhci_pci";

/// Command that dom0 runs first on a computer with devices to give away.
pub(crate) const LOAD_LATE: &str = "modprobe -a xen-pciback e1000 xhci_pci";

/// The devices to give away: two network adapters and a USB controller. `tests/live/devices` knows their addresses.
const SPARE: [(&str, &str); 6] = [
    ("-device", "amd-iommu,intremap=on"),
    ("-netdev", "user,id=spare0,restrict=on"),
    (
        "-device",
        "e1000,netdev=spare0,addr=10,mac=52:54:00:00:00:10,romfile=",
    ),
    ("-netdev", "user,id=spare1,restrict=on"),
    (
        "-device",
        "e1000,netdev=spare1,addr=11,mac=52:54:00:00:00:11,romfile=",
    ),
    ("-device", "qemu-xhci,addr=12"),
];

/// Returns the equipment of a host of a pair: its end of the cable, as eth1, and the disk that both hosts use, as `/dev/vdb`.
///
/// A file can be a disk of two computers because QEMU keeps nothing of a raw file for itself: what one computer has written is in the
/// page cache of the machine that runs both. QEMU would lock the file for itself. The UUID is that of the computer, which dom0 finds in
/// the firmware's tables.
fn paired(host: Host) -> [(&'static str, String); 4] {
    let digit = host.digit();
    [
        (
            "-drive",
            format!("file={SHARED_DISK},if=virtio,format=raw,cache=unsafe,file.locking=off"),
        ),
        (
            "-netdev",
            format!("stream,id=cable,server=on,addr.type=unix,addr.path={CABLE}"),
        ),
        (
            "-device",
            format!("virtio-net-pci,netdev=cable,mac=52:54:00:00:01:0{digit},romfile="),
        ),
        (
            "-uuid",
            format!("7c1fd0a2-3f6e-4b5d-9a50-00000000000{digit}"),
        ),
    ]
}

/// The way a computer starts: anew, or from a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Powers on, and writes to the disk and the memory file.
    Boot(Model),
    /// Resumes from the state next to the disk, and changes no file.
    Resume(Model),
    /// Powers on a computer with a second disk, [`DATA_DISK`] in the state directory, which outlives the computer.
    ///
    /// Changes no other file. Data that dom0 has flushed to this disk survives a power cut; other data may not.
    Durable(Model),
    /// Powers on, and writes to the disk. The computer may restart. Its first process is Debian's systemd.
    Systemd,
}

impl Start {
    pub(super) fn model(self) -> Model {
        match self {
            Self::Boot(model) | Self::Resume(model) | Self::Durable(model) => model,
            Self::Systemd => Model::Plain,
        }
    }

    /// Name of the file for the output on the serial port. A file of its own for the first boot can be read after later starts.
    pub(super) fn log(self) -> String {
        let name = match self {
            Self::Boot(_) => "boot",
            Self::Resume(_) | Self::Durable(_) | Self::Systemd => "serial",
        };
        match self.model().host() {
            Some(Host::Beta) => format!("{name}-beta.log"),
            None | Some(Host::Alpha) => format!("{name}.log"),
        }
    }

    fn init(self) -> Init {
        match self {
            Self::Boot(_) | Self::Resume(_) | Self::Durable(_) => Init::Small,
            Self::Systemd => Init::Systemd,
        }
    }
}

/// File of the disk that outlives its computer. It is `/dev/vdb` in dom0.
pub(crate) const DATA_DISK: &str = "data.qcow2";

/// Returns QEMU's arguments that must be the same when a state is saved and when it is resumed.
pub(crate) fn arguments(start: Start, backend: Backend) -> Vec<String> {
    let image = |name: &str| format!("{IMAGE}/{name}");
    let resume = matches!(start, Start::Resume(_));
    let model = start.model();
    let devices = model == Model::Devices;
    let memory = model.memory_mib();
    let durable = matches!(start, Start::Durable(_));
    let systemd = start == Start::Systemd;
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add(
        "-machine",
        match start {
            Start::Durable(_) | Start::Systemd => "pc",
            // The IOMMU is made for this machine.
            _ if devices => "q35,memory-backend=ram",
            Start::Boot(_) | Start::Resume(_) => "pc,memory-backend=ram",
        }
        .into(),
    );
    let (accel, processor) = backend.words(model);
    add("-accel", accel.into());
    add("-cpu", processor.into());
    add("-smp", "2".into());
    add("-m", format!("{memory}M"));
    // `share=off` is a private mapping: a resumed computer writes to pages of its own.
    let (ram, shared) = (format!("{STATE}/ram"), if resume { "off" } else { "on" });
    if !durable && !systemd {
        add(
            "-object",
            format!("memory-backend-file,id=ram,size={memory}M,mem-path={ram},share={shared}"),
        );
    }
    add("-kernel", image("xen"));
    let dom0 = model.dom0_mib();
    add(
        "-append",
        format!("{XEN_LINE} dom0_mem={dom0}M,max:{dom0}M"),
    );
    let late = if devices {
        format!(" modprobe.blacklist={}", LATE_DRIVERS.replace(' ', ",,"))
    } else {
        String::new()
    };
    add(
        "-initrd",
        format!(
            "{} {DOM0_LINE}{}{late},{}",
            image("vmlinuz"),
            start.init().program(),
            image("initrd")
        ),
    );
    let (disk, format) = if durable {
        (image("disk"), "raw")
    } else {
        (format!("{STATE}/disk.qcow2"), "qcow2")
    };
    let throw_away = if resume || durable {
        ",snapshot=on"
    } else {
        ""
    };
    add(
        "-drive",
        format!("file={disk},if=virtio,format={format},cache=unsafe{throw_away}"),
    );
    if durable {
        // QEMU obeys flushes. Until a flush only QEMU knows where new clusters are, so they are lost with it, as with the cache of a real
        // drive.
        add(
            "-drive",
            format!("file={STATE}/{DATA_DISK},if=virtio,format=qcow2,cache=writeback"),
        );
    }
    add(
        "-netdev",
        "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22".into(),
    );
    let address = model.host().map_or(String::new(), |host| {
        format!(",mac=52:54:00:00:00:0{}", host.digit())
    });
    add(
        "-device",
        format!("virtio-net-pci,netdev=net0,romfile={address}"),
    );
    add("-device", "virtio-rng-pci".into());
    add(
        "-virtfs",
        format!("local,path={SHARE},mount_tag=share,security_model=none,id=share"),
    );
    add("-serial", format!("file:{SERIAL}"));
    if resume {
        add("-incoming", "defer".into());
    }
    if devices {
        for (option, value) in SPARE {
            add(option, value.into());
        }
    }
    if let Model::Paired(host) = model {
        for (option, value) in paired(host) {
            add(option, value);
        }
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-display", "none"].map(String::from));
    if !systemd {
        arguments.push("-no-reboot".to_owned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the arguments that describe disks.
    fn disks(start: Start) -> Vec<String> {
        let words = arguments(start, Backend::Tcg);
        let pairs = words.windows(2).filter(|pair| pair[0] == "-drive");
        pairs.map(|pair| pair[1].clone()).collect()
    }

    #[test]
    fn the_hosts_of_a_pair_differ_in_their_addresses_and_share_a_disk() {
        let [alpha, beta] =
            Host::BOTH.map(|host| arguments(Start::Resume(Model::Paired(host)), Backend::Tcg));
        let differ: Vec<_> = alpha.iter().zip(&beta).filter(|(a, b)| a != b).collect();
        assert_eq!(differ.len(), 3, "{differ:?}");
        assert!(
            differ[0]
                .0
                .ends_with("netdev=net0,romfile=,mac=52:54:00:00:00:0a")
        );
        assert!(differ[1].1.contains("netdev=cable,mac=52:54:00:00:01:0b"));
        assert!(differ[2].1.ends_with("b"));
        let shared = "file=shared-disk,if=virtio,format=raw,cache=unsafe,file.locking=off";
        for host in Host::BOTH {
            let disks = disks(Start::Resume(Model::Paired(host)));
            assert_eq!(disks[1], shared);
            assert!(
                disks[0].ends_with("snapshot=on"),
                "the root disk is its own"
            );
        }
    }

    #[test]
    fn only_a_disk_that_has_to_survive_a_power_cut_is_flushed() {
        let root = "file=image/disk,if=virtio,format=raw,cache=unsafe,snapshot=on";
        let data = "file=state/data.qcow2,if=virtio,format=qcow2,cache=writeback";
        assert_eq!(disks(Start::Durable(Model::Plain)), [root, data]);
        for model in [Model::Plain, Model::Devices, Model::Large, Model::Sanitizer] {
            assert_eq!(
                disks(Start::Boot(model)),
                ["file=state/disk.qcow2,if=virtio,format=qcow2,cache=unsafe"]
            );
            assert_eq!(
                disks(Start::Resume(model)),
                ["file=state/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,snapshot=on"]
            );
        }
    }
}
