//! Configurations that read like prose.

use uuid::Uuid;

use super::{
    ActionOnShutdown, Bitmap, BuildInfo, Channel, CreateInfo, Disk, DomainConfig, DomainType,
    Guest, Nic, P9, Pci, Usbctrl, Usbdev, Vfb, Vkb, VncInfo,
};

/// Constructors, and methods that set one thing each.
impl DomainConfig {
    /// A guest of any kind, with a random UUID.
    ///
    /// This sets what `xl` sets and libxl does not default to the same: the UUID (libxl would give the domain the nil
    /// one), the actions on shutdown, and that memory is claimed before the domain is built.
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

    /// A PV guest.
    pub fn pv(name: impl Into<String>) -> Self {
        Self::new(name, DomainType::Pv)
    }

    /// A PVH guest.
    pub fn pvh(name: impl Into<String>) -> Self {
        Self::new(name, DomainType::Pvh)
    }

    /// An HVM guest.
    ///
    /// For what only HVM guests have, use [`new`](Self::new):
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

    /// Sets the program that finds the kernel in the first disk, such as `pygrub`.
    #[must_use]
    pub fn bootloader(mut self, program: impl Into<String>) -> Self {
        self.b_info.bootloader = Some(program.into());
        self
    }

    /// Sets the memory, in MiB. The limit follows, unless it was set apart and is higher.
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

    /// Sets the most memory it can have, in MiB. It starts with less, "ballooned", if its memory is less.
    #[must_use]
    pub fn max_memory_mib(mut self, mib: u64) -> Self {
        self.b_info.max_memkb = Some(mib.saturating_mul(1024));
        self
    }

    /// Sets how many vCPUs are online from the start. The limit follows, unless it was set apart and is higher.
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

    /// Sets how many vCPUs it can have.
    #[must_use]
    pub fn max_vcpus(mut self, count: u32) -> Self {
        self.b_info.max_vcpus = Some(count);
        self
    }

    /// Lets every vCPU run on these CPUs only.
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

    /// Adds a PCI device of the host. A PV guest gets the host's memory map with it, as with `xl`.
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

    /// Gives it a screen that VNC shows: the emulated card's for HVM, else a paravirtual one with a keyboard.
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

    /// Sets what the toolstack does when the domain has powered off.
    #[must_use]
    pub fn on_poweroff(mut self, action: ActionOnShutdown) -> Self {
        self.on_poweroff = action;
        self
    }

    /// Sets what the toolstack does when the domain wants to be rebooted.
    #[must_use]
    pub fn on_reboot(mut self, action: ActionOnShutdown) -> Self {
        self.on_reboot = action;
        self
    }

    /// Sets what the toolstack does when Xen's watchdog stopped the domain.
    #[must_use]
    pub fn on_watchdog(mut self, action: ActionOnShutdown) -> Self {
        self.on_watchdog = action;
        self
    }

    /// Sets what the toolstack does when the domain has crashed.
    #[must_use]
    pub fn on_crash(mut self, action: ActionOnShutdown) -> Self {
        self.on_crash = action;
        self
    }

    /// Sets what the toolstack does when the domain wants a soft reset.
    #[must_use]
    pub fn on_soft_reset(mut self, action: ActionOnShutdown) -> Self {
        self.on_soft_reset = action;
        self
    }
}
