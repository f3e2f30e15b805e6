//! Queries about domains: the list of all, their stub domains, their device models.

use std::{
    ffi::{CString, c_char, c_int},
    ptr,
    time::{Duration, SystemTime},
};

use libxl_sys as sys;

use crate::{
    Context, DomId, Domain, DomainId, Error, ErrorKind, Operation, Result,
    id::uuid_from,
    operation::Call,
    qualifier,
    raw::{c_string, take_str},
};

impl Context {
    /// The identities of all domains that libxl knows as virtual machines, dom0 among them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_list_vm")]
    #[doc(alias = "libxl_vminfo_list_free")]
    pub fn list_vms(&self) -> Result<Vec<DomainId>> {
        let list = self.list(
            "libxl_list_vm",
            None,
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { sys::libxl_list_vm(ctx, count) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_vminfo_list_free(list, count) },
        )?;
        let vms = list.iter().flat_map(|list| list.as_slice());
        Ok(vms
            .map(|raw| DomainId {
                domid: DomId(raw.domid),
                uuid: uuid_from(&raw.uuid),
            })
            .collect())
    }

    /// Id of the domain that a user gives by name or by id. A name that is made of digits is taken
    /// for an id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if no domain has this name, or the text is empty; an id is not
    /// looked up. [`ErrorKind::Invalid`] for a number that is too large for an id;
    /// [`ErrorKind::NoMemory`] when Xen does not list the domains.
    #[doc(alias = "libxl_domain_qualifier_to_domid")]
    pub fn domain_qualifier_to_domid(&self, name_or_id: &str) -> Result<DomId> {
        const FUNCTION: &str = "libxl_domain_qualifier_to_domid";
        if name_or_id.is_empty() {
            // libxl takes an empty text for the number 0.
            let error = Error::new(ErrorKind::Invalid, FUNCTION);
            return Err(qualifier::no_domain(error, name_or_id));
        }
        if let Some(domid) = qualifier::number(FUNCTION, name_or_id)? {
            return Ok(DomId(domid));
        }
        let text = c_string(FUNCTION, "domain", name_or_id)?;
        let mut domid = 0;
        let asked = self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated text, a place for the id.
            unsafe { sys::libxl_domain_qualifier_to_domid(ctx, text.as_ptr(), &raw mut domid) }
        });
        match asked {
            Ok(()) => Ok(DomId(domid)),
            Err(error) => Err(qualifier::no_domain(error, name_or_id)),
        }
    }
}

/// A command to QEMU, and the place for its answer.
struct Monitor {
    domid: DomId,
    command: CString,
    /// From `Box::into_raw`: libxl writes to this place while the operation is under way.
    output: *mut *mut c_char,
}

// SAFETY: owned, plain memory.
unsafe impl Send for Monitor {}

impl Call for Monitor {
    type Output = String;

    fn function(&self) -> &'static str {
        "libxl_qemu_monitor_command"
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; command and place live as long as
        // `self`, which is until the operation is over.
        unsafe {
            sys::libxl_qemu_monitor_command(
                ctx,
                self.domid.0,
                self.command.as_ptr(),
                self.output,
                how,
            )
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<String> {
        // SAFETY: the operation is over; a string that is ours, or NULL, is taken out.
        let answer = unsafe { take_str(self.output.replace(ptr::null_mut())) };
        Ok(answer.unwrap_or_default())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // SAFETY: after the operation; what is still there is ours, and the place is from Box.
        unsafe {
            take_str(self.output.read());
            drop(Box::from_raw(self.output));
        }
    }
}

impl Domain {
    /// Sends a magic SysRq key, such as `s`, to the guest's Linux kernel. The guest reacts in its
    /// own time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the key is not a visible ASCII character;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_send_sysrq")]
    pub fn send_sysrq(&self, key: char) -> Result<()> {
        const FUNCTION: &str = "libxl_send_sysrq";
        let byte = u8::try_from(key).ok().filter(u8::is_ascii_graphic);
        let byte = byte.and_then(|byte| c_char::try_from(byte).ok());
        let byte = byte.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("key: {key:?} is no SysRq key"))
        })?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context.
            unsafe { sys::libxl_send_sysrq(ctx, domid, byte) }
        })
    }

    /// Runs a command in the human monitor of the domain's QEMU, and returns the answer. HVM.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] for a domain without a QEMU of its own;
    /// [`ErrorKind::TimedOut`] when QEMU does not answer; [`ErrorKind::DomainNotFound`]. A command
    /// that QEMU does not know is reported in the answer, not as an error.
    #[doc(alias = "libxl_qemu_monitor_command")]
    pub fn qemu_monitor_command(&self, command: &str) -> Result<Operation<String>> {
        const FUNCTION: &str = "libxl_qemu_monitor_command";
        let call = Monitor {
            domid: self.domid(),
            command: c_string(FUNCTION, "command", command)?,
            output: Box::into_raw(Box::new(ptr::null_mut())),
        };
        let domain = self.clone();
        Ok(Operation::new(self.context(), call).after(move || domain.check(FUNCTION)))
    }

    /// Time at which the domain was started; `None` if it was not recorded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_vm_get_start_time")]
    pub fn start_time(&self) -> Result<Option<SystemTime>> {
        self.check("libxl_vm_get_start_time")?;
        // SAFETY: a live context.
        let seconds =
            unsafe { sys::libxl_vm_get_start_time(self.context().enter().ptr(), self.domid().0) };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        Ok((seconds != 0 && seconds != u32::MAX).then_some(time))
    }

    /// Domain in which this domain's device model runs, if that is not dom0.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_get_stubdom_id")]
    pub fn stubdom(&self) -> Result<Option<DomId>> {
        self.check("libxl_get_stubdom_id")?;
        let domid = c_int::try_from(self.domid().0).unwrap_or(0);
        // SAFETY: a live context.
        let stubdom = unsafe { sys::libxl_get_stubdom_id(self.context().enter().ptr(), domid) };
        let stubdom = u32::try_from(stubdom).unwrap_or(0);
        Ok((stubdom != 0).then_some(DomId(stubdom)))
    }

    /// Domain whose device model runs in this one, if this is a stub domain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_is_stubdom")]
    pub fn stubdom_target(&self) -> Result<Option<DomId>> {
        self.check("libxl_is_stubdom")?;
        let mut target = 0;
        // SAFETY: a live context and a place for the id.
        let is = unsafe {
            sys::libxl_is_stubdom(
                self.context().enter().ptr(),
                self.domid().0,
                &raw mut target,
            )
        };
        Ok((is != 0).then_some(DomId(target)))
    }
}
