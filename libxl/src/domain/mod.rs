//! Domains: making them, and what can be done with one.
//!
//! A domain is a virtual machine in Xen's words: dom0, where this runs, is one as well. Xen knows it
//! by a number, the [`DomId`], which another domain gets when it is gone; its UUID tells
//! it from that one. A [`Domain`] has both, and everything that is asked of it fails with
//! [`ErrorKind::DomainNotFound`] rather than hit the other one.
//!
//! [`Context::domain_create_new`] makes one and leaves it paused. It then runs, is asked to stop, and
//! has to be destroyed when it has: what is legal when is on the [front page](crate).
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
//! [`Domain::retrieve_configuration`] gives back what it was made from, with what has changed since.

mod claim;
mod control;
mod convert;
mod create;
mod info;
mod late;
mod names;
mod recover;
mod remus;
mod restore;
mod save;
mod soft_reset;
mod suspend;
mod suspended;
mod userdata;

pub use control::{ShutdownVia, Trigger};
pub use info::{DomainInfo, DomainState};
pub use recover::{Source, SuspendError};
pub use save::Saving;
pub use suspended::Suspended;

pub(crate) use claim::Claim;

use std::ffi::c_int;

use libxl_sys as sys;

use crate::{Context, DomId, DomainId, Error, ErrorKind, Result, config::DomainType};

/// One domain, by its identity, on one context.
///
/// A handle and nothing more: dropping it never touches the domain.
#[derive(Clone, Debug)]
pub struct Domain {
    ctx: Context,
    id: DomainId,
}

impl Context {
    /// A handle to a domain whose identity is known. Whether it exists is not asked.
    #[must_use]
    pub fn domain(&self, id: DomainId) -> Domain {
        Domain {
            ctx: self.clone(),
            id,
        }
    }

    /// A handle to whatever domain has this id now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound) if there is none.
    pub fn domain_by_domid(&self, domid: DomId) -> Result<Domain> {
        Ok(self.domain(self.domain_info(domid)?.id()))
    }
}

impl Domain {
    /// Which domain it is.
    #[must_use]
    pub fn id(&self) -> DomainId {
        self.id
    }

    /// Its number at the hypervisor.
    #[must_use]
    pub fn domid(&self) -> DomId {
        self.id.domid
    }

    /// The context this handle works on.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Its state.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if it is gone, also when its id belongs to another domain by
    /// now.
    #[doc(alias = "libxl_domain_info")]
    pub fn info(&self) -> Result<DomainInfo> {
        let info = self.ctx.domain_info(self.domid())?;
        if info.uuid == self.id.uuid {
            Ok(info)
        } else {
            Err(self.replaced("libxl_domain_info", &info))
        }
    }

    /// Whether it is HVM. Xen takes PVH for that, too, and so does
    /// [`domain_type`](DomainInfo::domain_type): what the domain was built as says its configuration.
    ///
    /// # Errors
    ///
    /// As [`info`](Self::info) and [`retrieve_configuration`](Self::retrieve_configuration).
    pub fn is_hvm(&self) -> Result<bool> {
        if self.info()?.domain_type != Some(DomainType::Hvm) {
            return Ok(false);
        }
        let config = self.retrieve_configuration().wait()?;
        Ok(config.domain_type() == DomainType::Hvm)
    }

    /// Fails unless the id still belongs to this domain. Asked before anything that could hit
    /// another one; between the question and the deed libxl leaves a gap that nobody can close, but
    /// Xen's toolstack does not reuse an id within a minute.
    pub(crate) fn check(&self, function: &'static str) -> Result<()> {
        match self.info().map(|info| info.state()) {
            Err(error) if !error.is_domain_gone() => Err(error),
            // What is dying has no devices, no guest and no memory any more: only its id is left.
            Err(_) | Ok(DomainState::Dying) => Err(self.no_more(function)),
            Ok(_) => Ok(()),
        }
    }

    pub(crate) fn no_more(&self, function: &'static str) -> Error {
        Error::new(ErrorKind::DomainNotFound, function)
            .with_domain(Some(self.domid()))
            .with_message("there is no such domain any more")
    }

    /// Checks, and then runs a call that returns a libxl code at once.
    pub(crate) fn call(
        &self,
        function: &'static str,
        call: impl FnOnce(*mut sys::libxl_ctx, u32) -> c_int,
    ) -> Result<()> {
        self.check(function)?;
        let domid = self.domid();
        self.ctx
            .call(function, Some(domid), |ctx| call(ctx, domid.0))
    }

    fn replaced(&self, function: &'static str, now: &DomainInfo) -> Error {
        Error::new(ErrorKind::DomainNotFound, function)
            .with_domain(Some(self.domid()))
            .with_message(format!(
                "the domain with UUID {} is gone; its id belongs to {} now",
                self.id.uuid, now.uuid
            ))
    }
}
