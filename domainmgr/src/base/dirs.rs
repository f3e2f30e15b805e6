//! Paths of the agent's files.

use std::path::PathBuf;

use uuid::Uuid;

/// Directories of the agent.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// DomainConfig files.
    pub config: PathBuf,
    /// Files of xl's.
    pub xl: Option<PathBuf>,
    /// DomainStatus files.
    pub status: PathBuf,
    /// Everything else the agent writes.
    pub run: PathBuf,
    /// Files that survive a reboot of the host.
    pub state: PathBuf,
    /// Core dumps of guests.
    pub dump: PathBuf,
    /// Copies of images.
    pub copies: PathBuf,
    /// Images, each in a directory named after its hash.
    pub images: PathBuf,
}

impl Dirs {
    /// Directories of a test, all below `dir`. There is none for files of xl's.
    #[cfg(test)]
    pub(crate) fn below(dir: &std::path::Path) -> Self {
        let at = |name: &str| dir.join(name);
        Self {
            config: at("config"),
            xl: None,
            status: at("status"),
            run: at("run"),
            state: at("state"),
            dump: at("dump"),
            copies: at("copies"),
            images: at("images"),
        }
    }

    /// The DomainConfig of `key`.
    #[must_use]
    pub fn config_of(&self, key: Uuid) -> PathBuf {
        self.config.join(format!("{key}.json"))
    }

    /// The DomainStatus of `key`.
    #[must_use]
    pub fn status_of(&self, key: Uuid) -> PathBuf {
        self.status.join(format!("{key}.json"))
    }

    /// Directory for the disks for cloud-init. It is apart from other images: the disks may hold passwords, and are gone after a
    /// reboot.
    #[must_use]
    pub fn seeds(&self) -> PathBuf {
        self.run.join("cloudinit")
    }

    /// Directory for the memory of saved domains.
    #[must_use]
    pub fn saved(&self) -> PathBuf {
        self.state.join("saved")
    }

    /// File for the memory of the domain of `key`, if the domain was saved.
    #[must_use]
    pub fn saved_of(&self, key: Uuid) -> PathBuf {
        self.saved().join(format!("{key}.save"))
    }

    /// Directory for ImageStatus files.
    #[must_use]
    pub fn image_statuses(&self) -> PathBuf {
        self.run.join("ImageStatus")
    }

    /// Directory for DomainMetric files.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.run.join("DomainMetric")
    }

    /// Directory for the configurations that domains were built from.
    #[must_use]
    pub fn cfgs(&self) -> PathBuf {
        self.run.join("xen")
    }

    /// File for the configuration that the domain with this number was built from, as text.
    #[must_use]
    pub fn cfg_of(&self, app_num: u32) -> PathBuf {
        self.cfgs().join(format!("xen{app_num}.cfg"))
    }
}
