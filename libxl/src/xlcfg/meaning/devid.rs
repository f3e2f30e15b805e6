//! Numbers of devices.

/// The number of a device among those of its kind.
pub(super) fn devid(index: usize) -> Option<i32> {
    i32::try_from(index).ok()
}
