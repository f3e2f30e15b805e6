//! Reports of the shutdown and the death of domains, none of which is lost.
//!
//! ```no_run
//! use libxl::{Context, DomainEvent, Watcher};
//!
//! let ctx = Context::open()?;
//! let watcher = Watcher::start(Context::builder())?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! let (_watch, events) = watcher.watch_channel(domain.id())?;
//! for event in events {
//!     println!("{event}");
//!     if event == DomainEvent::Death {
//!         break;
//!     }
//! }
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! # Why this is not a thin wrapper
//!
//! A libxl event source (`libxl_evenable_domain_death`) reports one shutdown in its life. A domain
//! that suspends for a migration uses up this report; if the migration fails and the domain is
//! resumed, its later poweroff, reboot or crash is never reported. Nor do events queue up: they
//! carry the state at the time of a look. Therefore:
//!
//! * an event is a hint to read the state; the delivered events follow from the state;
//! * after a suspend the event source is replaced: the new one is armed first, the old one disarmed
//!   second, and the state read third;
//! * [`Domain::resume`](crate::Domain::resume) and every operation that may leave a domain resumed
//!   do the same for all watchers of the process, so no caller can forget it;
//! * nothing tells a toolstack that somebody else has resumed a domain, so a suspended domain is
//!   looked at again and again, at growing intervals;
//! * all states are read once per [`RESYNC`] even without an event.
//!
//! One context and one thread watch any number of domains. [`Watcher::watch_all`] reports on all
//! domains of the host, including new ones. A resume by others is seen within a second in the first
//! minute of the suspend: Xen announces no resume, so the state is polled.

mod all;
mod armed;
mod census;
mod known;
mod life;
mod run;
mod schedule;
mod watch;

use std::{sync::Arc, thread, time::Duration};

use once_cell::sync::OnceCell;

use crate::{
    Context, ContextBuilder, DomainId, Error, Result,
    events::{self, CAPACITY, Events},
    log, rearm,
};

use all::All;
pub use census::HostEvent;
pub use life::DomainEvent;
use run::{STACK, Shared};
pub use schedule::RESYNC;
// A glob, because the listing of the public API would shorten `libxl::watcher::Watch` if the type were
// re-exported by name.
pub use watch::*;

/// Watches any number of domains with one context and one thread.
///
/// Dropping the watcher ends the thread and all watches.
#[derive(Debug)]
pub struct Watcher {
    /// The context that the watcher began with.
    ctx: Context,
    shared: Arc<Shared>,
    /// The watch on all domains, once somebody has asked for it.
    all: OnceCell<Arc<All>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watcher {
    /// Starts watching, with a context of its own made by `builder`.
    ///
    /// # Errors
    ///
    /// As [`ContextBuilder::open`]; [`ErrorKind::Io`](crate::ErrorKind::Io) if the thread cannot be
    /// created.
    pub fn start(builder: ContextBuilder) -> Result<Self> {
        Self::start_with(builder, RESYNC)
    }

    /// As [`start`](Self::start), with another interval than [`RESYNC`] between two looks at all
    /// domains.
    ///
    /// The interval is the longest time for which an event that Xen has lost goes unnoticed.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(builder: ContextBuilder, resync: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::new(builder, resync)?);
        let ctx = shared.context();
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("libxl-watcher".into())
                .stack_size(STACK)
                .spawn(move || run::run(&shared))
                .map_err(|e| Error::io("pthread_create", e))?
        };
        rearm::register(&shared);
        Ok(Self {
            ctx,
            shared,
            all: OnceCell::new(),
            thread: Some(thread),
        })
    }

    /// Watches one domain until the [`Watch`] is dropped.
    ///
    /// `sink` is called on the watcher's thread for every change between two looks at the state.
    /// Each event carries the present state, so a change that came and went between two looks is
    /// not reported. `sink` must return soon, and may call this crate. Earlier changes are reported
    /// at once, so there is no need to read the state after this call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) if libxl cannot arm an event source.
    #[doc(alias = "libxl_evenable_domain_death")]
    pub fn watch<F>(&self, id: DomainId, sink: F) -> Result<Watch>
    where
        F: Fn(DomainEvent) + Send + Sync + 'static,
    {
        self.shared.watch(id, sink)
    }

    /// As [`watch`](Self::watch), with a queue for the events. If nobody reads them, the last 1024 are
    /// kept.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub fn watch_channel(&self, id: DomainId) -> Result<(Watch, Events<DomainEvent>)> {
        let (feed, events) = events::queue(CAPACITY);
        let watch = self.watch(id, move |event| feed.queue().push(event))?;
        Ok((watch, events))
    }

    /// Watches all domains of the host except dom0, including new ones, until the [`Events`] are
    /// dropped.
    ///
    /// The first events name the domains that exist, and can be read when this returns. A later
    /// domain is reported when xenstored announces it, a new name when it is written, and
    /// everything else as by [`watch`](Self::watch). A change that nobody has announced is found at
    /// the next resync.
    ///
    /// A reader that has not read 1024 events loses them, and then starts over with
    /// [`HostEvent::Missed`] and all domains that exist.
    ///
    /// The watch needs a connection to xenstored and a thread, which all readers of one watcher
    /// share.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if there is no connection to xenstored, or the
    /// thread cannot be created; as [`Context::list_domains`].
    #[doc(alias = "libxl_list_domain")]
    #[doc(alias = "xs_watch")]
    pub fn watch_all(&self) -> Result<Events<HostEvent>> {
        self.watch_all_with(CAPACITY)
    }

    /// As [`watch_all`](Self::watch_all), with another number of events that may wait to be read.
    ///
    /// The events that name the domains that exist do not count.
    ///
    /// # Errors
    ///
    /// As [`watch_all`](Self::watch_all).
    pub fn watch_all_with(&self, capacity: usize) -> Result<Events<HostEvent>> {
        let all = self.all.get_or_try_init(|| All::new().map(Arc::new))?;
        all.subscribe(&self.shared, capacity)
    }

    /// The context that the watcher began with: suitable for reading states, not for long
    /// operations.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Number of times that the watcher has replaced its context because libxl's events had failed
    /// ([`Context::is_poisoned`]).
    ///
    /// All watches go on after that, and changes in between are found by reading the states. Where
    /// no new context can be opened, the watcher tries again every second, and reads the states as
    /// often.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared.restarts()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(all) = self.all.get() {
            all.stop();
        }
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            if thread.thread().id() == thread::current().id() {
                return; // Dropped by one of its own sinks: the thread ends when that returns.
            }
            if thread.join().is_err() {
                log::error!("the thread of a libxl watcher has panicked");
            }
        }
    }
}
