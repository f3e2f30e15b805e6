//! Creation of domains, and their configuration.

use std::{
    borrow::Cow,
    ffi::{CStr, CString, c_int},
    ptr,
};

use libxl_sys as sys;
use uuid::Uuid;

use super::handle::Domain;
use crate::{
    Context, DomId, DomainId, Error, ErrorKind, Operation, Result,
    config::DomainConfig,
    operation::Call,
    raw::{Owned, c_string},
};

/// libxl's marker for "no domain".
const INVALID_DOMID: u32 = u32::MAX;

impl Context {
    /// Creates a domain from a configuration, and leaves it paused: [`Domain::unpause`] starts it.
    /// A configuration without a UUID gets a random one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] and [`ErrorKind::Unsupported`] name the field that this libxl does
    /// not accept, before anything is done. The cause of a later failure is in [`Error::log`].
    /// libxl then destroys the half-made domain, except after an abort: if [`Error::domain`] names
    /// a domain, check whether it exists, and destroy it.
    #[doc(alias = "libxl_domain_create_new")]
    pub fn domain_create_new(&self, config: &DomainConfig) -> Result<Operation<DomainId>> {
        let mut config = Cow::Borrowed(config);
        let uuid = match config.c_info.uuid {
            Some(uuid) => uuid,
            None => *config.to_mut().c_info.uuid.insert(Uuid::new_v4()),
        };
        let config = self.config_to_c(&config)?;
        Ok(Operation::new(
            self,
            Create {
                config,
                domid: OutDomid::new(),
                uuid,
            },
        ))
    }
}

/// Memory for a domid, which libxl may write at any time during the operation.
pub(super) struct OutDomid(*mut u32);

// SAFETY: owned, plain memory.
unsafe impl Send for OutDomid {}

impl OutDomid {
    pub(super) fn new() -> Self {
        Self(Box::into_raw(Box::new(INVALID_DOMID)))
    }

    pub(super) fn as_ptr(&self) -> *mut u32 {
        self.0
    }

    pub(super) fn get(&self) -> Option<DomId> {
        // SAFETY: allocated in `new`, freed in `drop`. libxl may be writing to it on another thread
        // that polls the context; it is an aligned word, and the read is volatile.
        let domid = unsafe { self.0.read_volatile() };
        (domid != INVALID_DOMID).then_some(DomId(domid))
    }

    /// Identity of the domain that a successful operation has created.
    pub(super) fn identity(&self, uuid: Uuid, function: &'static str) -> Result<DomainId> {
        match self.get() {
            Some(domid) => Ok(DomainId { domid, uuid }),
            None => Err(Error::new(ErrorKind::Failed, function)
                .with_message("libxl reported success and no domain id")),
        }
    }
}

impl Drop for OutDomid {
    fn drop(&mut self) {
        // SAFETY: from Box::into_raw, freed once, after the operation.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

struct Create {
    /// Read by libxl, which also fills in the fields left to it.
    config: Owned<sys::libxl_domain_config>,
    domid: OutDomid,
    uuid: Uuid,
}

impl Call for Create {
    type Output = DomainId;

    fn function(&self) -> &'static str {
        "libxl_domain_create_new"
    }

    fn domain(&self) -> Option<DomId> {
        self.domid.get()
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the structure and the place for the
        // id live as long as `self`, which is until the operation is over. No console callback.
        unsafe {
            sys::libxl_domain_create_new(
                ctx,
                self.config.as_ptr(),
                self.domid.as_ptr(),
                how,
                ptr::null(),
            )
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<DomainId> {
        self.domid.identity(self.uuid, self.function())
    }
}

impl Domain {
    /// Returns the current configuration: the one that the domain was created from, with its
    /// present devices.
    ///
    /// A toolstack can create the domain again from this configuration.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a domain that libxl did not create.
    #[doc(alias = "libxl_retrieve_domain_configuration")]
    pub fn retrieve_configuration(&self) -> Operation<DomainConfig> {
        let call = Retrieve {
            domid: self.domid(),
            config: Owned::new(),
        };
        let domain = self.clone();
        Operation::new(&self.ctx, call)
            .after(move || domain.check("libxl_retrieve_domain_configuration"))
    }

    /// Keeps a domain that has shut down, and frees its name for a new domain.
    ///
    /// The domain is renamed to `<name><suffix>`, and gets another UUID in xenstore.
    ///
    /// The hypervisor's record is not changed: [`DomainInfo::uuid`](crate::DomainInfo::uuid), and
    /// with it the identity of this handle, stay as they were. So a preserved domain and the one
    /// created in its place have the same UUID in the hypervisor, and differ by their domids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the new name is taken, [`ErrorKind::NotFound`] if the domain has
    /// no name, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_preserve")]
    pub fn preserve(&self, suffix: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_preserve";
        let suffix = c_string(FUNCTION, "suffix", suffix)?;
        self.check(FUNCTION)?;
        let failed = |kind| Error::new(kind, FUNCTION).with_domain(Some(self.domid()));
        let name = self
            .c_name()
            .ok_or_else(|| failed(ErrorKind::NotFound).with_message("the domain has no name"))?;
        // libxl checks this as well, but then leaves a transaction with xenstored open for as long
        // as the context lives (4.14 to 4.22). This still happens if somebody takes the name
        // between the check and the call.
        let new = joined(&name, &suffix);
        match self.ctx.domid_of(&new) {
            Ok(other) if other != self.domid() => {
                let text = format!("domain {other} is called {:?}", new.to_string_lossy());
                return Err(failed(ErrorKind::Invalid).with_message(text));
            }
            Err(error) if error.kind() != ErrorKind::DomainNotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let uuid = Uuid::new_v4();
        let config = Owned::<sys::libxl_domain_config>::new();
        // SAFETY: initialised, and ours alone. The name is duplicated with malloc, because libxl's
        // dispose frees it.
        unsafe { (*config.as_ptr()).c_info.name = libc::strdup(name.as_ptr()) };
        self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // SAFETY: a live context, an initialised structure with the present name, a suffix.
            unsafe {
                sys::libxl_domain_preserve(
                    ctx,
                    self.domid().0,
                    &raw mut (*config.as_ptr()).c_info,
                    suffix.as_ptr(),
                    sys::libxl_uuid {
                        uuid: uuid.into_bytes(),
                    },
                )
            }
        })
    }
}

fn joined(first: &CStr, second: &CStr) -> CString {
    let mut text = first.to_bytes().to_vec();
    text.extend_from_slice(second.to_bytes_with_nul());
    CString::from_vec_with_nul(text).unwrap_or_default()
}

struct Retrieve {
    domid: DomId,
    config: Owned<sys::libxl_domain_config>,
}

impl Call for Retrieve {
    type Output = DomainConfig;

    fn function(&self) -> &'static str {
        "libxl_retrieve_domain_configuration"
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    fn reads_cards(&self) -> bool {
        true
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the structure lives as long as
        // `self`. libxl initialises the structure once more, which leaks nothing because it owns
        // nothing yet.
        unsafe {
            sys::libxl_retrieve_domain_configuration(ctx, self.domid.0, self.config.as_ptr(), how)
        }
    }

    fn succeed(self: Box<Self>, ctx: &Context) -> Result<DomainConfig> {
        ctx.config_from_c(&self.config)
    }
}
