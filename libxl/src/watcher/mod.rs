//! Learning of the shutdown and the death of domains, and never losing one.
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
//! that suspends for a migration uses that one up; if the migration fails and the domain is
//! resumed, its later poweroff, reboot or crash is never reported. Nor do events queue up: they
//! say what the state was when somebody looked. So here
//!
//! * an event is a hint, upon which the state is read; what is delivered follows from the state;
//! * after a suspend the event source is replaced: the new one is armed first, the old one disarmed
//!   second, and the state read third;
//! * [`Domain::resume`](crate::Domain::resume) and every operation that may leave a domain resumed
//!   does the same for all watchers of the process: a caller cannot forget it;
//! * nothing tells a toolstack that somebody else has resumed a domain, so a suspended domain is
//!   looked at again and again, ever more seldom;
//! * all states are read once in [`RESYNC`] even if nothing is heard.
//!
//! One context and one thread watch any number of domains.

mod armed;
mod life;
mod run;
mod schedule;

use std::{
    fmt,
    sync::{Arc, Weak, mpsc},
    thread,
    time::Duration,
};

use crate::{Context, ContextBuilder, DomainId, Error, Result, log, rearm};

pub use life::DomainEvent;
use run::Shared;

/// How often all watched domains are looked at when nothing is heard, by default. Some time of up to
/// a tenth of it is added, so that many hosts do not do it in step.
pub const RESYNC: Duration = Duration::from_secs(30);

/// The watcher's thread runs libxl's callbacks, whose largest frame is 22 KiB.
const STACK: usize = 256 * 1024;

/// Watches domains: one context and one thread, however many domains.
///
/// Dropping it ends the thread and all watches.
#[derive(Debug)]
pub struct Watcher {
    /// The first one.
    ctx: Context,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watcher {
    /// Starts watching, with a context of its own made by `builder`.
    ///
    /// # Errors
    ///
    /// As [`ContextBuilder::open`]; [`ErrorKind::Io`](crate::ErrorKind::Io) if no thread can be
    /// made.
    pub fn start(builder: ContextBuilder) -> Result<Self> {
        Self::start_with(builder, RESYNC)
    }

    /// As [`start`](Self::start), with another interval than [`RESYNC`] between two looks at
    /// everything: the longest time for which an event that Xen has lost goes unnoticed.
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
            thread: Some(thread),
        })
    }

    /// Watches one domain until the [`Watch`] is dropped.
    ///
    /// `sink` is called on the watcher's thread, for every change that can be told apart when
    /// somebody looks; each names the state now, so one that came and went meanwhile is not among
    /// them. It must return soon, and may call this crate. What has happened already is reported
    /// at once: watch first, then look at nothing else.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) if libxl cannot arm an event source.
    #[doc(alias = "libxl_evenable_domain_death")]
    pub fn watch<F>(&self, id: DomainId, sink: F) -> Result<Watch>
    where
        F: Fn(DomainEvent) + Send + Sync + 'static,
    {
        let number = self.shared.add(id, Arc::new(sink))?;
        Ok(Watch {
            shared: Arc::downgrade(&self.shared),
            number,
            id,
        })
    }

    /// As [`watch`](Self::watch), with a channel for the events.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub fn watch_channel(&self, id: DomainId) -> Result<(Watch, mpsc::Receiver<DomainEvent>)> {
        let (sender, receiver) = mpsc::channel();
        let watch = self.watch(id, move |event| {
            // Nobody listening is as good as no watch.
            let _ = sender.send(event);
        })?;
        Ok((watch, receiver))
    }

    /// The context that the watcher began with: good for reading states, not for long operations.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Number of times that libxl's events have failed ([`Context::is_poisoned`]), and the watcher has
    /// replaced its context. All watches go on then: what happened meanwhile is found out by reading
    /// the states. Where no new context can be had, that is tried again every second, and states are
    /// read as often.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared.restarts()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
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

/// A watched domain.
#[doc(alias = "libxl_evdisable_domain_death")]
#[must_use = "dropping the watch stops the events"]
pub struct Watch {
    shared: Weak<Shared>,
    number: u64,
    id: DomainId,
}

impl Watch {
    /// Which domain it is about.
    #[must_use]
    pub fn id(&self) -> DomainId {
        self.id
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.remove(self.number);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
