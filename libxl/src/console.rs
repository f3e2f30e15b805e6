//! Consoles of domains, and channels.
//!
//! A console is a terminal in dom0 with its other end in the guest. `xenconsoled` serves the
//! consoles of paravirtual guests, and writes their output to its log. A channel is a console with
//! a name, for a program in the guest.
//!
//! ```no_run
//! use libxl::{Context, console::ConsoleType};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! println!("{}", domain.primary_console_tty()?.display());
//! println!("{}", domain.console_tty(0, ConsoleType::Pv)?.display());
//! for channel in domain.channel_list()? {
//!     println!("{channel:?}: {:?}", domain.channel_info(&channel)?.connection);
//! }
//! // Becomes the program that shows the console, and does not come back.
//! let failed = domain.primary_console_exec(None);
//! println!("{failed:#}");
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{
    env,
    ffi::{CString, OsStr, c_char, c_int},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    ptr,
};

use libxl_sys as sys;
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use crate::{
    Context, Domain, Error, ErrorKind, Operation, Result,
    config::Channel,
    device::{Device, XenbusState},
    raw::{c_number, take_str},
};

/// A kind of console (`libxl_console_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_console_type")]
pub enum ConsoleType {
    /// The emulated serial port of an HVM guest.
    Serial,
    /// A paravirtual console.
    Pv,
    /// The emulated UART of an Arm guest.
    Vuart,
}

impl ConsoleType {
    fn raw(self) -> sys::libxl_console_type {
        match self {
            Self::Serial => sys::libxl_console_type::LIBXL_CONSOLE_TYPE_SERIAL,
            Self::Pv => sys::libxl_console_type::LIBXL_CONSOLE_TYPE_PV,
            Self::Vuart => sys::libxl_console_type::LIBXL_CONSOLE_TYPE_VUART,
        }
    }
}

/// Options of [`Domain::console_exec`] and [`Domain::primary_console_exec`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ConsoleOptions<'a> {
    notify: Option<BorrowedFd<'a>>,
    escape: Option<char>,
}

impl<'a> ConsoleOptions<'a> {
    /// No notification, and the default escape character.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a descriptor to which a byte is written once the console is open. The descriptor must
    /// not be close-on-exec.
    pub fn notify(self, fd: BorrowedFd<'a>) -> Self {
        Self {
            notify: Some(fd),
            ..self
        }
    }

    /// Sets the character that ends the session together with Control; `]` by default. Since Xen
    /// 4.18.
    pub fn escape(self, escape: char) -> Self {
        Self {
            escape: Some(escape),
            ..self
        }
    }

    fn notify_fd(&self) -> c_int {
        self.notify.map_or(-1, |fd| fd.as_raw_fd())
    }

    /// The escape character in libxl's form, or an error if libxl does not accept it.
    fn escape_text(&self, function: &'static str) -> Result<Option<CString>> {
        let Some(escape) = self.escape else {
            return Ok(None);
        };
        if !cfg!(libxl_have = "console_escape_character") {
            return Err(Context::lacks(function, "console_escape_character"));
        }
        match CString::new(escape.to_string()) {
            Ok(text) if escape.is_ascii_graphic() => Ok(Some(text)),
            _ => Err(Error::new(ErrorKind::Invalid, function)
                .with_message(format!("escape: {escape:?} cannot be typed with Control"))),
        }
    }
}

/// State of a channel (`libxl_channelinfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[doc(alias = "libxl_channelinfo")]
pub struct ChannelInfo {
    /// The backend's directory in xenstore.
    pub backend: Option<String>,
    /// Domid of the backend.
    pub backend_id: u32,
    /// The frontend's directory in xenstore.
    pub frontend: Option<String>,
    /// Domid of the frontend.
    pub frontend_id: u32,
    /// Number of the channel among the domain's channels.
    pub devid: Option<i32>,
    /// State of the frontend.
    pub state: XenbusState,
    /// The guest's event channel; -1 if it has none yet.
    pub evtch: i32,
    /// The grant of the ring; -1 if there is none yet.
    pub rref: i32,
    /// The backend's end of the channel.
    #[serde(flatten)]
    pub connection: ChannelEnd,
}

/// The backend's end of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChannelEnd {
    /// Not known.
    #[serde(rename = "connection.unknown")]
    Unknown {},
    /// A pseudo terminal.
    #[serde(rename = "connection.pty")]
    Pty {
        /// Path of the terminal.
        #[serde(default)]
        path: Option<String>,
    },
    /// A Unix socket.
    #[serde(rename = "connection.socket")]
    Socket {},
}

impl Default for ChannelEnd {
    fn default() -> Self {
        Self::Unknown {}
    }
}

impl Device for Channel {
    type Raw = sys::libxl_device_channel;

    fn checked(&self) -> std::result::Result<(), crate::config::Invalid> {
        self.validate()
    }
}

/// Frees a list of channels: libxl has no function for this type of list.
fn free_channels(list: *mut sys::libxl_device_channel, count: c_int) {
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: one of the `count` initialised structures, disposed of once.
        unsafe { sys::libxl_device_channel_dispose(list.add(index)) };
    }
    // SAFETY: from malloc, as everything that libxl returns, and ours.
    unsafe { libc::free(list.cast()) };
}

impl Domain {
    /// Path of a console's terminal, by the number of the console.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] while xenconsoled has not created the terminal, or if there is no such
    /// console; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_console_get_tty")]
    pub fn console_tty(&self, number: u32, kind: ConsoleType) -> Result<PathBuf> {
        const FUNCTION: &str = "libxl_console_get_tty";
        let number = c_number(FUNCTION, "number", number)?;
        let mut path: *mut c_char = ptr::null_mut();
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context and a place for the path.
            unsafe { sys::libxl_console_get_tty(ctx, domid, number, kind.raw(), &raw mut path) }
        })?;
        // SAFETY: on success a string that is ours to free, or NULL.
        let path = unsafe { take_str(path) };
        path.map(PathBuf::from).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message("the domain has no such console")
        })
    }

    /// Replaces this program with `xenconsole`, which shows a console on the terminal. Returns only
    /// on failure, with the reason.
    ///
    /// Nothing of this program is cleaned up: its threads end, and its destructors do not run.
    #[doc(alias = "libxl_console_exec")]
    #[must_use]
    pub fn console_exec(
        &self,
        number: u32,
        kind: ConsoleType,
        options: ConsoleOptions<'_>,
    ) -> Error {
        const FUNCTION: &str = "libxl_console_exec";
        let checked = options
            .escape_text(FUNCTION)
            .and_then(|escape| Ok((escape, c_number(FUNCTION, "number", number)?)));
        let (escape, number) = match checked {
            Ok(checked) => checked,
            Err(error) => return error,
        };
        self.exec(FUNCTION, |ctx, domid| {
            let fd = options.notify_fd();
            // SAFETY: a live context; the escape character is a text or NULL.
            #[cfg(libxl_have = "console_escape_character")]
            return unsafe {
                sys::libxl_console_exec(ctx, domid, number, kind.raw(), fd, text(escape.as_ref()))
            };
            #[cfg(not(libxl_have = "console_escape_character"))]
            {
                let _ = (&escape, text);
                // SAFETY: a live context.
                unsafe { sys::libxl_console_exec(ctx, domid, number, kind.raw(), fd) }
            }
        })
    }

    /// As [`console_exec`](Self::console_exec), for the primary console: the PV console or, for
    /// HVM, the first serial port.
    #[doc(alias = "libxl_primary_console_exec")]
    #[must_use]
    pub fn primary_console_exec(&self, options: Option<ConsoleOptions<'_>>) -> Error {
        const FUNCTION: &str = "libxl_primary_console_exec";
        let options = options.unwrap_or_default();
        let escape = match options.escape_text(FUNCTION) {
            Ok(escape) => escape,
            Err(error) => return error,
        };
        self.exec(FUNCTION, |ctx, domid| {
            let fd = options.notify_fd();
            // SAFETY: a live context; the escape character is a text or NULL.
            #[cfg(libxl_have = "console_escape_character")]
            return unsafe {
                sys::libxl_primary_console_exec(ctx, domid, fd, text(escape.as_ref()))
            };
            #[cfg(not(libxl_have = "console_escape_character"))]
            {
                let _ = (&escape, text);
                // SAFETY: a live context.
                unsafe { sys::libxl_primary_console_exec(ctx, domid, fd) }
            }
        })
    }

    /// Replaces this program with a VNC viewer connected to the domain's screen.
    ///
    /// The viewer is `vncviewer`, or the program named by the environment variable `VNCVIEWER`.
    /// With `autopass` it is handed the password. Returns only on failure, with the reason:
    /// [`ErrorKind::NotFound`] if there is no such program.
    ///
    /// libxl ends the process if the program exists and still cannot be started.
    #[doc(alias = "libxl_vncviewer_exec")]
    #[must_use]
    pub fn vncviewer_exec(&self, autopass: bool) -> Error {
        const FUNCTION: &str = "libxl_vncviewer_exec";
        let viewer = env::var_os("VNCVIEWER").unwrap_or_else(|| "vncviewer".into());
        if !is_program(&viewer) {
            let viewer = viewer.to_string_lossy();
            return Error::new(ErrorKind::NotFound, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("there is no program {viewer}"));
        }
        // SAFETY: a live context.
        self.exec(FUNCTION, |ctx, domid| unsafe {
            sys::libxl_vncviewer_exec(ctx, domid, autopass.into())
        })
    }

    fn exec(
        &self,
        function: &'static str,
        exec: impl FnOnce(*mut sys::libxl_ctx, u32) -> c_int,
    ) -> Error {
        match self.call(function, exec) {
            Err(error) => error,
            Ok(()) => Error::new(ErrorKind::Failed, function)
                .with_domain(Some(self.domid()))
                .with_message("libxl came back without an error"),
        }
    }

    /// Registers in xenstore the console of a domain that Xen itself has created at boot
    /// (dom0less), so that xenconsoled serves it. Since Xen 4.18.
    ///
    /// `backend` serves the console, over the domain's event channel `event_channel` and the page
    /// `page` of the domain's memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] before Xen 4.18; [`ErrorKind::Failed`];
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_console_add_xenstore")]
    pub fn console_add_xenstore(
        &self,
        backend: crate::DomId,
        event_channel: u32,
        page: u64,
    ) -> Result<Operation<()>> {
        const FUNCTION: &str = "libxl_console_add_xenstore";
        #[cfg(libxl_have = "console_add_xenstore")]
        {
            #[allow(clippy::useless_conversion)] // c_ulong is not 64 bits wide everywhere.
            let page = page.try_into().map_err(|_| {
                Error::new(ErrorKind::Invalid, FUNCTION)
                    .with_message(format!("page: {page} is too large"))
            })?;
            // SAFETY: a live context and a valid `how`.
            Ok(self.simple(FUNCTION, move |ctx, domid, how| unsafe {
                sys::libxl_console_add_xenstore(ctx, domid, backend.0, event_channel, page, how)
            }))
        }
        #[cfg(not(libxl_have = "console_add_xenstore"))]
        {
            let _ = (backend, event_channel, page);
            Err(Context::lacks(FUNCTION, "console_add_xenstore"))
        }
    }

    /// Channels of the domain. They exist from the start: libxl cannot add or remove any.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; [`ErrorKind::Failed`] when an entry in xenstore is not a
    /// channel.
    #[doc(alias = "libxl_device_channel_list")]
    pub fn channel_list(&self) -> Result<Vec<Channel>> {
        self.device_list(
            "libxl_device_channel_list",
            sys::libxl_device_channel_list,
            free_channels,
        )
    }

    /// State of one channel of the domain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the domain has no such channel, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_channel_getinfo")]
    pub fn channel_info(&self, channel: &Channel) -> Result<ChannelInfo> {
        self.device_info::<_, sys::libxl_channelinfo, _>(
            "libxl_device_channel_getinfo",
            channel,
            sys::libxl_device_channel_getinfo,
        )
    }
}

/// Returns true if execvp(3) finds this program.
fn is_program(name: &OsStr) -> bool {
    let is_one = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if name.as_bytes().contains(&b'/') {
        return is_one(Path::new(name));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    !name.is_empty() && env::split_paths(&path).any(|directory| is_one(&directory.join(name)))
}

/// Pointer to a text, or NULL, for a function that takes a mutable pointer but does not change the
/// text.
fn text(text: Option<&CString>) -> *mut c_char {
    text.map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut())
}

#[cfg(test)]
mod tests {
    use super::ConsoleOptions;
    use crate::{ErrorKind, have};

    #[test]
    fn an_escape_character_is_checked() {
        let none = ConsoleOptions::new().escape_text("f").unwrap();
        assert!(none.is_none());
        let error = ConsoleOptions::new()
            .escape('é')
            .escape_text("f")
            .unwrap_err();
        if have("console_escape_character") {
            let some = ConsoleOptions::new().escape('q').escape_text("f").unwrap();
            assert_eq!(some.as_deref(), Some(c"q"));
            assert_eq!(error.kind(), ErrorKind::Invalid);
        } else {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(
                error
                    .to_string()
                    .contains("LIBXL_HAVE_CONSOLE_ESCAPE_CHARACTER"),
                "{error}"
            );
        }
    }
}
