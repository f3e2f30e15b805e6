//! Watches: notifications that a node has changed, without the new value.
//!
//! libxenstore starts a thread for each connection with watches. The thread ends with the
//! connection.

use std::{
    ffi::{CStr, c_char},
    io,
    os::fd::BorrowedFd,
};

use libxl_sys as sys;

use super::connection::Xenstore;
use crate::{Error, Result, raw::c_string};

/// The event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The token that the watch was registered with.
    pub(crate) token: String,
}

impl Xenstore {
    /// Registers a watch, whose first event comes at once.
    pub(crate) fn watch(&self, path: &str, token: &str) -> Result<()> {
        let (path, token) = (
            c_string("xs_watch", "path", path)?,
            c_string("xs_watch", "token", token)?,
        );
        // SAFETY: an open handle and two NUL-terminated strings, which are sent and not kept.
        let done = unsafe { sys::xs_watch(self.0.as_ptr(), path.as_ptr(), token.as_ptr()) };
        succeeded("xs_watch", done)
    }

    /// Removes a watch. Events that it has had may still come.
    pub(crate) fn unwatch(&self, path: &str, token: &str) -> Result<()> {
        let (path, token) = (
            c_string("xs_unwatch", "path", path)?,
            c_string("xs_unwatch", "token", token)?,
        );
        // SAFETY: as above.
        let done = unsafe { sys::xs_unwatch(self.0.as_ptr(), path.as_ptr(), token.as_ptr()) };
        succeeded("xs_unwatch", done)
    }

    /// A descriptor that is readable while there are events.
    pub(crate) fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        // SAFETY: an open handle.
        let fd = unsafe { sys::xs_fileno(self.0.as_ptr()) };
        if fd < 0 {
            return Err(Error::io("xs_fileno", io::Error::last_os_error()));
        }
        // SAFETY: the handle's, which keeps it open for as long as it is borrowed here.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// The next event, if there is one.
    pub(crate) fn changed(&self) -> Result<Option<Changed>> {
        // SAFETY: an open handle.
        let event = unsafe { sys::xs_check_watch(self.0.as_ptr()) };
        if event.is_null() {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                _ => Err(Error::io("xs_check_watch", error)),
            };
        }
        // SAFETY: an array of two strings, path and token, malloc'd as one; it is freed once, after the
        // token was copied.
        let token = unsafe {
            let token: *mut c_char = *event.add(1);
            let token = CStr::from_ptr(token).to_string_lossy().into_owned();
            libc::free(event.cast());
            token
        };
        Ok(Some(Changed { token }))
    }
}

fn succeeded(function: &'static str, done: bool) -> Result<()> {
    if done {
        Ok(())
    } else {
        Err(Error::io(function, io::Error::last_os_error()))
    }
}
