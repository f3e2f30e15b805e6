//! Constructors and chainable setters of [`DomainConfig`].

use uuid::Uuid;

use super::bitmap::Bitmap;
use super::build_info::BuildInfo;
use super::create_info::CreateInfo;
use super::disk::Disk;
use super::display::{Vfb, Vkb, VncInfo};
use super::domain_config::DomainConfig;
use super::enums::{ActionOnShutdown, DomainType};
use super::guest::Guest;
use super::misc::{Channel, P9};
use super::nic::Nic;
use super::pci::Pci;
use super::usb::{Usbctrl, Usbdev};

/// Constructors, and methods that each set one property.
impl DomainConfig {
    /// Creates the configuration of a guest of any kind, with a random UUID.
    ///
    /// This constructor sets the values that `xl` sets and that differ from libxl's defaults: the UUID (libxl would use
    /// the nil UUID), the actions on shutdown, and the claim of memory before the domain is built.
    pub fn new(name: impl Into<String>, guest: impl Into<Guest>) -> Self {
        Self {
            c_info: CreateInfo {
                name: name.into(),
                uuid: Some(Uuid::new_v4()),
                ..CreateInfo::default()
            },
            b_info: BuildInfo {
                claim_mode: Some(true),
                guest: guest.into(),
                ..BuildInfo::default()
            },
            on_reboot: ActionOnShutdown::Restart,
            on_soft_reset: ActionOnShutdown::SoftReset,
            ..Self::default()
        }
    }

    /// Creates the configuration of a PV guest.
    pub fn pv(name: impl Into<String>) -> Self {
        Self::new(name, DomainType::Pv)
    }

    /// Creates the configuration of a PVH guest.
    pub fn pvh(name: impl Into<String>) -> Self {
        Self::new(name, DomainType::Pvh)
    }

    /// Creates the configuration of an HVM guest.
    ///
    /// Use [`new`](Self::new) to set parameters that only HVM guests have:
    ///
    /// ```
    /// use libxl::config::{BiosType, DomainConfig, HvmInfo};
    ///
    /// let hvm = HvmInfo { bios: Some(BiosType::Ovmf), boot: Some("dc".into()), ..HvmInfo::default() };
    /// let config = DomainConfig::new("desktop", hvm).memory_mib(4096);
    /// ```
    pub fn hvm(name: impl Into<String>) -> Self {
        Self::new(name, DomainType::Hvm)
    }

    /// Sets the UUID.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.c_info.uuid = Some(uuid);
        self
    }

    /// Sets the kernel, a file in dom0.
    #[must_use]
    pub fn kernel(mut self, path: impl Into<String>) -> Self {
        self.b_info.kernel = Some(path.into());
        self
    }

    /// Sets the kernel's initial RAM disk, a file in dom0.
    #[must_use]
    pub fn ramdisk(mut self, path: impl Into<String>) -> Self {
        self.b_info.ramdisk = Some(path.into());
        self
    }

    /// Sets the kernel's command line.
    #[must_use]
    pub fn cmdline(mut self, cmdline: impl Into<String>) -> Self {
        self.b_info.cmdline = Some(cmdline.into());
        self
    }

    /// Sets the program that finds the kernel on the first disk, such as `pygrub`.
    #[must_use]
    pub fn bootloader(mut self, program: impl Into<String>) -> Self {
        self.b_info.bootloader = Some(program.into());
        self
    }

    /// Sets the memory, in MiB. The limit follows, unless it was set separately and is higher.
    #[must_use]
    pub fn memory_mib(mut self, mib: u64) -> Self {
        let kib = mib.saturating_mul(1024);
        let old = self.b_info.target_memkb.replace(kib);
        if self
            .b_info
            .max_memkb
            .is_none_or(|max| max < kib || Some(max) == old)
        {
            self.b_info.max_memkb = Some(kib);
        }
        self
    }

    /// Sets the maximum memory, in MiB. A domain whose memory is lower starts with less, "ballooned".
    #[must_use]
    pub fn max_memory_mib(mut self, mib: u64) -> Self {
        self.b_info.max_memkb = Some(mib.saturating_mul(1024));
        self
    }

    /// Sets the number of vCPUs that are online from the start. The limit follows, unless it was set separately and is
    /// higher.
    #[must_use]
    pub fn vcpus(mut self, count: u32) -> Self {
        let old = self.b_info.avail_vcpus.last().map(|last| last + 1);
        self.b_info.avail_vcpus = Bitmap::first(count);
        if self
            .b_info
            .max_vcpus
            .is_none_or(|max| max < count || Some(max) == old)
        {
            self.b_info.max_vcpus = Some(count);
        }
        self
    }

    /// Sets the maximum number of vCPUs.
    #[must_use]
    pub fn max_vcpus(mut self, count: u32) -> Self {
        self.b_info.max_vcpus = Some(count);
        self
    }

    /// Restricts every vCPU to these CPUs.
    #[must_use]
    pub fn cpus(mut self, cpus: Bitmap) -> Self {
        self.b_info.cpumap = cpus;
        self
    }

    /// Adds a disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds a network interface.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Adds a PCI device of the host. A PV guest also gets the host's memory map, as with `xl`.
    #[must_use]
    pub fn pci(mut self, pci: Pci) -> Self {
        if let Guest::Pv(pv) = &mut self.b_info.guest {
            pv.e820_host = Some(true);
        }
        self.pcidevs.push(pci);
        self
    }

    /// Adds a USB controller.
    #[must_use]
    pub fn usbctrl(mut self, controller: Usbctrl) -> Self {
        self.usbctrls.push(controller);
        self
    }

    /// Adds a USB device.
    #[must_use]
    pub fn usbdev(mut self, device: Usbdev) -> Self {
        self.usbdevs.push(device);
        self
    }

    /// Adds a channel.
    #[must_use]
    pub fn channel(mut self, channel: Channel) -> Self {
        self.channels.push(channel);
        self
    }

    /// Adds a shared directory.
    #[must_use]
    pub fn p9(mut self, directory: P9) -> Self {
        self.p9s.push(directory);
        self
    }

    /// Enables VNC: for the emulated card of an HVM guest, else for an added paravirtual screen with a keyboard.
    #[must_use]
    pub fn vnc(mut self, vnc: VncInfo) -> Self {
        let vnc = VncInfo {
            enable: Some(true),
            ..vnc
        };
        if let Guest::Hvm(hvm) = &mut self.b_info.guest {
            hvm.vnc = vnc;
        } else {
            self.vfbs.push(Vfb {
                vnc,
                ..Vfb::default()
            });
            self.vkbs.push(Vkb::default());
        }
        self
    }

    /// Sets the toolstack's action after the domain has powered off.
    #[must_use]
    pub fn on_poweroff(mut self, action: ActionOnShutdown) -> Self {
        self.on_poweroff = action;
        self
    }

    /// Sets the toolstack's action when the domain requests a reboot.
    #[must_use]
    pub fn on_reboot(mut self, action: ActionOnShutdown) -> Self {
        self.on_reboot = action;
        self
    }

    /// Sets the toolstack's action after Xen's watchdog has stopped the domain.
    #[must_use]
    pub fn on_watchdog(mut self, action: ActionOnShutdown) -> Self {
        self.on_watchdog = action;
        self
    }

    /// Sets the toolstack's action after the domain has crashed.
    #[must_use]
    pub fn on_crash(mut self, action: ActionOnShutdown) -> Self {
        self.on_crash = action;
        self
    }

    /// Sets the toolstack's action when the domain requests a soft reset.
    #[must_use]
    pub fn on_soft_reset(mut self, action: ActionOnShutdown) -> Self {
        self.on_soft_reset = action;
        self
    }
}
