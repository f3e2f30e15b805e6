//! Sets of CPUs, nodes and sockets to and from C.

use std::{ffi::c_int, ptr, slice};

use libxl_sys as sys;

use crate::{
    Context, Error, ErrorKind, Result,
    config::Bitmap,
    raw::{Owned, c_number},
};

/// Kind of the numbered items in a bitmap. libxl and Xen expect as many bits as the host has items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Cpus,
    Nodes,
    Sockets,
}

impl Bits {
    /// Number of such items on the host, as libxl counts them. Valid bits are below this number.
    fn count(self, ctx: &Context) -> Result<u32> {
        match self {
            Self::Cpus => ctx.max_cpus(),
            Self::Nodes => ctx.max_nodes(),
            Self::Sockets => ctx.sockets(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpus => "CPU",
            Self::Nodes => "NUMA node",
            Self::Sockets => "socket",
        }
    }
}

/// An empty bitmap of the size that libxl wants.
pub(crate) fn host_bitmap(ctx: &Context, bits: Bits) -> Result<Owned<sys::libxl_bitmap>> {
    host_bitmap_for(ctx, bits, bits.count(ctx)?)
}

/// As [`host_bitmap`], for a number of bits that is already known.
fn host_bitmap_for(ctx: &Context, bits: Bits, count: u32) -> Result<Owned<sys::libxl_bitmap>> {
    let map = Owned::<sys::libxl_bitmap>::new();
    let (function, alloc): (_, unsafe extern "C" fn(_, _, _) -> _) = match bits {
        Bits::Cpus => ("libxl_cpu_bitmap_alloc", sys::libxl_cpu_bitmap_alloc),
        Bits::Nodes => ("libxl_node_bitmap_alloc", sys::libxl_node_bitmap_alloc),
        Bits::Sockets => ("libxl_socket_bitmap_alloc", sys::libxl_socket_bitmap_alloc),
    };
    let count = c_number(function, bits.name(), count)?;
    ctx.call(function, None, |ctx| {
        // SAFETY: a live context and an initialised, empty bitmap; for 0 libxl asks Xen itself.
        unsafe { alloc(ctx, map.as_ptr(), count) }
    })?;
    Ok(map)
}

/// As [`host_bitmap`], with these bits set, or an error that names a bit that the host does not
/// have.
///
/// The bitmap itself has room for up to seven bits more, which libxl and Xen ignore silently.
pub(crate) fn host_bitmap_of(
    ctx: &Context,
    function: &'static str,
    bits: Bits,
    set: &Bitmap,
) -> Result<Owned<sys::libxl_bitmap>> {
    let count = bits.count(ctx)?;
    if let Some(beyond) = set.iter().find(|&bit| bit >= count) {
        let what = bits.name();
        return Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("{what} {beyond}: the host has fewer")));
    }
    let map = host_bitmap_for(ctx, bits, count)?;
    set_bits(&map, set);
    Ok(map)
}

/// A bitmap just large enough for its largest bit.
pub(crate) fn bitmap_of(
    ctx: &Context,
    function: &'static str,
    set: &Bitmap,
) -> Result<Owned<sys::libxl_bitmap>> {
    let last = set.last().unwrap_or(0);
    if last > Bitmap::MAX {
        return Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("{last}: larger than {}", Bitmap::MAX)));
    }
    let map = Owned::<sys::libxl_bitmap>::new();
    ctx.call("libxl_bitmap_alloc", None, |ctx| {
        // SAFETY: a live context and an initialised, empty bitmap.
        unsafe {
            sys::libxl_bitmap_alloc(ctx, map.as_ptr(), c_int::try_from(last).unwrap_or(0) + 1)
        }
    })?;
    set_bits(&map, set);
    Ok(map)
}

fn set_bits(map: &Owned<sys::libxl_bitmap>, set: &Bitmap) {
    for bit in set.iter() {
        // SAFETY: an allocated bitmap; the callers have seen that it has room, and libxl looks too.
        unsafe { sys::libxl_bitmap_set(map.as_ptr(), c_int::try_from(bit).unwrap_or(-1)) };
    }
}

/// Reads a bitmap.
///
/// # Safety
///
/// `raw` was initialised by libxl: `map` is NULL, or `size` bytes long.
pub(crate) unsafe fn read_bitmap(raw: &sys::libxl_bitmap) -> Bitmap {
    if raw.map.is_null() {
        return Bitmap::new();
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice::from_raw_parts(raw.map, raw.size as usize) };
    let bits = (0u32..).zip(
        bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)),
    );
    bits.filter(|&(_, bit)| bit == 1)
        .map(|(number, _)| number)
        .collect()
}

/// Makes a bitmap at least this many bytes long.
///
/// # Errors
///
/// If there is no memory.
pub(crate) fn lengthen(map: &mut sys::libxl_bitmap, size: u32) -> Result<()> {
    if map.map.is_null() || map.size >= size {
        return Ok(());
    }
    // SAFETY: from malloc, as all that a structure of libxl owns, and ours alone.
    let longer = unsafe { libc::realloc(map.map.cast(), size as usize) }.cast::<u8>();
    if longer.is_null() {
        return Err(Error::new(ErrorKind::NoMemory, "realloc"));
    }
    let old = map.size as usize;
    // SAFETY: `size` bytes, of which the first `old` are the bitmap.
    unsafe { ptr::write_bytes(longer.add(old), 0, size as usize - old) };
    map.map = longer;
    map.size = size;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Owned, lengthen, read_bitmap, sys};
    use crate::config::Bitmap;

    #[test]
    fn a_longer_bitmap_has_the_same_bits() {
        let map = Owned::<sys::libxl_bitmap>::new();
        // SAFETY: an initialised bitmap that nobody else knows.
        let raw = unsafe { &mut *map.as_ptr() };
        lengthen(raw, 8).unwrap();
        assert!(raw.map.is_null(), "none stays none");
        // SAFETY: one byte from malloc, which the bitmap owns.
        unsafe {
            raw.map = libc::calloc(1, 1).cast();
            raw.map.write(0b101);
        }
        raw.size = 1;
        for (wanted, size) in [(1, 1), (8, 8), (2, 8)] {
            lengthen(raw, wanted).unwrap();
            assert_eq!(raw.size, size);
            // SAFETY: `size` bytes long.
            assert_eq!(unsafe { read_bitmap(raw) }, Bitmap::from([0, 2]));
        }
    }
}
