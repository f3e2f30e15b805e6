//! Ownership of values that cross to and from C.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::{ManuallyDrop, MaybeUninit},
    ptr::NonNull,
    slice,
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
    libxl_domain_remus_info, libxl_domain_remus_info_init, libxl_domain_remus_info_dispose;
    libxl_physinfo, libxl_physinfo_init, libxl_physinfo_dispose;
    libxl_bitmap, libxl_bitmap_init, libxl_bitmap_dispose;
    libxl_cpupoolinfo, libxl_cpupoolinfo_init, libxl_cpupoolinfo_dispose;
    libxl_domain_sched_params, libxl_domain_sched_params_init, libxl_domain_sched_params_dispose;
    libxl_vcpu_sched_params, libxl_vcpu_sched_params_init, libxl_vcpu_sched_params_dispose;
    libxl_device_channel, libxl_device_channel_init, libxl_device_channel_dispose;
    libxl_channelinfo, libxl_channelinfo_init, libxl_channelinfo_dispose;
    libxl_device_usbctrl, libxl_device_usbctrl_init, libxl_device_usbctrl_dispose;
    libxl_device_usbdev, libxl_device_usbdev_init, libxl_device_usbdev_dispose;
    libxl_device_vtpm, libxl_device_vtpm_init, libxl_device_vtpm_dispose;
    libxl_device_vkb, libxl_device_vkb_init, libxl_device_vkb_dispose;
    libxl_device_vfb, libxl_device_vfb_init, libxl_device_vfb_dispose;
    libxl_device_vdispl, libxl_device_vdispl_init, libxl_device_vdispl_dispose;
    libxl_device_vsnd, libxl_device_vsnd_init, libxl_device_vsnd_dispose;
    libxl_device_p9, libxl_device_p9_init, libxl_device_p9_dispose;
    libxl_device_pvcallsif, libxl_device_pvcallsif_init, libxl_device_pvcallsif_dispose;
    libxl_usbctrlinfo, libxl_usbctrlinfo_init, libxl_usbctrlinfo_dispose;
    libxl_vtpminfo, libxl_vtpminfo_init, libxl_vtpminfo_dispose;
    libxl_vkbinfo, libxl_vkbinfo_init, libxl_vkbinfo_dispose;
    libxl_vdisplinfo, libxl_vdisplinfo_init, libxl_vdisplinfo_dispose;
    libxl_vsndinfo, libxl_vsndinfo_init, libxl_vsndinfo_dispose;
    libxl_rdm_reserve, libxl_rdm_reserve_init, libxl_rdm_reserve_dispose;
    libxl_device_disk, libxl_device_disk_init, libxl_device_disk_dispose;
    libxl_device_nic, libxl_device_nic_init, libxl_device_nic_dispose;
    libxl_diskinfo, libxl_diskinfo_init, libxl_diskinfo_dispose;
    libxl_nicinfo, libxl_nicinfo_init, libxl_nicinfo_dispose;
}

#[cfg(libxl_have = "xenstore_quota")]
structures! {
    libxl_xs_quota_list, libxl_xs_quota_list_init, libxl_xs_quota_list_dispose;
}

/// A structure of libxl on the heap: initialised when made, disposed of when dropped.
///
/// The structure stays at one address, and only a raw pointer to it is kept, because C holds one
/// too while it works.
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

    /// Frees the structure and nothing that it points to. For a structure that libxl has left half
    /// made, so that it is unknown which memory is still to be freed.
    pub(crate) fn abandon(self) {
        let at = ManuallyDrop::new(self).0;
        // SAFETY: made in `new` by this allocator. `drop` does not run, so it is freed once.
        drop(unsafe { Box::from_raw(at.as_ptr().cast::<MaybeUninit<T>>()) });
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

/// An array that libxl allocated, with the function that frees it.
pub(crate) struct List<T> {
    at: NonNull<T>,
    count: c_int,
    free: fn(*mut T, c_int),
}

impl<T> List<T> {
    /// Takes the result of a list function; `None` for NULL, which stands for an error and, with
    /// some functions, for an empty list.
    ///
    /// # Safety
    ///
    /// `at` is NULL or an array of `count` initialised structures, which `free` frees, and which is
    /// the caller's.
    pub(crate) unsafe fn take(at: *mut T, count: c_int, free: fn(*mut T, c_int)) -> Option<Self> {
        NonNull::new(at).map(|at| Self { at, count, free })
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        // SAFETY: the promise of `take`; a negative count stands for nothing.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), usize::try_from(self.count).unwrap_or(0)) }
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        (self.free)(self.at.as_ptr(), self.count);
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
    let taken = unsafe { take_c_string(raw) };
    taken.map(|text| text.to_string_lossy().into_owned())
}

/// As [`take_str`], but byte for byte: for strings that go back to C.
///
/// # Safety
///
/// As [`take_str`].
pub(crate) unsafe fn take_c_string(raw: *mut c_char) -> Option<CString> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the caller promises the rest.
    let copied = unsafe { CStr::from_ptr(raw) }.to_owned();
    // SAFETY: from malloc, and ours to free.
    unsafe { libc::free(raw.cast::<c_void>()) };
    Some(copied)
}

/// A string for C, or an error that names the value with the NUL byte.
pub(crate) fn c_string(function: &'static str, what: &str, text: &str) -> crate::Result<CString> {
    CString::new(text).map_err(|_| {
        crate::Error::new(crate::ErrorKind::Invalid, function)
            .with_message(format!("{what}: contains a NUL byte: {text:?}"))
    })
}

/// A number for C, or an error that names the value that is too large.
pub(crate) fn c_number(function: &'static str, what: &str, number: u32) -> crate::Result<c_int> {
    c_int::try_from(number).map_err(|_| {
        crate::Error::new(crate::ErrorKind::Invalid, function)
            .with_message(format!("{what}: {number} is larger than {}", c_int::MAX))
    })
}
