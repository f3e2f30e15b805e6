//! Sources of events, as libxl has them.

use std::collections::BTreeMap;

/// All sources of events of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// `@releaseDomain` has fired, and libxl has not looked yet.
    pub(super) fired: bool,
    pub(super) next: u64,
    pub(super) sources: BTreeMap<u64, Source>,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) domid: u32,
    pub(super) shutdown_reported: bool,
    pub(super) death_reported: bool,
}
