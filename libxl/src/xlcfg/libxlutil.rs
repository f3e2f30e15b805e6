//! The C structure of libxlutil, which every function of that library takes.

use std::{ffi::c_int, ptr::NonNull};

use libxl_sys as sys;

use super::report::Report;
use crate::{Error, ErrorKind, Result, raw::c_string};

/// A configuration of libxlutil, and its complaints.
pub(super) struct Raw {
    raw: NonNull<sys::XLU_Config>,
    pub(super) report: Report,
}

// SAFETY: plain memory and a stream of its own, tied to no thread.
unsafe impl Send for Raw {}

impl Raw {
    pub(super) fn new(function: &'static str, name: &str) -> Result<Self> {
        let name = c_string(function, "name", name)?;
        let report = Report::new(function)?;
        // SAFETY: a stream that outlives the configuration, and a NUL-terminated name, which is
        // copied.
        let raw = unsafe { sys::xlu_cfg_init(report.stream.as_ptr().cast(), name.as_ptr()) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, report }),
            None => Err(Error::new(ErrorKind::NoMemory, function)),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut sys::XLU_Config {
        self.raw.as_ptr()
    }

    /// Turns an errno value that is not 0 into an error with libxlutil's complaints.
    pub(super) fn check(&self, function: &'static str, errno: c_int) -> Result<()> {
        if errno == 0 {
            return Ok(());
        }
        let report = self.report.take();
        let report = report.trim().replace('\n', "; ");
        let (kind, reason) = match errno {
            // Some functions pass on a code of libxl's.
            ..0 => (ErrorKind::Invalid, "not understood".to_owned()),
            libc::EINVAL => (ErrorKind::Invalid, "not understood".to_owned()),
            libc::ERANGE | libc::EOVERFLOW => (ErrorKind::Invalid, "out of range".to_owned()),
            libc::ENOMEM => (ErrorKind::NoMemory, "not enough memory".to_owned()),
            other => {
                let error = std::io::Error::from_raw_os_error(other);
                (ErrorKind::Io, error.to_string())
            }
        };
        let message = if report.is_empty() { reason } else { report };
        Err(Error::new(kind, function).with_message(message))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: live, destroyed once, before its stream.
        unsafe { sys::xlu_cfg_destroy(self.raw.as_ptr()) };
    }
}
