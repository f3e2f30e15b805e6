//! Where the agent's files are.

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
    /// What survives a reboot of the host.
    pub state: PathBuf,
    /// Core dumps of guests.
    pub dump: PathBuf,
    /// Copies of images.
    pub copies: PathBuf,
    /// Images, each in a directory that is called after its hash.
    pub images: PathBuf,
}

impl Dirs {
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

    /// Disks for cloud-init. Not where others' images are: they may hold passwords, and are gone after a reboot.
    #[must_use]
    pub fn seeds(&self) -> PathBuf {
        self.run.join("cloudinit")
    }

    /// Memories of domains that were saved.
    #[must_use]
    pub fn saved(&self) -> PathBuf {
        self.state.join("saved")
    }

    /// The memory of the domain of `key`, if that was saved.
    #[must_use]
    pub fn saved_of(&self, key: Uuid) -> PathBuf {
        self.saved().join(format!("{key}.save"))
    }

    /// ImageStatus files.
    #[must_use]
    pub fn image_statuses(&self) -> PathBuf {
        self.run.join("ImageStatus")
    }

    /// DomainMetric files.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.run.join("DomainMetric")
    }

    /// What domains were built from.
    #[must_use]
    pub fn cfgs(&self) -> PathBuf {
        self.run.join("xen")
    }

    /// What the domain was built from, as text.
    #[must_use]
    pub fn cfg_of(&self, app_num: u32) -> PathBuf {
        self.cfgs().join(format!("xen{app_num}.cfg"))
    }
}
