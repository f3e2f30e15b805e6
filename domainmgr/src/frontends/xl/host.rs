//! The host on which the files are read: their meaning depends on it.

use std::sync::{Arc, Mutex, PoisonError};

use libxl::xlcfg::XlConf;

/// The facts about this host on which the meaning of a file depends.
#[derive(Clone, Debug)]
pub struct Host {
    /// Processors, NUMA nodes, paths.
    pub facts: libxl::xlcfg::Host,
    /// The settings of xl itself.
    pub conf: XlConf,
}

type Ask = Box<dyn Fn() -> Result<Host, String> + Send + Sync>;

/// This host, asked about when a file has to be read for the first time: there may be none.
pub struct Hosts {
    ask: Ask,
    known: Mutex<Option<Arc<Host>>>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl Hosts {
    /// One that asks `ask`.
    #[must_use]
    pub fn new(ask: impl Fn() -> Result<Host, String> + Send + Sync + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            known: Mutex::default(),
        }
    }

    /// The host.
    ///
    /// # Errors
    /// Xen does not answer, or xl's own settings cannot be read. The next call asks again.
    pub fn get(&self) -> Result<Arc<Host>, String> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known().clone();
        if let Some(host) = before {
            return Ok(host);
        }
        // Xen may take its time. Two that ask at once get the same answer.
        let host = Arc::new((self.ask)()?);
        *known() = Some(Arc::clone(&host));
        Ok(host)
    }
}
