//! The connection to the Xen that this runs on.
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use libxl::xlcfg::Host;
use libxl::{Context, DomainInfo, SavedHeader, Watcher};
use uuid::Uuid;

use super::concurrency::Concurrency;
use super::contexts::Contexts;
use super::hotplug::{HOTPLUG, Hotplug};
use super::memory_grant::MemoryGrants;
use super::migration;
use super::qemu::Models;
use super::session::LibxlSession;
use super::shared_list::SharedList;
use super::translate::{error, theirs};
use crate::base::queue;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::migration::{Arriving, Peer};
use crate::toolstack::operation::Limits;
use crate::toolstack::session::{Session, Toolstack, Wake, Watch};

/// The Xen this runs on. One watcher serves all domains, and all sessions read through its context.
struct Libxl {
    watcher: Watcher,
    models: Arc<Models>,
    grants: Arc<MemoryGrants>,
    contexts: Arc<Contexts>,
    queues: Arc<Concurrency>,
    lists: Arc<SharedList<Vec<DomainInfo>>>,
    hotplug: Arc<Hotplug>,
}

/// Connects to the Xen this runs on.
///
/// # Errors
/// There is no Xen, or it does not answer, or device models cannot be watched.
pub fn open() -> Result<Arc<dyn Toolstack>> {
    open_with(Path::new(HOTPLUG))
}

/// Connects to the Xen this runs on. The programs in `hotplug` take the place of Xen's hotplug scripts, as far as they are there.
///
/// # Errors
/// There is no Xen, or it does not answer, or device models cannot be watched.
pub fn open_with(hotplug: &Path) -> Result<Arc<dyn Toolstack>> {
    let watcher = Watcher::start(Context::builder()).map_err(error)?;
    let models =
        Models::start().map_err(|e| Error::new(ErrorKind::Other, format!("device models: {e}")))?;
    Ok(Arc::new(Libxl {
        watcher,
        models: Arc::new(models),
        grants: Arc::default(),
        contexts: Arc::default(),
        queues: Arc::default(),
        lists: Arc::default(),
        hotplug: Arc::new(Hotplug::new(hotplug)),
    }))
}

/// Returns the text of `--version`: the versions of the agent, of the libxl it was built for, and of the running Xen.
#[must_use]
pub fn versions() -> String {
    let running = Context::builder()
        .log_level(log::LevelFilter::Off)
        .open()
        .and_then(|ctx| ctx.version_info())
        .map_or_else(
            |_| "not running, or not for us to see".to_owned(),
            |v| v.version(),
        );
    format!(
        "domainmgr {}\nbuilt for libxl {}\nXen: {running}",
        env!("CARGO_PKG_VERSION"),
        libxl::BUILT_FOR
    )
}

/// Resumes a suspended domain where it stopped. A running agent notices the change.
///
/// # Errors
/// There is no such domain, or the domain is not suspended.
pub fn resume(id: DomainId) -> Result<()> {
    let ctx = Context::open().map_err(error)?;
    ctx.domain(theirs(id)).resume(true).map_err(error)
}

/// File with the id of the current boot of Linux. The id also identifies the run of Xen: dom0 is up for as long as Xen is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Toolstack for Libxl {
    fn boot_id(&self) -> Result<Uuid> {
        let bad = |e: String| Error::new(ErrorKind::Other, format!("{BOOT_ID}: {e}"));
        let text = std::fs::read_to_string(BOOT_ID).map_err(|e| bad(e.to_string()))?;
        text.trim()
            .parse()
            .map_err(|e: uuid::Error| bad(e.to_string()))
    }

    fn saved_uuid(&self, path: &Path) -> Result<Uuid> {
        let bad = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Other, format!("{}: {e}", path.display()))
        };
        let file = File::open(path).map_err(|e| bad(&e))?;
        // Anything else may keep a reader waiting.
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err(bad(&"not a plain file"));
        }
        let header = SavedHeader::read(&file, &::libxl::Limits::none()).map_err(|e| bad(&e))?;
        let uuid = header.config.c_info.uuid;
        uuid.ok_or_else(|| bad(&"it does not say which domain it is of"))
    }

    fn arriving(&self, peer: Peer, limits: &Limits) -> Result<Box<dyn Arriving>> {
        let loan = self.contexts.lend(limits)?;
        migration::arriving(loan, &self.hotplug, &self.queues, peer, limits)
    }

    fn queues(&self) -> queue::Queues {
        vec![
            ("build", Arc::clone(&self.queues.builds)),
            ("destroy", Arc::clone(&self.queues.destructions)),
            ("context", self.contexts.queue()),
        ]
    }

    fn host(&self) -> Result<Host> {
        Host::of(self.watcher.context()).map_err(error)
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        Ok(Box::new(LibxlSession {
            reader: self.watcher.context().clone(),
            models: Arc::clone(&self.models),
            grants: Arc::clone(&self.grants),
            contexts: Arc::clone(&self.contexts),
            queues: Arc::clone(&self.queues),
            lists: Arc::clone(&self.lists),
            hotplug: Arc::clone(&self.hotplug),
        }))
    }

    fn watch(&self, id: DomainId, wake: Wake) -> Result<Box<dyn Watch>> {
        let theirs_too = Arc::clone(&wake);
        let watch = self
            .watcher
            .watch(theirs(id), move |_| wake())
            .map_err(error)?;
        let reader = self.watcher.context().domain(theirs(id));
        let needed = matches!(reader.is_hvm(), Ok(true));
        Ok(Box::new(LibxlWatch {
            id,
            serial: self.models.watch(id, needed, theirs_too),
            models: Arc::clone(&self.models),
            _watch: watch,
        }))
    }
}

struct LibxlWatch {
    id: DomainId,
    serial: u64,
    models: Arc<Models>,
    /// Dropping it ends the watch.
    _watch: libxl::Watch,
}

impl Watch for LibxlWatch {}

impl Drop for LibxlWatch {
    fn drop(&mut self) {
        self.models.forget(self.id, self.serial);
    }
}
