//! Enumerations of devices.

words! {
    /// The format of a disk image (`libxl_disk_format`).
    pub enum DiskFormat {
        /// QEMU's first format.
        Qcow = "qcow",
        /// QEMU's own format.
        Qcow2 = "qcow2",
        /// Microsoft's format.
        Vhd = "vhd",
        /// The bytes of the disk, in a file or a block device.
        Raw = "raw",
        /// No medium: an empty CD drive.
        Empty = "empty",
        /// QEMU's QED.
        Qed = "qed",
    }
}

words! {
    /// The backend of a disk (`libxl_disk_backend`).
    pub enum DiskBackend {
        /// The kernel of the backend domain. Raw images and block devices.
        Phy = "phy",
        /// blktap.
        Tap = "tap",
        /// QEMU. Any format.
        Qdisk = "qdisk",
        /// A program that is started separately and takes its instructions from xenstore. Since Xen 4.17.
        Standalone = "standalone",
    }
}

words! {
    /// The protocol of a disk (`libxl_disk_specification`). Since Xen 4.17.
    pub enum DiskSpecification {
        /// Xen's block interface. libxl's default.
        Xen = "xen",
        /// virtio-blk. Arm.
        Virtio = "virtio",
    }
}

words! {
    /// The transport of a virtio disk (`libxl_disk_transport`). Since Xen 4.17.
    pub enum DiskTransport {
        /// Memory mapped registers.
        Mmio = "mmio",
    }
}

words! {
    /// The transport of a virtio device (`libxl_virtio_transport`). Since Xen 4.18.
    pub enum VirtioTransport {
        /// Memory mapped registers.
        Mmio = "mmio",
    }
}

words! {
    /// The kind of a NIC (`libxl_nic_type`).
    pub enum NicType {
        /// An emulated card, and a paravirtual one beside it. HVM only.
        VifIoemu = "vif_ioemu",
        /// A paravirtual NIC.
        Vif = "vif",
    }
}

words! {
    /// The backend of a shared file system (`libxl_p9_type`). Since Xen 4.19.
    pub enum P9Type {
        /// QEMU. libxl's default.
        Qemu = "qemu",
        /// Xen's own server.
        Xen9pfsd = "xen_9pfsd",
    }
}

words! {
    /// The backend of a virtual keyboard (`libxl_vkb_backend`).
    pub enum VkbBackend {
        /// QEMU. libxl's default.
        Qemu = "qemu",
        /// A program in a Linux domain.
        Linux = "linux",
    }
}

words! {
    /// The kind of a USB controller (`libxl_usbctrl_type`).
    pub enum UsbctrlType {
        /// `Devicemodel` for HVM; else `Pv` if its driver is loaded, else `Qusb`.
        Auto = "auto",
        /// Paravirtual, served by the kernel.
        Pv = "pv",
        /// Emulated by QEMU.
        Devicemodel = "devicemodel",
        /// Paravirtual, served by QEMU.
        Qusb = "qusb",
    }
}

words! {
    /// The direction of a sound stream (`libxl_vsnd_stream_type`).
    pub enum VsndStreamType {
        /// Playback.
        Playback = "p",
        /// Capture.
        Capture = "c",
    }
}

words! {
    /// The format of a sound sample (`libxl_vsnd_pcm_format`).
    pub enum VsndPcmFormat {
        /// Signed, 8 bits.
        S8 = "s8",
        /// Unsigned, 8 bits.
        U8 = "u8",
        /// Signed, 16 bits, little endian.
        S16Le = "s16_le",
        /// Signed, 16 bits, big endian.
        S16Be = "s16_be",
        /// Unsigned, 16 bits, little endian.
        U16Le = "u16_le",
        /// Unsigned, 16 bits, big endian.
        U16Be = "u16_be",
        /// Signed, 24 bits, little endian.
        S24Le = "s24_le",
        /// Signed, 24 bits, big endian.
        S24Be = "s24_be",
        /// Unsigned, 24 bits, little endian.
        U24Le = "u24_le",
        /// Unsigned, 24 bits, big endian.
        U24Be = "u24_be",
        /// Signed, 32 bits, little endian.
        S32Le = "s32_le",
        /// Signed, 32 bits, big endian.
        S32Be = "s32_be",
        /// Unsigned, 32 bits, little endian.
        U32Le = "u32_le",
        /// Unsigned, 32 bits, big endian.
        U32Be = "u32_be",
        /// Floating point, 32 bits, little endian.
        F32Le = "f32_le",
        /// Floating point, 32 bits, big endian.
        F32Be = "f32_be",
        /// Floating point, 64 bits, little endian.
        F64Le = "f64_le",
        /// Floating point, 64 bits, big endian.
        F64Be = "f64_be",
        /// IEC 958 subframe, little endian.
        Iec958SubframeLe = "iec958_subframe_le",
        /// IEC 958 subframe, big endian.
        Iec958SubframeBe = "iec958_subframe_be",
        /// µ-law.
        MuLaw = "mu_law",
        /// A-law.
        ALaw = "a_law",
        /// IMA ADPCM.
        ImaAdpcm = "ima_adpcm",
        /// MPEG.
        Mpeg = "mpeg",
        /// GSM.
        Gsm = "gsm",
    }
}
