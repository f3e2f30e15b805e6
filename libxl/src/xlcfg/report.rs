//! The complaints of libxlutil.

use std::{
    ffi::{c_char, c_void},
    ptr::{self, NonNull},
    slice,
};

use crate::{Error, ErrorKind, Result};

/// The stream that libxlutil writes its complaints to, in memory.
pub(super) struct Report {
    pub(super) stream: NonNull<libc::FILE>,
    /// From `Box::into_raw`: the stream keeps a pointer to both fields.
    text: *mut Text,
}

struct Text {
    at: *mut c_char,
    length: usize,
}

impl Report {
    pub(super) fn new(function: &'static str) -> Result<Self> {
        let text = Box::into_raw(Box::new(Text {
            at: ptr::null_mut(),
            length: 0,
        }));
        // SAFETY: open_memstream keeps both pointers; they live as long as the stream.
        let stream = unsafe { libc::open_memstream(&raw mut (*text).at, &raw mut (*text).length) };
        match NonNull::new(stream) {
            Some(stream) => Ok(Self { stream, text }),
            None => {
                // SAFETY: from Box::into_raw, and no stream has its address.
                drop(unsafe { Box::from_raw(text) });
                Err(Error::new(ErrorKind::NoMemory, function))
            }
        }
    }

    /// The text written since the last call.
    pub(super) fn take(&self) -> String {
        // SAFETY: fflush(3) on a live stream of open_memstream(3) updates both fields: there are
        // `length` bytes at `at`. Behind them may be the rest of an older, longer text.
        let text = unsafe {
            libc::fflush(self.stream.as_ptr());
            let Text { at, length } = *self.text;
            if at.is_null() || length == 0 {
                String::new()
            } else {
                String::from_utf8_lossy(slice::from_raw_parts(at.cast::<u8>(), length)).into_owned()
            }
        };
        // SAFETY: a live stream; the next text overwrites this one.
        unsafe {
            libc::rewind(self.stream.as_ptr());
            // Flushed again, so that the length is that of the next text, not of this one.
            libc::fflush(self.stream.as_ptr());
        }
        text
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: a live stream, closed once; its text is from malloc then, and ours.
        unsafe {
            libc::fclose(self.stream.as_ptr());
            libc::free((*self.text).at.cast::<c_void>());
            drop(Box::from_raw(self.text));
        }
    }
}
