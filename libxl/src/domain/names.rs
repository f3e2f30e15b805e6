//! Names, and consoles.

use std::{
    ffi::{CStr, CString, c_char},
    path::PathBuf,
    ptr,
};

use libxl_sys as sys;

use super::handle::Domain;
use crate::{
    Context, DomId, Error, ErrorKind, Result, qualifier,
    raw::{c_string, take_c_string, take_str},
};

const BY_NAME: &str = "libxl_name_to_domid";

impl Context {
    /// Returns the domid of the domain with this name. Walks through all domains, so prefer domids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if no domain has the name; [`ErrorKind::NoMemory`] when Xen
    /// does not list the domains.
    #[doc(alias = "libxl_name_to_domid")]
    pub fn name_to_domid(&self, name: &str) -> Result<DomId> {
        let c_name = c_string(BY_NAME, "name", name)?;
        self.domid_of(&c_name)
    }

    pub(super) fn domid_of(&self, name: &CStr) -> Result<DomId> {
        let mut domid = 0;
        let asked = self.call(BY_NAME, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated name, a place for the id.
            unsafe { sys::libxl_name_to_domid(ctx, name.as_ptr(), &raw mut domid) }
        });
        match asked {
            Ok(()) => Ok(DomId(domid)),
            Err(error) => Err(qualifier::no_domain(error, &name.to_string_lossy())),
        }
    }

    /// Returns the name of a domain; `None` if it has none, or does not exist.
    #[doc(alias = "libxl_domid_to_name")]
    #[must_use]
    pub fn domid_to_name(&self, domid: DomId) -> Option<String> {
        // SAFETY: a live context; the string is allocated for us.
        unsafe { take_str(sys::libxl_domid_to_name(self.enter().ptr(), domid.0)) }
    }
}

impl Domain {
    /// Name of the domain, if it has one; `None` also when its domid belongs to another domain by
    /// now.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let name = self.c_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// As [`name`](Self::name), but as bytes: a name need not be UTF-8.
    pub(super) fn c_name(&self) -> Option<CString> {
        // SAFETY: a live context; the string is allocated for us.
        let name = unsafe {
            take_c_string(sys::libxl_domid_to_name(
                self.ctx.enter().ptr(),
                self.domid().0,
            ))
        };
        // In this order: if the id is this domain's now, it was when the name was read.
        self.info().ok().and(name)
    }

    /// Renames the domain. A name that somebody else gives at the same time is overwritten.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if a domain with that name exists; [`ErrorKind::DomainNotFound`];
    /// [`ErrorKind::Failed`] if others rename the domain again and again.
    #[doc(alias = "libxl_domain_rename")]
    pub fn rename(&self, name: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_rename";
        let new = c_string(FUNCTION, "name", name)?;
        self.check(FUNCTION)?;
        // libxl derives the old name of a stub domain from the domain's, and compares the old name
        // in the transaction in which it writes the new one: neither domain is renamed if the domid
        // belongs to another by now.
        let rename_from = |old: Option<&CStr>| {
            self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
                let old = old.map_or(ptr::null(), CStr::as_ptr);
                // SAFETY: a live context and NUL-terminated names, of which the old one may be NULL.
                unsafe { sys::libxl_domain_rename(ctx, self.domid().0, old, new.as_ptr()) }
            })
        };
        let old = self.c_name();
        let Err(error) = rename_from(old.as_deref()) else {
            return Ok(());
        };
        let now = self.c_name();
        if now == old {
            return Err(error);
        }
        // Somebody else has renamed the domain between the look and the call, or the domid belongs
        // to another domain now.
        self.check(FUNCTION)?;
        rename_from(now.as_deref())
    }

    /// Path of the terminal of the primary console: the PV console or, for HVM, the first serial
    /// port.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] while xenconsoled has not made the terminal, or if there is no
    /// console.
    #[doc(alias = "libxl_primary_console_get_tty")]
    pub fn primary_console_tty(&self) -> Result<PathBuf> {
        const FUNCTION: &str = "libxl_primary_console_get_tty";
        self.check(FUNCTION)?;
        let mut path: *mut c_char = ptr::null_mut();
        self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // SAFETY: a live context and a place for the path.
            unsafe { sys::libxl_primary_console_get_tty(ctx, self.domid().0, &raw mut path) }
        })?;
        // SAFETY: on success a string that is ours to free, or NULL.
        let path = unsafe { take_str(path) };
        path.map(PathBuf::from).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message("the domain has no primary console")
        })
    }
}
