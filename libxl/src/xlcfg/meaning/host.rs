//! The facts about a host on which the meaning of a file depends.

use std::path::Path;

use crate::{Context, Result, config::Bitmap};

/// The facts about a host on which the meaning of a file depends: its CPUs and NUMA nodes, and where
/// Xen's files are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// Number of CPUs that the host can have (`libxl_get_max_cpus`). Sets of CPUs hold as many, rounded
    /// up to a multiple of 8; larger numbers are dropped.
    pub max_cpus: u32,
    /// Number of CPUs that are online (`libxl_get_online_cpus`).
    pub online_cpus: u32,
    /// Number of NUMA nodes that the host can have (`libxl_get_max_nodes`).
    pub max_nodes: u32,
    /// The CPUs of each NUMA node.
    pub nodes: Vec<Bitmap>,
    /// Directory of Xen's firmware, for the key `firmware` of PV and PVH guests.
    pub firmware_dir: String,
    /// Directory of Xen's logs. By default Xen's own 9pfs server shares a directory below it.
    pub log_dir: String,
    /// Context that knows libxl's names for the features in `cpuid`. Without one, that key is
    /// refused.
    pub(super) context: Option<Context>,
}

impl Host {
    /// Returns a host with this number of CPUs on one NUMA node, and Xen's files where Debian has
    /// them. The names of CPU features are not known.
    #[must_use]
    pub fn new(cpus: u32) -> Self {
        Self {
            max_cpus: cpus,
            online_cpus: cpus,
            max_nodes: 64,
            nodes: vec![Bitmap::first(cpus)],
            firmware_dir: format!("/usr/lib/xen-{}/boot", release()),
            log_dir: "/var/log/xen".into(),
            context: None,
        }
    }

    /// Returns the host that this program runs on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when Xen does not answer.
    pub fn of(context: &Context) -> Result<Self> {
        let max_cpus = context.max_cpus()?;
        let nodes = context.physinfo()?.nr_nodes;
        Ok(Self {
            online_cpus: context.online_cpus()?,
            max_nodes: context.max_nodes()?,
            nodes: (0..nodes)
                .map(|node| context.cpus_of_node(node))
                .collect::<Result<_>>()?,
            firmware_dir: firmware_dir(),
            context: Some(context.clone()),
            ..Self::new(max_cpus)
        })
    }

    /// The size of a bitmap of CPUs, in bits.
    pub(super) fn cpu_bits(&self) -> u32 {
        whole_bytes(self.max_cpus)
    }

    /// Returns the CPUs of a node as `xl` sees them.
    ///
    /// The bitmap of `xl` has a bit for each *node*, so the last CPUs are missing on a host with
    /// more CPUs than possible nodes.
    pub(super) fn cpus_of_node(&self, node: u64) -> Bitmap {
        let node = usize::try_from(node)
            .ok()
            .and_then(|node| self.nodes.get(node));
        let bits = whole_bytes(self.max_nodes);
        node.map_or_else(Bitmap::new, |cpus| {
            cpus.iter().filter(|&cpu| cpu < bits).collect()
        })
    }
}

/// Rounds up to the size of libxl's bitmaps, which have whole bytes. Setting all bits also sets the
/// last bits of the last byte.
pub(super) fn whole_bytes(bits: u32) -> u32 {
    bits.div_ceil(8).saturating_mul(8)
}

/// Release of the libxl this crate was built for: `4.17`.
fn release() -> String {
    crate::BUILT_FOR
        .split(['.', '-'])
        .take(2)
        .collect::<Vec<_>>()
        .join(".")
}

/// The first existing directory of those in which distributions, and Xen's own build, install the
/// firmware.
fn firmware_dir() -> String {
    let debian = format!("/usr/lib/xen-{}/boot", release());
    [
        debian.as_str(),
        "/usr/lib/xen/boot",
        "/usr/libexec/xen/boot",
        "/usr/local/lib/xen/boot",
    ]
    .into_iter()
    .find(|dir| Path::new(dir).is_dir())
    .unwrap_or(&debian)
    .to_owned()
}
