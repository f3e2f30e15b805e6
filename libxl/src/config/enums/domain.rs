//! Enumerations of the domain itself.

words! {
    /// The toolstack's action on a domain that has shut down (`libxl_action_on_shutdown`).
    ///
    /// libxl keeps these actions for the toolstack and never performs them.
    ///
    /// JSON has libxl's words. `Display` prints the words of `xl.cfg`, such as `rename-restart` for `restart_rename`,
    /// and `FromStr` accepts both.
    #[derive(Default)]
    pub enum ActionOnShutdown {
        /// Destroy the domain. libxl's default.
        #[default]
        Destroy = "destroy",
        /// Destroy the domain and create it anew from its configuration.
        Restart = "restart",
        /// Rename the domain and keep it, and create a new domain under the old name.
        RenameRestart = "restart_rename" | "rename-restart",
        /// Keep the domain unchanged, for examination.
        Preserve = "preserve",
        /// Dump the domain's memory to a file, then destroy the domain.
        CoredumpDestroy = "coredump_destroy" | "coredump-destroy",
        /// Dump the domain's memory to a file, then restart the domain.
        CoredumpRestart = "coredump_restart" | "coredump-restart",
        /// Give the domain fresh Xen interfaces and let it continue, as a guest that runs kexec requests. HVM and PVH.
        SoftReset = "soft_reset" | "soft-reset",
    }
}

words! {
    /// The IOMMU of a domain, needed to pass devices through (`libxl_passthrough`).
    pub enum Passthrough {
        /// `Enabled` if the configuration has PCI or device tree devices, else `Disabled`.
        Default = "default",
        /// No IOMMU: devices cannot be passed through.
        Disabled = "disabled",
        /// `SharePt` where the hardware can, else `SyncPt`.
        Enabled = "enabled",
        /// The IOMMU has page tables of its own, kept in step with the guest's memory. x86.
        SyncPt = "sync_pt",
        /// The IOMMU uses the page tables of the guest's memory. HVM and PVH.
        SharePt = "share_pt",
    }
}

words! {
    /// The guest's view of the time stamp counter (`libxl_tsc_mode`). x86.
    pub enum TscMode {
        /// Native where it is sure to be monotonic, else emulated.
        Default = "default",
        /// Always emulated.
        AlwaysEmulate = "always_emulate",
        /// Always native, monotonic or not.
        Native = "native",
        /// Removed from Xen; the word is still in libxl's list.
        NativeParavirt = "native_paravirt",
    }
}

words! {
    /// Delivery of timer ticks that a guest missed while it was not running (`libxl_timer_mode`). HVM and PVH.
    pub enum TimerMode {
        /// Deliver missed ticks late; the guest's time waits for them.
        DelayForMissedTicks = "delay_for_missed_ticks",
        /// Deliver missed ticks late; the guest's time does not wait. libxl's default.
        NoDelayForMissedTicks = "no_delay_for_missed_ticks",
        /// Drop missed ticks.
        NoMissedTicksPending = "no_missed_ticks_pending",
        /// Deliver missed ticks as one; the guest's time does not wait.
        OneMissedTickPending = "one_missed_tick_pending",
    }
}

words! {
    /// The QEMU that emulates the devices (`libxl_device_model_version`).
    pub enum DeviceModelVersion {
        /// The old fork of QEMU. Removed in Xen 4.21.
        QemuXenTraditional = "qemu_xen_traditional" | "qemu-xen-traditional",
        /// Upstream QEMU. libxl's default.
        QemuXen = "qemu_xen" | "qemu-xen",
    }
}

words! {
    /// The firmware of an HVM guest (`libxl_bios_type`).
    pub enum BiosType {
        /// The only firmware for `qemu-xen-traditional`.
        Rombios = "rombios",
        /// libxl's default with upstream QEMU.
        Seabios = "seabios",
        /// UEFI.
        Ovmf = "ovmf",
    }
}

words! {
    /// The controller of emulated hard disks (`libxl_hdtype`).
    pub enum Hdtype {
        /// IDE, which old guests support. libxl's default.
        Ide = "ide",
        /// AHCI, which is faster.
        Ahci = "ahci",
    }
}

words! {
    /// The emulated graphics card (`libxl_vga_interface_type`).
    pub enum VgaInterfaceType {
        /// A Cirrus Logic GD5446. libxl's default.
        Cirrus = "cirrus",
        /// A card with VESA BIOS extensions.
        Std = "std" | "stdvga",
        /// None.
        None = "none",
        /// QXL, for SPICE.
        Qxl = "qxl",
    }
}

words! {
    /// Kind of the graphics card that is passed through (`libxl_gfx_passthru_kind`).
    pub enum GfxPassthruKind {
        /// libxl detects the kind.
        Default = "default",
        /// Intel's integrated graphics.
        Igd = "igd",
    }
}

words! {
    /// The Xen PCI device that vendors' drivers for Windows bind to (`libxl_vendor_device`).
    pub enum VendorDevice {
        /// None. libxl's default.
        None = "none",
        /// XenServer's.
        Xenserver = "xenserver",
    }
}

words! {
    /// A group of Hyper-V interfaces (`libxl_viridian_enlightenment`), for
    /// [`HvmInfo::viridian_enable`](crate::config::HvmInfo::viridian_enable).
    pub enum ViridianEnlightenment {
        /// The hypercall interface, the virtual processor index and APIC access. All others need it.
        Base = "base",
        /// The frequencies of TSC and APIC.
        Freq = "freq",
        /// The partition's time counter.
        TimeRefCount = "time_ref_count",
        /// The partition's TSC.
        ReferenceTsc = "reference_tsc",
        /// Hypercalls that flush the TLBs of other processors.
        HcallRemoteTlbFlush = "hcall_remote_tlb_flush",
        /// Ending an interrupt without leaving the guest.
        ApicAssist = "apic_assist",
        /// Registers for the description of a crash, which Xen logs.
        CrashCtl = "crash_ctl",
        /// The synthetic interrupt controller.
        Synic = "synic",
        /// Synthetic timers.
        Stimer = "stimer",
        /// A hypercall for interrupts between processors.
        HcallIpi = "hcall_ipi",
        /// Hypercalls for more than 64 processors. Since Xen 4.15.
        ExProcessorMasks = "ex_processor_masks",
        /// No limit on the number of processors. Since Xen 4.15.
        NoVpLimit = "no_vp_limit",
        /// Processors that come and go. Since Xen 4.15.
        CpuHotplug = "cpu_hotplug",
    }
}

impl ViridianEnlightenment {
    /// Returns the bit for this group in a [`Bitmap`](crate::config::Bitmap) of groups, or `None` for `Other`.
    pub fn bit(&self) -> Option<u32> {
        let position = Self::KNOWN.iter().position(|known| known == self)?;
        u32::try_from(position).ok()
    }
}

words! {
    /// Access to alternate page tables of the guest's memory (`libxl_altp2m_mode`).
    pub enum Altp2mMode {
        /// No domain has access. libxl's default.
        Disabled = "disabled",
        /// The guest and privileged domains have access.
        Mixed = "mixed",
        /// Only privileged domains have access.
        External = "external",
        /// Privileged domains have access. The guest may only switch VMFUNC and #VE on and off.
        Limited = "limited",
    }
}

words! {
    /// Kind of a text in the SMBIOS tables (`libxl_smbios_type`). Since Xen 4.18.
    pub enum SmbiosType {
        /// Vendor of the BIOS.
        BiosVendor = "bios_vendor",
        /// Version of the BIOS.
        BiosVersion = "bios_version",
        /// Manufacturer of the system.
        SystemManufacturer = "system_manufacturer",
        /// Product name of the system.
        SystemProductName = "system_product_name",
        /// Version of the system.
        SystemVersion = "system_version",
        /// Serial number of the system.
        SystemSerialNumber = "system_serial_number",
        /// Manufacturer of the board.
        BaseboardManufacturer = "baseboard_manufacturer",
        /// Product name of the board.
        BaseboardProductName = "baseboard_product_name",
        /// Version of the board.
        BaseboardVersion = "baseboard_version",
        /// Serial number of the board.
        BaseboardSerialNumber = "baseboard_serial_number",
        /// Asset tag of the board.
        BaseboardAssetTag = "baseboard_asset_tag",
        /// Location of the board in the chassis.
        BaseboardLocationInChassis = "baseboard_location_in_chassis",
        /// Manufacturer of the chassis.
        EnclosureManufacturer = "enclosure_manufacturer",
        /// Serial number of the chassis.
        EnclosureSerialNumber = "enclosure_serial_number",
        /// Asset tag of the chassis.
        EnclosureAssetTag = "enclosure_asset_tag",
        /// Manufacturer of the battery.
        BatteryManufacturer = "battery_manufacturer",
        /// Name of the battery.
        BatteryDeviceName = "battery_device_name",
        /// A text of the manufacturer's choice. This kind may occur up to 99 times.
        Oem = "oem",
    }
}

words! {
    /// The reserved memory of the host's devices that the guest keeps clear of (`libxl_rdm_reserve_strategy`). x86.
    pub enum RdmReserveStrategy {
        /// Only the memory of devices that are passed through. libxl's default.
        Ignore = "ignore",
        /// The memory of all devices of the host.
        Host = "host",
    }
}

words! {
    /// Policy if the guest cannot keep clear of reserved device memory (`libxl_rdm_reserve_policy`). x86.
    pub enum RdmReservePolicy {
        /// The operation fails.
        Strict = "strict",
        /// A warning is given. The guest may crash when the device uses the memory.
        Relaxed = "relaxed",
    }
}

words! {
    /// The interrupt controller of an Arm guest (`libxl_gic_version`).
    pub enum GicVersion {
        /// The host's.
        Default = "default",
        /// GICv2.
        V2 = "v2",
        /// GICv3.
        V3 = "v3",
    }
}

words! {
    /// The emulated UART of an Arm guest (`libxl_vuart_type`).
    pub enum VuartType {
        /// An SBSA UART.
        SbsaUart = "sbsa_uart",
    }
}

words! {
    /// The trusted execution environment that an Arm guest may use (`libxl_tee_type`).
    pub enum TeeType {
        /// None. libxl's default.
        None = "none",
        /// OP-TEE.
        Optee = "optee",
        /// FF-A. Since Xen 4.18.
        Ffa = "ffa",
    }
}

words! {
    /// Maximum SVE vector length of an Arm guest, in bits (`libxl_sve_type`). Since Xen 4.18.
    pub enum SveType {
        /// The maximum of the hardware.
        Hw = "hw",
        /// No SVE. libxl's default.
        Disabled = "disabled",
        /// 128 bits.
        Bits128 = "128",
        /// 256 bits.
        Bits256 = "256",
        /// 384 bits.
        Bits384 = "384",
        /// 512 bits.
        Bits512 = "512",
        /// 640 bits.
        Bits640 = "640",
        /// 768 bits.
        Bits768 = "768",
        /// 896 bits.
        Bits896 = "896",
        /// 1024 bits.
        Bits1024 = "1024",
        /// 1152 bits.
        Bits1152 = "1152",
        /// 1280 bits.
        Bits1280 = "1280",
        /// 1408 bits.
        Bits1408 = "1408",
        /// 1536 bits.
        Bits1536 = "1536",
        /// 1664 bits.
        Bits1664 = "1664",
        /// 1792 bits.
        Bits1792 = "1792",
        /// 1920 bits.
        Bits1920 = "1920",
        /// 2048 bits.
        Bits2048 = "2048",
    }
}

words! {
    /// Access method of an Arm guest to the system controller (`libxl_arm_sci_type`). Since Xen 4.21.
    pub enum ArmSciType {
        /// No access. libxl's default.
        None = "none",
        /// SCMI over secure monitor calls.
        ScmiSmc = "scmi_smc",
    }
}

words! {
    /// The scheduler of a CPU pool (`libxl_scheduler`).
    pub enum Scheduler {
        /// SEDF. Removed from Xen; the word is still in libxl's list.
        Sedf = "sedf",
        /// Credit.
        Credit = "credit",
        /// Credit2, Xen's default.
        Credit2 = "credit2",
        /// ARINC 653.
        Arinc653 = "arinc653",
        /// Real-time deferrable server.
        Rtds = "rtds",
        /// One vCPU for each CPU.
        Null = "null",
    }
}
