//! The events that libxl has queued.

use std::ptr;

use libxl_sys as sys;

use super::{token::Token, turns::Pump};
use crate::{
    config::{Disk, DiskFormat},
    raw::copy_str,
};

impl Pump {
    /// Empties libxl's queue. Returns true if there was an event in it.
    pub(super) fn drain(&self, ctx: *mut sys::libxl_ctx) -> bool {
        let mut any = false;
        loop {
            let mut event = ptr::null_mut();
            // SAFETY: a live context, a place for the event, every type, no predicate.
            let rc = self.within(|| unsafe {
                sys::libxl_event_check(ctx, &mut event, u64::MAX, None, ptr::null_mut())
            });
            if rc != 0 || event.is_null() {
                return any;
            }
            any = true;
            // SAFETY: an event that libxl handed to us.
            unsafe { self.note(&*event) };
            // SAFETY: ours to free, once, and not used after this.
            unsafe { sys::libxl_event_free(ctx, event) };
        }
    }

    /// Records one event.
    ///
    /// # Safety
    ///
    /// `event` is a whole event of libxl's: the arm of its union is the one its type names.
    pub(super) unsafe fn note(&self, event: &sys::libxl_event) {
        use sys::libxl_event_type as Type;
        let token = Token(event.for_user);
        match event.type_ {
            Type::LIBXL_EVENT_TYPE_OPERATION_COMPLETE => {
                // SAFETY: the arm that belongs to this type.
                self.ended(token, unsafe { event.u.operation_complete.rc });
            }
            Type::LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN | Type::LIBXL_EVENT_TYPE_DOMAIN_DEATH => {
                self.state().heard(token);
            }
            Type::LIBXL_EVENT_TYPE_DISK_EJECT => {
                // SAFETY: the arm that belongs to this type; its strings live as long as the event.
                let disk = unsafe { ejected(&event.u.disk_eject.disk) };
                self.state().ejected(token, disk);
            }
            // No other events were requested. A type from a newer libxl is not an error.
            _ => {}
        }
    }
}

/// Copies the empty drive that an eject leaves behind.
///
/// # Safety
///
/// The strings of `raw` are NULL or NUL-terminated.
unsafe fn ejected(raw: &sys::libxl_device_disk) -> Disk {
    // SAFETY: a literal of libxl's, or NULL for a number that it does not know; and the caller's
    // promise.
    let (backend, vdev) = unsafe {
        (
            copy_str(sys::libxl_disk_backend_to_string(raw.backend)),
            copy_str(raw.vdev),
        )
    };
    Disk {
        backend_domid: (raw.backend_domid != 0).then_some(raw.backend_domid),
        backend: backend.and_then(|word| word.parse().ok()),
        vdev,
        format: Some(DiskFormat::Empty),
        removable: raw.removable != 0,
        readwrite: raw.readwrite != 0,
        is_cdrom: raw.is_cdrom != 0,
        ..Disk::default()
    }
}
