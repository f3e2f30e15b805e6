//! The handle to one domain, and the check that its domid is still its own.

use std::{ffi::c_int, time::Duration};

use libxl_sys as sys;

use super::{
    info::{DomainInfo, DomainState},
    recent::Recent,
    xen,
};
use crate::{Context, DomId, DomainId, Error, ErrorKind, Result, config::DomainType};

/// Time that a [check](Domain::check) stands for, where a call fails by itself on a domain that is gone.
///
/// Xen gives each new domain the next free domid, so that one comes again after all others (`rover` in its domctl.c). libxl, besides, refuses
/// one whose domain was destroyed less than 60 s ago (`LIBXL_DOMID_REUSE_TIMEOUT`, which an environment may set otherwise; 4.14 on).
const STANDS: Duration = Duration::from_secs(1);

/// A handle to one domain, by its identity, on one context.
///
/// Dropping the handle never affects the domain.
#[derive(Clone, Debug)]
pub struct Domain {
    pub(super) ctx: Context,
    id: DomainId,
    /// The last check that found the domain.
    found: Recent,
}

impl Context {
    /// Returns a handle to a domain whose identity is known. Does not check that the domain exists.
    #[must_use]
    pub fn domain(&self, id: DomainId) -> Domain {
        Domain {
            ctx: self.clone(),
            id,
            found: Recent::default(),
        }
    }

    /// Returns a handle to the domain that has this domid now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound) if there is none.
    pub fn domain_by_domid(&self, domid: DomId) -> Result<Domain> {
        Ok(self.domain(self.domain_info(domid)?.id()))
    }
}

impl Domain {
    /// Identity of the domain.
    #[must_use]
    pub fn id(&self) -> DomainId {
        self.id
    }

    /// Domid of the domain: its number in the hypervisor.
    #[must_use]
    pub fn domid(&self) -> DomId {
        self.id.domid
    }

    /// The context this handle works on.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Returns the state of the domain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if the domain is gone, also when its domid belongs to another
    /// domain by now.
    #[doc(alias = "libxl_domain_info")]
    pub fn info(&self) -> Result<DomainInfo> {
        let info = self.ctx.domain_info(self.domid())?;
        if info.uuid == self.id.uuid {
            Ok(info)
        } else {
            Err(self.replaced(xen::FUNCTION, &info))
        }
    }

    /// Returns true if the domain is HVM.
    ///
    /// Xen, and so [`domain_type`](DomainInfo::domain_type), reports PVH as HVM, too. This method
    /// reads the configuration to tell the two apart.
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

    /// Fails unless the domid still belongs to this domain.
    ///
    /// Called before anything that could affect another domain. libxl leaves a gap between the
    /// check and the call that nobody can close, but Xen's toolstack does not reuse a domid within
    /// a minute.
    pub(crate) fn check(&self, function: &'static str) -> Result<()> {
        match self.info().map(|info| info.state()) {
            Err(error) if !error.is_domain_gone() => Err(error),
            // A dying domain has no devices, no guest and no memory any more: only its id is left.
            Err(_) | Ok(DomainState::Dying) => Err(self.no_more(function)),
            Ok(_) => {
                self.found.note();
                Ok(())
            }
        }
    }

    /// As [`check`](Self::check), which need not be repeated if the last one is of the last second.
    ///
    /// For what can be repeated many times in a second. A call that fails afterwards is
    /// [explained](Self::explain).
    pub(super) fn check_again(&self, function: &'static str) -> Result<()> {
        if self.found.is_within(STANDS) {
            return Ok(());
        }
        self.check(function)
    }

    /// Returns the reason for the failure of a call after [`check_again`](Self::check_again): `error`, unless the domain is gone.
    pub(super) fn explain(&self, error: Error) -> Error {
        match self.check(error.function()) {
            Err(gone) if gone.is_domain_gone() => gone,
            _ => error,
        }
    }

    pub(crate) fn no_more(&self, function: &'static str) -> Error {
        Error::new(ErrorKind::DomainNotFound, function)
            .with_domain(Some(self.domid()))
            .with_message("there is no such domain any more")
    }

    /// Runs a synchronous libxl call after [`check`](Self::check).
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
