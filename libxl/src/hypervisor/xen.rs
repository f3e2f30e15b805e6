//! Xen's log, its debug keys and its parameters.

use std::{ffi::c_char, ptr, slice};

use libxl_sys as sys;

use crate::{Context, Error, ErrorKind, Result, raw::c_string};

/// The size of the buffer into which libxl reads Xen's log. Before Xen 4.20 a full buffer has no
/// NUL at its end.
const LOG_BUFFER: usize = 16384;

impl Context {
    /// Contents of Xen's log, which is a ring: old lines are lost. With `clear` the log is emptied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_xen_console_read_start")]
    #[doc(alias = "libxl_xen_console_read_line")]
    #[doc(alias = "libxl_xen_console_read_finish")]
    pub fn xen_log(&self, clear: bool) -> Result<String> {
        const FUNCTION: &str = "libxl_xen_console_read_line";
        let mark = self.log_mark();
        // SAFETY: a live context.
        let reader = unsafe { sys::libxl_xen_console_read_start(self.enter().ptr(), clear.into()) };
        if reader.is_null() {
            return Err(
                Error::new(ErrorKind::Failed, "libxl_xen_console_read_start")
                    .with_log(self.own_log_since(mark)),
            );
        }
        let mut text = Vec::new();
        let rc = loop {
            let mut line: *mut c_char = ptr::null_mut();
            // SAFETY: a live context and reader, a place for the text.
            let rc = unsafe {
                sys::libxl_xen_console_read_line(self.enter().ptr(), reader, &raw mut line)
            };
            if rc != 1 || line.is_null() {
                break rc;
            }
            // SAFETY: the reader's buffer, which ends with a NUL unless it is full; copied before
            // the next call overwrites it.
            text.extend_from_slice(unsafe {
                slice::from_raw_parts(line.cast::<u8>(), libc::strnlen(line, LOG_BUFFER))
            });
        };
        // SAFETY: a live context and reader, which is not used after this.
        unsafe { sys::libxl_xen_console_read_finish(self.enter().ptr(), reader) };
        if rc < 0 {
            return Err(Error::from_code(FUNCTION, rc).with_log(self.own_log_since(mark)));
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends debug keys to Xen, as if typed on its serial console. `h` lists the keys in the
    /// [log](Self::xen_log). Some keys stop the machine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_send_debug_keys")]
    pub fn send_debug_keys(&self, keys: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_send_debug_keys";
        let keys = c_string(FUNCTION, "keys", keys)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a NUL-terminated text, which libxl does not change.
            unsafe { sys::libxl_send_debug_keys(ctx, keys.as_ptr().cast_mut()) }
        })
    }

    /// Changes parameters of Xen's command line, as far as they can be changed while Xen runs.
    ///
    /// They are written as on the command line: `gnttab_max_frames=64`. Several are separated by
    /// spaces; `no` in front of a parameter stands for the value `no`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a parameter without a value; [`ErrorKind::Failed`] for a
    /// parameter that cannot be changed, or an invalid value.
    #[doc(alias = "libxl_set_parameters")]
    pub fn set_parameters(&self, parameters: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_set_parameters";
        // libxl assumes that each parameter has a `=`, and without one writes to a wrong address
        // (Xen 4.14 to 4.22).
        if let Some(word) = without_a_value(parameters) {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("parameters: {word:?} has no value")));
        }
        let parameters = c_string(FUNCTION, "parameters", parameters)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a NUL-terminated text, which libxl does not change; each of
            // its words has a value, or stands for one.
            unsafe { sys::libxl_set_parameters(ctx, parameters.as_ptr().cast_mut()) }
        })
    }
}

/// Returns the first of these parameters that has neither a value nor the prefix that stands for
/// one.
///
/// The text is split as in libxl: a parameter ends at a space, and begins at a character that is
/// not a blank.
fn without_a_value(parameters: &str) -> Option<&str> {
    let mut rest = parameters.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        if !word.contains('=') && !word.starts_with("no") {
            return Some(word);
        }
        rest = after.trim_start_matches([' ', '\t']);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::without_a_value;

    #[test]
    fn parameters_without_a_value_are_told_from_others() {
        for (wrong, word) in [
            ("gnttab_max_frames", "gnttab_max_frames"),
            ("a=1 b", "b"),
            ("b a=1", "b"),
            (" \tn a=1", "n"),
            ("a=1 \tb\tc  noa=1", "b\tc"),
            ("No", "No"),
        ] {
            assert_eq!(without_a_value(wrong), Some(word), "{wrong:?}");
        }
        for right in ["", " \t ", "a=1", "=", "a=", "no", "noa", "a=1 nob  c=d\te"] {
            assert_eq!(without_a_value(right), None, "{right:?}");
        }
    }
}
