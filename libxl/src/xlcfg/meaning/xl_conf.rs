//! The settings of `xl` itself, xl.conf(5), on which the meaning of a file depends.

use std::path::Path;

use crate::{Result, xlcfg::file::XlConfig};

/// The settings of `xl` itself, xl.conf(5), on which the meaning of a file depends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct XlConf {
    /// Run hotplug scripts from libxl (`run_hotplug_scripts`). Default: yes.
    pub run_hotplug_scripts: bool,
    /// Reserve the memory of a domain before it is built (`claim_mode`). Default: yes.
    pub claim_mode: bool,
    /// The name under which a bootloader's disk is attached (`blkdev_start`).
    pub blkdev_start: Option<String>,
    /// The default of the key `max_grant_frames`.
    pub max_grant_frames: Option<u32>,
    /// The default of the key `max_maptrack_frames`.
    pub max_maptrack_frames: Option<u32>,
    /// The default of the key `max_grant_version`. Since Xen 4.16.
    pub max_grant_version: Option<u32>,
    /// The default of the key `bootloader_restrict`. Since Xen 4.18.
    pub bootloader_restrict: Option<bool>,
    /// The script of a `vif` without one (`vif.default.script`, `vifscript`).
    pub vif_script: Option<String>,
    /// The bridge of a `vif` without one (`vif.default.bridge`, `defaultbridge`).
    pub vif_bridge: Option<String>,
    /// The gateway device of a `vif` without one (`vif.default.gatewaydev`).
    pub vif_gatewaydev: Option<String>,
    /// The backend domain of a `vif` without one (`vif.default.backend`).
    pub vif_backend: Option<String>,
    /// The CPUs that domains may use (`vm.cpumask`), in the language of `cpus`.
    pub vm_cpumask: Option<String>,
    /// The CPUs that HVM and PVH domains may use (`vm.hvm.cpumask`).
    pub hvm_cpumask: Option<String>,
    /// The CPUs that PV domains may use (`vm.pv.cpumask`).
    pub pv_cpumask: Option<String>,
}

impl Default for XlConf {
    fn default() -> Self {
        Self {
            run_hotplug_scripts: true,
            claim_mode: true,
            blkdev_start: None,
            max_grant_frames: None,
            max_maptrack_frames: None,
            max_grant_version: None,
            bootloader_restrict: None,
            vif_script: None,
            vif_bridge: None,
            vif_gatewaydev: None,
            vif_backend: None,
            vm_cpumask: None,
            hvm_cpumask: None,
            pv_cpumask: None,
        }
    }
}

impl XlConf {
    /// The file that `xl` reads.
    pub const PATH: &'static str = "/etc/xen/xl.conf";

    /// Reads [`PATH`](Self::PATH). Returns the defaults if there is no such file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be read,
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the place of the mistake.
    pub fn read() -> Result<Self> {
        let path = Path::new(Self::PATH);
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::of(&XlConfig::read(path)?)
    }

    /// Takes the settings from a file that was read.
    ///
    /// Settings of commands other than the creation of a domain are ignored, and so is a value of
    /// the wrong kind, as by `xl`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a limit of grants that is no number from 0
    /// to 2³¹−1.
    pub fn of(file: &XlConfig) -> Result<Self> {
        let text = |key| file.string(key).ok().flatten();
        let yes = |key, default| {
            let number = file.number(key).ok().flatten();
            number.map_or(default, |number| number != 0)
        };
        let limit = |key| -> Result<Option<u32>> {
            let number = file.number_within(key, 0, i32::MAX.into())?;
            Ok(number.and_then(|number| u32::try_from(number).ok()))
        };
        Ok(Self {
            run_hotplug_scripts: yes("run_hotplug_scripts", true),
            claim_mode: yes("claim_mode", true),
            blkdev_start: text("blkdev_start"),
            max_grant_frames: limit("max_grant_frames")?,
            max_maptrack_frames: limit("max_maptrack_frames")?,
            max_grant_version: limit("max_grant_version")?,
            bootloader_restrict: file.flag("bootloader_restrict").ok().flatten(),
            vif_script: text("vif.default.script").or_else(|| text("vifscript")),
            vif_bridge: text("vif.default.bridge").or_else(|| text("defaultbridge")),
            vif_gatewaydev: text("vif.default.gatewaydev"),
            vif_backend: text("vif.default.backend"),
            vm_cpumask: text("vm.cpumask"),
            hvm_cpumask: text("vm.hvm.cpumask"),
            pv_cpumask: text("vm.pv.cpumask"),
        })
    }
}
