//! Userdata: small files that a toolstack stores beside a domain, and that go away with it.

use std::{ffi::c_int, ptr, slice};

use libxl_sys as sys;

use super::handle::Domain;
use crate::{Error, ErrorKind, Result, raw::c_string};

impl Domain {
    /// Stores `data` beside the domain, and replaces earlier data under the same key.
    ///
    /// The key names the program that the data is for. libxl and `xl` use `libxl-json` and `xl`,
    /// libvirt `libvirt-xml`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the data cannot be written, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_userdata_store")]
    pub fn userdata_store(&self, key: &str, data: &[u8]) -> Result<()> {
        const FUNCTION: &str = "libxl_userdata_store";
        let key = userdata_key(FUNCTION, key)?;
        let length = c_int::try_from(data.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("{} bytes are too many", data.len()))
        })?;
        self.check(FUNCTION)?;
        self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // SAFETY: a live context, a NUL-terminated key, and `length` bytes.
            unsafe {
                sys::libxl_userdata_store(ctx, self.domid().0, key.as_ptr(), data.as_ptr(), length)
            }
        })
    }

    /// Returns the data stored under this key; `None` if there is none, or it is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the data cannot be read, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_userdata_retrieve")]
    pub fn userdata_retrieve(&self, key: &str) -> Result<Option<Vec<u8>>> {
        const FUNCTION: &str = "libxl_userdata_retrieve";
        let key = userdata_key(FUNCTION, key)?;
        self.check(FUNCTION)?;
        let mut data: *mut u8 = ptr::null_mut();
        let mut length: c_int = 0;
        self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // SAFETY: a live context, a NUL-terminated key, places for the data and its length.
            unsafe {
                sys::libxl_userdata_retrieve(
                    ctx,
                    self.domid().0,
                    key.as_ptr(),
                    &raw mut data,
                    &raw mut length,
                )
            }
        })?;
        if data.is_null() {
            return Ok(None);
        }
        // SAFETY: on success `length` bytes from malloc, which are ours.
        let copy = unsafe { slice::from_raw_parts(data, usize::try_from(length).unwrap_or(0)) };
        let copy = copy.to_vec();
        // SAFETY: as above; not used after this.
        unsafe { libc::free(data.cast()) };
        Ok((!copy.is_empty()).then_some(copy))
    }

    /// Removes the data stored under this key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when there is none, or it cannot be removed;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_userdata_unlink")]
    pub fn userdata_unlink(&self, key: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_userdata_unlink";
        let key = userdata_key(FUNCTION, key)?;
        self.check(FUNCTION)?;
        self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // SAFETY: a live context and a NUL-terminated key.
            unsafe { sys::libxl_userdata_unlink(ctx, self.domid().0, key.as_ptr()) }
        })
    }
}

/// Checks a key: it becomes a part of a file's name, which libxl does not check.
fn userdata_key(function: &'static str, key: &str) -> Result<std::ffi::CString> {
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if key.is_empty() || !key.chars().all(usual) {
        return Err(
            Error::new(ErrorKind::Invalid, function).with_message(format!(
                "the key {key:?} is not made of letters, digits, - and _"
            )),
        );
    }
    c_string(function, "key", key)
}

#[cfg(test)]
mod tests {
    use super::userdata_key;

    #[test]
    fn a_key_stays_within_its_directory() {
        assert!(userdata_key("f", "domainmgr").is_ok());
        for key in ["", "../x", "a/b", "a.b", "a b", "a\0"] {
            let error = userdata_key("f", key).unwrap_err();
            assert!(error.to_string().contains("letters"), "{error}");
        }
    }
}
