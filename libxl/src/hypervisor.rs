//! Xen itself: its log, its debug keys and its parameters; what stands around domains.
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! // 'q' has Xen write about its domains into its log.
//! ctx.send_debug_keys("q")?;
//! print!("{}", ctx.xen_log(false)?);
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{
    ffi::{c_char, c_int},
    path::PathBuf,
    ptr, slice,
    time::{Duration, SystemTime},
};

use libxl_sys as sys;

use crate::{
    Context, DomId, Domain, DomainId, Error, ErrorKind, Operation, Result,
    config::{CpuidPolicy, DiskBackend, DomainConfig},
    id::uuid_from,
    logger::expecting_failure,
    operation::Call,
    qualifier,
    raw::{Owned, c_string, copy_str, take_str},
};

/// The size of the buffer into which libxl reads Xen's log. Before Xen 4.20 a full buffer has no
/// NUL at its end.
const LOG_BUFFER: usize = 16384;

impl Context {
    /// What is in Xen's log, which is a ring: old lines are lost. With `clear` it is emptied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_xen_console_read_start")]
    #[doc(alias = "libxl_xen_console_read_line")]
    #[doc(alias = "libxl_xen_console_read_finish")]
    pub fn xen_log(&self, clear: bool) -> Result<String> {
        const FUNCTION: &str = "libxl_xen_console_read_line";
        let mark = self.log_mark();
        // SAFETY: a live context.
        let reader = unsafe { sys::libxl_xen_console_read_start(self.enter().ptr(), clear.into()) };
        if reader.is_null() {
            return Err(
                Error::new(ErrorKind::Failed, "libxl_xen_console_read_start")
                    .with_log(self.own_log_since(mark)),
            );
        }
        let mut text = Vec::new();
        let rc = loop {
            let mut line: *mut c_char = ptr::null_mut();
            // SAFETY: a live context and reader, a place for the text.
            let rc = unsafe {
                sys::libxl_xen_console_read_line(self.enter().ptr(), reader, &raw mut line)
            };
            if rc != 1 || line.is_null() {
                break rc;
            }
            // SAFETY: the reader's buffer, which ends with a NUL unless it is full; copied before
            // the next call overwrites it.
            text.extend_from_slice(unsafe {
                slice::from_raw_parts(line.cast::<u8>(), libc::strnlen(line, LOG_BUFFER))
            });
        };
        // SAFETY: a live context and reader, which is not used after this.
        unsafe { sys::libxl_xen_console_read_finish(self.enter().ptr(), reader) };
        if rc < 0 {
            return Err(Error::from_code(FUNCTION, rc).with_log(self.own_log_since(mark)));
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Does what these keys do on Xen's serial console: `h` lists them, in the [log](Self::xen_log).
    /// Some stop the machine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_send_debug_keys")]
    pub fn send_debug_keys(&self, keys: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_send_debug_keys";
        let keys = c_string(FUNCTION, "keys", keys)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a NUL-terminated text, which libxl does not change.
            unsafe { sys::libxl_send_debug_keys(ctx, keys.as_ptr().cast_mut()) }
        })
    }

    /// Changes those of Xen's command line parameters that can be changed while it runs, written as
    /// there: `gnttab_max_frames=64`. Several are separated by spaces; `no` in front of one stands
    /// for the value `no`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for one without a value; [`ErrorKind::Failed`] for a parameter that
    /// cannot be changed, or a value that is none.
    #[doc(alias = "libxl_set_parameters")]
    pub fn set_parameters(&self, parameters: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_set_parameters";
        // libxl takes it for granted that there is a `=`, and writes to wherever none leads it (Xen
        // 4.14 to 4.22).
        if let Some(word) = without_a_value(parameters) {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("parameters: {word:?} has no value")));
        }
        let parameters = c_string(FUNCTION, "parameters", parameters)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a NUL-terminated text, which libxl does not change; each of
            // its words has a value, or stands for one.
            unsafe { sys::libxl_set_parameters(ctx, parameters.as_ptr().cast_mut()) }
        })
    }

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

    /// The id of the domain that a person means by a name or an id. A name that is made of digits is
    /// taken for an id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if no domain has this name, or there is none; an id is not
    /// looked up. [`ErrorKind::Invalid`] for an id that is too large to be one;
    /// [`ErrorKind::NoMemory`] when Xen does not list the domains.
    #[doc(alias = "libxl_domain_qualifier_to_domid")]
    pub fn domain_qualifier_to_domid(&self, name_or_id: &str) -> Result<DomId> {
        const FUNCTION: &str = "libxl_domain_qualifier_to_domid";
        if name_or_id.is_empty() {
            // For libxl this is made of digits, and 0.
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

    /// The path of a log file in libxl's directory (`/var/log/xen`), for `name`. Earlier ones are
    /// kept under numbers, ten at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when they cannot be renamed.
    #[doc(alias = "libxl_create_logfile")]
    pub fn create_logfile(&self, name: &str) -> Result<PathBuf> {
        const FUNCTION: &str = "libxl_create_logfile";
        if name.is_empty() || name.contains('/') {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("name: {name:?} is no name of a file")));
        }
        let name = c_string(FUNCTION, "name", name)?;
        let mut path: *mut c_char = ptr::null_mut();
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated name, a place for the path.
            unsafe { sys::libxl_create_logfile(ctx, name.as_ptr(), &raw mut path) }
        })?;
        // SAFETY: a string that is ours to free, or NULL.
        let path = unsafe { take_str(path) };
        path.map(PathBuf::from).ok_or_else(|| {
            Error::new(ErrorKind::Failed, FUNCTION).with_message("no path came back")
        })
    }

    /// What serves a disk, by the word that old configurations have for it: `phy`, `file`, `qdisk`
    /// and, since Xen 4.17, `standalone`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for another word. `tap` is one: libxl wants a format after it, and does
    /// not know it with one.
    #[doc(alias = "libxl_string_to_backend")]
    pub fn string_to_backend(&self, word: &str) -> Result<DiskBackend> {
        const FUNCTION: &str = "libxl_string_to_backend";
        let c_word = c_string(FUNCTION, "word", word)?;
        let mut raw = sys::libxl_disk_backend(0);
        // SAFETY: a live context, a NUL-terminated text, which libxl does not change, and a place
        // for the number.
        let rc = expecting_failure(|| unsafe {
            sys::libxl_string_to_backend(
                self.enter().ptr(),
                c_word.as_ptr().cast_mut(),
                &raw mut raw,
            )
        });
        // SAFETY: a literal of libxl's, or NULL for a number that it does not know.
        let known = unsafe { copy_str(sys::libxl_disk_backend_to_string(raw)) };
        match known.and_then(|word| word.parse().ok()) {
            Some(backend) if rc == 0 => Ok(backend),
            _ => Err(Error::from_code(FUNCTION, rc)
                .with_kind(ErrorKind::Invalid)
                .with_message(format!("{word:?} is no backend"))),
        }
    }

    /// Reads one item of a CPUID policy as `xl.cfg` has it: `host`-relative flags such as `sse4_2=0`
    /// or `family=6`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no such item.
    #[doc(alias = "libxl_cpuid_parse_config")]
    pub fn parse_cpuid(&self, item: &str) -> Result<CpuidPolicy> {
        self.cpuid(
            "libxl_cpuid_parse_config",
            item,
            sys::libxl_cpuid_parse_config,
        )
    }

    /// Reads one item of a CPUID policy in the form of old configurations, a leaf with its
    /// registers: `1:edx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no such item.
    #[doc(alias = "libxl_cpuid_parse_config_xend")]
    pub fn parse_cpuid_xend(&self, item: &str) -> Result<CpuidPolicy> {
        self.cpuid(
            "libxl_cpuid_parse_config_xend",
            item,
            sys::libxl_cpuid_parse_config_xend,
        )
    }

    fn cpuid(&self, function: &'static str, item: &str, parse: ParseCpuid) -> Result<CpuidPolicy> {
        let config = parse_cpuid_item(function, item, parse)?;
        let config: DomainConfig = self.read_c(config.as_ptr())?;
        Ok(config.b_info.cpuid)
    }

    /// Serves devices to other domains, in a driver domain: runs hotplug scripts and device models
    /// as they come and go. **It never ends**, and libxl advises against
    /// aborting it: end the process.
    #[doc(alias = "libxl_device_events_handler")]
    pub fn device_events_handler(&self) -> Operation<()> {
        Operation::new(self, EventsHandler)
    }
}

/// The first of these parameters that has neither a value nor the prefix that stands for one. They
/// are taken apart as libxl does it: a parameter ends at a space, and begins at what is no blank.
fn without_a_value(parameters: &str) -> Option<&str> {
    let mut rest = parameters.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        if !word.contains('=') && !word.starts_with("no") {
            return Some(word);
        }
        rest = after.trim_start_matches([' ', '\t']);
    }
    None
}

/// The shape of the two functions that read an item of a CPUID policy.
type ParseCpuid = unsafe extern "C" fn(*mut sys::libxl_cpuid_policy_list, *const c_char) -> c_int;

/// A configuration with nothing in it but this item.
fn parse_cpuid_item(
    function: &'static str,
    item: &str,
    parse: ParseCpuid,
) -> Result<Owned<sys::libxl_domain_config>> {
    let mut text = c_string(function, "item", item)?.into_bytes_with_nul();
    // The parser of xend's form looks at the third character of a register's name before it has
    // seen that there is a second one.
    text.extend([0, 0]);
    // A policy has a JSON form only within a configuration.
    let config = Owned::<sys::libxl_domain_config>::new();
    // SAFETY: an initialised structure, whose type is set once.
    unsafe {
        sys::libxl_domain_build_info_init_type(
            &raw mut (*config.as_ptr()).b_info,
            sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_PV,
        );
    }
    // SAFETY: the place of a policy in an initialised structure, which owns what comes there, and a
    // text with more NULs at its end than are looked at.
    let rc = unsafe {
        parse(
            &raw mut (*config.as_ptr()).b_info.cpuid,
            text.as_ptr().cast(),
        )
    };
    if rc != 0 {
        return Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("{item:?} is no item of a CPUID policy")));
    }
    Ok(config)
}

struct EventsHandler;

impl Call for EventsHandler {
    type Output = ();

    fn function(&self) -> &'static str {
        "libxl_device_events_handler"
    }

    fn domain(&self) -> Option<DomId> {
        None
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise.
        unsafe { sys::libxl_device_events_handler(ctx, how) }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}

/// A command to QEMU, and the place for its answer.
struct Monitor {
    domid: DomId,
    command: std::ffi::CString,
    /// From Box::into_raw: libxl writes to it while the operation is under way.
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
    /// Gives the guest's Linux kernel a magic SysRq key, such as `s`. The guest does it in its own
    /// time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for what is no ASCII character; [`ErrorKind::DomainNotFound`].
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

    /// Has the domain's QEMU do a command of its human monitor, and returns the answer. HVM.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] for a domain without a QEMU of its own;
    /// [`ErrorKind::TimedOut`] when it does not answer; [`ErrorKind::DomainNotFound`]. That QEMU
    /// does not know the command is an answer, not an error.
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

    /// When it was started; `None` if nobody has written that down.
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

    /// The domain in which its device model runs, if that is not dom0.
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

    /// The domain whose device model runs in this one, if it is for that.
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

#[cfg(test)]
mod tests;
