//! Domains: their creation, and everything that can be done with one.
//!
//! Xen calls a virtual machine a domain; dom0, where this runs, is one as well. Xen identifies a
//! domain by a number, the [`DomId`](crate::DomId), which is given to another domain once the first
//! is gone. The UUID tells the two apart. A [`Domain`] holds both, and its methods fail with
//! [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound) rather than act on another
//! domain.
//!
//! [`Context::domain_create_new`](crate::Context::domain_create_new) creates a domain and leaves it
//! paused. The domain then runs, is asked to stop, and has to be destroyed once it has stopped. The
//! [front page](crate) describes which calls are legal in which state.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{Context, DomainConfig, DomainState};
//!
//! let ctx = Context::open()?;
//! for info in ctx.list_domains()? {
//!     let name = ctx.domid_to_name(info.domid).unwrap_or_default();
//!     println!("{} {name}: {}, {} KiB", info.domid, info.state(), info.current_memkb);
//! }
//!
//! let config = DomainConfig::pvh("web").kernel("/boot/vmlinuz-guest").memory_mib(256);
//! let domain = ctx.domain(ctx.domain_create_new(&config)?.wait()?);
//! assert_eq!(domain.info()?.state(), DomainState::Paused);
//! domain.rename("web-2")?;
//! domain.userdata_store("my-toolstack", b"anything")?;
//! domain.unpause().wait()?;
//! domain.destroy().deadline(Duration::from_secs(60)).wait()?;
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! [`Domain::retrieve_configuration`] returns the configuration that a domain was created from,
//! with the changes since.

mod claim;
mod control;
mod convert;
mod create;
mod handle;
mod info;
mod late;
mod names;
mod recent;
mod recover;
mod remus;
mod restore;
mod save;
mod soft_reset;
mod suspend;
mod suspended;
mod userdata;
mod xen;

pub(crate) use claim::Claim;
pub use control::{ShutdownVia, Trigger};
// A glob, because the listing of the public API would shorten `libxl::domain::Domain` if the type were
// re-exported by name.
pub use handle::*;
pub use info::{DomainInfo, DomainState};
pub use recover::{Source, SuspendError};
pub use save::Saving;
pub use suspended::Suspended;
