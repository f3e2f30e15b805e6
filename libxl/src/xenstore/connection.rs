//! A connection to xenstored, and the reads and writes of values.

use std::{
    ffi::{CStr, c_uint},
    io,
    ptr::NonNull,
    slice,
};

use libxl_sys as sys;

use crate::{Error, ErrorKind, Result, raw::c_string, xenstore_socket};

/// Stands for no transaction (`XBT_NULL`).
const NO_TRANSACTION: sys::xs_transaction_t = 0;
/// Times that a transaction is tried. A guest that writes all the time must not keep its host busy.
const TRIES: u32 = 20;

/// A connection to xenstored (`xs_handle`).
///
/// Each call waits for its answer. The connection is closed when it is dropped.
#[derive(Debug)]
#[doc(alias = "xs_handle")]
pub struct Xenstore(pub(super) NonNull<sys::xs_handle>);

// SAFETY: a handle is tied to no thread.
unsafe impl Send for Xenstore {}

impl Xenstore {
    /// Connects to xenstored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if xenstored is not running, or does not accept this process.
    #[doc(alias = "xs_open")]
    pub fn open() -> Result<Self> {
        let _turn = xenstore_socket::turn();
        // SAFETY: no promise is needed; NULL is an error with errno.
        let handle = unsafe { sys::xs_open(0) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self(handle)),
            None => Err(Error::io("xs_open", io::Error::last_os_error())),
        }
    }

    /// The value of a key; `None` if there is no such key. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a path with a NUL in it, [`ErrorKind::Io`] for anything else.
    #[doc(alias = "xs_read")]
    pub fn read(&self, path: &str) -> Result<Option<String>> {
        self.read_in(NO_TRANSACTION, &c_string("xs_read", "path", path)?)
    }

    fn read_in(&self, transaction: sys::xs_transaction_t, path: &CStr) -> Result<Option<String>> {
        let mut length: c_uint = 0;
        // SAFETY: an open handle, a NUL-terminated path, a place for the length. The value is malloc'd and
        // ours.
        let value =
            unsafe { sys::xs_read(self.0.as_ptr(), transaction, path.as_ptr(), &raw mut length) };
        if value.is_null() {
            return absent("xs_read");
        }
        // SAFETY: as many bytes as xs_read said, which are freed once, after they were copied.
        let text = unsafe {
            let bytes = slice::from_raw_parts(value.cast::<u8>(), length as usize);
            let text = String::from_utf8_lossy(bytes).into_owned();
            libc::free(value);
            text
        };
        Ok(Some(text))
    }

    /// The names of the keys below a key; `None` if there is no such key. Names that are not UTF-8 are
    /// left out, as no path leads to them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a path with a NUL in it, [`ErrorKind::Io`] for anything else.
    #[doc(alias = "xs_directory")]
    pub fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        let path = c_string("xs_directory", "path", path)?;
        let mut count: c_uint = 0;
        // SAFETY: an open handle, a NUL-terminated path, a place for the number. The array is malloc'd
        // and ours.
        let array = unsafe {
            sys::xs_directory(
                self.0.as_ptr(),
                NO_TRANSACTION,
                path.as_ptr(),
                &raw mut count,
            )
        };
        if array.is_null() {
            return absent("xs_directory");
        }
        // SAFETY: as many NUL-terminated names as xs_directory said. They are part of the array's own
        // block, which is freed once, after they were copied.
        let names = unsafe {
            let names = slice::from_raw_parts(array, count as usize)
                .iter()
                .filter_map(|name| CStr::from_ptr(*name).to_str().ok())
                .map(str::to_owned)
                .collect();
            libc::free(array.cast());
            names
        };
        Ok(Some(names))
    }

    /// Sets the value of a key, and creates the key if needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a path with a NUL in it or a value that is too long,
    /// [`ErrorKind::Io`] for anything else.
    #[doc(alias = "xs_write")]
    pub fn write(&self, path: &str, value: &str) -> Result<()> {
        self.write_in(NO_TRANSACTION, &c_string("xs_write", "path", path)?, value)
    }

    /// Sets the value of a key to `new` if it is `old`, and returns whether it was. Nobody can change
    /// the value in between.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); [`ErrorKind::Io`] also if others change the value all the
    /// time.
    #[doc(alias = "xs_transaction_start")]
    pub fn replace(&self, path: &str, old: &str, new: &str) -> Result<bool> {
        const FUNCTION: &str = "xs_transaction_end";
        let path = c_string(FUNCTION, "path", path)?;
        for _ in 0..TRIES {
            // SAFETY: an open handle.
            let transaction = unsafe { sys::xs_transaction_start(self.0.as_ptr()) };
            if transaction == NO_TRANSACTION {
                let error = io::Error::last_os_error();
                return Err(Error::io("xs_transaction_start", error));
            }
            let replaced = self.read_in(transaction, &path).and_then(|value| {
                let found = value.as_deref() == Some(old);
                if found {
                    self.write_in(transaction, &path, new)?;
                }
                Ok(found)
            });
            let abort = !matches!(replaced, Ok(true));
            // SAFETY: an open handle, and a transaction of it that ends once.
            let ended = unsafe { sys::xs_transaction_end(self.0.as_ptr(), transaction, abort) };
            if abort || ended {
                return replaced;
            }
            let error = io::Error::last_os_error();
            // Somebody has changed the value meanwhile.
            if error.raw_os_error() != Some(libc::EAGAIN) {
                return Err(Error::io(FUNCTION, error));
            }
        }
        let busy = io::Error::from_raw_os_error(libc::EAGAIN);
        Err(Error::io(FUNCTION, busy))
    }

    fn write_in(&self, transaction: sys::xs_transaction_t, path: &CStr, value: &str) -> Result<()> {
        let length = c_uint::try_from(value.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, "xs_write").with_message("value: too long")
        })?;
        // SAFETY: an open handle, a NUL-terminated path, and as many bytes as are said.
        let written = unsafe {
            sys::xs_write(
                self.0.as_ptr(),
                transaction,
                path.as_ptr(),
                value.as_ptr().cast(),
                length,
            )
        };
        if written {
            Ok(())
        } else {
            Err(Error::io("xs_write", io::Error::last_os_error()))
        }
    }
}

/// The result of a function that has returned NULL: there is no such key, or it has failed.
fn absent<T>(function: &'static str) -> Result<Option<T>> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(None),
        _ => Err(Error::io(function, error)),
    }
}

impl Drop for Xenstore {
    fn drop(&mut self) {
        // SAFETY: an open handle, closed once.
        unsafe { sys::xs_close(self.0.as_ptr()) };
    }
}
