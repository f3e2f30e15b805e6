//! Ownership of what crosses to and from C.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    mem::MaybeUninit,
    ptr::NonNull,
};

use libxl_sys as sys;

/// A structure of libxl with its `_init` and `_dispose` functions.
///
/// # Safety
///
/// `init` must make any memory of the right size a valid value, and `dispose` must free what a
/// value owns. libxl generates both for every structure of its interface description.
pub(crate) unsafe trait Structure: Sized {
    /// The `_init` function.
    unsafe fn init(at: *mut Self);
    /// The `_dispose` function.
    unsafe fn dispose(at: *mut Self);
}

macro_rules! structures {
    ($($structure:ident, $init:ident, $dispose:ident;)*) => {$(
        // SAFETY: the pair that libxl generates for this structure.
        unsafe impl Structure for sys::$structure {
            unsafe fn init(at: *mut Self) {
                // SAFETY: the caller passes memory for one structure.
                unsafe { sys::$init(at) }
            }
            unsafe fn dispose(at: *mut Self) {
                // SAFETY: the caller passes an initialised structure.
                unsafe { sys::$dispose(at) }
            }
        }
    )*};
}

structures! {
    libxl_device_pci, libxl_device_pci_init, libxl_device_pci_dispose;
    libxl_dominfo, libxl_dominfo_init, libxl_dominfo_dispose;
    libxl_domain_config, libxl_domain_config_init, libxl_domain_config_dispose;
    libxl_domain_restore_params, libxl_domain_restore_params_init, libxl_domain_restore_params_dispose;
    libxl_physinfo, libxl_physinfo_init, libxl_physinfo_dispose;
}

/// A structure of libxl on the heap: initialised when made, disposed of when dropped. It stays at
/// one address, and only a raw pointer to it is kept, because C holds one too while it works.
pub(crate) struct Owned<T: Structure>(NonNull<T>);

// SAFETY: libxl's structures are plain memory from malloc, tied to no thread.
unsafe impl<T: Structure> Send for Owned<T> {}

impl<T: Structure> Owned<T> {
    pub(crate) fn new() -> Self {
        let memory = Box::new(MaybeUninit::<T>::zeroed());
        let at = NonNull::from(Box::leak(memory)).cast::<T>();
        // SAFETY: memory for one T, which init makes valid.
        unsafe { T::init(at.as_ptr()) };
        Self(at)
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    pub(crate) fn get(&self) -> &T {
        // SAFETY: initialised in `new`; C only writes to it during calls that hold no reference.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Structure> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, disposed of once, and then freed by the allocator it is from.
        unsafe {
            T::dispose(self.0.as_ptr());
            drop(Box::from_raw(self.0.as_ptr().cast::<MaybeUninit<T>>()));
        }
    }
}

/// Copies a C string; `None` for NULL. Bytes that are not UTF-8 become replacement characters:
/// names and paths in xenstore can hold anything.
///
/// # Safety
///
/// `raw` is NULL or a NUL-terminated string that stays valid during the call.
pub(crate) unsafe fn copy_str(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the caller promises the rest.
    Some(
        unsafe { CStr::from_ptr(raw) }
            .to_string_lossy()
            .into_owned(),
    )
}

/// Takes a string that libxl allocated for us, and frees it.
///
/// # Safety
///
/// `raw` is NULL or a NUL-terminated string from malloc that nobody else frees.
pub(crate) unsafe fn take_str(raw: *mut c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    let copied = unsafe { copy_str(raw) };
    // SAFETY: from malloc, and ours to free; free(NULL) does nothing.
    unsafe { libc::free(raw.cast::<c_void>()) };
    copied
}

/// A string for C, or an error that names what holds the NUL byte.
pub(crate) fn c_string(function: &'static str, what: &str, text: &str) -> crate::Result<CString> {
    CString::new(text).map_err(|_| {
        crate::Error::new(crate::ErrorKind::Invalid, function)
            .with_message(format!("{what}: contains a NUL byte: {text:?}"))
    })
}
